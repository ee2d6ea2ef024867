"""`deploykit train`: small seeded recipes for real accuracy figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deploykit.cli.options import json_option, quiet_option


@click.command("train")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data", required=True, metavar="DATASET", help="digits, fashion-mnist, imagefolder:PATH…"
)
@click.option("--alpha", default="1", metavar="A", help="Width multiplier.")
@click.option("--rho", default="1", metavar="R", help="Resolution multiplier, such as 6/7.")
@click.option("--resolution", type=click.IntRange(1), metavar="PX", help="Base input size.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Passes over the data.")
@click.option(
    "--seed", type=int, default=0, metavar="N", help="Of weights, order and augmentation."
)
@click.option("-o", "--output", metavar="FILE", help="Checkpoint; else MODEL-DATASET.safetensors.")
@click.option("--resume", is_flag=True, help="Go on from an interrupted training.")
@click.option("--from", "from_checkpoint", metavar="FILE", help="Start from these weights.")
@click.option(
    "--freeze", multiple=True, metavar="PATTERN", help="Keep these parameters as they are."
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
) -> None:
    r"""Train a network on a data set and store it with its accuracy on the held-out part.

    The same arguments give the same weights. What is interrupted goes on with --resume.

    \b
    deploykit train lenet5 --data digits
    deploykit train mobilenet --alpha 0.25 --data fashion-mnist --resolution 64
    """
    from deploykit.cli.display import Steps, print_json
    from deploykit.cli.options import variants
    from deploykit.data import open_dataset
    from deploykit.errors import UsageError
    from deploykit.training import Progress, train
    from deploykit.types import ModelSpec
    from deploykit.workflow.plan import plan

    sources = plan([model], variants(alpha, rho, None, None, resolution, seed))
    if len(sources) != 1 or not isinstance(sources[0], ModelSpec):
        raise UsageError("train takes one network of the catalogue at one --alpha and one --rho")
    spec = sources[0]
    dataset = open_dataset(data)
    out = Path(output or f"{spec.label}-{dataset.name}.safetensors")
    shown: dict[str, Any] = {"epoch": 0}
    with Steps(1, quiet=quiet) as steps:

        def show(progress: Progress) -> None:
            if progress.epoch != shown["epoch"]:
                steps.total, shown["epoch"] = progress.epochs, progress.epoch
                steps.say(f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}")

        result = train(
            spec,
            dataset,
            out=out,
            epochs=epochs,
            seed=seed,
            resume=resume,
            from_checkpoint=from_checkpoint,
            freeze=freeze,
            progress=show,
        )
    if as_json:
        print_json({"path": str(result.path), "top1": result.top1, **result.metadata})
        return
    click.echo(
        f"{result.path}: {100 * result.top1:.1f}% of {result.test_images} held-out images right, "
        f"{result.epochs} epochs on {result.train_images} images in {result.train_s:.1f} s"
    )
