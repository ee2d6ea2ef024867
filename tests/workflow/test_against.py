from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploykit.bench.scenario import Scenario
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.workflow.against import check_sides, other_side
from deploykit.workflow.configuration import Configuration

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


@pytest.mark.parametrize("scenario", [Scenario(streams=2), Scenario(rate_per_s=10.0)])
def test_scenarios_of_many_requests_are_refused(scenario: Scenario):
    with pytest.raises(UsageError, match="single requests"):
        check_sides([HEAD, replace(HEAD, scenario=scenario)])


def test_a_precision_that_the_backend_lacks_is_refused():
    with pytest.raises(UsageError, match="bf16"):
        check_sides([HEAD, replace(HEAD, precision="bf16")])
