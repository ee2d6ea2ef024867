"""What tests of several parts share: graphs that others made, and one store for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cuda_double
import pytest
from hypothesis import settings

from deploykit.store import Store

# The first example imports what the later ones find imported; no test is about time.
settings.register_profile("deploykit", deadline=None)
settings.load_profile("deploykit")


@pytest.fixture(scope="session")
def light_squeezenet() -> Path:
    """A graph nobody here made, small in bytes: the onnx package ships it for its own tests."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return folder / "light_squeezenet.onnx"


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that keeps what one test made for the next, so that a network is exported once."""
    return Store(tmp_path_factory.mktemp("shared") / "engines")


@pytest.fixture
def cuda() -> Iterator[cuda_double.Cuda]:
    """A simulated device under the real cuda-bindings; a test that leaks there, or does wrong, fails."""
    double = cuda_double.install(cuda_double.Settings())
    double.reset()
    yield double
    left = [*double.offences, *(f"leaked {one}" for one in double.leaks())]
    # The rest of this process has no driver, as the real bindings would find.
    double.reset()
    double.settings = cuda_double.Settings(devices=[], driver_cuda=0)
    assert left == []
