from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="Pillow is not installed")
from PIL import Image

from deploykit.data import open_dataset
from deploykit.data.imagefolder import PREPROCESSING
from deploykit.errors import MissingDependency, UsageError

SHAPE = (3, 28, 28)


def write_class(folder: Path, count: int, shade: int = 128, mode: str = "RGB") -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((40, 50, 3), shade, np.uint8)
        pixels[0, 0] = number  # so that files differ
        Image.fromarray(pixels).convert(mode).save(folder / f"{number:03}.png")


def plain(folder: Path, count: int = 10) -> Path:
    write_class(folder / "cat", count, shade=0)
    write_class(folder / "dog", count, shade=255)
    return folder


def test_class_folders_alone_are_split_by_class(tmp_path: Path) -> None:
    dataset = open_dataset(f"imagefolder:{plain(tmp_path)}")
    assert dataset.classes == ("cat", "dog")
    assert [len(part) for part in dataset.parts.values()] == [14, 2, 4]
    together = np.concatenate([part.indices for part in dataset.parts.values()])
    assert sorted(together) == list(range(20))


def test_the_layout_of_imagenet_keeps_its_held_out_part(tmp_path: Path) -> None:
    plain(tmp_path / "train", 20)
    plain(tmp_path / "val", 3)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert [len(part) for part in dataset.parts.values()] == [36, 4, 6]
    assert set(dataset.test.indices) == set(range(40, 46))


def test_labels_stay_with_their_images_normalised(tmp_path: Path) -> None:
    dataset = open_dataset(f"imagefolder:{plain(tmp_path)}")
    for part in dataset.parts.values():
        for images, labels in part.batches(3, SHAPE):
            expected = (labels[:, None] - np.array(PREPROCESSING.mean)) / PREPROCESSING.std
            np.testing.assert_allclose(images[:, :, 14, 14], expected, atol=1e-5)
            assert images.shape[1:] == SHAPE


