"""From stored pixels to what a network takes: size, channels, scale."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from deploykit.data.options import ImageOptions
from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

#: What is said where a mean or a deviation is given for a network that takes whole numbers.
WHOLE = (
    "the network takes whole numbers, so that it gets pixels as they are, from 0 to 255: leave --mean and --std "
    "out, and those of an npz"
)
#: Weights of red, green and blue in luminance (ITU-R BT.601).
LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Preprocessing:
    """How stored pixels become network inputs: (pixel / scale - mean) / std, per channel.

    Attributes:
        scale: the largest pixel value that can be stored.
        mean, std: one value per stored channel, of pixels already divided by `scale`.
        bgr: whether the network takes three channels as blue, green, red; `mean` and `std` stay red first.
        whole: whether the network takes whole numbers: pixels as they are stored, which nothing is taken from.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False
    # It goes by the network: what images are known by stays the same.
    whole: bool = field(default=False, repr=False)

    def told(self, options: ImageOptions, channels: int) -> Preprocessing:
        """The same with what is said of the images, of so many stored channels.

        Raises:
            UsageError: there are numbers for more channels.
        """
        values: dict[str, Any] = {}
        for name in ("mean", "std"):
            given: tuple[float, ...] | None = getattr(options, name)
            if given is None:
                continue
            if len(given) not in (1, channels):
                raise UsageError(
                    f"--{name} has {len(given)} numbers for images of {channels} channels"
                )
            values[name] = given * channels if len(given) == 1 else given
        return replace(self, bgr=options.channel_order == "BGR", **values)

    def __call__(
        self, pixels: npt.NDArray[np.uint8], input_shape: tuple[int, int, int], name: str
    ) -> npt.NDArray[np.float32]:
        """Images for a network.

        Resized by bilinear interpolation, averaging where they shrink; grey is repeated where the
        network takes three channels, colour becomes luminance where it takes one.

        Args:
            pixels: (N, H, W, C).
            input_shape: what the network takes, (C, H, W).
            name: of the data set, for the message.

        Returns:
            float32 of shape (N, *input_shape), contiguous.

        Raises:
            UsageError: the channels can't be converted.
        """
        channels, height, width = input_shape
        stored = pixels.shape[-1]
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        # NCHW first: both resizing products then run over contiguous memory.
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
        images = resize(images, height, width)
        if stored == 3 and channels == 1:
            luminance = np.array(LUMINANCE, np.float32)
            images = np.tensordot(images, luminance, axes=(1, 0))[:, None].astype(np.float32)
            mean, std = (mean @ luminance)[None], (std @ luminance)[None]
        elif stored != channels and stored != 1:
            raise UsageError(
                f"images of {name} have {stored} channels but the network takes {channels}: "
                f"convert the images"
            )
        if self.whole:
            images = np.rint(images)
        else:
            images *= (1 / (self.scale * std))[:, None, None]
            images -= (mean / std)[:, None, None]
        if images.shape[1] != channels:
            images = np.repeat(images, channels, axis=1)
        return np.ascontiguousarray(images[:, ::-1] if self.bgr else images)


def resize(images: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Resize (N, C, H, W) images by a triangle filter: bilinear when growing, averaging else.

    Pixel centres are at halves, and at the edges the filter is renormalised (the convention of
    Pillow's BILINEAR and of PyTorch's `interpolate(..., antialias=True)`).
    """
    if images.shape[2:] == (height, width):
        return images
    rows, columns = _weights(images.shape[2], height), _weights(images.shape[3], width)
    return np.asarray(np.matmul(np.matmul(rows, images), columns.T), dtype=np.float32)


@cache
def _weights(size: int, new_size: int) -> npt.NDArray[np.float32]:
    """A (new_size, size) matrix that resamples one axis."""
    step = size / new_size
    support = max(step, 1.0)
    centres = (np.arange(new_size) + 0.5) * step
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distance)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
