from __future__ import annotations

import ast
import contextlib
import inspect
import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from stored_reports import row, save

import deploykit
from deploykit.claims import VERDICTS
from deploykit.errors import DeploykitError, InvalidModel, UnknownName, UsageError
from deploykit.spec import BuildOptions, ModelSpec, Reason, TensorSpec

#: Packages that are called as functions: a name can't be both.
CALLABLE = {"claims", "report"}


def test_all_is_the_public_names():
    from deploykit import api

    assert set(deploykit.__all__) == {*api.__all__, "DeploykitError"}
    assert deploykit.__all__ == sorted(deploykit.__all__)
    assert set(dir(deploykit)) == {*deploykit.__all__, *CALLABLE, "__version__"}


def test_every_command_has_its_function():
    from deploykit.cli import COMMANDS

    elsewhere = {"list": "list_models", "store": "stored"}
    named = {elsewhere.get(command, command) for command in COMMANDS}
    assert named <= {*deploykit.__all__, *CALLABLE}


def test_a_package_that_bears_a_function_s_name_is_called_as_one():
    assert deploykit.claims is sys.modules["deploykit.claims"]
    assert deploykit.claims(["vgg-140m"])["id"].tolist() == ["vgg-140m"]
    from deploykit.claims import evaluate_claims

    assert callable(evaluate_claims)


@pytest.mark.parametrize("name", deploykit.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(deploykit, name)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        assert "return" in inspect.signature(found).parameters or found.__annotations__["return"]


def test_the_names_promised_to_type_checkers_are_the_same():
    tree = ast.parse(Path(deploykit.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    (imported,) = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name for alias in imported.names} == set(deploykit.__all__) - {"DeploykitError"}


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'exprt'"):
        _ = deploykit.exprt
    assert deploykit.__version__


def test_create_model_gives_a_network_in_eval_mode():
    import torch

    module = deploykit.create_model("mobilenet", alpha=0.25, num_classes=7)
    assert not module.training
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 96, 96)).shape == (1, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mobilnet"}, "did you mean mobilenet"),
        ({"name": "alexnet", "alpha": 0.5}, "no width multiplier"),
        ({"name": "mobilenet", "alpha": 2}, "alpha takes numbers above 0 and up to 1"),
        ({"name": "mobilenet", "rho": "half"}, "rho takes numbers"),
        ({"name": "mobilenet", "rho": ""}, "rho needs at least one number"),
        ({"name": "lenet5", "rho": Fraction(1, 2)}, "no other size"),
        ({"name": "lenet5", "weights": "gone.pt"}, "no weights at"),
    ],
)
def test_create_model_refuses_what_cannot_be(arguments, message):
    with pytest.raises(UsageError, match=message):
        deploykit.create_model(**arguments)


def test_rho_is_exact_however_it_is_written():
    from deploykit.api.arguments import exact

    assert exact("6/7", "rho") == (Fraction(6, 7),)
    assert exact([0.1, "1"], "rho") == (Fraction(1, 10), 1)
    assert exact(1, "rho") == exact(Fraction(1), "rho") == (1,)


def test_list_models_matches_patterns():
    assert {"vgg11", "vgg16", "vgg19"} <= set(deploykit.list_models("vgg*"))
    assert set(deploykit.list_models("vgg*")) < set(deploykit.list_models())
    assert deploykit.list_models("zzz") == []


def test_model_info_resolves_aliases():
    assert deploykit.model_info("squeezenet").name == "squeezenet1_0"
    with pytest.raises(UnknownName):
        deploykit.model_info("squeeznet9")


def test_an_export_to_a_standard_output_of_text_is_refused_in_a_line(shared_store):
    """A notebook's has no bytes, which ended in an error of Python's."""
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(UsageError, match="text alone"):
        deploykit.export("lenet5", "-", weights="trained", store=shared_store)


def test_export_writes_the_file_and_describes_it(shared_store, tmp_path):
    path = tmp_path / "net.onnx"
    model = deploykit.export("lenet5", path, weights="trained", store=shared_store)
    assert model.path == path
    assert model.precision == "fp32"
    assert model.sha256 == deploykit.store.file_sha256(path)
    assert model.recipe["verified"]["batches"] == [1, 3]


