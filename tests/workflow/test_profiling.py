"""One row per configuration, whatever becomes of it; real engines, measured for a moment each."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit import env
from deploykit.bench.scenario import Policy, Scenario
from deploykit.columns import NAMES
from deploykit.errors import OutputFailed, UsageError
from deploykit.row import Row, emulated
from deploykit.spec import ModelFile, ModelSpec
from deploykit.store import GraphManifest, Store
from deploykit.workflow import judge
from deploykit.workflow import rows as row_parts
from deploykit.workflow.choices import CalibrationChoice, Variants
from deploykit.workflow.configuration import Configuration, ProfileOptions, enumerate_configurations
from deploykit.workflow.judge import PREDICTIONS, REFERENCE, data_key, outputs_name
from deploykit.workflow.network import sources_without_names
from deploykit.workflow.plan import DEFAULT_MODELS
from deploykit.workflow.profile import Profiler
from deploykit.workflow.rows import Roofline, exit_code, weights_text

OK, SKIPPED = Row({"status": "ok"}), Row({"status": "skipped"})
BRIEF = Policy(warmup_s=0.02, warmup_max_s=0.2, window_s=0.01, min_s=0.05, max_s=0.5, block_s=0.02)
OPTIONS = ProfileOptions(policy=BRIEF, scenarios=(Scenario(1),))


@pytest.fixture(scope="module")
def measured(shared_store):
    """The rows of LeNet-5 in three precisions, by precision."""
    options = dataclasses.replace(OPTIONS, precisions=("fp32", "fp16", "int8"), batches=(2,))
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    return {row["precision"]: row for row in Profiler(shared_store, options).rows(wanted)}


def test_every_configuration_has_its_row():
    options = ProfileOptions(("fp32", "int8"), ("onnxruntime", "tensorrt-rtx"), (1, 8))
    wanted = enumerate_configurations([ModelSpec("lenet5"), ModelSpec("alexnet")], options)
    assert len(wanted) == len(set(wanted)) == 16
    assert wanted[0] == Configuration(ModelSpec("lenet5"), "fp32", "onnxruntime", 1)


def test_a_precision_that_a_target_lacks_has_no_row_there():
    options = ProfileOptions(("fp32", "bf16"), ("onnxruntime", "tensorrt-rtx"))
    wanted = enumerate_configurations([ModelSpec("lenet5")], options)
    assert [(c.backend, c.precision) for c in wanted] == [
        ("onnxruntime", "fp32"),
        ("tensorrt-rtx", "fp32"),
        ("tensorrt-rtx", "bf16"),
    ]


def test_measured_rows_are_ok_and_say_what_they_measured(measured):
    for precision, row in measured.items():
        assert row["status"] == "ok", row["reason"]
        assert set(row) <= set(NAMES)
        assert (row["model"], row["weights"], row["precision"]) == ("lenet5", "trained", precision)
        assert (row["backend"], row["target"], row["batch"]) == ("onnxruntime", "cpu", 2)
        assert (row["threads"], row["streams"], row["boundary"]) == (1, 1, "end_to_end")
        assert row["device"] == env.device_name()
        assert row["env_id"] == env.env_id()
        assert row["parameters"] == 61_706
        assert row["macs"] == 416_520
        assert row["latency_p50_low_ms"] <= row["latency_p50_ms"] <= row["latency_p50_high_ms"]
        assert row["throughput_ips"] > 0
        assert row["gflops"] == pytest.approx(2 * 416_520 * row["throughput_ips"] / 1e9)
        assert row["host_peak_mib"] > 10
        assert row["device_peak_mib"] is None
        assert datetime.fromisoformat(row["timestamp"]).tzinfo is not None


def test_precision_is_read_back_and_emulation_is_said(measured):
    assert {p: row["precision_actual"] for p, row in measured.items()} == {
        "fp32": "fp32",
        "fp16": "fp32",
        "int8": "int8",
    }
    assert [note.kind for note in measured["fp16"].notes][:1] == ["emulated"]
    assert measured["fp16"]["reason"].startswith("emulated: ")
    assert measured["fp32"].noted("emulated") == ()
    assert {p: emulated(row) for p, row in measured.items()} == {
        "fp32": False,
        "fp16": True,
        "int8": False,
    }


def test_trained_networks_have_real_accuracy_in_every_precision(measured):
    for row in measured.values():
        assert row["dataset"] == "digits/test"
        assert row["top1"] > 0.98
        assert row["top1_low"] < row["top1"] < row["top1_high"]


def test_drift_is_filled_and_grows_as_precision_falls(measured):
    drift = {precision: row["drift_snr_db"] for precision, row in measured.items()}
    assert drift["fp32"] > 90 > drift["fp16"] > 50 > drift["int8"] > 20
    assert all("fp32 on onnxruntime" in row["drift_reference"] for row in measured.values())


def test_every_measured_row_stands_under_the_machine_s_ceilings(measured):
    for row in measured.values():
        assert 0 < row["roofline_fraction"] < 1
        assert 0 < row["latency_bound_ms"] < row["latency_min_ms"]
    intensity = {precision: row["arithmetic_intensity"] for precision, row in measured.items()}
    # A byte instead of four, but for the input and the scores.
    assert 2 < intensity["int8"] / intensity["fp32"] < 4


def test_without_a_roofline_no_ceilings_are_measured(shared_store, monkeypatch):
    options = dataclasses.replace(OPTIONS, roofline=False)
    monkeypatch.setattr(Roofline, "ceilings", None)
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    (row,) = Profiler(shared_store, options).rows(wanted)
    assert row["gflops"] > 0
    assert row.get("roofline_fraction") is None
    assert row.get("arithmetic_intensity") is None


def test_memory_grows_while_an_engine_is_loaded_and_hardly_while_it_runs(measured):
    row = measured["fp32"]
    assert row["host_load_mib"] > 0
    assert row["host_warmup_mib"] >= 0
    assert 0 <= row["host_run_mib"] < row["host_delta_mib"]


def test_calibration_is_said_of_quantised_rows_only(measured):
    assert measured["int8"]["calibration"] == "minmax, 100 images of digits"
    assert measured["fp16"]["calibration"] is None


def test_rows_of_one_command_share_its_id(measured):
    assert len({row["run_id"] for row in measured.values()}) == 1


@pytest.fixture(scope="module")
def mixed(shared_store, tmp_path_factory, light_squeezenet):
    """Rows of a file that is no graph, one that is, and a backend that can't run here."""
    text = tmp_path_factory.mktemp("mixed") / "text.onnx"
    text.write_text("not a graph")
    options = dataclasses.replace(OPTIONS, backends=("onnxruntime", "tensorrt-rtx"))
    patch = pytest.MonkeyPatch()
    patch.setattr(env, "gpu_names", list)
    wanted = enumerate_configurations([text, light_squeezenet], options)
    yield list(Profiler(shared_store, options).rows(wanted))
    patch.undo()


