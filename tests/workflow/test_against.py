from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from deploykit.backends import get
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Scenario
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import BuildOptions, InputChoice, ModelFile, ModelSpec
from deploykit.store import Store
from deploykit.workflow.against import _of_engine, check_sides, other_side
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import Configuration
from deploykit.workflow.network import obtain_network

HEAD = Configuration(ModelSpec("lenet5"), "fp32", "onnxruntime", 1)


def test_a_precision_changes_the_precision_alone():
    assert other_side("int8", HEAD) == replace(HEAD, precision="int8")


def test_an_option_set_changes_what_it_names():
    assert other_side("precision=int8, batch=4,threads=1", HEAD) == replace(
        HEAD, precision="int8", batch=4, scenario=Scenario(threads=1)
    )


def test_a_name_or_a_file_is_another_network(tmp_path: Path):
    assert other_side("squeezenet", HEAD).source == ModelSpec("squeezenet1_0")
    (tmp_path / "own.onnx").write_bytes(b"")
    assert other_side(str(tmp_path / "own.onnx"), HEAD).source == ModelFile(tmp_path / "own.onnx")


def test_another_file_is_given_the_inputs_that_are_said_of_the_head_s(tmp_path: Path):
    (tmp_path / "own.onnx").write_bytes(b"")
    said = InputChoice((("x", (1, 3, 320, 320)),), layout="NCHW")
    head = replace(HEAD, source=ModelFile(tmp_path / "head.onnx", said))
    assert other_side(str(tmp_path / "own.onnx"), head).source == ModelFile(
        tmp_path / "own.onnx", said
    )
    assert other_side("squeezenet", head).source == ModelSpec("squeezenet1_0")


def test_another_network_gets_the_input_size_that_was_given(tmp_path: Path):
    """Networks were compared at two sizes: at that of --resolution and at the other one's own."""
    head = replace(HEAD, source=ModelSpec("mobilenet", resolution_px=160))
    found = other_side("squeezenet", head)
    assert found == replace(head, source=ModelSpec("squeezenet1_0", resolution_px=160))
    assert other_side("mobilenet", head).source == ModelSpec("mobilenet")
    at_rho = replace(HEAD, source=ModelSpec("mobilenet", rho=Fraction(4, 7), num_classes=10))
    found = other_side("squeezenet", at_rho).source
    assert found == ModelSpec("squeezenet1_0", resolution_px=128, num_classes=10)
    with pytest.raises(UsageError, match=r"lenet5 takes .* px and no other size"):
        other_side("lenet5", head)
    (tmp_path / "own.onnx").write_bytes(b"")
    assert other_side(str(tmp_path / "own.onnx"), head).source == ModelFile(tmp_path / "own.onnx")


def test_a_folder_with_a_manifest_is_an_engine(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{}")
    assert other_side(str(tmp_path), HEAD) == tmp_path


@pytest.mark.parametrize("text", ["fp32", "batch=1", "lenet5"])
def test_a_network_against_itself_is_refused(text: str):
    with pytest.raises(UsageError, match="very same configuration"):
        other_side(text, HEAD)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch=0", "whole number from 1"),
        ("batch=", "whole number from 1"),
        ("squeezenet1", "did you mean squeezenet"),
        ("nothing-like-it", "no .onnx file, engine folder, precision, option set"),
    ],
)
def test_what_can_t_be_is_said(text: str, said: str):
    with pytest.raises(UsageError, match=said):
        other_side(text, HEAD)


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean threads"):
        other_side("thread=1", HEAD)


def test_an_engine_of_a_folder_is_measured_as_the_head_is(shared_store: Store):
    network = obtain_network(ModelSpec("lenet5"), shared_store)
    built = build_network(
        network, "fp32", get("torch"), BuildOptions(), CalibrationChoice(), shared_store
    )
    folder = built.engine.path.parent
    asked = WorkerRequest(
        folder, "onnxruntime", batch=3, threads=1, run_pass="forward_backward", boundary="device"
    )
    row, request = _of_engine(folder, HEAD, asked, "run")
    required = ("schema", "run_id", "env_id", "repeat", "backend_version", "pass", "cuda_graph")
    assert all(row[name] is not None for name in required)
    assert request == replace(asked, backend="torch")
    assert row["batch"] == 3


@pytest.mark.parametrize("scenario", [Scenario(streams=2), Scenario(rate_per_s=10.0)])
def test_scenarios_of_many_requests_are_refused(scenario: Scenario):
    with pytest.raises(UsageError, match="single requests"):
        check_sides([HEAD, replace(HEAD, scenario=scenario)])


def test_a_pass_or_a_boundary_that_the_other_backend_lacks_is_refused():
    backward = replace(HEAD, backend="torch", run_pass="forward_backward")
    check_sides([backward])
    with pytest.raises(UsageError, match="onnxruntime has no forward_backward pass"):
        check_sides([backward, other_side("backend=onnxruntime", backward)])
    on_device = replace(HEAD, scenario=Scenario(boundary="device"))
    with pytest.raises(UsageError, match="onnxruntime has no --boundary device"):
        check_sides([on_device])


def test_a_precision_that_the_backend_lacks_is_refused():
    with pytest.raises(UsageError, match="bf16"):
        check_sides([HEAD, replace(HEAD, precision="bf16")])
