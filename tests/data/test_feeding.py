from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploykit.bench.feeds import from_dataset, run_in_batches
from deploykit.data import open_dataset
from deploykit.data.feeding import feeds_of
from deploykit.errors import UsageError
from deploykit.spec import TensorSpec, has_batch

COUNT = 10
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((COUNT, 3, 4, 5)).astype(np.float32)
STATE = RANDOM.standard_normal((COUNT, 2, 6))
IMAGE = TensorSpec("image", ("N", 3, 4, 5), "float32")
HIDDEN = TensorSpec("h", (2, "N", 6), "float32")
IDS = TensorSpec("ids", ("N", 7), "int64")


def part(folder: Path, **arrays: Any) -> Any:
    np.savez(folder / "own.npz", **arrays, split=np.full(COUNT, 2))
    return open_dataset(f"npz:{folder / 'own.npz'}").test


def whole(part: Any, inputs: Any, batch: int = 4) -> dict[str, Any]:
    read = [feeds for feeds, _ in feeds_of(part, inputs, batch)]
    axes = {spec.name: spec.batch_axis or 0 for spec in inputs}
    return {n: np.concatenate([feeds[n] for feeds in read], axis=a) for n, a in axes.items()}


def test_each_input_gets_the_array_of_its_name_on_the_axis_of_its_batch(tmp_path: Path) -> None:
    ids = np.arange(70, dtype=np.int32).reshape(COUNT, 7)
    feeds = whole(part(tmp_path, image=IMAGES, h=STATE, ids=ids), (IMAGE, HIDDEN, IDS))
    np.testing.assert_array_equal(feeds["image"], IMAGES)
    np.testing.assert_array_equal(feeds["h"], STATE.transpose(1, 0, 2).astype(np.float32))
    np.testing.assert_array_equal(feeds["ids"], ids)
    assert (feeds["h"].dtype, feeds["ids"].dtype) == (np.float32, np.int64)


def test_images_go_to_the_input_that_takes_images(tmp_path: Path) -> None:
    feeds = whole(part(tmp_path, images=IMAGES, h=STATE), (HIDDEN, IMAGE))
    np.testing.assert_array_equal(feeds["image"], IMAGES)
    assert feeds["h"].shape == (2, COUNT, 6)


def test_channels_go_last_where_the_network_has_them_there(tmp_path: Path) -> None:
    spec = TensorSpec("image", ("N", 4, 5, 3), "float32", layout="NHWC")
    feeds = whole(part(tmp_path, images=IMAGES), (spec,))
    np.testing.assert_array_equal(feeds["image"], IMAGES.transpose(0, 2, 3, 1))