def test_what_fails_is_a_row_and_the_rest_goes_on(mixed):
    assert [(row["model"], row["backend"], row["status"]) for row in mixed] == [
        ("text", "onnxruntime", "failed"),
        ("text", "tensorrt-rtx", "failed"),
        ("light_squeezenet", "onnxruntime", "ok"),
        ("light_squeezenet", "tensorrt-rtx", "skipped"),
    ]


def test_a_failed_row_says_why_and_claims_nothing(mixed):
    row = mixed[0]
    assert "is not an ONNX file" in row["reason"]
    assert row.exit_code == 2
    assert [note.kind for note in row.notes] == ["failed"]
    assert row["weights"] == "file"
    assert "latency_p50_ms" not in row
    assert "parameters" not in row


def test_a_skipped_row_keeps_what_its_build_found(mixed):
    row = mixed[3]
    assert (
        row["reason"] == "no NVIDIA GPU here; run the engine on a machine with one and its driver"
    )
    assert row["precision_actual"] == "fp32"
    assert row["engine_bytes"] > 1000
    assert row["build_s"] > 0
    assert row.get("device") is None
    assert row.get("latency_p50_ms") is None


def test_a_users_graph_leaves_accuracy_blank_and_has_drift(mixed):
    row = mixed[2]
    assert row["alpha"] is None
    assert row.get("top1") is None
    assert row.get("dataset") is None
    assert row["drift_snr_db"] is not None
    assert row["macs"] > 100_000_000


def failed(exit_code: int) -> Row:
    return Row({"status": "failed"}, exit_code=exit_code)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], 0),
        ([OK], 0),
        ([OK, SKIPPED], 0),
        ([SKIPPED], 3),
        ([failed(2), OK], 2),
        ([failed(2), failed(4)], 4),
        ([failed(4), SKIPPED], 4),
    ],
)
def test_a_command_ends_with_the_worst_of_its_rows(rows, code):
    assert exit_code(rows) == code


def test_a_full_store_ends_the_command_since_no_row_could_follow():
    wanted = enumerate_configurations([ModelSpec("lenet5")], OPTIONS)
    with pytest.raises(OutputFailed, match="engine store"):
        list(Profiler(Store(Path("/sys/kernel/engines")), OPTIONS).rows(wanted))


def test_a_worker_that_takes_too_long_is_a_failed_row(shared_store):
    options = dataclasses.replace(OPTIONS, timeout_s=0.05)
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    (row,) = Profiler(shared_store, options).rows(wanted)
    assert row["status"] == "failed"
    assert "raise --timeout" in row["reason"]


