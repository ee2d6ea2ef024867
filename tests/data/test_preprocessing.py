from __future__ import annotations

import numpy as np
import pytest

from deploykit.data.preprocessing import Preprocessing, resize
from deploykit.errors import UsageError


@pytest.mark.parametrize("size", [(64, 64), (48, 48), (20, 30), (9, 64), (28, 28)])
def test_resizing_agrees_with_pytorch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).random((2, 3, 28, 28), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(images), size, mode="bilinear", antialias=True, align_corners=False
    )
    np.testing.assert_allclose(resize(images, *size), expected.numpy(), atol=1e-5)


def test_values_are_scaled_then_normalised_by_channel() -> None:
    pixels = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    prepared = Preprocessing(255, (0.5, 0.1, 0.0), (0.5, 0.2, 2.0))(pixels, (3, 1, 1), "x")
    np.testing.assert_allclose(prepared.reshape(-1), [-1.0, 0.5, 0.5], atol=1e-6)
    assert prepared.dtype == np.float32


def test_colour_becomes_luminance_for_a_grey_network() -> None:
    pixels = np.array([255, 0, 0], np.uint8).reshape(1, 1, 1, 3)
    prepared = Preprocessing(255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(pixels, (1, 1, 1), "x")
    np.testing.assert_allclose(prepared.reshape(-1), [0.299], atol=1e-6)


def test_channels_that_can_not_be_converted_are_refused() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    with pytest.raises(UsageError, match="have 3 channels but the network takes 4"):
        Preprocessing(255, (0.0,) * 3, (1.0,) * 3)(pixels, (4, 2, 2), "x")
