"""`deploykit train`: small seeded recipes for real accuracy figures."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from deploykit.cli.groups import FRACTIONS, NUMBERS, check_multipliers, quiet_option
from deploykit.cli.options import group
from deploykit.cli.outputs import output_options
from deploykit.workflow.choices import Variants

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


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
        type=click.IntRange(1),
        metavar="PX",
        help="Base input size, which --rho multiplies; else that of --from, else the network's own.",
    ),
    click.option(
        "--seed", type=int, default=0, metavar="N", help="Of weights, order and augmentation."
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
        type=click.IntRange(1),
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


@click.command("train")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data",
    required=True,
    metavar="DATASET",
    help="digits, fashion-mnist, imagefolder:PATH, npz:PATH.",
)
@trained_network_options
@recipe_options
@click.option("-o", "--output", metavar="FILE", help="Checkpoint; else MODEL-DATASET.safetensors.")
@output_options()
@quiet_option
def command(
    model: str,
    data: str,
    variants: Variants,
    recipe: Recipe,
    output: str | None,
    outputs: Outputs,
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
    from deploykit.cli.work.train import train

    return train(model, data, variants, recipe, output, outputs, quiet=quiet)
