"""Weights that come with the package are judged on the data they were trained on, where that is here."""

from __future__ import annotations

import urllib.request
from fractions import Fraction
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from deploykit.bench.scenario import Policy
from deploykit.data import Dataset, Part, by_name, open_dataset
from deploykit.spec import ModelSpec
from deploykit.training import train
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.judge import data_key, judged_on, redrawn
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


def test_images_behind_a_link_are_part_of_what_was_computed_on_them(tmp_path: Path) -> None:
    """Predictions of the images that lay there before were taken for those of what lies there now."""
    (tmp_path / "far" / "cat").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "cat").symlink_to(tmp_path / "far" / "cat")
    (tmp_path / "far" / "cat" / "up").symlink_to(tmp_path / "near")
    image = tmp_path / "far" / "cat" / "1.png"
    keys = set()
    for content in (b"one", b"another"):
        image.write_bytes(content)
        keys.add(data_key(f"imagefolder:{tmp_path / 'near'}"))
    assert len(keys) == 2


def test_images_that_something_is_said_of_judge_a_network(shared_store, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=pixels, labels=np.arange(60) % 10)
    data = f"npz:{tmp_path / 'own.npz'}?mean=0.5&std=0.5"
    options = ProfileOptions(policy=BRIEF, data=data)
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    (row,) = Profiler(shared_store, options).rows(wanted)
    assert row["status"] == "ok", row["reason"]
    assert (row["test_images"], row["dataset"]) == (12, f"{data}/test")


def test_why_top1_can_not_be_had_is_what_the_data_says(shared_store, tmp_path: Path) -> None:
    """Labels that are no integers, or of one class, were said not to be there."""
    pixels, labels = np.zeros((60, 8, 8), np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "own.npz", images=pixels, labels=labels.astype(np.float32))
    profiler = Profiler(shared_store, ProfileOptions(data=f"npz:{tmp_path / 'own.npz'}"))
    said = profiler.why_unjudged(ModelSpec("lenet5", weights="trained"))
    assert said is not None
    assert said.endswith("(if they are classes, store labels.astype(int))")


def saved(path: Path, count: int, **more) -> Dataset:
    """A data set of so many small images, of which the first are always the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8)).astype(np.uint8)
    np.savez(path, images=pixels[:count], labels=np.arange(count) % 10, **more)
    return open_dataset(f"npz:{path}")


def test_parts_that_are_drawn_anew_are_told_where_a_network_learned_others(tmp_path: Path) -> None:
    """With one image more all parts are others: a fifth of what was learned does not judge by right."""
    before = saved(tmp_path / "own.npz", 60)
    stored = {"dataset": before.name, "train_sha256": before.train.sha256}
    assert redrawn(before, stored) is None
    after = saved(tmp_path / "own.npz", 61)
    # Which is why it matters: images of the training are in the test part now.
    assert set(before.train.indices) & set(after.test.indices)
    note = redrawn(after, stored)
    assert note is not None
    assert "training images of npz:own.npz" in note.text
    assert "train again" in note.remedy
    assert redrawn(after, {"dataset": "npz:other.npz", "train_sha256": "0"}) is None
    assert redrawn(after, {"dataset": before.name}) is None
    assert redrawn(after, {}) is None
    # What the data itself says of its parts stays as it is.
    own_parts = saved(tmp_path / "own.npz", 61, split=np.arange(61) % 3)
    assert redrawn(own_parts, stored) is None


def test_data_says_whether_its_test_part_is_drawn(tmp_path: Path) -> None:
    assert saved(tmp_path / "own.npz", 60).drawn
    assert not saved(tmp_path / "own.npz", 60, split=np.arange(60) % 3).drawn
    assert not open_dataset("digits").drawn


def test_a_row_says_that_its_network_may_have_learned_what_judges_it(
    shared_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.npz"
    before = saved(path, 60)
    weights = tmp_path / "lenet5.safetensors"
    train(ModelSpec("lenet5"), before, out=weights, epochs=1)
    reads: list[str] = []
    hashed = Part.sha256.func
    monkeypatch.setattr(Part, "sha256", property(lambda self: reads.append(self.name) or hashed(self)))  # fmt: skip
    for count, said in ((60, 0), (61, 1)):
        saved(path, count)
        reads.clear()
        options = ProfileOptions(policy=BRIEF, data=f"npz:{path}", batches=(1, 2))
        wanted = enumerate_configurations([ModelSpec("lenet5", weights=str(weights))], options)
        rows = list(Profiler(shared_store, options).rows(wanted))
        assert [row["status"] for row in rows] == ["ok"] * 2
        assert [len(row.noted("learned")) for row in rows] == [said] * 2
        # They are read once for all rows.
        assert reads == ["npz:own.npz/train"]