def test_one_row_is_for_all_images_and_values_can_be_made_up(tmp_path: Path) -> None:
    lengths = TensorSpec("lengths", ("N", 1), "int64", values="constant(9)")
    feeds = whole(part(tmp_path, image=IMAGES, h=STATE[:1]), (IMAGE, HIDDEN, lengths))
    expected = np.repeat(STATE[:1], COUNT, 0).transpose(1, 0, 2).astype(np.float32)
    np.testing.assert_array_equal(feeds["h"], expected)
    np.testing.assert_array_equal(feeds["lengths"], np.full((COUNT, 1), 9))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "nothing for input 'h' .*store an array of that name"),
        (
            {"image": IMAGES, "hidden": STATE},
            "has only 'hidden' and nothing for input 'h' .*: store",
        ),
        ({"images": IMAGES, "h": STATE[:, 0]}, "a row of h in .* but the network takes"),
        ({"image": IMAGES, "h": STATE * np.nan}, "row 0 of h in npz:own.npz holds NaN"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arrays: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        whole(part(tmp_path, **arrays), (IMAGE, HIDDEN))
    assert "\n" not in str(caught.value)


def test_what_can_t_be_read_is_left_out_of_values_that_are_made_up_too(tmp_path: Path) -> None:
    """Beside a made-up input one damaged image of many shifted images against labels, or refused all data."""
    pytest.importorskip("PIL")
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(150):
            Image.new("RGB", (5, 4), (number, 0, 0)).save(
                tmp_path / "own" / label / f"{number:03}.png"
            )
    (tmp_path / "own" / "a" / "007.png").write_bytes(b"no image")
    data = open_dataset(f"imagefolder:{tmp_path / 'own'}")
    whole_part = data.train.followed_by(data.calibration).followed_by(data.test)
    lengths = TensorSpec("lengths", ("N", 1), "int64", values="constant(9)")
    rows = 0
    for feeds, labels in feeds_of(whole_part, (IMAGE, lengths), 16):
        assert len(feeds["image"]) == len(feeds["lengths"]) == len(labels)
        rows += len(labels)
    assert rows == 299


RATE = TensorSpec("rate", (), "int64")
ANCHORS = TensorSpec("anchors", (6, 4), "float32")
ONE = TensorSpec("image", (1, 3, 4, 5), "float32")
SHARED = {"rate": np.full(COUNT, 16000), "anchors": np.arange(24.0).reshape(1, 6, 4)}


@pytest.mark.parametrize("image", [IMAGE, ONE], ids=["free", "fixed"])
def test_what_has_no_batch_is_the_same_for_all_images(tmp_path: Path, image: TensorSpec) -> None:
    inputs = (ANCHORS, RATE, image)
    assert [has_batch(spec, inputs) for spec in inputs] == [False, False, True]
    own = part(tmp_path, image=IMAGES, **SHARED)
    read = [feeds for feeds, _ in feeds_of(own, inputs, 4)]
    assert [feeds["image"].shape[0] for feeds in read] == [4, 4, 2]
    for feeds in read:
        assert (feeds["rate"].shape, int(feeds["rate"])) == ((), 16000)
        np.testing.assert_array_equal(feeds["anchors"], SHARED["anchors"][0])


def test_what_has_no_batch_and_differs_from_image_to_image_is_refused(tmp_path: Path) -> None:
    own = part(tmp_path, image=IMAGES, rate=np.arange(COUNT))
    with pytest.raises(UsageError, match=r"^input 'rate' \[\] has no axis for the batch.*one row"):
        list(feeds_of(own, (IMAGE, RATE), 4))


class Counting:
    """A session of one image at a time that notes the shapes that it is fed."""

    inputs: tuple[TensorSpec, ...] = (ANCHORS, RATE, ONE)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", (1, 2), "float32"),)

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], ...]] = []

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(tuple(feeds[spec.name].shape for spec in self.inputs))
        return {"y": np.zeros((1, 2), np.float32)}


def test_a_drift_reference_and_runs_in_batches_take_them_whole(tmp_path: Path) -> None:
    part(tmp_path, image=IMAGES, **SHARED)
    sets = from_dataset((ANCHORS, RATE, IMAGE), 2, f"npz:{tmp_path / 'own.npz'}", sets=3)
    assert [tuple(one[n].shape for n in ("anchors", "rate", "image")) for one in sets] == [
        ((6, 4), (), (2, 3, 4, 5))
    ] * 3
    session = Counting()
    assert len(list(run_in_batches(session, {**sets[0]}, 4))) == 2
    assert session.seen == [((6, 4), (), (1, 3, 4, 5))] * 2


@pytest.mark.parametrize("first", [True, False])
def test_a_threshold_beside_a_fixed_batch_has_none_of_its_own(first: bool) -> None:
    """The images of a batch were taken for what is the same in every run, as the threshold is of size 1."""
    four = TensorSpec("image", (4, 3, 4, 5), "float32")
    threshold = TensorSpec("threshold", (1,), "float32")
    inputs = (threshold, four) if first else (four, threshold)
    assert (has_batch(four, inputs), has_batch(threshold, inputs)) == (True, False)
    session = Counting()
    session.inputs, session.outputs = inputs, (TensorSpec("y", (4, 2), "float32"),)
    feeds = {"threshold": np.zeros(1, np.float32), "image": np.zeros((6, 3, 4, 5), np.float32)}
    assert len(list(run_in_batches(session, feeds, 4))) == 2
    assert session.seen == [tuple(spec.shape for spec in inputs)] * 2
    assert has_batch(ONE, (ONE, threshold))
    assert has_batch(threshold, (ONE, threshold))


PIXELS = RANDOM.integers(0, 256, (COUNT, 4, 5, 3)).astype(np.uint8)
BYTES = TensorSpec("image", ("N", 4, 5, 3), "uint8", layout="NHWC")