def test_export_exports_a_network_of_the_users_own_once(shared_store, tmp_path, monkeypatch):
    """Such a network is in no store that could be asked: each export traces it anew."""
    from deploykit.workflow.network import obtain_network

    (tmp_path / "counted.py").write_text(
        "import torch\n"
        "calls = []\n"
        "def make():\n"
        "    calls.append(1)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 2))\n"
        "make.input_shape = (2, 2, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    obtain_network(ModelSpec("counted:make"), shared_store)
    calls = sys.modules["counted"].calls
    once = len(calls)
    assert deploykit.export("counted:make", tmp_path / "c.onnx", store=shared_store).path.is_file()
    assert len(calls) == 2 * once


def test_build_gives_the_engine_in_the_precision_asked_for(shared_store):
    engine = deploykit.build(
        "lenet5", precision="int8", target="tensorrt-rtx", weights="trained", store=shared_store
    )
    assert engine.precision_actual == "int8"
    assert engine.path.is_file()


def test_build_refuses_bad_words_before_any_work(tmp_path):
    from deploykit.store import Store

    for options in ({"precision": "int7"}, {"target": "gpu"}, {"data": "digit"}):
        with pytest.raises(UnknownName):
            deploykit.build("lenet5", store=Store(tmp_path / "engines"), **options)
    with pytest.raises(UsageError, match=r"no bf16 on this backend: .*openvino"):
        deploykit.build("lenet5", precision="bf16", store=Store(tmp_path / "engines"))
    assert not (tmp_path / "engines").exists()


def test_profile_gives_a_frame_with_every_column(shared_store):
    from deploykit.columns import NAMES

    spec = ModelSpec("lenet5", weights="trained")
    frame = deploykit.profile(spec, precisions=["fp32"], quick=True, store=shared_store)
    assert list(frame.columns) == list(NAMES)
    assert frame.loc[0, "status"] == "ok"
    assert frame.loc[0, "latency_p50_ms"] > 0


def test_check_claims_gives_a_frame_of_verdicts():
    frame = deploykit.check_claims(["vgg-140m"])
    assert list(frame["id"]) == ["vgg-140m"]
    assert frame.loc[0, "verdict"] in VERDICTS
    with pytest.raises(UnknownName):
        deploykit.check_claims(["vgg-141m"])


def test_count_takes_files_and_modules(light_squeezenet):
    counted = deploykit.count(light_squeezenet)
    assert counted.parameters == deploykit.model_info("squeezenet1_1").parameters
    module = deploykit.create_model("lenet5")
    assert deploykit.count(module, (1, 32, 32)).macs == 416_520
    with pytest.raises(UsageError, match="give input_shape"):
        deploykit.count(module)
    with pytest.raises(InvalidModel):
        deploykit.count("gone.onnx")


def test_count_says_which_sizes_it_took(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "height", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, "height", 8])],
    )
    path = tmp_path / "open.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    with pytest.warns(UserWarning, match="height=224: give sizes with shapes or dims"):
        counted = deploykit.count(path)
    assert "height=224" in counted.remarks[-1]
    assert deploykit.count(path, dims={"height": 7}).remarks == ()


def test_every_error_is_a_deploykit_error():
    with pytest.raises(DeploykitError):
        deploykit.model_info("nonsense")


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (ModelSpec("mobilenet"), "mobilenet"),
        (ModelSpec("mobilenet", alpha=0.5), "mobilenet-a0.5"),
        (ModelSpec("mobilenet", 0.5, Fraction(6, 7)), "mobilenet-a0.5-r6_7"),
        (ModelSpec("mobilenet", resolution_px=64), "mobilenet-64px"),
    ],
)
def test_a_spec_has_a_label_for_files(spec, label):
    assert spec.label == label


def test_the_first_symbolic_dimension_is_the_batch_and_others_are_1():
    spec = TensorSpec("x", ("batch", 3, None, "width"), "float32")
    assert spec.with_batch(8) == (8, 3, 1, 1)
    assert spec.dynamic_batch
    fixed = TensorSpec("x", (2, 3), "float32")
    assert fixed.with_batch(8) == (2, 3)
    assert not fixed.dynamic_batch
    assert TensorSpec("x", (), "float32").with_batch(4) == ()
    assert np.zeros(spec.with_batch(2), spec.dtype).shape == (2, 3, 1, 1)


def test_a_reason_reads_as_what_is_wrong_and_what_to_do():
    assert str(Reason("no GPU", "find one")) == "no GPU; find one"
    assert str(Reason("no GPU", "")) == "no GPU"


def test_values_cannot_be_changed():
    for value in (ModelSpec("a"), BuildOptions(), Reason("a", "b")):
        with pytest.raises(AttributeError):
            value.name = "b"


def test_profile_takes_a_metric_and_the_output_with_scores(monkeypatch):
    from deploykit.api import measuring

    seen = []

    class Noted:
        def __init__(self, store, options, say):
            seen.append(options)

        def rows(self, wanted):
            return []

    monkeypatch.setattr(measuring, "Profiler", Noted)
    deploykit.profile("lenet5", data="digits", metric="math:fsum", scores="logits")
    assert (seen[0].metric, seen[0].scores, seen[0].calibration.judged) == (
        "math:fsum",
        "logits",
        True,
    )
    with pytest.raises(UsageError, match=r"^metric is computed on test images"):
        deploykit.profile("lenet5", metric="math:fsum")
    with pytest.raises(UsageError, match="no function"):
        deploykit.profile("lenet5", data="digits", metric="nothing")


def test_a_module_in_half_precision_is_refused_with_what_to_do(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    half = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 2)).half()
    with pytest.raises(deploykit.DeploykitError, match=r"in float16: return it in float32"):
        deploykit.export(half, input_shape=(2, 2, 2))


def test_a_report_writes_its_pictures_too(tmp_path):
    rows = [row(drift_snr_db=40.0), row(precision="int8", drift_snr_db=20.0)]
    path = save(tmp_path / "profile.csv", rows)
    page = deploykit.write_report(path, svg=tmp_path / "pictures")
    assert page == tmp_path / "profile.html"
    assert (tmp_path / "pictures" / "drift.svg").read_text().startswith("<svg xmlns=")
    before = Path(path).read_bytes()
    with pytest.raises(UsageError, match="is read, and would be replaced"):
        deploykit.write_report(path, path=path)
    assert Path(path).read_bytes() == before


def test_arguments_that_would_change_nothing_are_refused_as_the_commands_refuse_them(tmp_path):
    with pytest.raises(UsageError, match="neither measures nor trains has no use for store: leave"):
        deploykit.check_claims("vgg-140m", store=tmp_path / "engines")
    path = save(tmp_path / "profile.csv", [row()])
    with pytest.raises(UsageError, match="without base, has no use for across_machines: leave"):
        deploykit.write_report(path, across_machines=True)
    with pytest.raises(UsageError, match="without base, has no use for max_slowdown: leave"):
        deploykit.write_report(path, max_slowdown="3%")
    assert [one.name for one in tmp_path.iterdir()] == ["profile.csv"]
    assert deploykit.write_report(path, max_slowdown=0.05).is_file()
