"""`deploykit train`: small seeded recipes for real accuracy figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from deploykit.spec import ModelSpec


@click.command("train")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data",
    required=True,
    metavar="DATASET",
    help="digits, fashion-mnist, imagefolder:PATH, npz:PATH.",
)
@click.option("--alpha", default="1", metavar="A", help="Width multiplier.")
@click.option("--rho", default="1", metavar="R", help="Resolution multiplier, such as 6/7.")
@click.option(
    "--resolution",
    type=click.IntRange(1),
    metavar="PX",
    help="Base input size, which --rho multiplies; else that of --from, else the network's own.",
)
@click.option(
    "--epochs", type=click.IntRange(1), metavar="N", help="Passes over the data; else the recipe's."
)
@click.option(
    "--seed", type=int, default=0, metavar="N", help="Of weights, order and augmentation."
)
@click.option("-o", "--output", metavar="FILE", help="Checkpoint; else MODEL-DATASET.safetensors.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from FILE.resume, which each finished epoch leaves; the other options must be the same.",
)
@click.option(
    "--from",
    "from_checkpoint",
    metavar="FILE",
    help="Transfer learning: start from these weights of the same network, or from `trained` (shipped) ones; "
    "a head of another shape starts anew.",
)
@click.option(
    "--freeze",
    multiple=True,
    metavar="PATTERN",
    help="Keep parameters of such names as they are, such as 'blocks.*'; may be given again.",
)
@json_option
@quiet_option
def command(
    model: str,
    data: str,
    alpha: str,
    rho: str,
    resolution: int | None,
    epochs: int | None,
    seed: int,
    output: str | None,
    resume: bool,
    from_checkpoint: str | None,
    freeze: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    r"""Train a network on a data set and store it with its accuracy on the held-out part.

    The same arguments give the same weights. Ctrl-C keeps what finished epochs came to: the same command with
    --resume goes on from there, to the same weights as an unbroken training. The checkpoint is safetensors;
    its metadata tells recipe, seed, data, accuracy and versions. Give it to --weights of other commands.

    \b
    deploykit train lenet5 --data digits
    deploykit train mobilenet --alpha 0.25 --data fashion-mnist --resolution 64 --epochs 3
    deploykit train mobilenet --alpha 0.25 --data fashion-mnist --resolution 64 --epochs 3 --resume
    deploykit train mobilenet --alpha 0.25 --data digits --from trained --freeze 'blocks.*'
    deploykit train lenet5 --data npz:own.npz --from lenet5-digits.safetensors -o own.safetensors
    """
    from deploykit.cli.display import print_json
    from deploykit.cli.training_display import TrainingDisplay
    from deploykit.data import open_dataset
    from deploykit.errors import EXIT_INTERRUPTED
    from deploykit.training import train

    spec = _network(model, alpha, rho, resolution, seed)
    start = _start(from_checkpoint, spec)
    if start is not None and resolution is None:
        spec = _at_resolution_of(start, spec)
    dataset = open_dataset(data)
    name = dataset.name.partition(":")[0]
    out = Path(output or f"{spec.label}-{name}.safetensors")
    try:
        with TrainingDisplay(quiet=quiet) as display:
            result = train(
                spec,
                dataset,
                out=out,
                epochs=epochs,
                seed=seed,
                resume=resume,
                from_checkpoint=start,
                freeze=freeze,
                progress=display.show,
            )
    except KeyboardInterrupt:
        click.echo(f"deploykit: interrupted: {_what_is_left(out)}", err=True)
        return EXIT_INTERRUPTED
    if as_json:
        print_json({"path": str(result.path), "top1": result.top1, **result.metadata})
        return 0
    click.echo(
        f"{result.path}: {100 * result.top1:.1f}% of {result.test_images} held-out images right, "
        f"{result.epochs} epochs on {result.train_images} images in {result.train_s:.1f} s"
    )
    return 0


def _network(model: str, alpha: str, rho: str, resolution: int | None, seed: int) -> ModelSpec:
    from deploykit.cli.options import variants
    from deploykit.errors import UsageError
    from deploykit.spec import ModelSpec
    from deploykit.workflow.plan import plan

    sources = plan([model], variants(alpha, rho, None, None, resolution, seed))
    if len(sources) != 1 or not isinstance(sources[0], ModelSpec):
        raise UsageError("train takes one network of the catalogue at one --alpha and one --rho")
    return sources[0]


def _start(from_checkpoint: str | None, spec: ModelSpec) -> Path | None:
    """The file to start from: as given, or the shipped one that `trained` means."""
    from dataclasses import replace

    from deploykit.zoo import weights

    if from_checkpoint is None:
        return None
    if weights.is_trained(from_checkpoint):
        return weights.trained(replace(spec, weights=from_checkpoint))
    return Path(from_checkpoint)


def _at_resolution_of(start: Path, spec: ModelSpec) -> ModelSpec:
    """The network at the input size that the weights were trained at, where they tell it."""
    from dataclasses import replace

    from deploykit import zoo
    from deploykit.zoo.weights import metadata

    if start.suffix != ".safetensors" or not start.is_file() or ":" in spec.name:
        return spec
    if not zoo.lookup(spec.name).has_rho:
        return spec
    told = metadata(start).get("resolution_px", "")
    return replace(spec, resolution_px=int(told)) if told.isdigit() else spec


def _what_is_left(out: Path) -> str:
    from deploykit.training.checkpoint import state_path

    state = state_path(out)
    if state.is_file():
        return f"the same command with --resume goes on from {state}"
    return "no epoch was finished, so there is nothing to go on from"