def test_a_network_of_whole_numbers_gets_pixels(tmp_path: Path) -> None:
    feeds = whole(part(tmp_path, images=PIXELS), (BYTES,))
    assert feeds["image"].dtype == np.uint8
    np.testing.assert_array_equal(feeds["image"], PIXELS)
    wide = TensorSpec("image", ("N", 3, 4, 5), "int32")
    lengths = TensorSpec("lengths", ("N", 1), "int64", values="constant(9)")
    feeds = whole(part(tmp_path, images=PIXELS), (wide, lengths))
    np.testing.assert_array_equal(feeds["image"], PIXELS.transpose(0, 3, 1, 2))


def test_pixels_of_files_are_not_normalised_for_a_network_of_whole_numbers(tmp_path: Path) -> None:
    """They were normalised as ImageNet's are and cut to bytes, of which the darker half wraps around."""
    pytest.importorskip("PIL")
    from PIL import Image

    for number, value in enumerate((0, 90, 255)):
        Image.new("RGB", (5, 4), (value, value, 7)).save(tmp_path / f"{number}.png")
    data = open_dataset(f"imagefolder:{tmp_path}")
    every = data.train.followed_by(data.calibration).followed_by(data.test)
    fed = np.concatenate([feeds["image"] for feeds, _ in feeds_of(every, (BYTES,), 2)])
    assert sorted(fed[:, 0, 0, 0]) == [0, 90, 255]
    assert set(fed[..., 2].ravel()) == {7}
    told = open_dataset(f"imagefolder:{tmp_path}?mean=0.5&std=0.5")
    with pytest.raises(UsageError, match=r"takes whole numbers.*leave --mean and --std out"):
        list(feeds_of(told.train, (BYTES,), 2))


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_images_that_whole_numbers_can_t_hold_are_refused(tmp_path: Path, kind: str) -> None:
    spec = TensorSpec("image", ("N", 3, 4, 5), kind)
    images = IMAGES if kind == "uint8" else np.full_like(IMAGES, 200)
    with pytest.raises(UsageError, match=rf"^input 'image' takes {kind}, which can't hold these"):
        list(feeds_of(part(tmp_path, images=images), (spec,), 4))
    list(feeds_of(part(tmp_path, images=np.full_like(IMAGES, 100)), (spec,), 4))


def test_a_threshold_beside_a_fixed_batch_does_not_tell_that_batch() -> None:
    """What has one dimension of size 1 made a batch of two images one input that is the same for all."""

    class Paired(Counting):
        inputs = (
            TensorSpec("limit", (1,), "float32"),
            TensorSpec("image", (2, 3, 4, 5), "float32"),
        )
        outputs = (TensorSpec("y", (2, 2), "float32"),)

    session = Paired()
    assert [has_batch(spec, session.inputs) for spec in session.inputs] == [False, True]
    fed = {"limit": np.zeros(1, np.float32), "image": IMAGES[:5]}
    assert len(list(run_in_batches(session, fed, 2))) == 3
    assert session.seen == [((1,), (2, 3, 4, 5))] * 3


@pytest.mark.parametrize("beside", [(1,), (1, 7)], ids=["threshold", "tokens"])
def test_what_stands_before_the_images_at_a_fixed_batch_of_one_does_not_tell_how_many(
    beside: tuple[int, ...],
) -> None:
    """A single value before the images was counted for them, and all of them went into one run."""

    class Beside(Counting):
        inputs = (TensorSpec("beside", beside, "float32"), ONE)

    session = Beside()
    fed = {"beside": np.zeros(beside, np.float32), "image": IMAGES[:3]}
    assert len(list(run_in_batches(session, fed, 4))) == 3
    assert session.seen == [(beside, ONE.shape)] * 3


def test_values_for_a_whole_fixed_batch_do_not_tell_how_many_images_are_left() -> None:
    class Beside(Counting):
        inputs = (
            TensorSpec("tokens", (4, 7), "float32"),
            TensorSpec("image", (4, 3, 4, 5), "float32"),
        )
        outputs = (TensorSpec("y", (4, 2), "float32"),)

        def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
            super().run(feeds)
            return {"y": np.zeros((4, 2), np.float32)}

    session = Beside()
    fed = {"tokens": np.zeros((4, 7), np.float32), "image": IMAGES[:2]}
    (outputs,) = run_in_batches(session, fed, 4)
    assert session.seen == [((4, 7), (4, 3, 4, 5))]
    assert outputs["y"].shape == (2, 2)


