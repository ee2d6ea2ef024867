"""Building against doubles of every release of TensorRT, which have what that release has and nothing else."""

from __future__ import annotations

import sys

import pytest
import recorded_surfaces as recorded
from test_tensorrt_layers import EXPECTED, listing_of

from deploykit.backends import get
from deploykit.errors import BuildFailed
from deploykit.spec import BuildOptions, Reason

RELEASES = [(r, m) for m in ("tensorrt", "tensorrt_rtx") for r in recorded.RELEASES[m]]


@pytest.fixture(params=RELEASES, ids=[release for release, _ in RELEASES])
def built(request, tiny, tmp_path, monkeypatch):
    """Build the tiny network, of whose layers the log and the inspector say what is given; None does not load."""
    release, module = request.param
    trt = recorded.double(release, module)
    said = {"log": "", "inspector": None, "device": True}
    trt.init_libnvinfer_plugins = lambda logger, namespace: module == "tensorrt"

    class Plan(trt.IHostMemory, bytes):  # the bindings' memory can be read as bytes can
        stands_ = True

    class Made:
        """An object of which the test needs nothing but its class."""

    @recorded.stands_for(trt.INetworkDefinition)
    class Network(Made):
        pass

    @recorded.stands_for(trt.IOptimizationProfile)
    class Profile:
        def set_shape(self, input, min, opt, max):
            assert len(min) == len(opt) == len(max)

    @recorded.stands_for(trt.IBuilderConfig)
    class Config:
        def clear_flag(self, flag):
            self._cleared = flag

        def add_optimization_profile(self, profile):
            return 0

    @recorded.stands_for(trt.Builder)
    class Builder:
        def __init__(self, logger):
            self._log = logger

        def create_network(self, flags):
            return Network()

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            assert config.profiling_verbosity is trt.ProfilingVerbosity.DETAILED
            self._log.log(trt.ILogger.VERBOSE, said["log"])
            return Plan(b"plan")

    @recorded.stands_for(trt.OnnxParser)
    class Parser:
        num_errors = 0

        def __init__(self, network, logger):
            pass

        def parse(self, model, path=None):
            return True

    @recorded.stands_for(trt.EngineInspector)
    class Inspector:
        def get_engine_information(self, format):
            assert format is trt.LayerInformationFormat.JSON
            return said["inspector"]

    @recorded.stands_for(trt.ICudaEngine)
    class Engine:
        def create_engine_inspector(self):
            return Inspector()

        def create_execution_context(self, *arguments):
            return None  # as where there is no room for one

    @recorded.stands_for(trt.Runtime)
    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, serialized_engine):
            assert bytes(serialized_engine) == b"plan"
            return None if said["inspector"] is None else Engine()

    monkeypatch.setitem(sys.modules, module, trt)
    backend = get(module.replace("_", "-"))
    absent = Reason("no GPU", "get one", missing="device")
    monkeypatch.setattr(backend, "device", lambda: "NVIDIA L4" if said["device"] else absent)

    def build(log, inspector, *, device=True):
        said.update(log=log, inspector=inspector, device=device)
        return backend.build(tiny, BuildOptions(), tmp_path / "engine.plan")["compute_types"]

    return build


LOG, INSPECTOR = listing_of("rtx-1.7-log"), listing_of("10.2-inspector")
OF_LOG, OF_INSPECTOR = EXPECTED["rtx-1.7-log"], EXPECTED["10.2-inspector"]


def test_the_inspector_is_read_first(built, tmp_path):
    assert built(LOG, INSPECTOR) == OF_INSPECTOR
    assert (tmp_path / "engine.plan").read_bytes() == b"plan"


def test_the_log_is_read_where_the_engine_does_not_load_or_the_inspector_says_nothing(built):
    assert built(LOG, None) == OF_LOG
    assert built(LOG, '{"Layers": ["first"]}') == OF_LOG


def test_an_engine_of_which_nothing_is_told_is_refused(built):
    with pytest.raises(BuildFailed, match="gave no layer listing"):
        built("", None)
