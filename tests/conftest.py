"""What tests of several parts share: graphs that others made, and one store for the whole session."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cuda_double
import cuda_double.tensorrt
import pytest
from cuda_double.libraries import replace_libraries
from hypothesis import HealthCheck, settings

from deploykit import env
from deploykit.bench import contain
from deploykit.cuda import devices
from deploykit.store import Store

# The first example imports what the later ones find imported, and how long one takes to make says something of the
# machine: no test is about time.
settings.register_profile("deploykit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("deploykit")

# Whoever imports CUDA's bindings first, all tests of a process have the double under them. It shows no device, or
# one to every test where DEPLOYKIT_TEST_DEVICE asks for it.
cuda_double.in_child = False
if os.environ.get("DEPLOYKIT_TEST_DEVICE"):
    UNLESS_ASKED = cuda_double.Settings()
    if cuda_double.tensorrt.FOLDER not in os.environ:
        networks = tempfile.mkdtemp(prefix="networks-of-engines-")
        os.environ[cuda_double.tensorrt.FOLDER] = networks
        atexit.register(shutil.rmtree, networks, ignore_errors=True)
    os.environ.update(UNLESS_ASKED.to_environment())
    sys.meta_path.insert(0, cuda_double.tensorrt.PatchOnImport())
    replace_libraries(lambda: cuda_double.current.settings if cuda_double.current else UNLESS_ASKED)
else:
    UNLESS_ASKED = cuda_double.no_driver()
cuda_double.install_on_import(UNLESS_ASKED)


# Where nobody names a store it lies in the current folder, which is a test's own: none writes into a cache.
os.environ.setdefault("DEPLOYKIT_STORE", "engines")

#: Files with the longest of tests, and with fixtures that take as long for all tests of a file.
LONG = (
    "workflow/test_running.py",
    "workflow/test_tune.py",
    "cli/test_profile_faults.py",
    "cli/test_main_job.py",
    "cli/test_layers_command.py",
    "claims/test_evaluate.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: a long one that begins last is waited for while the other processes idle."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


def pytest_collection_finish() -> None:
    """Where a process per core runs tests, let PyTorch take one thread in each: more wait for each other.

    Most modules of tests import PyTorch, so that every process has it by now.
    """
    if "PYTEST_XDIST_WORKER" in os.environ and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _forget_current_test() -> None:
    """Take back the variable by which pytest tells a process its test.

    A process that calls are forked from serves as long as the environment is the one that it was started in. With a
    variable that every test changes, each test would start another and import ONNX and ONNX Runtime again.
    """
    os.environ.pop("PYTEST_CURRENT_TEST", None)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Before every fixture, as pytest sets the variable once more for each phase of a test."""
    _forget_current_test()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """Before the test itself."""
    _forget_current_test()


@pytest.fixture(autouse=True)
def keeps_small_numbers() -> Iterator[None]:
    """A runtime told to take denormals as zero tells its whole thread: no later test may run like that."""
    yield
    if sys.float_info.min / 2 == 0:
        import torch

        torch.set_flush_denormal(False)
        pytest.fail(
            "the processor was left taking denormals as zero: use the fixture flushes_small_numbers"
        )


@pytest.fixture
def flushes_small_numbers(keeps_small_numbers: None) -> Iterator[None]:
    """For a test that has a runtime take denormals as zero in this process: afterwards they are numbers again."""
    yield
    import torch

    torch.set_flush_denormal(False)


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
def in_place() -> Iterator[None]:
    """Convert and build in this process, for tests that put something into its modules."""
    with contain.in_place():
        yield


@pytest.fixture(scope="session")
def doubles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what child processes find of the doubles.

    One for all tests: a process that calls are forked from serves as long as its environment is the same.
    """
    return tmp_path_factory.mktemp("doubles")


@pytest.fixture
def tensorrt_rtx_runs(
    cuda: cuda_double.Cuda, monkeypatch: pytest.MonkeyPatch, doubles: Path
) -> None:
    """Engines of TensorRT for RTX, built as ever, run on the simulated device, here and in child processes."""
    import tensorrt_rtx

    for name in ("OnnxParser", "Builder", "Runtime"):
        monkeypatch.setattr(tensorrt_rtx, name, getattr(tensorrt_rtx, name))  # to be put back
    monkeypatch.setenv(cuda_double.tensorrt.FOLDER, str(doubles / "networks-of-engines"))
    cuda_double.tensorrt.patch(tensorrt_rtx)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, doubles: Path) -> Iterator[cuda_double.Cuda]:
    """A simulated device, here and in child processes; a test that leaks there, or does wrong, fails.

    `show` changes what it shows and how it fails.
    """
    double = cuda_double.install(cuda_double.Settings())
    double.reset()
    offences = doubles / "offences-on-the-device"
    offences.unlink(missing_ok=True)
    monkeypatch.setenv(cuda_double.LOG, str(offences))
    monkeypatch.setenv(devices.VISIBLE, "")  # so that what a test makes of it is undone
    monkeypatch.delenv(devices.VISIBLE)

    def forget() -> None:
        devices.forget()
        if "pynvml" in sys.modules:  # which keeps the library that it has loaded
            sys.modules["pynvml"].nvmlLib = None
        for known in (env.machine, env.env_id, env.device_name):
            known.cache_clear()

    def show(settings: cuda_double.Settings) -> None:
        forget()
        double.settings = settings
        for name, value in settings.to_environment().items():
            monkeypatch.setenv(name, value)

    double.show = show
    show(double.settings)
    yield double
    left = [*double.offences, *(f"leaked {one}" for one in double.leaks())]
    left += offences.read_text().splitlines() if offences.exists() else []
    double.reset()
    double.settings = UNLESS_ASKED
    forget()
    assert left == []


@pytest.fixture
def tensorrt(
    cuda: cuda_double.Cuda, monkeypatch: pytest.MonkeyPatch, doubles: Path
) -> Callable[[str], Any]:
    """Install a double of a release of TensorRT by the name of its surface, on the simulated device."""

    def install(surface: str) -> Any:
        return cuda_double.tensorrt.install(surface, doubles / surface, monkeypatch)

    return install
