"""Image files in one folder a class: `imagefolder:PATH`, the layout of ImageNet.

PATH holds `train/` and `val/` (or `test/`, `valid/`, `validation/`) with one folder a class in each: then the
test part is all of the first of these that has classes of `train`, and a tenth of `train` (at most 10,000 images)
is for calibration. With one of them only, or with the class folders directly in PATH, 70% of each class are for
training, 10% for calibration and 20% for testing. Images with no folders of classes, in PATH or in `train/` and
`val/`, have no labels: they calibrate (see `Dataset.for_calibration`), as those of one class do. A folder `train/`
of images alone, beside two or more such folders that are no parts, or named in the mapping, is a class. A folder
`images` has the images, and what lies beside it, such as masks, is no class, unless the mapping names classes;
nor is a folder of texts alone, such as annotations.

Images of a class may lie in folders of its folder, as those of Tiny ImageNet do. Of an animation the first
picture is taken; the rotation that a camera notes is not followed, as torchvision doesn't. Folders are numbered
in the order of their sorted names, as ImageNet's are. A mapping in PATH says otherwise: `classes.txt` with one
line a class, `FOLDER [NAME]`, numbered from 0 in the order of the lines, of which the first word is the folder
unless the whole line is one; or `classes.json`, `{"0": ["FOLDER", "NAME"], …}`.

Images are resized so that the shorter side is 256/224 of the network's input, then the centre is
cut out; values are scaled to 0..1 and normalised with ImageNet's mean and deviation.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Collection, Container, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec
from deploykit.data.dataset import Dataset, Part, default_split, stratified_split
from deploykit.data.options import ImageOptions
from deploykit.data.preprocessing import WHOLE, Preprocessing
from deploykit.errors import UsageError, one_line
from deploykit.lazy import LazyModule, np
from deploykit.reading import open_file, read_file
from deploykit.text import MOST_CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

    from deploykit.data.dataset import Images, Indices, Labels

Image: Any = LazyModule("PIL.Image")

SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"),
    ".gif",
)

#: What the folder of the images is called beside those of masks and labels.
_PICTURES = frozenset(("images", "image", "imgs", "img", "jpegimages"))
#: What says something of images, and is none.
_TEXTS = (".txt", ".xml", ".json", ".csv", ".yaml", ".yml", ".cache")

#: What the part of a data set is called that is held out, the first that is there before the others.
_HELD_OUT = ("val", "test", "valid", "validation")
#: Those of them that may be classes as well, such as `valid` beside `invalid`, where there is no train part.
_MAY_BE_CLASSES = ("valid", "validation")

#: What systems and programs put beside the folders of a user.
_NOT_THE_USERS = frozenset(("__MACOSX", "@eaDir", "lost+found", "__pycache__"))

PREPROCESSING = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

#: Shorter side after resizing, as a share of the network's input.
RESIZE_RATIO = 256 / 224

_MAX_CALIBRATION = 10_000
#: ImageNet-21k has 21,841 classes.
_MAX_MAPPING_BYTES = 8 * 2**20
_SEED = 0

#: Pillow's modes that convert to RGB without loss of what matters.
_MODES = ("RGB", "L", "P", "1", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr")


class FileSource:
    """Image files, opened when asked for.

    Args:
        name: of the data set, for messages.
        root: names in messages are relative to it.
        paths: the paths of the image files.
        options: what is said of them.
    """

    def __init__(
        self, name: str, root: Path, paths: list[str], options: ImageOptions | None = None
    ) -> None:
        self.name, self._root, self._paths = name, root, paths
        self._options = options or ImageOptions()
        self._preprocessing = PREPROCESSING.told(self._options, 3)

    def load(
        self, indices: Indices, input_shape: tuple[int, int, int]
    ) -> tuple[Images, Mapping[int, str]]:
        """See `Source.load`."""
        _, height, width = input_shape
        crop_px = self._options.crop_px
        if crop_px is not None and (crop_px, crop_px) != (height, width):
            raise UsageError(
                f"--crop {crop_px} gives images of {crop_px} x {crop_px} px, and the network takes {height} x "
                f"{width}: leave --crop out, or change --shape or --resolution"
            )
        pixels: list[npt.NDArray[np.uint8]] = []
        problems: dict[int, str] = {}
        for position, index in enumerate(indices):
            path = self._paths[index]
            try:
                pixels.append(_decode(path, height, width, self._options.resize_px))
            except (UsageError, MemoryError):
                raise
            except Exception as error:  # a decoder raises whatever it stumbles over
                said = getattr(error, "strerror", None) or str(error)
                if isinstance(error, Image.UnidentifiedImageError):  # its text names a stream
                    said = "no image that Pillow can read"
                reason = said.replace(path, "").strip() or type(error).__name__
                problems[position] = f"{os.path.relpath(path, self._root)}: {reason}"
        if not pixels:
            return np.empty((0, *input_shape), np.float32), problems
        return self._preprocessing(np.stack(pixels), input_shape, self.name), problems

    def as_pixels(self) -> FileSource:
        """The same for a network that takes whole numbers: pixels from 0 to 255.

        Raises:
            UsageError: a mean or a deviation was given.
        """
        if self._options.mean is not None or self._options.std is not None:
            raise UsageError(WHOLE)
        pixels = copy.copy(self)
        pixels._preprocessing = replace(self._preprocessing, whole=True)
        return pixels

    def raw(self, indices: Indices) -> Iterable[bytes]:
        """See `Source.raw`: what is said of how they are prepared, then the files as they are."""
        if self._options:
            yield repr(self._options).encode()
        for index in indices:
            yield _bytes_of(self._paths[index])


def open_imagefolder(folder: str, options: ImageOptions | None = None) -> Dataset:
    """The data set in a folder (see the module for its layout).

    Raises:
        UsageError: no such folder, no images in it, or a mapping that doesn't fit.
        MissingDependency: Pillow is not installed.
    """
    _ = Image.open  # to say at once that Pillow is missing, before a folder is searched
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds a folder for each class")
    name = f"imagefolder:{root.resolve().name}"
    inside = {entry.name for entry in _folders(root)}
    if _train_is_a_class(root, inside):
        inside.discard("train")
    parts_alone = "train" in inside or len(inside) == 1
    names = [name for name in _HELD_OUT if parts_alone or name not in _MAY_BE_CLASSES]
    held_out = _held_out(root, [name for name in names if name in inside])
    if "train" in inside and held_out:
        groups = [root / "train", root / held_out]
    else:
        groups = [root / next((p for p in ("train", held_out) if p and p in inside), ".")]
    there = frozenset(folder.name for group in groups for folder in _folders(group))
    named = frozenset(name for name, _ in (_mapping(root, there) or {}).values())
    inside_of = {group: _class_folders(group, named) for group in groups}
    numbers = _class_numbers(root, inside_of)
    paths, labels, counts = _list_images(inside_of, numbers)
    labelled = bool(paths)
    if not labelled:  # no folders of classes: images as they lie
        paths, labels, counts = _list_images({group: [group] for group in groups}, None)
    if not paths:
        raise UsageError(
            f"{folder} holds no images ({', '.join(SUFFIXES)}): give a folder of images, or one with a folder "
            "for each class"
        )
    unjudged = "" if labelled else f"{folder} has no folders of classes, so no labels"
    if labelled and len(np.unique(labels)) < 2:
        unjudged = f"{folder} holds {len(paths)} images of one class: accuracy needs two or more"
        if (further := _further_in(inside_of)) is not None:
            unjudged += f" (if {further} has the folders of classes, give that)"
        chosen = {one.name for folders in inside_of.values() for one in folders}
        beside = (one for group in groups for one in _folders(group) if one.name not in chosen)
        if (other := next(filter(_has_images, beside), None)) is not None:
            unjudged += f" ({other} is taken for masks: if it is a class, name all in classes.txt)"
    source = FileSource(name, root, paths, options)
    classes = _class_names(root, numbers)
    split = _split(labels, counts)
    parts = {
        part: Part(f"{name}/{part}", source, chosen, labels[chosen])
        for part, chosen in split.items()
    }
    return Dataset(
        name,
        () if unjudged else classes,
        parts["train"],
        parts["calibration"],
        parts["test"],
        unjudged=unjudged,
        labelled=labelled,
        drawn=len(counts) == 1,
        numbered_by_folder=_mapping(root, numbers) is None,
    )


def _train_is_a_class(root: Path, inside: Collection[str]) -> bool:
    """Whether the folder `train` is a class: it has images and no folders, and others that are no parts have some.

    Taken for a part it would be all of the data, and without labels.
    """
    if "train" not in inside or any(name in inside for name in _HELD_OUT):
        return False
    train = root / "train"
    if _folders(train) or not any(_is_image(entry.name) for entry in train.iterdir()):
        return False
    others = (entry for entry in _folders(root) if entry.name != "train")
    with_images = (one for one in others if _has_images(one))
    named = _mapping(root, inside) or {}
    # One folder beside it may well hold masks.
    return len(list(islice(with_images, 2))) == 2 or "train" in (one for one, _ in named.values())


def _held_out(root: Path, there: list[str]) -> str | None:
    """The part that is held out: the first that has classes of the train part, else the first; None without any.

    Images without labels often lie in `test` beside a `valid` that has some.
    """
    if (root / "train").is_dir():
        classes = {folder.name for folder in _folders(root / "train")}
        for part in there:
            if classes & {folder.name for folder in _folders(root / part)}:
                return part
    return there[0] if there else None


def _split(labels: Labels, counts: list[int]) -> dict[str, Indices]:
    if len(counts) == 1:
        return default_split(labels)
    trainable = counts[0]
    size = min(round(trainable * 0.1), _MAX_CALIBRATION)
    calibration, train = stratified_split(labels[:trainable], (size,), _SEED)
    # Shuffled too, so that the first images of the part are of many classes.
    _, test = stratified_split(labels[trainable:], (0,), _SEED)
    return {"train": train, "calibration": calibration, "test": test + trainable}


def _class_folders(group: Path, named: Collection[str]) -> list[Path]:
    """The folders of a group that are classes; those that the mapping names are in any case."""
    folders = _folders(group)
    pictures = [one for one in folders if one.name.lower() in _PICTURES and _has_images(one)]
    if pictures and not named:
        return pictures
    return [one for one in folders if one.name in named or not _holds_texts_alone(one)]


def _holds_texts_alone(folder: Path) -> bool:
    """Whether there are files in a folder or those in it, and all are texts."""
    found = False
    for _, _, names in os.walk(folder):
        for name in names:
            if name.startswith("."):  # of the system, as .DS_Store
                continue
            if not name.lower().endswith(_TEXTS):
                return False
            found = True
    return found


def _further_in(inside: Mapping[Path, list[Path]]) -> Path | None:
    """The only class folder, where all of its images lie in several folders of it."""
    folders = [folder for some in inside.values() for folder in some]
    if len(folders) != 1 or any(_is_image(entry.name) for entry in folders[0].iterdir()):
        return None
    return folders[0] if len(_folders(folders[0])) > 1 else None


def _class_numbers(root: Path, inside_of: Mapping[Path, list[Path]]) -> dict[str, int]:
    """The label of each class folder, of which each group has some."""
    groups, inside = list(inside_of), list(inside_of.values())
    folders = sorted({entry.name for entries in inside for entry in entries})
    _require_held_out(root, groups, set(folders))
    mapping = _mapping(root, frozenset(folders))
    if mapping is None:
        _require_classes(root, groups, inside)
        return {folder: label for label, folder in enumerate(folders)}
    numbers = {folder: label for label, (folder, _) in mapping.items()}
    strangers = [folder for folder in folders if folder not in numbers]
    if strangers:
        raise UsageError(
            f"folder {strangers[0]} in {root} is not in its class mapping: add it or move it away"
        )
    return numbers


def _require_held_out(root: Path, groups: list[Path], classes: set[str]) -> None:
    """Refuse to leave a part of the data aside that goes by another name: training images would judge instead.

    Raises:
        UsageError: beside the one part that was found there is a folder with the same classes in it.
    """
    if len(groups) > 1 or groups[0] == root:
        return
    for other in _folders(root):
        if other.name in ("train", *_HELD_OUT):
            continue
        if classes & {folder.name for folder in _folders(other)}:
            raise UsageError(
                f"{other.name} of {root} holds folders of the same names as {groups[0].name}: call the two train "
                f"and val, or move {other.name} away"
            )


def _require_classes(root: Path, groups: list[Path], inside: list[list[Path]]) -> None:
    """Refuse folders that are no classes: parts of the data by other names, and parts without classes.

    Raises:
        UsageError: they are.
    """
    first, *others = ({entry.name for entry in entries} for entries in inside)
    for group, names in zip(groups[1:], others, strict=True):
        if first and not names and any(_is_image(one.name) for one in group.iterdir()):
            raise UsageError(
                f"{group} has images and none of the classes of {groups[0].name}: sort them into folders of their "
                "classes, or move them away"
            )
        if first and names and not first & names:
            raise UsageError(
                f"{group} has the folder {min(names)} and none of the classes of {groups[0].name}: sort its images "
                "into folders of their classes"
            )
    seen: dict[str, Path] = {}
    shared: Counter[tuple[Path, Path]] = Counter()
    for entry in inside[0]:
        if any(_is_image(one.name) for one in entry.iterdir()):
            continue
        for name in (folder.name for folder in _folders(entry)):
            earlier = seen.setdefault(name, entry)
            shared[earlier, entry] += earlier != entry
    if shared and max(shared.values()) > 1:
        one, other = max(shared, key=lambda pair: shared[pair])
        raise UsageError(
            f"{one.name} and {other.name} of {root} hold folders of the same names: they are parts and no classes; "
            "call them train and val, or give one of them alone"
        )


def _class_names(root: Path, numbers: Mapping[str, int]) -> tuple[str, ...]:
    mapping = _mapping(root, numbers)
    names = {label: folder for folder, label in numbers.items()}
    if mapping is not None:
        names.update({label: name for label, (_, name) in mapping.items()})
    return tuple(names.get(label, str(label)) for label in range(max(names) + 1)) if names else ()


def _mapping(root: Path, folders: Container[str] = ()) -> dict[int, tuple[str, str]] | None:
    """Label to folder and name, where the data says so itself; names of `folders` may have spaces."""
    as_json, as_text = root / "classes.json", root / "classes.txt"
    if as_json.is_file():
        try:
            stored = codec.read_json(as_json, dict[str, list[str]], _MAX_MAPPING_BYTES)
            entries = {int(label): (names[0], names[-1]) for label, names in stored.items()}
        except (OSError, ValueError, IndexError):
            raise UsageError(
                f'{as_json} is no class mapping: write {{"0": ["FOLDER", "NAME"], …}}'
            ) from None
        if any(label < 0 for label in entries):
            raise UsageError(f"{as_json} has a negative label: number the classes from 0")
        if max(entries, default=0) >= MOST_CLASSES:
            raise UsageError(
                f"{as_json} has the label {one_line(max(entries), 20)}: number the classes from 0, up to "
                f"{MOST_CLASSES - 1:,}"
            )
        if len(entries) < len(stored):
            raise UsageError(f"{as_json} has a label twice: give each class a number of its own")
        return _told_apart(entries, as_json)
    if as_text.is_file():
        try:
            text = read_file(as_text, _MAX_MAPPING_BYTES).decode("utf-8-sig")
        except OSError as error:
            raise UsageError(f"{as_text} can't be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{as_text} is not text in UTF-8 (byte {error.start}): save it in that encoding"
            ) from None
        lines = [line.strip() for line in text.splitlines()]
        words = [[line] if line in folders else line.split(None, 1) for line in lines if line]
        if len(words) > MOST_CLASSES:
            raise UsageError(f"{as_text} has more than {MOST_CLASSES:,} classes: it is no mapping")
        named = {label: (line[0], line[-1].strip()) for label, line in enumerate(words)}
        return _told_apart(named, as_text)
    return None


def _told_apart(entries: dict[int, tuple[str, str]], place: Path) -> dict[int, tuple[str, str]]:
    """The mapping, where each folder is of one class.

    Raises:
        UsageError: a folder is that of two.
    """
    seen: dict[str, int] = {}
    for label, (folder, _) in entries.items():
        if folder in seen:
            raise UsageError(
                f"{place} has the folder {one_line(folder, 40)} as class {seen[folder]} and as class {label}: "
                "name each folder once"
            )
        seen[folder] = label
    return entries


def _list_images(
    inside_of: Mapping[Path, list[Path]], numbers: Mapping[str, int] | None
) -> tuple[list[str], Labels, list[int]]:
    """Paths and labels of all images, group after group, and how many each group has.

    Without numbers of classes, those that lie in the folders themselves, all with label 0.
    """
    paths: list[str] = []
    labels: list[int] = []
    counts: list[int] = []
    for folders in inside_of.values():
        before = len(paths)
        for entry in folders:
            files = sorted(_images_in(entry, deep=numbers is not None))
            paths += files
            labels += [numbers[entry.name] if numbers else 0] * len(files)
        counts.append(len(paths) - before)
    return paths, np.array(labels, dtype=np.int64), counts


def _bytes_of(path: str) -> bytes:
    """What a file holds; nothing where it can't be read, as a pass over the images leaves it out."""
    try:
        with open_file(path) as file:
            return file.read()
    except OSError:
        return b""


