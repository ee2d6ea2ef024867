"""Weights that come with the package are judged on the data they were trained on, where that is here."""

from __future__ import annotations

import urllib.request
from fractions import Fraction
from pathlib import Path
from urllib.error import URLError

import pytest

from deploykit.bench.scenario import Policy
from deploykit.data import by_name
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.judge import judged_on
from deploykit.workflow.profile import Profiler

BRIEF = Policy(warmup_s=0.02, warmup_max_s=0.2, window_s=0.01, min_s=0.05, max_s=0.5, block_s=0.02)
CLOTHES = ModelSpec("mobilenet", alpha=0.25, rho=Fraction(4, 7), weights="trained")


@pytest.fixture
def no_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine without the data and without a network; returns the downloads that were tried."""
    tried: list[str] = []

    def refuse(address: str, timeout: float) -> None:
        tried.append(address)
        raise URLError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(by_name, "DEBIAN_FOLDER", tmp_path / "none")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tried


def test_data_that_is_asked_for_goes_before_what_the_weights_come_from() -> None:
    assert judged_on("npz:own.npz", "digits") == ("npz:own.npz", None)
    assert judged_on(None, "digits") == ("digits", None)
    assert judged_on(None, None) == (None, None)
    dataset, note = judged_on(None, "imagefolder:photos")
    assert dataset is None
    assert "trained on imagefolder:photos, and nobody says where that lies" in note.text


def test_without_its_data_a_trained_network_is_timed_and_says_what_would_judge_it(
    shared_store, no_fashion_mnist: list[str]
) -> None:
    options = ProfileOptions(policy=BRIEF, batches=(1, 2))
    rows = list(Profiler(shared_store, options).rows(enumerate_configurations([CLOTHES], options)))
    for row in rows:
        assert row["status"] == "ok", row["reason"]
        assert row["latency_p50_ms"] > 0
        assert row.get("top1") is row.get("dataset") is None
        assert row["drift_snr_db"] > 60
        assert "accuracy is blank: Fashion-MNIST is not here" in row["reason"]
        assert "Debian's package dataset-fashion-mnist" in row["reason"]
        (note,) = row.noted("unjudged")
        assert str(note) in row["reason"]
    assert len(no_fashion_mnist) == 1
