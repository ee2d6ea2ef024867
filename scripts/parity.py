"""Compare every architecture that has a public implementation with it: same weights, same images, same logits.

Needs torchvision and timm, which deploykit itself does not: `make parity` runs this in an environment of its
own and writes reports/parity.csv. For each network the state_dict is loaded into the reference with
`strict=True` (so keys and shapes are equal), the order of keys is compared, and the largest difference
of the logits is divided by the largest logit. Weights are seeded, and shaken so that no bias, shift or scale
is at a value that would hide a mistake.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gc
import importlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deploykit import zoo
from deploykit.spec import ModelSpec
from deploykit.zoo.weights import fill

TOLERANCE = 1e-4
COLUMNS = (
    "name",
    "variant",
    "reference",
    "reference_version",
    "resolution_px",
    "keys_equal",
    "max_rel_error",
    "status",
    "seconds",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison: a network of ours, how to make the reference, and what is special about it."""

    name: str
    reference: str
    variant: str = ""
    alpha: float = 1.0
    ours: tuple[tuple[str, Any], ...] = ()
    theirs: tuple[tuple[str, Any], ...] = ()


def cases() -> Iterator[Case]:
    """Every architecture with a reference, and the variants of those that have any."""
    for architecture in zoo.architectures():
        if not architecture.reference:
            continue
        yield Case(architecture.name, architecture.reference)
        if architecture.name in ("googlenet_bn", "inception_v3"):
            yield Case(
                architecture.name,
                architecture.reference,
                "reference has auxiliary heads",
                theirs=(("aux_logits", True),),
            )
            yield Case(
                architecture.name,
                architecture.reference,
                "transform_input",
                ours=(("transform_input", True),),
                theirs=(("transform_input", True),),
            )
        if architecture.name == "mobilenet":
            for alpha in (0.75, 0.5, 0.25):
                yield Case(
                    architecture.name,
                    architecture.reference,
                    f"alpha {alpha:g}",
                    alpha=alpha,
                    theirs=(("channel_multiplier", alpha),),
                )


def compare(case: Case) -> dict[str, Any]:
    """The row of one case."""
    started = time.perf_counter()
    spec = ModelSpec(case.name, alpha=case.alpha)
    reference, version = make_reference(case)
    ours = zoo.create(spec)
    if case.ours:
        for name, value in case.ours:
            setattr(ours, name, value)
    shake(ours)
    wanted = reference.state_dict()
    auxiliary = {k: v for k, v in wanted.items() if k.startswith(("aux", "AuxLogits"))}
    state = ours.state_dict()
    keys = [(k, tuple(v.shape)) for k, v in state.items()]
    theirs = [(k, tuple(v.shape)) for k, v in wanted.items() if k not in auxiliary]
    reference.load_state_dict({**state, **auxiliary}, strict=True)
    if auxiliary:  # their checkpoint, heads and all, must load into our network without
        fill(ours, reference.state_dict(), case.reference)
    images = torch.randn(2, *zoo.input_shape(spec), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference(images.clone())
        found = ours(images.clone())
    error = float((found - expected).abs().max() / expected.abs().max())
    equal = keys == theirs
    return {
        "name": case.name,
        "variant": case.variant,
        "reference": case.reference,
        "reference_version": version,
        "resolution_px": images.shape[-1],
        "keys_equal": str(equal).lower(),
        "max_rel_error": f"{error:.2e}",
        "status": "ok" if equal and error <= TOLERANCE else "failed",
        "seconds": f"{time.perf_counter() - started:.1f}",
    }


def shake(module: nn.Module) -> None:
    """Move biases, and scales and shifts of normalisation, off the zeros and ones of a fresh network."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim == 1 and name.endswith("bias"):
                value.normal_(0.0, 0.05, generator=generator)
            elif value.ndim == 1:
                value.uniform_(0.7, 1.2, generator=generator)


def make_reference(case: Case) -> tuple[nn.Module, str]:
    """The public implementation, its weights whatever they are, and its package's version."""
    package, _, name = case.reference.partition("/")
    keywords = dict(case.theirs)
    if package == "torchvision":
        library = import_torchvision()
        if name in ("googlenet", "inception_v3"):
            keywords = {"aux_logits": False, "init_weights": False, **keywords}
        model = library.models.get_model(name, weights=None, **keywords)
    else:
        import_torchvision()  # timm imports it
        library = importlib.import_module("timm")
        if "channel_multiplier" in keywords:  # no public name for the thinner networks
            family = importlib.import_module("timm.models.efficientnet")
            model = family._gen_mobilenet_v1(name, **keywords)
        else:
            model = library.create_model(name, pretrained=False, **keywords)
    return model.eval(), library.__version__


def import_torchvision() -> Any:
    """torchvision, also where its compiled operators (of detection, not used here) don't fit this torch.

    Such a torchvision stops at the first operator that is not there: that one is declared, and on it goes.
    """
    while True:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if not missing:
                raise
            torch.library.define(f"torchvision::{missing[1]}", "(Tensor x) -> Tensor")
            for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
                del sys.modules[name]


def main() -> int:
    """Compare, print, write; 1 if any network differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="architectures to compare (all)")
    parser.add_argument("-o", "--csv", type=Path, default=Path("reports/parity.csv"))
    arguments = parser.parse_args()
    rows = []
    for case in cases():
        if arguments.names and case.name not in arguments.names:
            continue
        row = compare(case)
        rows.append(row)
        print(*row.values(), sep="\t", flush=True)
        gc.collect()
    arguments.csv.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.csv.with_suffix(".partial")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(arguments.csv)
    failed = [row["name"] for row in rows if row["status"] != "ok"]
    print(f"{len(rows) - len(failed)} of {len(rows)} equal", *failed, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
