from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deploykit.data import open_dataset
from deploykit.errors import UsageError

COUNT = 40
LABELS = np.arange(COUNT) % 4
FLOATS = np.random.default_rng(0).standard_normal((COUNT, 3, 6, 5)).astype(np.float32)
BYTES = np.random.default_rng(1).integers(0, 256, (COUNT, 6, 5, 3)).astype(np.uint8)


def write(folder: Path, *, compressed: bool = False, **arrays: Any) -> str:
    path = folder / "own.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return f"npz:{path}"


def collect(part: Any, shape: tuple[int, int, int]) -> Any:
    images, labels = zip(*part.batches(7, shape), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("compressed", [False, True])
def test_floats_are_taken_as_they_are(tmp_path: Path, compressed: bool) -> None:
    text = write(tmp_path, images=FLOATS, labels=LABELS, compressed=compressed)
    dataset = open_dataset(text)
    assert dataset.classes == ("0", "1", "2", "3")
    seen = []
    for part in dataset.parts.values():
        images, labels = collect(part, (3, 6, 5))
        np.testing.assert_array_equal(images, FLOATS[part.indices])
        np.testing.assert_array_equal(labels, LABELS[part.indices])
        seen.extend(part.indices.tolist())
    assert sorted(seen) == list(range(COUNT))


def test_the_split_of_the_file_is_kept(tmp_path: Path) -> None:
    split = np.array([0, 1, 2, 2] * 10)
    dataset = open_dataset(write(tmp_path, images=FLOATS, labels=LABELS, split=split))
    for number, part in enumerate(dataset.parts.values()):
        np.testing.assert_array_equal(part.indices, np.flatnonzero(split == number))


def test_a_file_for_testing_alone_is_fine_until_another_part_is_asked_for(tmp_path: Path) -> None:
    split = np.full(COUNT, 2)
    dataset = open_dataset(write(tmp_path, images=FLOATS, labels=LABELS, split=split))
    assert len(dataset.test) == COUNT
    with pytest.raises(UsageError, match=r"npz:own.npz/train has no images"):
        dataset.train.batches(1, (3, 6, 5))


def test_bytes_are_scaled_to_one(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=BYTES, labels=LABELS))
    images, _ = collect(dataset.test, (3, 6, 5))
    expected = BYTES[dataset.test.indices].transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_bytes_are_normalised_as_the_file_says_and_resized(tmp_path: Path) -> None:
    grey = np.full((COUNT, 4, 4), 102, np.uint8)
    text = write(tmp_path, images=grey, labels=LABELS, mean=np.float32(0.3), std=[0.5])
    images, _ = collect(open_dataset(text).test, (1, 9, 9))
    np.testing.assert_allclose(images, np.full((8, 1, 9, 9), 0.2), atol=1e-6)


def test_stored_and_compressed_files_have_one_hash(tmp_path: Path) -> None:
    stored = open_dataset(write(tmp_path, images=BYTES, labels=LABELS)).sha256
    packed = open_dataset(write(tmp_path, images=BYTES, labels=LABELS, compressed=True)).sha256
    assert stored == packed