def _folders(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if e.is_dir() and _is_the_users(e.name))


def _is_the_users(name: str) -> bool:
    """Whether a folder is one that may hold images, by its name."""
    return not name.startswith(".") and name not in _NOT_THE_USERS


def _images_in(folder: Path, *, deep: bool) -> Generator[str, None, None]:
    """The images of a folder and, where it is `deep`, of the folders in it; none is looked into twice."""
    seen: set[str] = set()
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        place = os.path.realpath(here)
        if place in seen:  # a link to a folder above it
            continue
        seen.add(place)
        with os.scandir(here) as entries:
            for entry in entries:
                if _is_image(entry.name):
                    yield entry.path
                elif deep and _is_the_users(entry.name) and entry.is_dir():
                    waiting.append(entry.path)


def _has_images(folder: Path) -> bool:
    """Whether a folder, or one in it, holds an image; no more of them is read than tells."""
    with closing(_images_in(folder, deep=True)) as images:
        return next(images, None) is not None


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _decode(
    path: str, height: int, width: int, resize_px: int | None = None
) -> npt.NDArray[np.uint8]:
    """One image, resized and cut to (height, width, 3)."""
    with open_file(path) as file, Image.open(file) as opened:
        if opened.mode not in _MODES:
            raise ValueError(f"mode {opened.mode} is not 8 bits a channel")
        image = opened.convert("RGB")
    if resize_px is None:
        factor = RESIZE_RATIO * max(height / image.height, width / image.width)
    else:
        side = min(image.height, image.width)
        least = max(-(-side * height // image.height), -(-side * width // image.width))
        if (
            resize_px < least
        ):  # an input that is not square may need more of one side than the shorter one gives
            raise UsageError(
                f"--resize {resize_px} leaves images smaller than the network's {height} x {width} px: give at "
                f"least {least} for images of {image.height} x {image.width} px"
            )
        factor = resize_px / side
    size = (max(width, round(image.width * factor)), max(height, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)), dtype=np.uint8)
