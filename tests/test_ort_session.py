from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deploykit.errors import BuildFailed, InvalidModel, MissingDependency, one_line
from deploykit.ort_session import PROVIDER, input_specs, open_session, session_options


def doubled_negation(kind: int = TensorProto.DOUBLE) -> onnx.ModelProto:
    """x -> -(-x): two nodes that optimising removes."""
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", 2])],
        [helper.make_tensor_value_info("z", kind, ["n", 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def refused(reason: str) -> InvalidModel:
    return InvalidModel(f"no: {reason}")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_graph_runs_from_a_file_or_from_bytes(tmp_path, as_bytes):
    model, path = doubled_negation(), tmp_path / "m.onnx"
    onnx.save(model, path)
    source = model.SerializeToString() if as_bytes else path
    session = open_session(source, session_options(optimise=True, threads=1), refused)
    assert session.get_providers() == [PROVIDER]
    (spec,) = input_specs(session)
    assert (spec.name, spec.shape, spec.dtype) == ("x", ("n", 2), "float64")
    assert session.run(None, {"x": np.ones((1, 2))})[0].tolist() == [[1.0, 1.0]]


def test_the_runtime_is_as_quiet_and_as_eager_as_asked():
    import onnxruntime

    plain, eager = session_options(optimise=False), session_options(optimise=True, threads=3)
    levels = onnxruntime.GraphOptimizationLevel
    assert plain.graph_optimization_level == levels.ORT_DISABLE_ALL
    assert eager.graph_optimization_level == levels.ORT_ENABLE_ALL
    assert (plain.intra_op_num_threads, eager.intra_op_num_threads) == (0, 3)
    assert plain.log_severity_level == eager.log_severity_level == 4


def test_a_graph_that_it_refuses_is_the_callers_error_in_one_line_and_nothing_on_stderr(capfd):
    model = doubled_negation()
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(InvalidModel, match=r"^no: .*Nonsense") as error:
        open_session(model.SerializeToString(), session_options(optimise=True), refused)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_silent_change_of_provider_is_an_error(monkeypatch):
    import onnxruntime

    class Elsewhere:
        def __init__(self, *_, **__):
            pass

        def get_providers(self):
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    with pytest.raises(BuildFailed, match=r"took .'CUDAExecutionProvider'. instead of CPU"):
        open_session(b"", session_options(optimise=False), refused)


def test_without_the_runtime_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r'pip install .*\[cpu\]"'):
        session_options(optimise=False)


def test_a_native_message_is_cut_to_its_line():
    text = "  bad\n  node at /build/src/core/graph.cc:12 (Conv)  " + "x" * 400
    assert one_line(text).startswith("bad node at graph.cc:12 (Conv) xxx")
    assert len(one_line(text, 50)) <= 50
    assert one_line(text, 50).endswith("…")