def test_class_names_come_from_the_file(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    assert open_dataset(write(tmp_path, images=BYTES, labels=LABELS, classes=names)).classes == (
        *names,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "has no array 'images', nor one named as an input"),
        ({"ids": LABELS[:7]}, "ids of .* has 7 rows for 40 images"),
        ({"ids": np.array(["a"] * COUNT)}, "ids of .* store numbers, a row for each image"),
        (
            {"labels": np.array([[1], [2, 3]] * 20, object)},
            "Python objects, .* padded to the longest",
        ),
        ({"images": FLOATS.astype(np.float64)}, "images of .* are float64 40 x 3 x 6 x 5"),
        ({"images": BYTES.transpose(0, 3, 1, 2)}, "5 channels last"),
        ({"images": BYTES[:0], "labels": LABELS[:0]}, "holds no images"),
        ({"labels": LABELS[:-1]}, "one integer for each of the 40 images"),
        ({"labels": LABELS - 1}, "label 0 of .* is -1: labels must be in 0..999999"),
        ({"labels": LABELS + 10**12}, "labels must be in 0..999999"),
        ({"classes": ["a", "b"]}, r"label 2 of .* is 2: labels must be in 0..1"),
        ({"split": LABELS}, "split of .* holds 3"),
        ({"mean": [123.7, 116.3, 103.5]}, "mean of .* those of bytes divided by 255"),
        ({"images": FLOATS, "mean": [0.1, 0.2, 0.3]}, "its mean would not be used: normalise"),
        ({"images": FLOATS, "std": [0.5]}, "its std would not be used: normalise"),
        ({"mean": [0.1, 0.2]}, "mean of .* store one number a channel"),
        ({"std": [0.1, 0.2, 0.0]}, "std of .* store one number a channel"),
    ],
)
def test_arrays_that_can_not_be_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    arrays = {"images": BYTES, "labels": LABELS} | changes
    kept = {key: value for key, value in arrays.items() if value is not None}
    with pytest.raises(UsageError, match=message) as caught:
        open_dataset(write(tmp_path, **kept))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "has no labels"),
        (LABELS * 0 + 3, "all labels of .* are 3"),
        (LABELS.astype(np.float32), "labels of .* are float32 40, not one integer"),
        (np.zeros((COUNT, 5, 4), np.float32), "labels of .* are float32 40 x 5 x 4, not one"),
        (np.array(["stop", "go"] * 20), "labels of .* are <U4 40, not one"),
    ],
)
def test_labels_that_are_no_classes_calibrate_with_all_images_and_tell_why_nothing_is_judged(
    tmp_path: Path, labels: Any, reason: str
) -> None:
    arrays = {} if labels is None else {"labels": labels}
    dataset = open_dataset(write(tmp_path, images=BYTES, **arrays))
    assert re.search(reason, dataset.unjudged)
    assert dataset.labelled == (labels is not None)
    part = dataset.for_calibration(None, 100, judged=False)
    assert sorted(part.indices) == list(range(COUNT))
    if labels is not None:
        np.testing.assert_array_equal(part.labels, labels[part.indices])
    assert dataset.sha256
    with pytest.raises(UsageError, match=reason):
        dataset.require_classes(10)


def test_calibration_takes_what_was_given_for_it_and_never_what_is_judged(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=BYTES, labels=LABELS))
    taken = dataset.for_calibration(None, 100, judged=True)
    assert len(taken) == COUNT - len(dataset.test)
    assert not set(taken.indices) & set(dataset.test.indices)
    assert len(dataset.for_calibration(None, 10, judged=True)) == 10
    assert len(dataset.for_calibration(7, 100, judged=False)) == 7
    split = np.arange(COUNT) // 20 + 1
    divided = open_dataset(write(tmp_path, images=BYTES, labels=LABELS, split=split))
    for judged in (True, False):
        part = divided.for_calibration(None, 3, judged=judged)
        np.testing.assert_array_equal(part.indices, np.arange(20))
    with pytest.raises(UsageError, match="has 20 images, fewer than the 21 asked for"):
        divided.for_calibration(21, 3, judged=True)


def test_float_images_of_another_size_are_refused(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=FLOATS, labels=LABELS))
    with pytest.raises(UsageError, match="are 3 x 6 x 5 but the network takes 3 x 8 x 8"):
        collect(dataset.test, (3, 8, 8))


def test_images_that_are_not_finite_are_refused_by_their_number(tmp_path: Path) -> None:
    images = FLOATS.copy()
    images[17, 1, 2, 3] = np.nan
    dataset = open_dataset(write(tmp_path, images=images, labels=LABELS, split=LABELS * 0))
    with pytest.raises(UsageError, match=r"image 17 of npz:own.npz holds NaN"):
        collect(dataset.train, (3, 6, 5))


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"can't be read as .npz") as caught:
        open_dataset(f"npz:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, compressed: bool) -> None:
    text = write(tmp_path, images=BYTES, labels=LABELS, compressed=compressed)
    path = Path(text.removeprefix("npz:"))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match="can't be read"):
        open_dataset(text)


