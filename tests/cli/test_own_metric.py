from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

DATA_PAGE = Path(__file__).parents[2] / "docs" / "data.md"
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((30, 3, 8, 8)).astype(np.float32)
MASKS = (RANDOM.random((30, 8, 8)) > 0.5).astype(np.uint8)
WEIGHT = (RANDOM.standard_normal((1, 3, 3, 3)) / 5).astype(np.float32)


@pytest.fixture
def segmenter(tmp_path):
    """Two inputs, an image and a bias for it; a mask and two scores come out."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Add", ["c", "bias"], ["d"]),
        helper.make_node("Squeeze", ["d", "one"], ["mask"]),
        helper.make_node("ReduceMax", ["d"], ["box"], axes=[1, 2], keepdims=0),
    ]
    values = {"w": WEIGHT, "one": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "segmenter",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8]),
            helper.make_tensor_value_info("bias", TensorProto.FLOAT, ["N", 1, 1, 1]),
        ],
        [
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 8, 8]),
            helper.make_tensor_value_info("box", TensorProto.FLOAT, ["N", 8]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "seg.onnx")
    (source,) = re.findall(r"```python\n(# iou.py.*?)```", DATA_PAGE.read_text(), re.S)
    (tmp_path / "iou.py").write_text(source)
    bias = RANDOM.standard_normal((30, 1, 1, 1)).astype(np.float32)
    split = np.arange(30) % 3 // 2 + 1
    np.savez(tmp_path / "own.npz", image=IMAGES, bias=bias, labels=MASKS, split=split)
    return bias[split == 2], split


def test_the_example_of_the_docs_measures_two_inputs_and_masks(run, tmp_path, segmenter):
    import onnxruntime

    bias, split = segmenter
    options = ("--data", "npz:own.npz", "--metric", "iou:each", "--quick", "--no-roofline", "-q")
    ended = run("profile", "seg.onnx", "--precision", "fp32,int8", *options, "--csv", "r.csv")
    assert ended.code == 0, ended.err
    with (tmp_path / "r.csv").open() as file:
        fp32, int8 = csv.DictReader(file)
    session = onnxruntime.InferenceSession(tmp_path / "seg.onnx")
    mask = session.run(["mask"], {"image": IMAGES[split == 2], "bias": bias})[0] > 0
    true = MASKS[split == 2] > 0
    expected = ((mask & true).sum((1, 2)) / (mask | true).sum((1, 2))).mean()
    assert float(fp32["metric_value"]) == pytest.approx(expected, rel=1e-5)
    assert int8["metric_fp32"] == fp32["metric_fp32"] == fp32["metric_value"]
    for row in (fp32, int8):
        low, value, high = (float(row[f"metric_{one}"]) for one in ("low", "value", "high"))
        assert low < value < high
        assert (row["metric"], row["test_images"], row["top1"]) == ("iou:each", "10", "")
        assert "top1 is blank: labels of own.npz are uint8 30 x 8 x 8" in row["reason"]
        assert "--metric" not in row["reason"]  # which was given
    assert int8["calibration"] == "minmax, 20 images of npz:own.npz"


def detector(path: Path, boxes: int) -> None:
    """Rows of `boxes` values, and of three, for each image."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "wb"], ["boxes"], name="boxes"),
        helper.make_node("Gemm", ["flat", "ws"], ["classes"], name="classes"),
    ]
    value = helper.make_tensor_value_info
    weights = {"wb": RANDOM.normal(size=(192, boxes)), "ws": RANDOM.normal(size=(192, 3))}
    graph = helper.make_graph(
        nodes,
        "detector",
        [value("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [
            value("boxes", TensorProto.FLOAT, ["N", boxes]),
            value("classes", TensorProto.FLOAT, ["N", 3]),
        ],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_boxes_are_not_taken_for_scores_and_the_row_names_the_output(run, tmp_path):
    labels = np.arange(30) % 3
    np.savez(tmp_path / "own.npz", images=IMAGES, labels=labels, split=np.arange(30) % 2 + 1)
    detector(tmp_path / "four.onnx", 4)
    detector(tmp_path / "three.onnx", 3)
    options = ("--data", "npz:own.npz", "--quick", "--no-roofline", "-q", "--csv", "r.csv")
    ended = run("profile", "four.onnx", "three.onnx", *options)
    assert ended.code == 0, ended.err
    with (tmp_path / "r.csv").open() as file:
        four, three = csv.DictReader(file)
    assert four["top1"]
    assert "top1 is of output 'classes'" in four["reason"]
    assert three["top1"] == ""
    assert "which output holds the scores of 3 classes can't be told" in three["reason"]
    assert "--scores OUTPUT" in three["reason"]


def test_layers_to_keep_are_searched_for_by_the_users_metric(run, segmenter):
    search = ("layers", "seg.onnx", "--precision", "int8", "--data", "npz:own.npz", "-q")
    ended = run(*search, "--metric", "iou:each", "--max-metric-drop", "0.9")
    assert ended.code == 0, ended.err
    said = re.fullmatch(
        r"nothing needs keeping: iou:each drops by (\S+) on the calibration part\n", ended.out
    )
    assert said
    assert 0 < abs(float(said[1])) < 0.1
    ended = run(*search, "--metric", "iou:each", "--max-metric-drop", "0", "--json")
    found = json.loads(ended.out)
    assert (found["nodes"] == []) == (float(said[1]) <= 0)
    assert found["metric"] == "iou:each"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--metric", "iou:each"), "give one of --max-accuracy-drop, --min-snr-db and"),
        (("--max-metric-drop", "0.1"), "--metric and --max-metric-drop go together"),
        (("--metric", "iou:none", "--max-metric-drop", "0.1"), "iou.py) has no 'none'"),
        (("--metric", "iou:each", "--min-snr-db", "9"), "--metric and --max-metric-drop go"),
        (("--scores", "mask", "--min-snr-db", "9"), "--scores names what --max-accuracy-drop"),
    ],
)
def test_a_search_by_a_metric_that_makes_no_sense_is_refused_at_once(run, segmenter, options, says):
    ended = run("layers", "seg.onnx", "--precision", "int8", "--data", "npz:own.npz", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1


def test_layers_are_judged_by_the_output_that_is_named(run, tmp_path):
    labels = np.arange(30) % 3
    np.savez(tmp_path / "own.npz", images=IMAGES, labels=labels, split=np.arange(30) % 2 + 1)
    detector(tmp_path / "three.onnx", 3)
    search = ("layers", "three.onnx", "--precision", "int8", "--data", "npz:own.npz", "-q")
    search = (*search, "--max-accuracy-drop", "90%")
    ended = run(*search)
    assert (ended.code, ended.out) == (2, "")
    assert "--scores OUTPUT" in ended.err
    for output in ("boxes", "classes"):
        ended = run(*search, "--scores", output)
        assert ended.code == 0, ended.err
        assert ended.out.startswith("nothing needs keeping: top-1 drops by ")
    ended = run(*search, "--scores", "nothing")
    assert ended.code == 2
    assert "--scores nothing: there is no such output, but boxes, classes" in ended.err
