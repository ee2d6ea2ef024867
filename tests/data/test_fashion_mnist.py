from __future__ import annotations

import gzip
import io
import shutil
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from deploykit.data import by_name, open_dataset
from deploykit.errors import MissingDependency, UsageError

installed = pytest.mark.skipif(
    not by_name.DEBIAN_FOLDER.is_dir(), reason="Fashion-MNIST is not installed here"
)


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Fashion-MNIST anywhere on this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(by_name, "DEBIAN_FOLDER", tmp_path / "none")
    return tmp_path / "deploykit" / "fashion-mnist"


@installed
def test_parts_are_disjoint_and_the_test_part_is_the_original() -> None:
    dataset = open_dataset("fashion-mnist")
    assert [len(part) for part in dataset.parts.values()] == [55_000, 5_000, 10_000]
    together = np.concatenate([dataset.train.indices, dataset.calibration.indices])
    np.testing.assert_array_equal(np.sort(together), np.arange(60_000))
    assert dataset.test.source is not dataset.train.source
    for part in dataset.parts.values():
        share = np.bincount(part.labels) / len(part)
        np.testing.assert_allclose(share, 0.1, atol=0.001)


@installed
def test_images_are_those_of_the_files_normalised() -> None:
    dataset = open_dataset("fashion-mnist")
    images, labels = next(dataset.test.batches(1000, (1, 28, 28)))
    assert abs(images.mean()) < 0.02
    assert abs(images.std() - 1) < 0.02
    assert dataset.classes[labels[0]] == "Ankle boot"


@installed
def test_unpacked_files_in_a_folder_are_the_same_data(tmp_path: Path) -> None:
    for packed in by_name.DEBIAN_FOLDER.glob("*.gz"):
        (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    dataset = open_dataset(f"fashion-mnist:{tmp_path}")
    assert dataset.test.sha256 == open_dataset("fashion-mnist").test.sha256


@installed
def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for name in by_name.CONTENT_SHA256:
        shutil.copy(by_name.DEBIAN_FOLDER / f"{name}.gz", tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[-1] ^= 1
    labels.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(UsageError, match="is not Fashion-MNIST's file"):
        open_dataset(f"fashion-mnist:{tmp_path}")
    labels.write_bytes(labels.read_bytes()[:500])
    with pytest.raises(UsageError, match="can't be read"):
        open_dataset(f"fashion-mnist:{tmp_path}")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not hold the four files"):
        open_dataset(f"fashion-mnist:{tmp_path}")


def test_without_data_and_network_the_answer_names_the_remedy(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> object:
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(MissingDependency, match="install Debian's package dataset-fashion-mnist"):
        open_dataset("fashion-mnist")
    assert not empty_home.exists()


def test_a_download_with_another_content_leaves_nothing(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = gzip.compress(b"something else")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(other))
    with pytest.raises(MissingDependency, match="wrong checksum"):
        open_dataset("fashion-mnist")
    assert not list(empty_home.glob("*"))


@installed
def test_a_download_is_kept_for_the_next_time(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path("/usr/share/datasets/fashion-mnist")
    fetched: list[str] = []

    def serve(url: str, timeout: float) -> io.BytesIO:
        fetched.append(url)
        return io.BytesIO((source / url.rsplit("/", 1)[1]).read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    for _ in range(2):
        assert len(open_dataset("fashion-mnist").test) == 10_000
    assert len(fetched) == 4
    assert len(list(empty_home.iterdir())) == 4
