"""Data and graphs that are not what they should be: refused in one line, or taken with a word about it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model

CLASSES = 3


def save_network(path: Path, weight: float | None = None, opset: int = 18) -> Path:
    """A convolution and a product on 3x8x8 images, three classes; `weight` is that of the convolution."""
    random = np.random.default_rng(0)
    kernel = (
        random.standard_normal((4, 3, 3, 3)) if weight is None else np.full((4, 3, 3, 3), weight)
    )
    product = random.standard_normal((CLASSES, 256)) / 16
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "g", "b"], ["y"], "product", transB=1),
    ]
    bias = np.array([0.1, 0.2, 0.3])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [
            numpy_helper.from_array(np.asarray(values, np.float32), name)
            for name, values in (("w", kernel), ("g", product), ("b", bias))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def save_images(path: Path, *, count: int = 60, shape=(3, 8, 8), classes: int = CLASSES, **arrays):
    """Labelled float images; `arrays` replaces what is stored."""
    random = np.random.default_rng(1)
    stored = {
        "images": random.standard_normal((count, *shape)).astype(np.float32),
        "labels": np.arange(count) % classes,
    }
    np.savez(path, **stored | arrays)


def with_nan() -> np.ndarray:
    images = np.zeros((60, 3, 8, 8), np.float32)
    images[:, 0, 0, 0] = np.nan
    return images


@pytest.fixture
def net(tmp_path) -> str:
    return str(save_network(tmp_path / "net.onnx"))


REFUSED = {
    "wrong size": ({"shape": (3, 9, 9)}, "3 x 9 x 9 but the network takes 3 x 8 x 8"),
    "wrong channels": ({"shape": (1, 8, 8)}, "1 x 8 x 8 but the network takes 3 x 8 x 8"),
    "wrong mode": ({"images": np.zeros((60, 8, 8, 4), np.uint8)}, "4 channels last"),
    "wrong type": ({"images": np.zeros((60, 3, 8, 8), np.int32)}, "store float32"),
    "empty": ({"images": np.zeros((0, 3, 8, 8), np.float32), "labels": np.arange(0)}, "holds no images"),
    "negative label": ({"labels": np.arange(60) % 3 - 1}, "is -1: labels must be"),
    "NaN images": ({"images": with_nan()}, "holds NaN or infinite values"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_can_not_be_calibrated_on_is_refused_in_one_line(net, run, tmp_path, case):
    import re

    arrays, message = REFUSED[case]
    save_images(tmp_path / "data.npz", **arrays)
    ended = run("build", net, "--precision", "int8", "--data", "npz:data.npz", "-q")
    assert ended.code == 2
    assert re.search(message, ended.err), ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_more_classes_than_the_network_has_outputs_are_a_failed_row(net, run, tmp_path):
    save_images(tmp_path / "data.npz", classes=5)
    ended = run("profile", net, "--data", "npz:data.npz", "--quick", "--csv", "p.csv", "-q")
    assert ended.code == 2
    (row,) = read(tmp_path / "p.csv")
    assert row["status"] == "failed"
    assert "has 5 classes but the network has 3 outputs" in row["reason"]
    assert "5 classes" in ended.err


def test_fewer_calibration_images_than_asked_for_are_refused(net, run, tmp_path):
    save_images(tmp_path / "data.npz")
    options = ("--data", "npz:data.npz", "--calibration-images", "100", "-q")
    ended = run("build", net, "--precision", "int8", *options)
    assert ended.code == 2
    assert "fewer than the 100 asked for" in ended.err


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def save_folder(root: Path, count: int, broken: int) -> None:
    """Two classes of JPEGs, `broken` of them in the one called dog."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            shade = np.full((12, 12, 3), number % 250, np.uint8)
            image.fromarray(shade).save(root / name / f"{number:03}.jpg")
    for number in range(broken):
        (root / "dog" / f"{number:03}.jpg").write_bytes(b"\xff\xd8 no more than this")


def test_many_corrupt_jpegs_are_counted_named_and_refused(net, run, tmp_path):
    save_folder(tmp_path / "pictures", 30, broken=30)
    ended = run("build", net, "--precision", "int8", "--data", "imagefolder:pictures", "-q")
    assert ended.code == 2
    assert "of the 48 images of imagefolder:pictures/calibration can't be read" in ended.err
    assert "dog/" in ended.err


def test_few_corrupt_jpegs_are_counted_and_named_in_the_row(net, run, tmp_path):
    save_folder(tmp_path / "pictures" / "train", 20, broken=0)
    save_folder(tmp_path / "pictures" / "val", 150, broken=1)
    (tmp_path / "pictures" / "classes.txt").write_text("cat\ndog\n")  # of the network's three
    ended = run("profile", net, "--data", "imagefolder:pictures", "--quick", "--csv", "p.csv", "-q")
    assert ended.code == 0, ended.err
    (row,) = read(tmp_path / "p.csv")
    assert row["test_images"] == "299"
    assert "1 image of the test part can't be read and was left out" in row["reason"]
    assert "val/dog/000.jpg" in row["reason"]


@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
def test_activations_that_are_all_zero_have_a_scale_and_finite_outputs(run, tmp_path, target):
    path = save_network(tmp_path / "zero.onnx", weight=0.0)
    options = ("--precision", "int8", "--synthetic-calibration", "--target", target, "-q")
    ended = run("build", path, *options)
    assert ended.code == 0, ended.err
    assert "int8" in ended.out


def test_a_quantised_graph_is_not_quantised_again(net, run, tmp_path):
    from deploykit.graph.calibrate import synthetic_calibration

    calibration = synthetic_calibration((3, 8, 8), count=4)
    convert(open_model(net), "int8", "cpu", tmp_path / "quantised.onnx", calibration)
    ended = run("build", "quantised.onnx", "--precision", "fp16", "-q")
    assert ended.code == 2
    assert "is quantised already" in ended.err
    assert "give the float32 model" in ended.err


@pytest.mark.parametrize("opset", [9, 11, 12])
@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
def test_an_opset_too_old_for_scales_per_channel_is_raised(run, tmp_path, opset, target):
    path = save_network(tmp_path / "old.onnx", opset=opset)
    options = ("--precision", "int8", "--synthetic-calibration", "--target", target, "-q")
    ended = run("build", path, *options, "--json")
    assert ended.code == 0, ended.err
    assert '"precision_actual": "int8"' in ended.out


def test_activations_that_overflow_fp16_stay_in_fp32_unless_that_is_refused(run, tmp_path):
    path = save_network(tmp_path / "large.onnx", weight=1e4)
    assert run("build", path, "--precision", "fp16", "-q").code == 0
    ended = run("build", path, "--precision", "fp16", "-q", "--strict")
    assert ended.code == 4
    assert "conv (c reaches" in ended.err
    assert "--strict refuses that" in ended.err
    assert len(ended.err.splitlines()) == 1
