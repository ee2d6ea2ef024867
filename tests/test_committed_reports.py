"""The committed reports say what the code says: they were made by it, and are of the whole catalogue."""

from __future__ import annotations

import csv
import math
import re
import tomllib
from pathlib import Path

import pytest

from benchmarks import inferred_shapes, int8_peers
from deploykit import zoo
from deploykit.claims import list_claims
from deploykit.cli import invoke
from deploykit.columns import NAMES
from deploykit.store import file_sha256
from deploykit.zoo.weights import shipped
from studies import wild
from studies.claims_pictures import PICTURES
from studies.fashion_mnist.cases import EPOCHS, plan

REPORTS = Path(__file__).parents[1] / "reports"


def rows_of(name: str) -> list[dict[str, str]]:
    with (REPORTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", [a.name for a in zoo.architectures()])
def test_every_network_is_proven_in_every_precision_on_both_builders(name):
    rows = [
        r for r in rows_of("catalogue.csv") if r["model"] == name and r["rho"] == r["alpha"] == "1"
    ]
    # Beside them stand rows of other runtimes, which hold a latency and prove nothing.
    rows = [r for r in rows if r["backend"] != "openvino"]
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
    names = tuple(rows_of("profile.csv")[0])
    assert names == NAMES[: len(names)]  # columns are only ever added, at the end


def test_every_verdict_is_of_a_claim_that_there_is():
    rows, full = rows_of("claims.csv"), rows_of("claims_full.csv")
    for those in (rows, full):
        assert {r["id"] for r in those} == {claim.id for claim in list_claims()}
    assert {r["as_expected"] for r in [*rows, *full]} == {"true"}
    assert all(r["device"] and "torch" in r["versions"] for r in full)
    assert sum(float(r["seconds"]) for r in rows) < 60
    trained = [r for r in full if "proxies" in {c.id: c.check for c in list_claims()}[r["id"]]]
    assert len(trained) >= 10
    assert not [r["id"] for r in trained if "Not trained" in r["explanation"]]


@pytest.mark.parametrize("name", PICTURES)
def test_what_training_shows_has_a_picture_that_is_shown(name):
    picture = (REPORTS / name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
    assert f"../reports/{name}" in (REPORTS.parent / "docs" / "claims.md").read_text()


STUDIED = [case.spec for case in plan() if case.dataset == "fashion-mnist"]


@pytest.mark.parametrize("spec", STUDIED, ids=[spec.label for spec in STUDIED])
def test_every_network_of_the_study_is_judged_on_the_whole_test_part(spec):
    wanted = (spec.name, f"{spec.alpha:g}", str(spec.rho))
    rows = [r for r in rows_of("study.csv") if (r["model"], r["alpha"], r["rho"]) == wanted]
    assert [(r["precision"], r["status"]) for r in rows] == [
        (precision, "ok") for precision in ("fp32", "fp16", "int8")
    ]
    for row in rows:
        assert (row["dataset"], row["test_images"]) == ("fashion-mnist/test", "10000")
        assert float(row["top1_low"]) < float(row["top1"]) < float(row["top1_high"])
        assert float(row["top1"]) <= float(row["top5"])
        assert all(float(row[name]) > 0 for name in ("macs", "parameters", "onnx_bytes"))
        assert float(row["latency_p50_ms"]) > 0
    assert all(float(row["mcnemar_p"]) <= 1 for row in rows[1:])
    assert rows[2]["calibration"].endswith("images of fashion-mnist")


def test_what_the_study_measured_is_what_it_trained():
    trainings = {row["case"]: row for row in rows_of("study_training.csv")}
    assert list(trainings) == [case.name for case in plan()]
    for case in plan():
        row = trainings[case.name]
        assert int(row["epochs"]) == (EPOCHS if case.dataset == "fashion-mnist" else 40)
        assert int(row["train_images"]) == (case.train_images or 55_000)
    for row in rows_of("study.csv"):
        trained = trainings[Path(row["weights"]).stem]
        if row["precision"] == "fp32":  # another runtime may see an image on the edge otherwise
            assert abs(float(row["top1"]) - float(trained["top1"])) <= 0.0005


def test_shipped_weights_are_those_that_the_study_trained():
    trainings = {row["case"]: row["sha256"] for row in rows_of("study_training.csv")}
    of_the_study = {stem: path for stem, path in shipped().items() if stem in trainings}
    assert {stem: file_sha256(path) for stem, path in of_the_study.items()} == {
        stem: trainings[stem] for stem in of_the_study
    }
    assert len(of_the_study) == 5


def test_the_study_is_called_a_proxy_wherever_it_is_shown():
    for name in ("study.md", "study.svg"):
        assert "proxy for ImageNet" in (REPORTS / name).read_text()
    assert (REPORTS / "study.png").read_bytes().startswith(b"\x89PNG")


def test_every_extra_was_resolved_in_a_clean_environment():
    root = REPORTS.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = rows_of("install-matrix.csv")
    assert {row["extra"] for row in rows} == {"none", *project["optional-dependencies"]}
    # what NVIDIA's own index serves is out of reach for some machines, and is all that may lack
    assert {row["state"] for row in rows if not row["extra"].startswith("tensorrt")} == {"ok"}
    assert {row["state"] for row in rows} <= {"ok", "partly"}
    assert all(row["date"] and row["platform"] and row["python"] for row in rows)


def test_the_committed_page_is_of_the_committed_profile():
    page = (REPORTS / "report.html").read_text(encoding="utf-8")
    rows = rows_of("profile.csv")
    assert page.count("<tr data-r=") == len(rows), "make page"
    assert {row["run_id"] for row in rows} == {
        run for run in {r["run_id"] for r in rows} if run in page
    }
    assert len(page.encode()) < 500_000


def test_rows_of_16_bits_were_computed_in_kernels_of_16_bits():
    rows = rows_of("half_speed.csv")
    assert {(r["note"], r["emulated"], r["precision_share"]) for r in rows} == {("", "no", "1.000")}
    assert all(r["precision"] == r["computed_in"] for r in rows)
    assert all(
        r["precision"] in kernel for r in rows for kernel in r["kernels"].split(", ") if kernel
    )
    assert {r["backend"] for r in rows} >= {"openvino", "torch"}


def test_networks_of_others_are_measured_and_built_or_refused_with_a_reason():
    rows = rows_of("wild.csv")
    assert tuple(rows[0]) == tuple(wild.COLUMNS)
    networks = {row["network"] for row in rows}
    assert networks == {one.name for one in wild.networks()}
    assert len(networks) >= 25
    assert {row["status"] for row in rows} <= {"ok", "built", "refused"}
    assert all(row["reason"] for row in rows if row["status"] == "refused")
    assert all(row["latency_p50_ms"] or row["reason"] for row in rows if row["status"] == "ok")
    assert all(row["drift_snr_db"] or row["reason"] for row in rows if row["status"] == "ok")
    assert all(int(row["engine_bytes"]) > 0 for row in rows if row["status"] == "built")
    # Each was given to both commands.
    asked = {(row["network"], row["command"].split()[1]) for row in rows}
    assert asked == {(name, command) for name in networks for command in ("profile", "build")}


RATIO = re.compile(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)")


def test_int8_beside_its_peer_has_both_sides_or_says_why_not():
    """Which side is nearer or faster is what the file tells: an interval above 1 is where ours is behind."""
    rows = rows_of("int8_peers.csv")
    assert tuple(rows[0]) == tuple(int8_peers.COLUMNS)
    quantised = {row["network"] for row in rows_of("wild.csv") if row["precision"] == "as-is"}
    assert [row["network"] for row in rows if row["network"] in quantised] == []
    names = [row["network"] for row in rows]
    assert sorted(names) == sorted({one.name for one in wild.networks()} - quantised)
    for row in rows:
        told = [float(row[name]) for name in ("snr_db", "peer_snr_db") if row[name]]
        assert len(told) == 2 or row["note"], row["network"]
        assert not any(map(math.isnan, told))
        ratios = [row[name] for name in ("latency_ratio", "fp32_ratio", "peer_fp32_ratio")]
        assert all(ratios) or row["note"], row["network"]
        for text in filter(None, ratios):
            ratio, low, high = map(float, RATIO.fullmatch(text).groups())
            assert 0 < low <= ratio <= high


def test_networks_of_others_count_as_the_shapes_of_a_run_have_it():
    rows = rows_of("inferred_shapes.csv")
    assert tuple(rows[0]) == tuple(inferred_shapes.COLUMNS)
    assert sorted(r["network"] for r in rows) == sorted(one.name for one in wild.networks())
    for row in rows:
        assert (row["deploykit_macs"], row["deploykit_missing"]) == (row["run_macs"], "0")
        assert int(row["products"]) + int(row["in_bodies"]) > 0, row["network"]


def test_the_committed_listing_decides_its_claim_by_the_command(capsys):
    """The command read those columns alone that some claim needed, and the listing was said to lack rows."""
    listing = str(REPORTS / "vgg_listing.csv")
    assert invoke(["claims", "forward-vs-forward-backward", "--profile", listing]) == 0
    means = {row["pass"]: float(row["latency_mean_ms"]) for row in rows_of("vgg_listing.csv")}
    assert {row["iterations"] for row in rows_of("vgg_listing.csv")} == {"100"}
    assert f"found {means['forward_backward'] / means['forward']:.2f}" in capsys.readouterr().out
