"""Whole rows of TensorRT's engines, layers and comparisons, on a simulated device in processes of their own.

The numbers are those of a double and mean nothing; what is tested is that rows come about and say what they are.
"""

from __future__ import annotations

import onnx
import pytest
from cuda_double import DEVICE_NAME, DeviceFacts, Settings
from test_tensorrt_session import RANGE, image_sums, product

from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.scenario import Policy, Scenario
from deploykit.errors import UsageError
from deploykit.report.csv import to_csv
from deploykit.spec import BuildOptions, InputChoice, ModelFile
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.layers import report_layers
from deploykit.workflow.network import obtain_network
from deploykit.workflow.profile import Profiler

BUILT_FOR_8_6 = BuildOptions(compute_capability="8.6")
PARTS_ARE_BLANK = "h2d_ms, compute_ms, d2h_ms and enqueue_ms are blank: they are told of one stream"
BRIEF = Policy(min_s=0.02, max_s=0.05, warmup_s=0.01, warmup_max_s=0.02)


@pytest.fixture
def profile(tensorrt, tmp_path):
    """Rows of the small product under options, by a release of TensorRT."""

    def make(surface="tensorrt-11.4", **options):
        backend = tensorrt(surface).__name__.replace("_", "-")
        onnx.save(product(), tmp_path / "net.onnx")
        wanted = ProfileOptions(backends=(backend,), policy=BRIEF, roofline=False, **options)
        profiler = Profiler(Store(tmp_path / "engines"), wanted)
        return list(
            profiler.rows(enumerate_configurations([ModelFile(tmp_path / "net.onnx")], wanted))
        )

    return make


@pytest.mark.parametrize("surface", ["tensorrt-10.16", "tensorrt-11.4", "tensorrt-rtx-1.7"])
def test_each_batch_has_an_engine_of_its_own_and_a_row_that_says_what_it_is(profile, surface):
    rows = profile(surface, batches=(1, 4), scenarios=(Scenario(),))
    assert [(row["status"], row["batch"]) for row in rows] == [("ok", 1), ("ok", 4)], rows[-1].notes
    for row in rows:
        assert row["device"] == DEVICE_NAME
        assert (row["boundary"], row["cuda_graph"]) == ("end_to_end", "no")
        assert row["enqueue"] == "when the last run is done"
        assert row["precision_actual"] == "fp32"
        assert row["drift_max_abs"] == 0
        for name in ("h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms", "device_peak_mib"):
            assert row[name] is not None
    with pytest.raises(UsageError, match="simulated"):
        to_csv(rows)


def test_boundary_graph_and_streams_are_in_the_row(profile):
    scenarios = (
        Scenario(boundary="device", cuda_graph=True),
        Scenario(streams=2),
        Scenario(rate_per_s=200),
    )
    first, second, offered = profile(scenarios=scenarios)
    assert (first["boundary"], first["cuda_graph"]) == ("device", "yes")
    assert first["latency_mean_ms"] > 0
    assert (second["status"], second["streams"]) == ("ok", 2)
    assert second.get("h2d_ms") is None  # the parts are told of one stream that runs alone
    assert PARTS_ARE_BLANK in " ".join(note.text for note in second.noted("missing"))
    assert offered["status"] == "ok"
    assert offered.get("compute_ms") is None
    assert PARTS_ARE_BLANK in " ".join(note.text for note in offered.noted("missing"))


def test_a_batch_without_room_fails_its_row_and_the_others_go_on(profile, cuda):
    cuda.show(
        Settings([DeviceFacts(memory_mib=171)])
    )  # 168 are in use with a context of the engine
    rows = profile(batches=(1, 2**15, 2))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"], rows[0].notes
    assert "out of memory; take a smaller batch" in rows[1].notes[-1].text


def test_a_batch_beyond_the_range_fails_its_row(profile):
    rows = profile(batches=(1, 16), build=EngineChoice(batch_max=8))
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert "engines for batches 1 to 8 don't take batch 16" in rows[1].notes[-1].text


def test_a_size_within_the_range_is_measured_on_an_engine_that_is_tuned_for_another(
    tensorrt, tmp_path
):
    tensorrt("tensorrt-11.4")
    proto = image_sums()
    for port in (*proto.graph.input, *proto.graph.output):
        for axis, size in ((2, "h"), (3, "w")):
            if port.type.tensor_type.shape.dim[axis].dim_value == 32:
                port.type.tensor_type.shape.dim[axis].dim_param = size
    onnx.save(proto, tmp_path / "net.onnx")
    engines = EngineChoice(options=BuildOptions(shapes=RANGE))
    options = ProfileOptions(backends=("tensorrt",), policy=BRIEF, roofline=False, build=engines)
    profiler = Profiler(Store(tmp_path / "engines"), options)
    sizes = [(16, 24), (64, 40), (65, 40)]
    files = [
        ModelFile(tmp_path / "net.onnx", InputChoice(shapes=(("image", (None, 3, *size)),)))
        for size in sizes
    ]
    rows = list(profiler.rows(enumerate_configurations(files, options)))
    assert [row["status"] for row in rows] == ["ok", "ok", "failed"], rows[-1].notes
    assert [row["drift_state"] for row in rows[:2]] == ["ok", "ok"]
    assert rows[0]["inputs"].startswith("image=1x3x16x24")
    assert "dimension 2 is 65, which is not within 16 to 64" in rows[2].notes[-1].text
    said = "min-shape=image=1x3x16x24 opt-shape=image=1x3x48x32 max-shape=image=1x3x64x40"
    assert {row["engine_options"] for row in rows} == {said}


def test_an_engine_for_another_device_is_built_and_its_row_skipped(profile):
    options = EngineChoice(options=BUILT_FOR_8_6)
    (row,) = profile("tensorrt-rtx-1.7", build=options)
    assert row["status"] == "skipped"
    assert row["precision_actual"] == "fp32"
    assert "build it with --compute-capability 8.9" in row.notes[-1].text


def test_layers_are_timed_and_found_in_the_graph(tensorrt, tmp_path):
    tensorrt("tensorrt-11.4")
    onnx.save(product(), tmp_path / "net.onnx")
    store = Store(tmp_path / "engines")
    network = obtain_network(tmp_path / "net.onnx", store)
    found = report_layers(network, "fp32", store, CalibrationChoice(), backend="tensorrt", batch=2)
    timed = [(row.node, row.engine_node, row.time_ms) for row in found.rows]
    assert timed == [("product", "product_myl0_0", 0.5), ("relu", "relu_myl0_1", 1.5)]
    assert found.times.whole_ms > 0
    assert all(
        row.roofline_fraction is None for row in found.rows
    )  # the ceilings are the processor's


def test_two_engines_are_compared_in_turns(tensorrt, tmp_path):
    tensorrt("tensorrt-11.4")
    onnx.save(product(), tmp_path / "net.onnx")
    options = ProfileOptions(backends=("tensorrt",), policy=BRIEF, batches=(1, 2))
    profiler = Profiler(Store(tmp_path / "engines"), options)
    wanted = enumerate_configurations([ModelFile(tmp_path / "net.onnx")], options)
    requests = [profiler.prepared(one)[1] for one in wanted]
    found = compare_interleaved(*requests, budget_s=0.5)
    assert found.verdict in ("slower", "faster", "same", "undecided")
    assert found.ratio.ratio > 0
    assert found.a.columns["boundary"] == found.b.columns["boundary"] == "end_to_end"