def test_the_centre_is_cut_from_the_shorter_side_at_256_of_224(tmp_path: Path) -> None:
    plain(tmp_path)
    ramp = np.arange(512, dtype=np.float32)[None, :, None].repeat(256, axis=0).repeat(3, axis=2)
    for path in tmp_path.rglob("*.png"):
        Image.fromarray((ramp / 2).astype(np.uint8)).save(path)
    images, _ = next(open_dataset(f"imagefolder:{tmp_path}").test.batches(1, (3, 224, 224)))
    values = images[0, 0, 100] * PREPROCESSING.std[0] + PREPROCESSING.mean[0]
    # 512 x 256 is not resized for 224 px; columns 144..367 remain.
    np.testing.assert_allclose(values * 255, np.arange(144, 368) // 2, atol=0.01)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_modes_of_eight_bits_are_read_as_colour(tmp_path: Path, mode: str) -> None:
    write_class(tmp_path / "cat", 5, mode=mode)
    write_class(tmp_path / "dog", 5)
    for images, _ in open_dataset(f"imagefolder:{tmp_path}").train.batches(4, SHAPE):
        assert images.shape[1] == 3


def test_corrupt_files_are_counted_named_and_refused_past_a_share(tmp_path: Path) -> None:
    dataset = open_dataset(f"imagefolder:{plain(tmp_path)}")
    (tmp_path / "cat" / "003.png").write_bytes(b"not an image")
    sixteen_bit = np.zeros((40, 50), np.uint16)
    Image.fromarray(sixteen_bit).save(tmp_path / "dog" / "004.png")
    whole = dataset.train.subset([])
    for name, number, reason in (
        ("cat", 3, "no image that Pillow can read"),
        ("dog", 14, "mode I;16"),
    ):
        broken = type(whole)("x", whole.source, np.array([number]), np.array([0]))
        with pytest.raises(UsageError, match=f"1 of the 1 images.*{name}/00.*{reason}") as caught:
            list(broken.batches(1, SHAPE))
        assert "\n" not in str(caught.value)


def test_an_image_of_more_pixels_than_any_has_is_one_that_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = open_dataset(f"imagefolder:{plain(tmp_path)}").train
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # twice as many are refused
    one = type(train)("x", train.source, np.array([3]), np.array([0]))
    with pytest.raises(UsageError, match=r"1 of the 1 images.*cat/003.png.*exceeds limit"):
        list(one.batches(1, SHAPE))


def test_a_truncated_jpeg_is_left_out_of_many(tmp_path: Path) -> None:
    plain(tmp_path, 150)
    victim = tmp_path / "cat" / "007.png"
    Image.effect_noise((200, 200), 60).convert("RGB").save(victim, format="JPEG")
    victim.write_bytes(victim.read_bytes()[:2000])
    train = open_dataset(f"imagefolder:{tmp_path}").train
    whole = type(train)("pets/all", train.source, np.arange(300), np.repeat([0, 1], 150))
    assert sum(len(labels) for _, labels in whole.batches(50, (3, 8, 8))) == 299
    assert len(whole.unreadable) == 1
    assert whole.unreadable[0].startswith("cat/007.png: ")


@pytest.mark.parametrize("form", ["txt", "json"])
def test_a_mapping_numbers_and_names_the_classes(tmp_path: Path, form: str) -> None:
    plain(tmp_path)
    if form == "txt":
        (tmp_path / "classes.txt").write_text("dog good dog\nfox\ncat\n")
    else:
        entries = {"0": ["dog", "good dog"], "1": ["fox", "fox"], "2": ["cat", "cat"]}
        (tmp_path / "classes.json").write_text(json.dumps(entries))
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("good dog", "fox", "cat")
    assert set(dataset.train.labels) == {0, 2}


def test_a_folder_that_the_mapping_lacks_is_refused(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\n")
    with pytest.raises(UsageError, match=r"folder cat in .* is not in its class mapping"):
        open_dataset(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "{",
        '{"0": []}',
        '{"0": "dog"}',
        '{"x": ["dog"]}',
        '{"0": [1]}',
        '{"0": ' + "[" * 100_000,
    ],
    ids=["list", "cut", "no name", "no list", "no number", "no text", "nested"],
)
def test_a_mapping_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    plain(tmp_path)
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(UsageError, match="is no class mapping"):
        open_dataset(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classes.json", '{"0": ["cat"], "1000000000": ["dog"]}', "label 1000000000: number the"),
        ("classes.json", '{"0": ["cat"], "-1": ["dog"]}', "a negative label"),
        ("classes.json", '{"0": ["cat"], "00": ["dog"]}', "has a label twice"),
        (
            "classes.json",
            '{"0": ["cat"], "1": ["dog"], "2": ["cat"]}',
            "the folder cat as class 0 and as class 2: name each folder once",
        ),
        ("classes.txt", "cat\ndog\ncat\n", "the folder cat as class 0 and as class 2"),
    ],
)
def test_labels_of_a_mapping_are_few_and_each_is_of_one_folder(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    plain(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        open_dataset(f"imagefolder:{tmp_path}")


def test_images_are_never_stretched_to_an_input_that_is_not_square(tmp_path: Path) -> None:
    """Images of 40 x 50 px: of a shorter side of 28 px, 35 px are wide."""
    plain(tmp_path)
    wide = open_dataset(f"imagefolder:{tmp_path}?resize=28").test
    assert next(wide.batches(1, (3, 28, 35)))[0].shape == (1, 3, 28, 35)
    with pytest.raises(
        UsageError, match=r"--resize 28 .* 28 x 36 px: give at least 29 for images of 40 x 50 px"
    ):
        next(wide.batches(1, (3, 28, 36)))
    with pytest.raises(UsageError, match=r"than the network's 35 x 28 px: give at least 35"):
        next(wide.batches(1, (3, 35, 28)))


def test_one_class_calibrates_with_all_images_and_judges_nothing(tmp_path: Path) -> None:
    write_class(tmp_path / "cat", 13)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert "holds 13 images of one class" in dataset.unjudged
    part = dataset.for_calibration(None, 100, judged=False)
    assert sorted(part.indices) == list(range(13))
    with pytest.raises(UsageError, match="accuracy needs two or more"):
        dataset.require_classes(10)


@pytest.mark.parametrize("folders", [(".",), ("train", "val")])
def test_images_without_folders_of_classes_calibrate_all(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    for folder in folders:
        write_class(tmp_path / "own" / folder, 6)
    dataset = open_dataset(f"imagefolder:{tmp_path / 'own'}")
    assert "has no folders of classes" in dataset.unjudged
    assert not dataset.labelled
    part = dataset.for_calibration(None, 100, judged=False)
    ((images, _),) = part.batches(100, (3, 8, 8))
    assert len(images) == 6 * len(folders)
    assert len(dataset.for_drift) > 0


def test_no_images_or_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no images"):
        open_dataset(f"imagefolder:{tmp_path}")
    with pytest.raises(UsageError, match="is not a folder"):
        open_dataset(f"imagefolder:{tmp_path / 'none'}")


def test_hash_follows_the_files(tmp_path: Path) -> None:
    before = open_dataset(f"imagefolder:{plain(tmp_path)}").sha256
    assert open_dataset(f"imagefolder:{tmp_path}").sha256 == before
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / "000.png")
    assert open_dataset(f"imagefolder:{tmp_path}").sha256 != before


def test_a_missing_pillow_is_told_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingDependency, match=r"Pillow is not installed .*\[data\]"):
        open_dataset(f"imagefolder:{tmp_path}")


def test_images_of_a_class_may_lie_in_folders_of_its_folder(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "moved")
    (tmp_path / "cat" / "images").parent.mkdir()
    (tmp_path / "moved").rename(tmp_path / "cat" / "images")
    (tmp_path / "cat" / "images" / "again").symlink_to(tmp_path / "cat")
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("cat", "dog")
    labels = np.concatenate([part.labels for part in dataset.parts.values()])
    assert sorted(labels) == [0] * 10 + [1] * 10


@pytest.mark.parametrize("stranger", ["__MACOSX", "@eaDir", ".cache"])
def test_what_systems_put_beside_the_classes_is_none(tmp_path: Path, stranger: str) -> None:
    write_class(plain(tmp_path) / stranger, 1)
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("cat", "dog")


@pytest.mark.parametrize("suffix", [".TIF", ".tiff", ".pgm", ".gif", ".JPEG"])
def test_files_of_other_formats_that_pillow_reads_are_images(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(10):
            image = Image.fromarray(np.full((30, 30), 8 * number, np.uint8))
            more = {"save_all": True, "append_images": [image]} if suffix == ".gif" else {}
            image.save(tmp_path / name / f"{number}{suffix}", **more)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert sum(len(images) for images, _ in dataset.train.batches(5, SHAPE)) == 14


def test_a_folder_without_images_tells_which_files_are_taken_for_such(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"?")
    with pytest.raises(UsageError, match=r"holds no images \(\.jpg, .*\): give a folder of"):
        open_dataset(f"imagefolder:{tmp_path}")


def test_a_file_that_is_no_image_is_told_so(tmp_path: Path) -> None:
    plain(tmp_path)
    for path in tmp_path.glob("cat/*.png"):
        path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UsageError, match=r"\(first: cat/\d+\.png: no image that Pillow can read\)"):
        list(open_dataset(f"imagefolder:{tmp_path}").train.batches(4, SHAPE))


def test_parts_by_other_names_are_no_classes(tmp_path: Path) -> None:
    """A network of two classes would have told training images from test images."""
    for part in ("training_set", "test_set"):
        plain(tmp_path / part)
    with pytest.raises(UsageError, match="they are parts and no classes; call them train and val"):
        open_dataset(f"imagefolder:{tmp_path}")


def test_a_held_out_part_without_classes_is_refused(tmp_path: Path) -> None:
    plain(tmp_path / "train")
    write_class(tmp_path / "val" / "images", 4)
    with pytest.raises(
        UsageError, match="val has the folder images and none of the classes of train"
    ):
        open_dataset(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize("held_out", ["test", "valid", "validation"])
def test_a_held_out_part_goes_by_its_usual_names(tmp_path: Path, held_out: str) -> None:
    """With `valid` left aside, networks were judged on the images that they had learned."""
    plain(tmp_path / "train", 20)
    plain(tmp_path / held_out, 3)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert set(dataset.test.indices) == set(range(40, 46))


@pytest.mark.parametrize("flat", ["val", "test"])
def test_images_without_labels_beside_a_part_that_has_some_are_left_aside(
    tmp_path: Path, flat: str
) -> None:
    """With such a `test` as hidden labels leave it, the data was refused though `valid` has its classes."""
    plain(tmp_path / "train", 20)
    write_class(tmp_path / flat, 4)
    with pytest.raises(UsageError, match=f"{flat} has images and none of the classes of train"):
        open_dataset(f"imagefolder:{tmp_path}")
    plain(tmp_path / "valid", 3)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert (dataset.classes, len(dataset.test)) == (("cat", "dog"), 6)


def test_valid_beside_other_folders_and_no_train_part_is_a_class(tmp_path: Path) -> None:
    """It was taken for a held-out part without classes, and all other images were left aside."""
    for name in ("invalid", "valid"):
        write_class(tmp_path / name, 10)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("invalid", "valid")
    assert len(dataset.train) + len(dataset.calibration) + len(dataset.test) == 20
    plain(tmp_path / "alone" / "valid")
    assert open_dataset(f"imagefolder:{tmp_path / 'alone'}").classes == ("cat", "dog")


@pytest.mark.parametrize("lone", ["train", "val"])
def test_a_part_by_another_name_beside_the_only_one_is_refused(tmp_path: Path, lone: str) -> None:
    plain(tmp_path / lone)
    plain(tmp_path / "other")
    with pytest.raises(UsageError, match=f"other of .* holds folders of the same names as {lone}"):
        open_dataset(f"imagefolder:{tmp_path}")
    (tmp_path / "other").rename(tmp_path / "test")  # val and test: a part that nobody asked for
    assert len(open_dataset(f"imagefolder:{tmp_path}").test) > 0


def test_a_held_out_part_of_images_as_they_lie_is_refused(tmp_path: Path) -> None:
    plain(tmp_path / "train")
    write_class(tmp_path / "val", 4)
    with pytest.raises(UsageError, match="val has images and none of the classes of train: sort"):
        open_dataset(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize("error", [struct.error("unpack"), KeyError(258), TypeError("tag")])
def test_whatever_a_decoder_stumbles_over_leaves_out_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    whole = open_dataset(f"imagefolder:{plain(tmp_path, 150)}")
    convert = Image.Image.convert

    def stumble(image: Image.Image, mode: str) -> Image.Image:
        if image.getpixel((0, 0))[0] == 7 and image.getpixel((9, 9))[0] == 0:
            raise error
        return convert(image, mode)

    monkeypatch.setattr(Image.Image, "convert", stumble)
    part = type(whole.train)("pets/all", whole.train.source, np.arange(300), np.repeat([0, 1], 150))
    assert sum(len(labels) for _, labels in part.batches(50, (3, 8, 8))) == 299
    assert part.unreadable[0].startswith("cat/007.png: ")


def test_a_link_to_nothing_is_an_image_that_can_not_be_read(tmp_path: Path) -> None:
    """The digest of the part ended the command where a pass over its images leaves one out."""
    plain(tmp_path, 150)
    victim = tmp_path / "cat" / "007.png"
    victim.unlink()
    victim.symlink_to(tmp_path / "gone.png")
    train = open_dataset(f"imagefolder:{tmp_path}").train
    whole = type(train)("pets/all", train.source, np.arange(300), np.repeat([0, 1], 150))
    assert sum(len(labels) for _, labels in whole.batches(50, (3, 8, 8))) == 299
    broken = whole.sha256
    victim.unlink()
    Image.new("RGB", (9, 9)).save(victim)
    assert type(train)("pets/all", train.source, whole.indices, whole.labels).sha256 != broken


def test_folders_with_spaces_in_their_names_are_lines_of_the_mapping(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "wild cat")
    (tmp_path / "classes.txt").write_text("wild boar\nwild cat\ndog good dog\n")
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("boar", "wild cat", "good dog")
    assert set(dataset.train.labels) == {1, 2}
    (tmp_path / "dog").rename(tmp_path / "wild boar")  # whose first words are the same
    (tmp_path / "classes.txt").write_text("wild boar\nwild cat\n")
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("wild boar", "wild cat")


def test_a_folder_that_the_mapping_names_twice_is_refused(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\ncat small\ncat large\n")
    with pytest.raises(UsageError, match="the folder cat as class 1 and as class 2"):
        open_dataset(f"imagefolder:{tmp_path}")


def test_a_class_of_trains_among_others_is_no_part(tmp_path: Path) -> None:
    """As COCO and CIFAR-100 have one: its images alone would be the data, without labels."""
    for name, count in (("bus", 10), ("car", 10), ("train", 5)):
        write_class(tmp_path / name, count)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("bus", "car", "train")
    assert sum(len(part) for part in dataset.parts.values()) == 25
    (tmp_path / "classes.txt").write_text("train\ncar\nbus\n")
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("train", "car", "bus")


def test_a_class_of_trains_beside_one_other_is_told_by_the_mapping(tmp_path: Path) -> None:
    write_class(tmp_path / "masks", 10)
    write_class(tmp_path / "train", 10)
    alone = open_dataset(f"imagefolder:{tmp_path}")
    assert not alone.labelled
    assert sum(len(part) for part in alone.parts.values()) == 10
    (tmp_path / "classes.txt").write_text("masks\ntrain\n")
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("masks", "train")


def test_a_part_of_classes_stays_a_part_whatever_lies_beside_it(tmp_path: Path) -> None:
    plain(tmp_path / "train")
    write_class(tmp_path / "fox", 10)
    write_class(tmp_path / "owl", 10)
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert dataset.classes == ("cat", "dog")
    assert sum(len(part) for part in dataset.parts.values()) == 20


@pytest.mark.parametrize("parts", [("",), ("train", "val")], ids=["as it lies", "parts"])
def test_masks_and_labels_beside_images_are_no_class(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    """Masks were calibrated on, and told apart from images."""
    for part in parts:
        write_class(tmp_path / part / "images", 10)
        write_class(tmp_path / part / "masks", 10, mode="L")
        (tmp_path / part / "labels").mkdir()
        (tmp_path / part / "labels" / "000.txt").write_text("0 0.5 0.5 0.1 0.1")
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert "images of one class" in dataset.unjudged
    assert "masks is taken for masks: if it is a class, name all in classes.txt" in dataset.unjudged
    assert sum(len(part) for part in dataset.parts.values()) == 10 * len(parts)


def test_a_class_of_images_is_told_by_the_mapping(tmp_path: Path) -> None:
    write_class(tmp_path / "images", 10)
    write_class(tmp_path / "drawings", 10)
    (tmp_path / "classes.txt").write_text("images\ndrawings\n")
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("images", "drawings")


def test_parts_of_images_beside_the_same_parts_of_labels_are_images(tmp_path: Path) -> None:
    """Images and labels were called parts of the data."""
    for part in ("train", "val"):
        write_class(tmp_path / "images" / part, 10)
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / "labels" / part / "000.txt").write_text("0 0.5 0.5 0.1 0.1")
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert sum(len(part) for part in dataset.parts.values()) == 20
    assert f"if {tmp_path / 'images'} has the folders of classes, give that" in dataset.unjudged


def test_annotations_beside_classes_are_no_class(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "all.json").write_text("{}")
    (tmp_path / "annotations" / ".DS_Store").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("cat", "dog", "empty")
    (tmp_path / "classes.txt").write_text("dog\ncat\nempty\n")
    assert open_dataset(f"imagefolder:{tmp_path}").classes == ("dog", "cat", "empty")


def test_a_folder_around_the_classes_is_told(tmp_path: Path) -> None:
    plain(tmp_path / "dataset")
    assert f"if {tmp_path / 'dataset'} has" in open_dataset(f"imagefolder:{tmp_path}").unjudged


def test_jpegs_by_other_names_are_images(tmp_path: Path) -> None:
    write_class(tmp_path / "cat", 2)
    for file in (tmp_path / "cat").iterdir():
        with Image.open(file) as image:
            image.save(file.with_suffix(".jfif"), format="JPEG")
        file.unlink()
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    assert sum(len(part) for part in dataset.parts.values()) == 2
