"""One network of every family goes the whole way: export, three precisions, both builders, drift."""

from __future__ import annotations

from fractions import Fraction

import pytest

from deploykit import zoo
from deploykit.backends import get
from deploykit.spec import ModelSpec
from deploykit.store import Store
from studies.catalogue import BACKENDS, PRECISIONS, prove
from studies.catalogue_worker import Prover

#: Large enough for every network's last stages to have more than one position, small enough to be quick.
_SMALL_PX = 96


#: Families of which one goes all the way in seconds; the others take minutes together, and are proofs.
_QUICK = {"mlp_xor", "lenet5_1998", "nin", "resnet18", "mobilenet", "squeezenet1_1"}


def representatives() -> list[ModelSpec]:
    """The network of each family with the least to compute, at a small input where it takes one."""
    lightest: dict[str, zoo.Architecture] = {}
    for architecture in zoo.architectures():
        known = lightest.get(architecture.family)
        if known is None or architecture.macs < known.macs:
            lightest[architecture.family] = architecture
    return [_small(architecture) for architecture in lightest.values()]


def _small(architecture: zoo.Architecture) -> ModelSpec:
    px = max(_SMALL_PX, architecture.min_resolution_px)
    smaller = architecture.has_rho and px < architecture.resolution_px
    return ModelSpec(
        architecture.name,
        alpha=0.25 if architecture.has_alpha else 1.0,
        rho=Fraction(px, architecture.resolution_px) if smaller else Fraction(1),
    )


def test_a_network_is_proven_in_a_process_of_its_own(tmp_path):
    rows = prove(ModelSpec("lenet5"), tmp_path, threads=1)
    assert [(row["precision"], row["backend"]) for row in rows] == [
        (precision, backend) for precision in PRECISIONS for backend in BACKENDS
    ]
    assert {(row["model"], row["status"]) for row in rows} == {("lenet5", "ok")}
    assert list(tmp_path.iterdir()) == []  # its store went with it


def test_some_families_are_no_proofs():
    assert {spec.name for spec in representatives()} > _QUICK


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, marks=() if spec.name in _QUICK else pytest.mark.proof, id=spec.name)
        for spec in representatives()
    ],
)
def test_a_family_goes_the_whole_way(spec, tmp_path):
    prover = Prover(spec, Store(tmp_path), threads=1)
    rows = [prover.row(precision, get(name)) for precision in PRECISIONS for name in BACKENDS]
    assert [row.get("reason") for row in rows] == [None] * len(rows)
    for row in rows:
        emulated = get(row["backend"]).emulated.get(row["precision"])
        assert row["precision_actual"] in {row["precision"], emulated}
        assert row["uncounted"] == ""
        if spec.alpha == 1:
            assert row["parameters"] == zoo.lookup(spec.name).parameters
    floats = [row for row in rows if row["precision"] == "fp32"]
    assert all(row["drift_snr_db"] > 80 for row in floats)
    assert all(row["drift_cosine"] > 0.8 for row in rows)
