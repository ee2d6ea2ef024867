"""How images of a user's own are made into what the network was trained on: `imagefolder:PATH?mean=0.5&std=0.5`.

The options stand behind the path of a data set, so that they go wherever its name goes: into keys, manifests and
the processes that measure. `--mean`, `--std`, `--resize`, `--crop` and `--channel-order` write them there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploykit.errors import UsageError

_MARK = "?"
_NAMES = ("mean", "std", "resize", "crop", "channel-order")
ORDERS = ("RGB", "BGR")
#: Sides of images in px.
_MOST_PX = 16_384


@dataclass(frozen=True)
class ImageOptions:
    """What is said of images beside their data set.

    Attributes:
        mean, std: one number for all channels or one for each, of values in 0..1; None is the data set's own.
        resize_px: the shorter side after resizing; None is 256/224 of the network's input.
        crop_px: the side of the square that is cut out of the centre, which is the network's input; None is that.
        channel_order: in which the network takes colours.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize_px: int | None = None
    crop_px: int | None = None
    channel_order: str = "RGB"

    def __bool__(self) -> bool:
        return self != ImageOptions()


def split_options(text: str) -> tuple[str, ImageOptions]:
    """A data set's name, and what is said of its images behind it; a path may have question marks of its own.

    Raises:
        UsageError: an option that can't be.
    """
    name, mark, said = text.rpartition(_MARK)
    pairs = [part.partition("=") for part in said.split("&")]
    if not mark or not all(key in _NAMES and equals for key, equals, _ in pairs):
        return text, ImageOptions()
    return name, read_options({key: value for key, _, value in pairs})


def read_options(said: Mapping[str, str]) -> ImageOptions:
    """What texts by the names of options mean.

    Raises:
        UsageError: one can't be.
    """
    resize, crop = (_side(said.get(name), f"--{name}") for name in ("resize", "crop"))
    mean, std = (_numbers(said.get(name), f"--{name}") for name in ("mean", "std"))
    if mean is not None and max(mean) > 1:
        raise UsageError(
            f"--mean is of values in 0..1, not {said['mean'][:40]}: divide --mean and --std of bytes by 255"
        )
    if std is not None and min(std) <= 0:
        raise UsageError(f"--std takes numbers above 0, not {said['std']}")
    order = said.get("channel-order", "RGB").upper()
    if order not in ORDERS:
        raise UsageError(f"--channel-order takes RGB or BGR, not {said['channel-order']!r}")
    if resize is not None and crop is not None and crop > resize:
        raise UsageError(
            f"--crop {crop} is larger than --resize {resize}: cut out less, or resize to more"
        )
    return ImageOptions(mean, std, resize, crop, order)


def with_options(data: str | None, said: Mapping[str, str]) -> str | None:
    """A data set's name with what is said of its images; nothing is said of none.

    Raises:
        UsageError: an option that can't be, or one without data of the user's own.
    """
    given = {name: value for name, value in said.items() if value}
    if not given:
        return data
    first = next(iter(given))
    if data is None or data.partition(":")[0] not in ("imagefolder", "npz"):
        raise UsageError(
            f"--{first} is said of images of your own: give --data imagefolder:PATH or npz:PATH, or leave it out"
        )
    read_options(given)
    plain = {name: "".join(value.split()) for name, value in given.items()}
    return f"{data}{_MARK}{'&'.join(f'{name}={plain[name]}' for name in _NAMES if name in plain)}"


def _side(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,5}", text.strip(), re.ASCII) or not 1 <= int(text) <= _MOST_PX:
        raise UsageError(f"{option} takes a side in px from 1 to {_MOST_PX:,}, not {text[:40]!r}")
    return int(text)


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise UsageError(
            f"{option} takes one number, or one for each of three channels, of values in 0..1, such as "
            f"0.485,0.456,0.406, not {text[:40]!r}"
        )
    return values