@pytest.mark.parametrize("name", ["image", "images"])
@pytest.mark.parametrize("shape", [(5, 4, 3), (9,)], ids=["image", "recording"])
def test_a_network_of_a_single_image_gets_one_at_a_time(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    """Its rows were asked for in the shape of what would be one of its rows."""
    spec = TensorSpec("image", shape, "float32", single=True)
    stored = np.random.default_rng(0).normal(size=(COUNT, *shape)).astype(np.float32)
    own = part(tmp_path, **{name: stored})
    read = [feeds for feeds, _ in feeds_of(own, (spec,), 4)]
    np.testing.assert_array_equal([feeds["image"] for feeds in read], stored)
    sets = from_dataset((spec,), 1, f"npz:{tmp_path / 'own.npz'}", sets=3)
    np.testing.assert_array_equal([feeds["image"] for feeds in sets], stored[:3])
    assert not has_batch(spec, (spec,))
    with pytest.raises(UsageError, match=r"row of image in .* but the network takes .* for each"):
        list(feeds_of(part(tmp_path, image=stored[..., None]), (spec,), 4))


TOKENS = TensorSpec("tokens", (1, 7), "int64")
TEXTS = np.arange(7 * COUNT).reshape(COUNT, 7)


def test_a_row_for_each_image_goes_with_it_where_the_network_takes_one_at_a_time(
    tmp_path: Path,
) -> None:
    """An input exported for one text beside free images was refused, though each image has its text."""
    own = part(tmp_path, image=IMAGES, tokens=TEXTS)
    read = [feeds for feeds, _ in feeds_of(own, (IMAGE, TOKENS), 4)]
    assert [feeds["image"].shape[0] for feeds in read] == [1] * COUNT
    for number, feeds in enumerate(read):
        np.testing.assert_array_equal(feeds["image"], IMAGES[number : number + 1])
        np.testing.assert_array_equal(feeds["tokens"], TEXTS[number : number + 1])
    text = f"npz:{tmp_path / 'own.npz'}"
    sets = from_dataset((IMAGE, TOKENS), 1, text, sets=3)
    for number, feeds in enumerate(sets):
        np.testing.assert_array_equal(feeds["image"], IMAGES[number : number + 1])
        np.testing.assert_array_equal(feeds["tokens"], TEXTS[number : number + 1])
    with pytest.raises(UsageError, match=r"'tokens' \[1, 7\] has no axis.*take batch 1 instead of"):
        from_dataset((IMAGE, TOKENS), 2, text)


@pytest.mark.parametrize("tokens", [TEXTS[:1], np.repeat(TEXTS[:1], COUNT, 0), TEXTS[None, :1]])
def test_a_row_that_is_the_same_for_all_images_goes_with_any_batch(
    tmp_path: Path, tokens: Any
) -> None:
    part(tmp_path, image=IMAGES, tokens=tokens)
    sets = from_dataset((IMAGE, TOKENS), 2, f"npz:{tmp_path / 'own.npz'}", sets=2)
    assert [one["image"].shape for one in sets] == [(2, 3, 4, 5)] * 2
    for one in sets:
        np.testing.assert_array_equal(one["tokens"], TEXTS[:1])


def test_what_is_the_same_for_all_images_is_asked_for_with_a_leading_axis(tmp_path: Path) -> None:
    """It was asked for "for each image", which a table is not."""
    own = part(tmp_path, image=IMAGES, anchors=np.zeros((1, 4, 6)))
    with pytest.raises(UsageError, match=r"leading axis of 1, \[1, 6, 4\]$") as caught:
        list(feeds_of(own, (IMAGE, ANCHORS), 4))
    assert "each image" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8e4m3fn"])
def test_an_array_for_an_input_of_a_type_that_numpy_has_not_is_refused(
    tmp_path: Path, dtype: str
) -> None:
    spec = TensorSpec("h", ("N", 2, 6), dtype)
    with pytest.raises(UsageError, match=rf"input h is of type {dtype}, which numpy has not"):
        whole(part(tmp_path, image=IMAGES, h=STATE), (IMAGE, spec))
