"""What `deploykit train` does: train one network, with its progress, and say how good it became."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from deploykit import training, zoo
from deploykit.cli.display import print_json
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import TrainingDisplay
from deploykit.cli.train_command import Recipe
from deploykit.data import open_dataset
from deploykit.errors import EXIT_INTERRUPTED, UsageError
from deploykit.spec import ModelSpec
from deploykit.training.checkpoint import state_path
from deploykit.workflow.choices import Variants
from deploykit.workflow.plan import plan
from deploykit.zoo import weights


def train(
    model: str,
    data: str,
    variants: Variants,
    recipe: Recipe,
    output: str | None,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Train and store; return the exit code."""
    spec = _network(model, variants)
    start = _start(recipe.start, spec)
    if start is not None and variants.resolution_px is None:
        spec = _at_resolution_of(start, spec)
    dataset = open_dataset(data)
    name = dataset.name.partition(":")[0]
    out = Path(output or f"{spec.label}-{name}.safetensors")
    try:
        with TrainingDisplay(quiet=quiet) as display:
            result = training.train(
                spec,
                dataset,
                out=out,
                epochs=recipe.epochs,
                seed=variants.seed,
                resume=recipe.resume,
                from_checkpoint=start,
                freeze=recipe.freeze,
                progress=display.show,
            )
    except KeyboardInterrupt:
        click.echo(f"deploykit: interrupted: {_what_is_left(out)}", err=True)
        return EXIT_INTERRUPTED
    if outputs.json:
        print_json({"path": str(result.path), "top1": result.top1, **result.metadata})
        return 0
    click.echo(
        f"{result.path}: {100 * result.top1:.1f}% of {result.test_images} held-out images right, "
        f"{result.epochs} epochs on {result.train_images} images in {result.train_s:.1f} s"
    )
    return 0


def _network(model: str, variants: Variants) -> ModelSpec:
    sources = plan([model], variants)
    if len(sources) != 1 or not isinstance(sources[0], ModelSpec):
        raise UsageError("train takes one network of the catalogue at one --alpha and one --rho")
    return sources[0]


def _start(checkpoint: str | None, spec: ModelSpec) -> Path | None:
    """The file to start from: as given, or the shipped one that `trained` means."""
    if checkpoint is None:
        return None
    if weights.is_trained(checkpoint):
        return weights.trained(replace(spec, weights=checkpoint))
    return Path(checkpoint)


def _at_resolution_of(start: Path, spec: ModelSpec) -> ModelSpec:
    """The network at the input size that the weights were trained at, where their file says so."""
    if start.suffix != ".safetensors" or not start.is_file() or ":" in spec.name:
        return spec
    if not zoo.lookup(spec.name).has_rho:
        return spec
    size = weights.metadata(start).get("resolution_px", "")
    return replace(spec, resolution_px=int(size)) if size.isdigit() else spec


def _what_is_left(out: Path) -> str:
    state = state_path(out)
    if state.is_file():
        return f"the same command with --resume goes on from {state}"
    return "no epoch was finished, so there is nothing to go on from"
