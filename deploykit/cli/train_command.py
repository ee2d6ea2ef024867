"""`deploykit train`: small seeded recipes for real accuracy figures."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import click

from deploykit.cli import completion
from deploykit.cli.groups import (
    FRACTIONS,
    NUMBERS,
    RESOLUTION,
    SEED,
    check_multipliers,
    dry_run_option,
    quiet_option,
)
from deploykit.cli.library import (
    backends,
    datasets,
    display,
    progress,
    report,
    training,
    workflow,
    zoo,
)
from deploykit.cli.options import Grouped, Number, group
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import EXIT_INTERRUPTED, UsageError
from deploykit.spec import ModelSpec
from deploykit.text import write_line
from deploykit.workflow import ranges
from deploykit.workflow.choices import Variants


@dataclass(frozen=True)
class Recipe:
    """What of a training is given rather than left to the recipe.

    Attributes:
        epochs: passes over the data; None takes the recipe's.
        resume: whether to go on from what an interrupted training left.
        start: a checkpoint to start from, or "trained" for the shipped one; None starts anew.
        freeze: patterns of the names of parameters that stay as they are.
    """

    epochs: int | None
    resume: bool
    start: str | None
    freeze: tuple[str, ...]


@group(
    "variants",
    click.option("--alpha", default="1", callback=NUMBERS, metavar="A", help="Width multiplier."),
    click.option(
        "--rho",
        default="1",
        callback=FRACTIONS,
        metavar="R",
        help="Resolution multiplier, such as 6/7.",
    ),
    click.option(
        "--resolution",
        type=RESOLUTION,
        metavar="PX",
        help="Base input size, which --rho multiplies; else that of --from, else the network's own.",
    ),
    click.option(
        "--seed",
        type=SEED,
        default=0,
        metavar="N",
        help="What weights, order and augmentation are drawn with.",
    ),
)
def trained_network_options(
    alpha: tuple[float, ...], rho: tuple[Fraction, ...], resolution: int | None, seed: int
) -> Variants:
    """Which variant of a network is trained.

    Raises:
        UsageError: a multiplier is missing.
    """
    check_multipliers(alpha, rho)
    return Variants(alpha, rho, resolution_px=resolution, seed=seed)


@group(
    "recipe",
    click.option(
        "--epochs",
        type=Number.of(ranges.EPOCHS),
        metavar="N",
        help="Passes over the data; else the recipe's.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on from FILE.resume, which each finished epoch leaves; the other options must be the same.",
    ),
    click.option(
        "--from",
        "start",
        metavar="FILE",
        help="Transfer learning: start from these weights of the same network, or from `trained` (shipped) "
        "ones; a head of another shape starts anew.",
    ),
    click.option(
        "--freeze",
        multiple=True,
        metavar="PATTERN",
        help="Keep parameters of such names as they are, such as 'blocks.*'; may be given again.",
    ),
)
def recipe_options(
    epochs: int | None, resume: bool, start: str | None, freeze: tuple[str, ...]
) -> Recipe:
    """What of a training is given rather than left to the recipe."""
    return Recipe(epochs, resume, start, freeze)


@click.command("train", cls=Grouped)
@click.argument("model", shell_complete=completion.models, metavar="MODEL")
@click.option(
    "--data",
    shell_complete=completion.data,
    required=True,
    metavar="DATASET",
    help="digits, fashion-mnist, imagefolder:PATH, npz:PATH.",
)
@trained_network_options
@recipe_options
@click.option(
    "--device",
    default="cpu",
    metavar="DEVICE",
    help="What trains: cpu, cuda (the first GPU), or a GPU by its number in `deploykit doctor`.",
)
@click.option("-o", "--output", metavar="FILE", help="Checkpoint; else MODEL-DATASET.safetensors.")
@output_options()
@dry_run_option
@quiet_option
def command(
    model: str,
    data: str,
    variants: Variants,
    recipe: Recipe,
    device: str,
    output: str | None,
    outputs: Outputs,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Train a network on a data set and store it with its accuracy on the held-out part.

    The same arguments give the same weights, but for roundings where a GPU trains. Ctrl-C keeps what finished
    epochs came to: the same command with --resume goes on from there, to the same weights as an unbroken training.
    The checkpoint is safetensors; its metadata tells recipe, seed, data, accuracy and versions. Give it to
    --weights of other commands.

    \b
    deploykit train lenet5 --data digits
    deploykit train mobilenet --alpha 0.25 --data fashion-mnist --epochs 3
    deploykit train mobilenet --alpha 0.25 --data fashion-mnist --resume
    deploykit train lenet5 --data digits --from trained --freeze 'features.*'
    deploykit train lenet5 --data npz:own.npz --from lenet5-digits.safetensors
    deploykit train resnet18 --data imagefolder:photos --device cuda
    """
    torch_device = backends.pytorch.device_of(device)
    spec = _network(model, variants)
    start, spec = workflow.trained.starting_point(recipe.start, spec)
    if dry_run:
        return _plan(spec, data, recipe, torch_device, output, outputs)
    dataset = datasets.open_dataset(data)
    out = _checkpoint(spec, dataset.name, output)
    try:
        with progress.TrainingDisplay(quiet=quiet) as bar:
            result = training.train(
                spec,
                dataset,
                out=out,
                epochs=recipe.epochs,
                seed=variants.seed,
                resume=recipe.resume,
                from_checkpoint=start,
                freeze=recipe.freeze,
                progress=bar.show,
                device=torch_device,
            )
    except KeyboardInterrupt:
        write_line(f"deploykit: interrupted: {_what_is_left(out)}", err=True)
        return EXIT_INTERRUPTED
    if outputs.json:
        display.print_json({"path": str(result.path), "top1": result.top1, **result.metadata})
        return 0
    write_line(
        f"{result.path}: {100 * result.top1:.1f}% of {result.test_images} held-out images right, "
        f"{result.epochs} epochs on {result.train_images} images in {result.train_s:.1f} s"
    )
    return 0


