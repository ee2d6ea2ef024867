from __future__ import annotations

import numpy as np
import pytest

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.feeds import check_batch, fixed_batch, from_dataset, synthetic
from deploykit.bench.reference import graph_text, image_count, make_reference, read_reference
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.data.feeding import image_input
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import TensorSpec

IMAGE = (TensorSpec("image", ("batch", 1, 8, 8), "float32"),)
SHORT = Policy(warmup_s=0.01, warmup_max_s=0.2, window_s=0.005, min_s=0.05, max_s=0.5, block_s=0.01)


def test_a_reference_holds_the_graph_s_own_outputs(tiny, tmp_path):
    import onnx.reference

    content = tiny.classifier()
    path = make_reference(
        tiny.as_model(tmp_path / "m.onnx", content), tmp_path / "r.npz", seed=3, batch=32
    )
    found = read_reference(path)
    evaluator = onnx.reference.ReferenceEvaluator(onnx.load_from_string(content))
    (inputs,), (outputs,) = found.inputs, found.outputs
    assert inputs["image"].shape == (32, 1, 8, 8)
    expected = evaluator.run(None, inputs)[0]
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)
    assert abs(float(inputs["image"].std()) - 1) < 0.1
    assert np.array_equal(synthetic(IMAGE, 32, seed=3, sets=1)[0]["image"], inputs["image"])


def test_a_reference_of_a_data_set_holds_its_test_images(tiny, tmp_path):
    model = tiny.as_model(tmp_path / "m.onnx", tiny.classifier())
    found = read_reference(make_reference(model, tmp_path / "r.npz", dataset="digits", batch=32))
    assert np.array_equal(
        found.inputs[0]["image"], from_dataset(IMAGE, 32, "digits", sets=1)[0]["image"]
    )
    assert "images of digits" in found.source


def test_a_reference_that_is_there_is_not_made_again(tiny, tmp_path):
    model = tiny.as_model(tmp_path / "m.onnx", tiny.classifier())
    path = make_reference(model, tmp_path / "r.npz")
    before = path.stat().st_mtime_ns
    make_reference(model, path)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("batch", [1, 5])
def test_a_graph_of_a_fixed_batch_is_compared_in_whole_runs(tiny, tmp_path, batch):
    content = tiny.classifier(batch=batch)
    path = make_reference(tiny.as_model(tmp_path / "m.onnx", content), tmp_path / "r.npz")
    found = read_reference(path)
    assert {inputs["image"].shape[0] for inputs in found.inputs} == {batch}
    engine = tiny.store_engine(tmp_path / "engines", content)
    request = WorkerRequest(
        engine.folder, "onnxruntime", batch=batch, policy=SHORT, drift_reference=path
    )
    assert run_worker(request, 60).columns["drift_max_abs"] < 1e-4