def test_raw_samples_are_kept_where_asked(shared_store, tmp_path):
    options = dataclasses.replace(OPTIONS, samples=tmp_path)
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    (row,) = Profiler(shared_store, options).rows(wanted)
    (file,) = tmp_path.iterdir()
    samples = np.load(file)["samples_ns"]
    assert len(samples) == row["iterations"]
    assert np.median(samples) / 1e6 == pytest.approx(row["latency_p50_ms"])


def test_without_names_the_store_is_profiled_else_the_default_models(shared_store, tmp_path):
    assert sources_without_names(Store(tmp_path / "none"), Variants()) == list(DEFAULT_MODELS)
    (entry,) = [
        e for e in shared_store.entries(GraphManifest) if e.folder.name.startswith("lenet5-fp32")
    ][:1]
    shutil.copytree(entry.folder, tmp_path / entry.folder.name)
    assert [s.name for s in sources_without_names(Store(tmp_path), Variants())] == ["lenet5"]
    with pytest.raises(UsageError, match="need a MODEL"):
        sources_without_names(Store(tmp_path), Variants(alphas=(0.5,)))


def test_the_weights_column_holds_no_folders():
    assert weights_text("/home/someone/secret/net.safetensors") == "net.safetensors"
    assert weights_text("random") == "random"


def test_what_is_named_twice_is_measured_once():
    options = ProfileOptions(precisions=("fp32", "fp32"), batches=(1, 1, 2))
    wanted = enumerate_configurations([ModelSpec("lenet5")], options)
    assert [(one.precision, one.batch) for one in wanted] == [("fp32", 1), ("fp32", 2)]


def test_what_was_computed_on_files_is_not_taken_for_changed_ones(tmp_path):
    file = tmp_path / "images.npz"
    file.write_bytes(b"one")
    before = data_key(f"npz:{file}")
    assert data_key(f"npz:{file}") == before
    file.write_bytes(b"another")
    assert data_key(f"npz:{file}") != before
    assert data_key("digits") == "digits"
    prepared = {data_key(f"npz:{file}{said}") for said in ("", "?mean=0.5", "?mean=0.5&std=0.5")}
    assert len(prepared) == 3  # images that are prepared in another way give other outputs
    images = tmp_path / "images"
    images.mkdir()
    plain = data_key(f"imagefolder:{images}?resize=64")
    (images / "one.png").write_bytes(b"one")
    assert data_key(f"imagefolder:{images}?resize=64") != plain
    with pytest.raises(UsageError, match="can't read the data"):
        data_key(f"npz:{tmp_path / 'missing.npz'}")
    with pytest.raises(UsageError, match=r"can't read the data at .*missing\.npz:"):
        data_key(f"npz:{tmp_path / 'missing.npz'}?mean=0.5")


@pytest.mark.parametrize("changed", ["code_digest", "installed_version"])
def test_what_fp32_puts_out_is_computed_anew_with_other_code_or_another_runtime(
    monkeypatch, changed
):
    before = outputs_name("predictions", "digits", PREDICTIONS)
    assert before == outputs_name("predictions", "digits", PREDICTIONS)
    assert before.startswith("predictions-digits-")
    assert outputs_name("reference", None, REFERENCE).startswith("reference-seed0-")
    monkeypatch.setattr(judge, changed, lambda *_: "another")
    assert outputs_name("predictions", "digits", PREDICTIONS) != before


def test_traffic_is_counted_once_and_anew_with_changed_code(trained, tmp_path, monkeypatch):
    first = row_parts.traffic_of(trained.model, tmp_path, "fp32")
    assert first is not None
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace(str(first.weight_bytes), "1"))
    stored = row_parts.traffic_of(trained.model, tmp_path, "fp32")
    assert stored is not None
    assert stored.weight_bytes == 1
    monkeypatch.setattr(row_parts, "code_digest", lambda *_: "changed")
    assert row_parts.traffic_of(trained.model, tmp_path, "fp32") == first


def test_accuracy_of_a_precision_is_judged_against_fp32_image_by_image(measured):
    assert measured["fp32"].get("mcnemar_p") is None  # it is the reference
    for precision in ("fp16", "int8"):
        assert 0 <= measured[precision]["mcnemar_p"] <= 1
        assert measured[precision]["top1_agreement"] > 0.97
    assert measured["fp32"]["drift_kl"] < measured["int8"]["drift_kl"] < 0.1


def test_the_share_in_the_precision_asked_for_is_read_back(measured):
    # fp16 is emulated here: not one product computes in it.
    shares = {p: row["precision_share"] for p, row in measured.items()}
    assert shares == {"fp32": 1.0, "fp16": 0.0, "int8": 1.0}


