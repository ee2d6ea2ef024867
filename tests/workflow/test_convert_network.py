"""From a graph to other precisions and engines, each made once."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from deploykit.backends import get
from deploykit.errors import MissingDependency, UnknownName, UsageError
from deploykit.graph.precision import find_recipe
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import Store
from deploykit.workflow import convert
from deploykit.workflow.build import build_network, check_precisions, usable_backends
from deploykit.workflow.calibration import calibration_of, check_choice
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.convert import calibration_text, convert_network
from deploykit.workflow.network import obtain_network

PLAIN = CalibrationChoice()


def counting(monkeypatch):
    """How often a graph was really converted."""
    real, calls = convert.convert, []

    def converted(*arguments, **options):
        calls.append(arguments[1:3])
        return real(*arguments, **options)

    monkeypatch.setattr(convert, "convert", converted)
    return calls


def test_fp32_is_the_graph_itself(trained, shared_store):
    assert convert_network(trained, "fp32", "cpu", PLAIN, shared_store) is trained.model


def test_a_graph_is_converted_once(in_place, trained, tmp_path, monkeypatch):
    calls, store = counting(monkeypatch), Store(tmp_path)
    first = convert_network(trained, "fp16", "cpu", PLAIN, store)
    second = convert_network(trained, "fp16", "cpu", PLAIN, store)
    assert calls == [("fp16", "cpu")]
    assert second.sha256 == first.sha256
    assert second.path == first.path
    assert second.precision == "fp16"


def test_int8_for_the_cpu_and_for_tensorrt_are_two_graphs(trained, shared_store):
    cpu = convert_network(trained, "int8", "cpu", PLAIN, shared_store)
    rtx = convert_network(trained, "int8", "tensorrt-rtx", PLAIN, shared_store)
    assert cpu.sha256 != rtx.sha256
    assert cpu.path != rtx.path


def test_trained_weights_are_calibrated_on_their_own_data(trained, shared_store):
    model = convert_network(trained, "int8", "cpu", PLAIN, shared_store)
    assert calibration_text(model) == "minmax, 100 images of digits"
    assert calibration_text(trained.model) is None


def test_random_weights_are_calibrated_on_noise_and_say_so(untrained, shared_store):
    model = convert_network(untrained, "int8", "cpu", PLAIN, shared_store)
    assert calibration_text(model) == "minmax, 8 synthetic images"


def test_every_part_of_the_choice_is_in_the_key(trained, tmp_path):
    store = Store(tmp_path)
    choices = [
        PLAIN,
        CalibrationChoice(images=10),
        CalibrationChoice(images=10, method="percentile"),
        CalibrationChoice(images=10, int8="plain"),
        CalibrationChoice(images=10, int8="weight-mse,bias"),
    ]
    graphs = [convert_network(trained, "int8", "cpu", choice, store) for choice in choices]
    assert len({graph.path for graph in graphs}) == len(choices)
    said = "minmax, 10 images of digits"
    assert calibration_text(graphs[1]) == said
    assert [calibration_text(g) for g in graphs[3:]] == [
        f"{said}; plain",
        f"{said}; weight-mse, bias",
    ]


def test_changed_code_makes_a_converted_graph_stale(in_place, trained, tmp_path, monkeypatch):
    calls, store = counting(monkeypatch), Store(tmp_path)
    convert_network(trained, "fp16", "cpu", PLAIN, store)
    monkeypatch.setattr(convert, "code_digest", lambda *names: "changed")
    convert_network(trained, "fp16", "cpu", PLAIN, store)
    assert len(calls) == 2


def test_a_users_file_is_not_calibrated_on_noise_unasked(light_squeezenet, tmp_path):
    network = obtain_network(light_squeezenet, Store(tmp_path))
    with pytest.raises(UsageError, match="give --data DATASET, or --synthetic-calibration"):
        convert_network(network, "int8", "cpu", PLAIN, Store(tmp_path))


def test_a_network_that_a_users_function_made_is_not_calibrated_on_noise_unasked(untrained):
    """It may have been made with trained weights, which its code alone knows."""
    model = dataclasses.replace(untrained.model, spec=ModelSpec("mine:net"))
    network = dataclasses.replace(untrained, model=model)
    with pytest.raises(UsageError, match=r"int8 needs images to calibrate .*--synthetic-calib"):
        calibration_of(network, CalibrationChoice())
    assert calibration_of(network, CalibrationChoice(synthetic=True)).count == 8


def test_a_network_that_takes_no_images_cannot_be_calibrated_on_some(trained, tmp_path):
    (spec,) = trained.model.inputs
    model = dataclasses.replace(
        trained.model, inputs=(dataclasses.replace(spec, shape=("batch", 64)),)
    )
    network = dataclasses.replace(trained, model=model)
    with pytest.raises(UsageError, match="takes no images"):
        convert_network(network, "int8", "cpu", PLAIN, Store(tmp_path))


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        (CalibrationChoice(method="entropie"), UnknownName, "did you mean entropy"),
        (CalibrationChoice(int8="biass"), UnknownName, "did you mean bias"),
        (CalibrationChoice(data="digit"), UnknownName, "unknown data set 'digit'"),
        (CalibrationChoice(data="npz:gone.npz"), UsageError, r"gone\.npz"),
        (CalibrationChoice(images=0), UsageError, "at least one image"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_any_work(choice, error, message):
    with pytest.raises(error, match=message):
        check_choice(choice)


def test_an_engine_is_built_once(trained, tmp_path):
    store, backend = Store(tmp_path), get("onnxruntime")
    first = build_network(trained, "int8", backend, BuildOptions(), PLAIN, store)

    def times():
        # Of files: a folder's is when its entry was used last.
        return {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}

    before = times()
    second = build_network(trained, "int8", backend, BuildOptions(), PLAIN, store)
    assert (first.hit, second.hit) == (False, True)
    assert second.engine == first.engine
    assert times() == before


def test_a_damaged_engine_is_built_again(trained, tmp_path):
    store, backend = Store(tmp_path), get("onnxruntime")
    first = build_network(trained, "fp32", backend, BuildOptions(), PLAIN, store)
    first.engine.path.write_bytes(b"cut")
    second = build_network(trained, "fp32", backend, BuildOptions(), PLAIN, store)
    assert not second.hit
    assert second.engine.path.stat().st_size > 1000


def test_an_engine_says_what_it_was_made_from(trained, shared_store):
    built = build_network(trained, "int8", get("tensorrt-rtx"), BuildOptions(), PLAIN, shared_store)
    manifest = built.engine.manifest
    assert manifest["precision_actual"] == "int8"
    assert manifest["network"]["onnx_sha256"] == trained.model.sha256
    assert manifest["network"]["dataset"] == "digits"
    assert manifest["onnx_sha256"] == built.model.sha256
    assert manifest["onnx_bytes"] == built.model.path.stat().st_size
    assert manifest["calibration"] == "minmax, 100 images of digits"


def test_a_network_with_resolution_multiplier_builds_for_both_targets(untrained, shared_store):
    for backend in ("onnxruntime", "tensorrt-rtx"):
        for precision in ("fp32", "fp16", "int8"):
            built = build_network(
                untrained, precision, get(backend), BuildOptions(), PLAIN, shared_store
            )
            emulated = backend == "onnxruntime" and precision == "fp16"
            assert built.engine.precision_actual == ("fp32" if emulated else precision)
            assert built.engine.manifest["emulated"] is emulated


def test_unknown_precisions_and_targets_are_refused():
    with pytest.raises(UnknownName, match="did you mean int8"):
        check_precisions(["int7"], ["cpu"])
    with pytest.raises(UnknownName, match="unknown target"):
        check_precisions(["fp32"], ["gpuu"])
    with pytest.raises(UsageError, match="no fp8 for target cpu"):
        check_precisions(["fp8"], ["cpu"])
    check_precisions(["fp8"], ["cpu", "tensorrt-rtx"])


def test_a_target_whose_builder_is_missing_is_refused(monkeypatch):
    from deploykit import env

    monkeypatch.setattr(env, "has_module", lambda name: False)
    with pytest.raises(MissingDependency, match=r"\[rtx\]"):
        usable_backends(["tensorrt-rtx"])


def test_two_stores_give_the_same_graph_under_the_same_name(trained, tmp_path):
    graphs = [
        convert_network(trained, "int8", "cpu", PLAIN, Store(tmp_path / name)) for name in "ab"
    ]
    assert graphs[0].path.relative_to(tmp_path / "a") == graphs[1].path.relative_to(tmp_path / "b")
    assert graphs[0].sha256 == graphs[1].sha256
    shutil.rmtree(tmp_path / "a")


def test_fp16_looks_at_the_data_that_there_is_and_does_without_where_there_is_none(
    trained, tmp_path
):
    """Data with a test part alone, which fp16 had no need of, was refused."""
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28, 1), np.uint8)
    labels = np.arange(300) % 10
    recipe = find_recipe("fp16", "cpu")
    np.savez(tmp_path / "test.npz", images=images, labels=labels, split=np.full(300, 2))
    np.savez(tmp_path / "some.npz", images=images, labels=labels, split=np.arange(300) % 3)
    seen = []
    for name in ("test", "some"):
        choice = CalibrationChoice(data=f"npz:{tmp_path / name}.npz", method="percentile")
        seen.append(convert._calibration(trained, choice, recipe))
    assert seen[0] is None
    assert (seen[1].count, seen[1].method) == (100, "minmax")
    assert convert._calibration(trained, PLAIN, find_recipe("bf16", "cpu")) is None