def test_an_array_with_fewer_rows_than_it_states_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "own.npz"
    np.savez(whole, images=BYTES, labels=LABELS)
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["images.npy"] = members["images.npy"][:-1]
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UsageError, match="the array is cut short"):
        open_dataset(f"npz:{whole}")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.npy"
    np.save(path, LABELS)
    with pytest.raises(UsageError, match="not a zip file"):
        open_dataset(f"npz:{path}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_dataset(f"npz:{tmp_path / 'none.npz'}")


def test_a_pass_holds_one_batch_at_a_time(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    images = np.zeros((4000, 32, 32, 3), np.uint8)  # 12 MB
    text = write(tmp_path, images=images, labels=np.arange(4000) % 2, compressed=True)
    del images
    tracemalloc.start()
    try:
        dataset = open_dataset(text)
        for _ in dataset.train.batches(8, (3, 32, 32)):
            pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


def stored(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def packed(folder: Path, **members: bytes) -> str:
    """A file with members as bytes."""
    with zipfile.ZipFile(folder / "own.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, member in members.items():
            archive.writestr(f"{key}.npy", member)
    return f"npz:{folder / 'own.npz'}"


def stating(shape: tuple[int, ...], values: Any) -> bytes:
    """An array whose header states another shape."""
    file = io.BytesIO()
    stated = {"descr": values.dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, stated)
    return file.getvalue() + bytes(values.tobytes())


@pytest.mark.parametrize(
    ("key", "member", "why"),
    [
        ("labels", stating((10**12,), LABELS), "store one integer for each of the 40 images"),
        ("split", stating((10**12,), LABELS), "store one integer for each of the 40 images"),
        ("classes", stating((10**9,), LABELS), "has 1000000000 values"),
        ("labels", stating((-40,), LABELS), "can't be read as .npz"),
        ("labels", stored(LABELS)[:200], "can't be read as .npz"),
        ("labels", b"text", "can't be read as .npz"),
        ("images", stating((10**9, 3, 6, 5), FLOATS), "can't be read"),
    ],
)
def test_what_an_array_says_of_itself_is_not_believed(
    tmp_path: Path, key: str, member: bytes, why: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        open_dataset(packed(tmp_path, **({"images": stored(FLOATS)} | {key: member})))


def test_what_is_packed_too_far_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = packed(tmp_path, images=stored(FLOATS))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UsageError, match=r"unpacked it has .* GiB are free in"):
        open_dataset(text)


def test_a_file_with_a_password_is_refused(tmp_path: Path) -> None:
    path = Path(packed(tmp_path, images=stored(FLOATS)).removeprefix("npz:"))
    held = bytearray(path.read_bytes())
    held[6] |= 1
    held[held.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(held)
    with pytest.raises(UsageError, match="encrypted"):
        open_dataset(f"npz:{path}")


def test_the_name_of_a_single_class_may_stand_alone(tmp_path: Path) -> None:
    text = write(tmp_path, images=FLOATS, labels=np.zeros(COUNT, int), classes=np.array("one"))
    assert "all labels" in open_dataset(text).unjudged


def test_labels_in_a_column_are_classes(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=BYTES, labels=LABELS[:, None].astype(np.uint8)))
    assert not dataset.unjudged
    assert dataset.classes == ("0", "1", "2", "3")
    assert all(part.labels.shape == (len(part),) for part in dataset.parts.values())


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (LABELS.astype(np.float64), r"store labels\.astype\(int\)\)$"),
        (np.eye(4, dtype=np.float32)[LABELS], r"store labels\.argmax\(1\)\)$"),
        (np.array(["stop", "go"] * 20), r"and their names under classes\)$"),
        (np.linspace(0, 1, COUNT), "40 images$"),
        (np.full((COUNT, 4), 7.5), "40 images$"),
    ],
    ids="floats one-hot names numbers boxes".split(),
)
def test_labels_that_could_be_classes_are_told_how(
    tmp_path: Path, labels: Any, remedy: str
) -> None:
    assert re.search(remedy, open_dataset(write(tmp_path, images=BYTES, labels=labels)).unjudged)


def test_labels_numbered_from_one_are_told_so(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=BYTES, labels=LABELS + 1))
    with pytest.raises(UsageError, match="none has label 0: store labels - 1, or use a network"):
        dataset.require_classes(4)


def test_channels_that_stand_last_are_told_to_be_moved(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, images=FLOATS.transpose(0, 2, 3, 1), labels=LABELS))
    with pytest.raises(UsageError, match=r"store images\.transpose\(0, 3, 1, 2\), or as uint8"):
        list(dataset.test.batches(4, (3, 6, 5)))


def test_how_images_are_prepared_is_in_the_digest(tmp_path):
    """Graphs that were calibrated on images prepared otherwise were found in the store."""
    images = np.arange(40 * 4 * 4, dtype=np.uint8).reshape(40, 4, 4, 1)
    labels = np.arange(40) % 2
    digests = set()
    for more in ({}, {"mean": np.float32([0.5]), "std": np.float32([0.5])}):
        np.savez(tmp_path / "a.npz", images=images, labels=labels, **more)
        digests.add(open_dataset(f"npz:{tmp_path / 'a.npz'}").calibration.sha256)
    digests.add(open_dataset(f"npz:{tmp_path / 'a.npz'}?mean=0.1").calibration.sha256)
    assert len(digests) == 3


def test_a_normalisation_that_changes_nothing_may_stand_beside_floats(tmp_path: Path) -> None:
    text = write(tmp_path, images=FLOATS, labels=LABELS, mean=np.zeros(3), std=np.ones(3))
    images, _ = collect(open_dataset(text).test, (3, 6, 5))
    np.testing.assert_array_equal(images, FLOATS[open_dataset(text).test.indices])
