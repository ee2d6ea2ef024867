"""Latencies of the catalogue: what is measured, what goes on where it stopped."""

from __future__ import annotations

import dataclasses

import pytest

from deploykit import zoo
from deploykit.columns import SCHEMA_VERSION
from deploykit.errors import EXIT_INTERRUPTED, UsageError
from deploykit.report.csv import CsvReport, read_cells, read_rows
from deploykit.row import Finding, Note, Row
from deploykit.spec import ModelSpec
from studies import catalogue as proof
from studies import catalogue_latency as study
from studies.catalogue_join import joined, latency

LENET, MLP = ModelSpec("lenet5"), ModelSpec("mlp_xor")
#: So that the lightest, which is begun first, is the first of the catalogue's order too.
LENET_FIRST, MLP_LAST = (
    dataclasses.replace(zoo.lookup(name), macs=macs)
    for name, macs in (("lenet5", 1), ("mlp_xor", 2))
)


@pytest.fixture
def rows(monkeypatch):
    """What would be measured, as it is asked for; nothing is run."""
    asked = []

    class Profiler:
        def __init__(self, store, options):
            self.store = store

        def rows(self, wanted):
            for one in wanted:
                asked.append((one.text, self.store.root))
                cells = {
                    "model": one.source.name, "alpha": 1.0, "rho": "1", "precision": one.precision,
                    "backend": one.backend, "repeat": one.repeat, "status": "ok",
                    "schema": SCHEMA_VERSION, "batch": 1, "env_id": study.env.env_id(),
                    "latency_mean_ms": 3.0, "latency_p50_ms": 3.0,
                }  # fmt: skip
                yield Row(cells)

    monkeypatch.setattr(study, "Profiler", Profiler)
    return asked


def test_four_configurations_go_round():
    _, wanted = study.configurations(LENET)
    rounds = [(one.backend, one.precision) for one in wanted if one.repeat == 1]
    assert rounds == [(b, p) for b in study.BACKENDS for p in study.PRECISIONS]
    assert [one.repeat for one in wanted] == [1] * 4 + [2] * 4 + [3] * 4


def test_a_broken_run_goes_on_with_the_networks_that_are_missing(rows, tmp_path):
    path, said = tmp_path / "latency.csv", []
    assert study.measure([LENET, MLP], path, None, 0.0, said.append) == 0
    assert not rows
    assert said == ["2 networks are left: 0 s are over"]
    study.measure([LENET], path, None, 60.0, said.append)
    table = read_rows(str(path))
    assert len(table) == 12
    here = study.env.env_id()
    assert study.missing([LENET, MLP], table, here) == [MLP]
    assert study.missing([LENET, MLP], table, "another machine") == [
        MLP,
        LENET,
    ]  # the lightest first
    failed = table[0].plus({"status": "failed"})
    assert study.missing([LENET], [failed, *table[1:]], here) == [LENET]


def test_rows_of_other_networks_and_machines_stay(rows, tmp_path):
    path = tmp_path / "latency.csv"
    study.measure([LENET], path, None, 60.0, str)
    text = path.read_text().replace(study.env.env_id(), "0123456789ab")
    path.write_text(text)
    study.measure([MLP, LENET], path, None, 60.0, str)
    study.measure([LENET], path, None, 60.0, str)
    table = read_rows(str(path))
    kept = [(row["model"], row["env_id"]) for row in table]
    assert kept.count(("lenet5", "0123456789ab")) == 12
    assert len(table) == 36


def process(median_ms, findings=(), **cells):
    plain = {
        "model": "lenet5", "alpha": 1.0, "rho": "1", "precision": "fp32", "backend": "onnxruntime",
        "precision_actual": "fp32", "status": "ok", "env_id": "here", "device": "A processor", "threads": 2,
        "latency_mean_ms": median_ms, "latency_p50_ms": median_ms,
    }  # fmt: skip
    return Row(plain | cells, findings=findings)


def test_processes_of_a_configuration_become_one_latency_with_the_interval_over_them():
    cells = latency([process(1.0), process(2.0), process(4.0)])
    assert cells["latency_p50_ms"] == pytest.approx(2.0)
    # Student's t for two degrees of freedom is 4.303, the standard error of the mean logarithm log(2) / sqrt(3)
    assert cells["latency_high_ms"] == pytest.approx(2 * 2 ** (4.30265 / 3**0.5), rel=1e-4)
    assert cells["latency_low_ms"] * cells["latency_high_ms"] == pytest.approx(4.0)
    assert (cells["latency_state"], cells["latency_processes"]) == ("ok", 3)
    assert (cells["latency_device"], cells["latency_threads"]) == ("A processor", 2)


def test_doubt_and_failure_are_said_with_their_number_of_processes():
    busy = process(1.0, (Finding("load", "1.9 of 2 cores", "wait"),))
    lost = Row({"status": "failed"}, (Note("failed", "no memory"),))
    cells = latency([busy, process(1.0), lost])
    assert cells["latency_state"] == ("doubtful: busy machine (1 of 3), failed: no memory (1 of 3)")
    assert cells["latency_p50_ms"] == 1.0
    assert cells["latency_low_ms"] is None  # two processes have no spread to tell
    assert latency([lost])["latency_p50_ms"] is None
    emulated = process(1.0, precision="fp16", precision_actual="fp32")
    assert latency([emulated])["latency_state"] == "emulated (1 of 1)"


