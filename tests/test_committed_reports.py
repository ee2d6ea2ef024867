"""The committed reports say what the code says: they were made by it, and are of the whole catalogue."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from deploykit import zoo
from deploykit.claims import list_claims
from deploykit.report.schema import NAMES

REPORTS = Path(__file__).parents[1] / "reports"


def rows_of(name: str) -> list[dict[str, str]]:
    with (REPORTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", [a.name for a in zoo.architectures()])
def test_every_network_is_proven_in_every_precision_on_both_builders(name):
    rows = [
        r for r in rows_of("catalogue.csv") if r["model"] == name and r["rho"] == r["alpha"] == "1"
    ]
    proven = {(r["precision"], r["backend"]) for r in rows if r["status"] == "ok"}
    assert proven == {
        (p, b) for p in ("fp32", "fp16", "int8") for b in ("onnxruntime", "tensorrt-rtx")
    }
    architecture = zoo.lookup(name)
    # What was counted in the graph is what PyTorch's module counts to.
    assert {int(r["macs"]) for r in rows} == {architecture.macs}
    assert {int(r["parameters"]) for r in rows} == {architecture.parameters}
    assert {r["uncounted"] for r in rows} == {""}


def test_every_public_implementation_gives_the_same_logits():
    rows = rows_of("parity.csv")
    assert {r["status"] for r in rows} == {"ok"}
    assert max(float(r["max_rel_error"]) for r in rows) <= 1e-4
    assert {r["name"] for r in rows} == {a.name for a in zoo.architectures() if a.reference}


def test_the_profile_has_the_columns_of_the_schema():
    assert tuple(rows_of("profile.csv")[0]) == NAMES


def test_every_claim_has_a_verdict():
    rows = rows_of("claims.csv")
    assert [r["id"] for r in rows] == [claim.id for claim in list_claims()]
    assert {r["as_expected"] for r in rows} == {"true"}