def test_drift_is_found_at_the_row_s_own_batch(tiny, tmp_path):
    model = tiny.as_model(tmp_path / "m.onnx", tiny.classifier())
    path = make_reference(model, tmp_path / "r.npz", batch=5)
    assert {run["image"].shape[0] for run in read_reference(path).inputs} == {5}
    engine = tiny.store_engine(tmp_path / "engines", tiny.classifier(scale=1.5))
    request = WorkerRequest(
        engine.folder, "onnxruntime", batch=5, policy=SHORT, drift_reference=path
    )
    columns = run_worker(request, 60).columns
    assert columns["drift_max_abs"] > 0.1
    assert columns["drift_snr_db"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert columns["top1_agreement"] == 1.0


def test_another_batch_than_the_fixed_one_is_refused(tiny, tmp_path):
    engine = tiny.store_engine(tmp_path / "engines", tiny.classifier(batch=2))
    with pytest.raises(WorkerFailure, match="takes batch 2 only, not 3: use --batch 2") as caught:
        run_worker(WorkerRequest(engine.folder, "onnxruntime", batch=3, policy=SHORT), 60)
    assert caught.value.exit_code == 2


def test_a_graph_that_does_not_load_fails_in_one_line(tiny, tmp_path):
    model = tiny.as_model(tmp_path / "m.onnx", b"no graph")
    with pytest.raises(WorkerFailure, match=r"does not load m\.onnx") as caught:
        make_reference(model, tmp_path / "r.npz")
    assert caught.value.exit_code == 2
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    "other", [np.zeros(3), np.zeros((0, 3), np.float32), np.array(np.nan), np.array(["text"])]
)
def test_a_reference_that_holds_other_values_than_were_written_is_damaged(tiny, tmp_path, other):
    model = tiny.as_model(tmp_path / "m.onnx", tiny.classifier())
    path = make_reference(model, tmp_path / "r.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    for name in ("inputs_0_0", "outputs_0_0"):
        np.savez(path, **(arrays | {name: other}))
        with pytest.raises(InvalidModel, match="holds other values"):
            read_reference(path)


def test_a_damaged_reference_is_said_in_one_line(tmp_path):
    (tmp_path / "r.npz").write_bytes(b"PK damaged")
    with pytest.raises(InvalidModel, match="can't be read"):
        read_reference(tmp_path / "r.npz")


def test_large_inputs_make_fewer_images():
    assert image_count((TensorSpec("x", ("n", 3, 224, 224), "float32"),)) == 8
    assert image_count((TensorSpec("x", ("n", 3, 2000, 2000), "float32"),)) == 4
    assert image_count(IMAGE) == 32


def test_the_batch_of_a_graph_is_fixed_where_any_input_says_so():
    token = TensorSpec("ids", (1, 7), "int64")
    assert fixed_batch(IMAGE) is None
    assert fixed_batch((token,)) == 1
    assert fixed_batch((TensorSpec("x", (4, 2), "float32"),) * 2) == 4
    assert fixed_batch((TensorSpec("x", (4, 2), "float32"), TensorSpec("s", (), "float32"))) == 4
    assert (
        fixed_batch((TensorSpec("x", (4, 2), "float32"), TensorSpec("s", (2, 4), "float32"))) == 1
    )
    assert fixed_batch((*IMAGE, TensorSpec("rate", (), "int64"))) is None
    image = (TensorSpec("x", (64, 48, 3), "uint8"),)
    assert fixed_batch(image, (TensorSpec("y", (1, 5), "float32"),)) == 1
    assert fixed_batch(image, (TensorSpec("mask", (64, 48), "float32"),)) == 64
    assert fixed_batch(image, (TensorSpec("y", (None, 5), "float32"),)) == 64
    check_batch(IMAGE, 7)


def test_integer_inputs_are_valid_as_indices_and_masks():
    specs = (TensorSpec("ids", (1, 50), "int64"), TensorSpec("mask", (1, 50), "bool"))
    (feeds,) = synthetic(specs, 1, sets=1)
    assert set(np.unique(feeds["ids"])) == {0, 1}
    assert feeds["mask"].dtype == np.bool_


def test_inputs_that_are_no_numbers_are_refused():
    with pytest.raises(UsageError, match="'text' is of type str"):
        synthetic((TensorSpec("text", (1,), "str"),), 1)


def test_sets_differ_and_seeds_repeat():
    first, again = synthetic(IMAGE, 2, seed=1), synthetic(IMAGE, 2, seed=1)
    assert not np.array_equal(first[0]["image"], first[1]["image"])
    assert np.array_equal(first[3]["image"], again[3]["image"])


def test_a_data_set_needs_an_image_input():
    with pytest.raises(UsageError, match=r"this one has ids \[1, 7\]: store one array"):
        image_input((TensorSpec("ids", (1, 7), "int64"),))


def test_what_is_no_fp32_graph_is_not_called_one(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def graph(nodes, kind, weight):
        made = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, ["N", 3])],
            [helper.make_tensor_value_info("y", kind, ["N", 4])],
            [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(0.1), "s")],
        )
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
        return graph_text(tmp_path / "m.onnx")

    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    dynamic = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
        helper.make_node("MatMulInteger", ["q", "w", "qz"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    stored = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    half, whole = np.ones((3, 4), np.float16), np.ones((3, 4), np.int8)
    assert graph([product], TensorProto.FLOAT, np.ones((3, 4), np.float32)) == "fp32"
    for found, kind in (
        (graph([product], TensorProto.FLOAT16, half), "fp16"),
        (graph(dynamic, TensorProto.FLOAT, whole), "int8"),
        (graph(stored, TensorProto.FLOAT, whole), "quantised weights"),
    ):
        assert found == f"the file itself ({kind}, there is no fp32 model)"