def proven(model, precision, backend="onnxruntime", **cells):
    return {
        "model": model,
        "alpha": "1",
        "rho": "1",
        "precision": precision,
        "backend": backend,
        **cells,
    }


def test_latencies_go_to_the_rows_of_the_proof_and_openvino_gets_its_own():
    rows = [
        proven("mlp", "fp32"),
        proven("lenet5", "fp32"),
        proven("lenet5", "fp32", "tensorrt-rtx"),
    ]
    measured = [
        *[process(2.0) for _ in range(3)],
        *[process(5.0, backend="openvino", backend_version="1", macs=7) for _ in range(3)],
        process(9.0, env_id="elsewhere"),
        process(9.0, model="vgg16"),  # which the proof has no row of
    ]
    table = joined(rows, measured, proof.BACKENDS)
    assert [(r["model"], r["backend"], r["latency_p50_ms"]) for r in table] == [
        ("mlp", "onnxruntime", None),
        ("lenet5", "onnxruntime", pytest.approx(2.0)),
        ("lenet5", "tensorrt-rtx", None),
        ("lenet5", "openvino", pytest.approx(5.0)),
    ]
    assert table[-1]["latency_env_id"] == "here"
    assert (table[-1]["status"], table[-1]["macs"], table[-1]["backend_version"]) == ("ok", 7, "1")
    assert joined(table, measured, proof.BACKENDS) == table
    lost = {"model": "vgg16", "alpha": "1", "rho": "1", "status": "failed", "reason": "killed"}
    assert joined([lost], measured, proof.BACKENDS)[0]["reason"] == "killed"
    failed = [process(None, backend="openvino", status="failed", latency_p50_ms=None)]
    assert joined(rows, failed, proof.BACKENDS)[-1]["status"] == "failed"


def test_what_is_measured_goes_into_the_proof_beside_it(rows, tmp_path, monkeypatch):
    path, table = tmp_path / "catalogue.csv", tmp_path / "catalogue_latency.csv"
    CsvReport(str(path), proof.COLUMNS).replace([proven("lenet5", "fp32", status="ok")])
    argv = ["study", "lenet5", "--csv", str(table)]
    monkeypatch.setattr("sys.argv", [*argv, "--join"])
    assert study.main() == UsageError.exit_code  # nothing is measured yet
    monkeypatch.setattr("sys.argv", argv)
    assert study.main() == 0
    (own, *others) = read_cells(path)
    assert (own["latency_p50_ms"], own["latency_processes"]) == ("3", "3")
    assert [(r["precision"], r["backend"]) for r in others] == [
        ("fp32", "openvino"),
        ("int8", "openvino"),
    ]


def test_a_broken_proof_goes_on_with_the_networks_that_are_missing(tmp_path, monkeypatch):
    path, asked = tmp_path / "catalogue.csv", []

    def prove(spec, folder, threads):
        asked.append(spec.name)
        if spec == MLP and len(asked) == 2:
            raise KeyboardInterrupt
        shared = {"model": spec.name, "alpha": 1, "rho": "1", "status": "ok", "network_s": 1.0}
        here = {"env_id": proof.env.env_id(), "code": proof.proving_code()}
        settings = [(p, b) for p in proof.PRECISIONS for b in proof.BACKENDS]
        return [shared | here | {"precision": p, "backend": b} for p, b in settings]

    monkeypatch.setattr(proof, "prove", prove)
    monkeypatch.setattr(proof, "variants", lambda pattern=None: [LENET, MLP])
    monkeypatch.setattr(
        proof.zoo, "lookup", lambda name: {"lenet5": LENET_FIRST, "mlp_xor": MLP_LAST}[name]
    )
    monkeypatch.setattr("sys.argv", ["study", "--csv", str(path), "--jobs", "1"])
    CsvReport(str(path), proof.COLUMNS).replace(
        [proven("mlp_xor", "fp32", status="ok", code="old")]
    )
    assert proof.main() == EXIT_INTERRUPTED
    assert {(r["model"], r["code"] == "old") for r in read_cells(path)} == {
        ("lenet5", False),
        ("mlp_xor", True),  # what is not made anew yet stays
    }
    assert [proof.main(), proof.main()] == [0, 0]
    assert asked == ["lenet5", "mlp_xor", "mlp_xor"]
    assert len(read_cells(path)) == 12


def test_rows_of_other_code_or_of_another_machine_are_made_anew_unless_only_missing_ones_are_asked_for():
    rows = [
        proven("lenet5", p, b, status="ok", env_id=proof.env.env_id(), code="old")
        for p in proof.PRECISIONS
        for b in proof.BACKENDS
    ]
    assert proof.unproven([LENET, MLP], rows, "old") == [MLP]
    assert proof.unproven([LENET, MLP], rows, "new") == [LENET, MLP]
    assert proof.unproven([LENET, MLP], rows, None) == [MLP]
    assert proof.unproven([LENET], [row | {"env_id": "elsewhere"} for row in rows], "old") == [
        LENET
    ]
    assert proof.unproven([LENET], [rows[0] | {"status": "failed"}, *rows[1:]], None) == [LENET]


def test_the_proof_takes_every_pair_of_mobilenets_multipliers():
    own = [spec for spec in proof.variants() if spec.name == "mobilenet"]
    assert len(own) == len(set(own)) == 16
    assert own[0] == ModelSpec("mobilenet")
    assert {(224 * spec.rho, spec.alpha) for spec in own} == {
        (px, alpha) for px in (224, 192, 160, 128) for alpha in (1, 0.75, 0.5, 0.25)
    }