def _checkpoint(spec: ModelSpec, data: str, output: str | None) -> Path:
    """Where the weights go."""
    return Path(output) if output else workflow.trained.default_checkpoint(spec, data)


def _plan(
    spec: ModelSpec,
    data: str,
    recipe: Recipe,
    device: str,
    output: str | None,
    outputs: Outputs,
) -> int:
    """What would be trained, how, and where it would go; data that is here is looked at, nothing is fetched."""
    name = data.partition(":")[0]
    if data != "fashion-mnist":  # which may have to be downloaded
        name = datasets.open_dataset(data).name
    family = "" if ":" in spec.name else zoo.lookup(spec.name).family
    plan = training.recipes.recipe_for(family, name, recipe.epochs)
    out = _checkpoint(spec, name, output)
    training.checkpoint.check_writable(out)
    state = training.checkpoint.state_path(out)
    facts = {
        "network": spec.label,
        "data": data,
        "epochs": plan.epochs,
        "batch": plan.batch_size,
        "device": device,
        "start": recipe.start or "random weights",
        "goes on": str(state) if recipe.resume and state.is_file() else "",
    }
    views = report.views
    fields = [
        views.Field(text, views.column(text, str), number=text in ("epochs", "batch"), name=text)
        for text in facts
    ]
    told = facts | {"file": str(out), "replaces": out.is_file()}
    sentence = "One training, whose accuracy is measured on the held-out part"
    return display.print_planned([*fields, *display.FILE], [told], outputs, sentence)


def _network(model: str, variants: Variants) -> ModelSpec:
    sources = workflow.plan.plan([model], variants)
    if len(sources) != 1 or not isinstance(sources[0], ModelSpec):
        raise UsageError("train takes one network of the catalogue at one --alpha and one --rho")
    return sources[0]


def _what_is_left(out: Path) -> str:
    state = training.checkpoint.state_path(out)
    if state.is_file():
        return f"the same command with --resume goes on from {state}"
    return "no epoch was finished, so there is nothing to go on from"
