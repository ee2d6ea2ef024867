"""What is said of images beside their data set: read, applied, and refused where it can't be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deploykit.data import open_dataset
from deploykit.data.options import ImageOptions, split_options, with_options
from deploykit.errors import UsageError

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    """Ten images of two classes, 40 x 20 px: red falls from left to right, green and blue are constant."""
    red = np.linspace(250, 10, 40).astype(np.uint8)
    pixels = np.stack([np.tile(red, (20, 1)), np.full((20, 40), 51), np.full((20, 40), 204)], -1)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for n in range(5):
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / name / f"{n}.png")
    return f"imagefolder:{tmp_path / 'images'}"


def first(data, size=16):
    images, _ = next(open_dataset(data).test.batches(1, (3, size, size)))
    return images[0]


def test_they_stand_behind_the_name_of_the_data():
    text = with_options("imagefolder:a?b", {"std": "0.5", "mean": "0.1, 0.2,0.3", "crop": "224"})
    assert text == "imagefolder:a?b?mean=0.1,0.2,0.3&std=0.5&crop=224"
    name, options = split_options(text)
    assert name == "imagefolder:a?b"
    assert options == ImageOptions((0.1, 0.2, 0.3), (0.5,), None, 224)
    assert split_options("imagefolder:a?b=c") == ("imagefolder:a?b=c", ImageOptions())
    assert with_options("digits", {}) == "digits"


def test_mean_and_deviation_are_of_values_up_to_1(folder):
    green, blue = first(f"{folder}?mean=0.2,0.2,0.3&std=0.5")[1:]
    assert np.allclose(green, (51 / 255 - 0.2) / 0.5, atol=1e-6)
    assert np.allclose(blue, (204 / 255 - 0.3) / 0.5, atol=1e-6)
    assert np.allclose(first(f"{folder}?mean=0&std=1")[1], 0.2, atol=1e-6)


def test_blue_comes_first_where_the_network_takes_it_so(folder):
    assert np.array_equal(first(f"{folder}?channel-order=bgr"), first(folder)[::-1])


def test_a_larger_size_cuts_out_less_of_the_image(folder):
    def spread(data):
        return np.ptp(first(data)[0])

    assert spread(f"{folder}?resize=16") > spread(folder) > spread(f"{folder}?resize=64") > 0
    assert np.array_equal(first(f"{folder}?crop=16"), first(folder))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("mean=x", "--mean takes one number, or one for each of three channels"),
        ("mean=0.1,0.2", "--mean takes one number, or one for each"),
        ("mean=123.675,116.28,103.53", r"--mean is of values in 0\.\.1, .* of bytes by 255"),
        ("std=0", "--std takes numbers above 0"),
        ("resize=0", "--resize takes a side in px"),
        ("crop=1e3", "--crop takes a side in px"),
        ("channel-order=GRB", "takes RGB or BGR"),
        ("resize=100&crop=200", "--crop 200 is larger than --resize 100"),
        ("crop=20", "--crop 20 gives images of 20 x 20 px, and the network takes 16 x 16"),
        ("resize=8", "--resize 8 leaves images smaller"),
    ],
)
def test_what_can_not_be_is_refused(folder, said, message):
    with pytest.raises(UsageError, match=message):
        first(f"{folder}?{said}")


def test_they_are_of_images_of_ones_own():
    for data in (None, "digits"):
        with pytest.raises(UsageError, match="--mean is said of images of your own"):
            with_options(data, {"mean": "0.5"})
    with pytest.raises(UsageError, match="as it says itself"):
        open_dataset("digits?mean=0.5")


def test_stored_bytes_take_them_and_stored_floats_do_not(tmp_path):
    pixels = np.full((20, 8, 8, 1), 51, np.uint8)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "bytes.npz", images=pixels, labels=labels)
    data = f"npz:{tmp_path / 'bytes.npz'}"
    images, _ = next(open_dataset(f"{data}?mean=0.1&std=0.5").test.batches(1, (1, 8, 8)))
    assert np.allclose(images, 0.2, atol=1e-6)
    with pytest.raises(UsageError, match="--mean has 3 numbers for images of 1 channels"):
        open_dataset(f"{data}?mean=0.1,0.1,0.1")
    with pytest.raises(UsageError, match="leave --resize and --crop out"):
        open_dataset(f"{data}?resize=8")
    np.savez(tmp_path / "floats.npz", images=pixels.transpose(0, 3, 1, 2).astype(np.float32))
    with pytest.raises(UsageError, match="are taken as they are"):
        open_dataset(f"npz:{tmp_path / 'floats.npz'}?mean=0.5")


def test_folders_that_are_not_the_network_s_classes_are_refused(folder):
    dataset = open_dataset(folder)
    dataset.require_classes(2)
    with pytest.raises(
        UsageError, match=r"has folders of 2 classes \(a, b\) but the network has 10"
    ):
        dataset.require_classes(10)
    place = Path(folder.partition(":")[2]) / "classes.txt"
    place.write_text("a\nb\n")
    open_dataset(folder).require_classes(10)


def test_the_manifest_says_what_was_said(folder, light_squeezenet, tmp_path, monkeypatch, capsys):
    from deploykit.cli import invoke

    monkeypatch.chdir(tmp_path)
    call = ["build", str(light_squeezenet), "--precision", "int8", "--data", folder, "--json", "-q"]
    said = [
        "--mean",
        "0.5",
        "--std",
        "0.5",
        "--channel-order",
        "BGR",
        "--store",
        str(tmp_path / "s"),
    ]
    assert invoke([*call, *said]) == 0
    (built,) = json.loads(capsys.readouterr().out)
    assert built["calibration"].endswith("images?mean=0.5&std=0.5&channel-order=BGR")
    assert invoke([*call, "--mean", "grey"]) == 2
    assert "--mean takes one number" in capsys.readouterr().err