def test_int8_measured_before_fp32_makes_the_predictions_it_is_compared_with(tmp_path):
    store = Store(tmp_path / "engines")
    options = dataclasses.replace(OPTIONS, precisions=("int8", "fp32"))
    wanted = enumerate_configurations([ModelSpec("lenet5", weights="trained")], options)
    assert [one.precision for one in wanted] == ["fp32", "int8"]  # others are set against it
    first, second = Profiler(store, options).rows(wanted[::-1])
    assert first["status"] == second["status"] == "ok"
    assert first["mcnemar_p"] is not None
    assert second.get("mcnemar_p") is None


def test_what_can_neither_run_here_nor_be_taken_elsewhere_is_skipped_before_any_export(
    tmp_path, monkeypatch
):
    from deploykit.backends.pytorch import TorchCuda
    from deploykit.spec import Reason
    from deploykit.workflow import profile
    from deploykit.workflow.configuration import Configuration, ProfileOptions

    def export(*_):
        raise AssertionError("the network was exported")

    monkeypatch.setattr(TorchCuda, "device", lambda self: Reason("no GPU", "get one", "device"))
    monkeypatch.setattr(profile, "obtain_network", export)
    wanted = Configuration(ModelSpec("lenet5"), "fp32", "torch-cuda", 1)
    (row,) = profile.Profiler(Store(tmp_path), ProfileOptions()).rows([wanted])
    assert (row["status"], row["reason"]) == ("skipped", "no GPU; get one")


def test_options_that_a_backend_has_no_use_for_are_in_its_row():
    from deploykit import backends
    from deploykit.spec import BuildOptions
    from deploykit.workflow.build import unused_text
    from deploykit.workflow.choices import EngineChoice

    choice = EngineChoice(batch_max=4, options=BuildOptions(sparse=True))
    said = unused_text(choice, backends.get("onnxruntime"))
    assert said == "onnxruntime has no --sparse, --max-batch: its engines are built without"
    assert unused_text(choice, backends.get("tensorrt-rtx")) == ""


def detector(path: Path, *, suppressed: bool) -> Path:
    """Boxes and scores that two convolutions make, and which of them NonMaxSuppression or a threshold chooses."""
    node, random = helper.make_node, np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "places": random.normal(0, 0.3, (4, 8, 1, 1)).astype(np.float32),
        "classes": random.normal(0, 0.3, (2, 8, 1, 1)).astype(np.float32),
        "four": np.int64([1, 4, 64]), "two": np.int64([1, 2, 64]), "least": np.float32(0.5),
        "most": np.int64(5), "shared": np.float32(0.5),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w"], ["c"], "first", strides=[2, 2], pads=[1] * 4), node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "places"], ["p"], "places"), node("Conv", ["r", "classes"], ["k"], "classes"),
        node("Reshape", ["p", "four"], ["flat"]), node("Transpose", ["flat"], ["rows"], perm=[0, 2, 1]),
        node("Sigmoid", ["rows"], ["boxes"]), node("Reshape", ["k", "two"], ["m"]),
        node("Sigmoid", ["m"], ["scores"]),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("chosen", TensorProto.INT64, ["n", 3])]
    if suppressed:
        nodes.append(
            node("NonMaxSuppression", ["boxes", "scores", "most", "shared", "least"], ["chosen"])
        )
    else:
        nodes += [
            node("Greater", ["scores", "least"], ["above"]),
            node("NonZero", ["above"], ["at"]),
            node("Transpose", ["at"], ["chosen"], perm=[1, 0]),
        ]
        outputs.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 64, 4]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], outputs, stored)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("suppressed", [True, False])
def test_a_detector_that_puts_out_which_boxes_it_chose_has_its_rows(suppressed, tmp_path):
    path = detector(tmp_path / "detector.onnx", suppressed=suppressed)
    options = dataclasses.replace(
        OPTIONS, precisions=("fp32", "int8"), roofline=False, calibration=CalibrationChoice(synthetic=True)
    )  # fmt: skip
    wanted = enumerate_configurations([ModelFile(path)], options)
    store = Store(tmp_path / "engines")
    # Each by itself, as finding out why one is slower takes long.
    rows = [row for one in wanted for row in Profiler(store, options).rows([one])]
    assert [(row["precision"], row["status"]) for row in rows] == [("fp32", "ok"), ("int8", "ok")]
    for row in rows:
        said = [note.text for note in row.notes]
        assert any(text.startswith("output chosen is not compared: it") for text in said)
        assert ("drift is blank: no output can be compared" in said) is suppressed
        if suppressed:
            assert (row["drift_snr_db"], row["drift_state"]) == (None, None)
        else:
            assert row["drift_worst_output"] == "boxes"
    if not suppressed:
        exact, rounded = (row["drift_snr_db"] for row in rows)
        assert exact > 90 > rounded > 20
