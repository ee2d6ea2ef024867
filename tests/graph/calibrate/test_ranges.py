from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import DriftFailed, UnknownName, UsageError
from deploykit.graph.calibrate import METHODS, Calibration, synthetic_calibration
from deploykit.graph.calibrate import ranges as ranges_module
from deploykit.graph.calibrate.histogram import BINS, WideningHistogram, choose_range
from deploykit.graph.calibrate.ranges import collect_ranges
from deploykit.ort_session import session_options


def network(batch: int | str = "batch", low: float = 0.0) -> onnx.ModelProto:
    """x -> conv (1x1) -> relu -> flatten."""
    random = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(random.standard_normal((4, 3, 1, 1)).astype(np.float32), "w"),
        numpy_helper.from_array(np.asarray(low, np.float32), "low"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Clip", ["c", "low"], ["r"]),
            helper.make_node("Flatten", ["r"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 3, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (batch, 144))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def data(count: int = 10) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 3, 6, 6)).astype(np.float32)


def from_array(array: np.ndarray, batch: int = 4, **options: object) -> Calibration:
    def batches() -> Iterator[np.ndarray]:
        yield from (array[i : i + batch] for i in range(0, len(array), batch))

    options.setdefault("count", len(array))
    return Calibration(batches=batches, **options)


def expected(x: np.ndarray, low: float = 0.0) -> dict[str, np.ndarray]:
    weight = numpy_helper.to_array(network().graph.initializer[0])[:, :, 0, 0]
    c = np.einsum("oc,nchw->nohw", weight, x)
    return {"x": x, "c": c, "r": np.maximum(c, low), "y": np.maximum(c, low)}


@pytest.mark.parametrize("low", [0.0, -0.5])
def test_minmax_is_the_extremes_widened_to_zero(low: float) -> None:
    x = data()
    ranges = collect_ranges(network(low=low), ["x", "c", "r", "y"], from_array(x), symmetric=False)
    for name, values in expected(x, low).items():
        wanted = (min(values.min(), 0), max(values.max(), 0))
        assert ranges[name] == pytest.approx(wanted, rel=1e-5)


def test_a_graph_of_many_nodes_is_run_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def noted(*, optimise: bool) -> object:
        asked.append(optimise)
        return session_options(optimise=optimise)

    monkeypatch.setattr(ranges_module, "session_options", noted)
    many = network()
    many.graph.node[-1].input[0] = "r10000"
    for step in range(10_000):
        inner = "r" if not step else f"r{step}"
        many.graph.node.insert(2 + step, helper.make_node("Identity", [inner], [f"r{step + 1}"]))
    few = collect_ranges(network(), ["c", "y"], from_array(data()), symmetric=False)
    found = collect_ranges(many, ["c", "y"], from_array(data()), symmetric=False)
    assert asked == [True, False]
    assert all(found[name] == pytest.approx(few[name], rel=1e-6) for name in few)


@pytest.mark.parametrize("method", METHODS)
def test_ranges_do_not_depend_on_the_batches(method: str) -> None:
    x = data(12)
    found = [
        collect_ranges(network(), ["c", "y"], from_array(x, batch, method=method), symmetric=False)
        for batch in (1, 3, 12)
    ]
    assert found[0] == found[1] == found[2]


def test_a_fixed_batch_is_filled_up() -> None:
    x = data(10)
    fixed = collect_ranges(network(batch=4), ["c"], from_array(x, 5), symmetric=False)
    assert fixed == collect_ranges(network(), ["c"], from_array(x, 5), symmetric=False)


def test_an_input_that_is_the_same_for_all_images_stays_whole_at_a_fixed_batch() -> None:
    model = network(1)
    model.graph.input.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, (7, 2)))
    model.graph.output.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, (7, 2)))
    model.graph.node.append(helper.make_node("Neg", ["t"], ["u"]))
    images, table = data(), np.full((7, 2), 3, np.float32)
    fed = Calibration(batches=lambda: iter([{"x": images, "t": table}]), count=len(images))
    alone = collect_ranges(network(1), ["c"], from_array(images), symmetric=False)
    assert collect_ranges(model, ["c", "t"], fed, symmetric=False) == {**alone, "t": (0.0, 3.0)}


def test_made_up_values_of_a_whole_run_beside_fewer_images_do_not_tell_how_many_there_are() -> None:
    """The images of the last batch were not filled up, as the values beside them were taken for the batch."""
    model = network(4)
    model.graph.input.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, (4, 2)))
    model.graph.output.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, (4, 2)))
    model.graph.node.append(helper.make_node("Neg", ["t"], ["u"]))
    images, table = data()[:2], np.full((4, 2), 3, np.float32)
    fed = Calibration(batches=lambda: iter([{"x": images, "t": table}]), count=len(images))
    alone = collect_ranges(network(4), ["c"], from_array(images), symmetric=False)
    assert collect_ranges(model, ["c", "t"], fed, symmetric=False) == {**alone, "t": (0.0, 3.0)}


def test_memory_does_not_grow_with_the_images() -> None:
    def peak_bytes(count: int, method: str) -> int:
        made_up = synthetic_calibration((3, 6, 6), count=count, batch_size=4, method=method)
        tracemalloc.start()
        collect_ranges(network(), ["x", "c", "r", "y"], made_up, symmetric=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    for method in ("minmax", "entropy"):
        peak_bytes(4, method)
        # The images alone are 691 kB, their activations more; a few kB are the interpreter's own.
        assert peak_bytes(1600, method) < 1.2 * peak_bytes(16, method) + 50_000


def test_only_the_first_images_are_used() -> None:
    x = data(10)
    x[7] *= 10
    some = collect_ranges(network(), ["c"], from_array(x, 4, count=6), symmetric=False)
    assert some == collect_ranges(network(), ["c"], from_array(x[:6], 4), symmetric=False)


def test_labels_beside_the_images_are_left_out() -> None:
    x = data(4)
    pairs = Calibration(batches=lambda: iter([(x, np.arange(4))]), count=4)
    assert next(pairs.images()) is not None
    assert collect_ranges(network(), ["c"], pairs, symmetric=False) == collect_ranges(
        network(), ["c"], from_array(x), symmetric=False
    )


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UsageError, match="has 10 images, fewer than the 11 asked for"):
        collect_ranges(network(), ["c"], from_array(data(10), count=11), symmetric=False)


def test_images_with_nan_are_named() -> None:
    x = data(10)
    x[6, 1, 2, 3] = np.nan
    with pytest.raises(UsageError, match="calibration image 6 has values that are not finite"):
        collect_ranges(network(), ["c"], from_array(x), symmetric=False)


def test_images_of_the_wrong_size_or_type_are_refused_in_one_line() -> None:
    wrong = np.zeros((2, 3, 5, 5), np.float32)
    with pytest.raises(
        UsageError, match=r"2x3x5x5 do not run through input 'x' \(batchx3x6x6\)"
    ) as caught:
        collect_ranges(network(), ["c"], from_array(wrong), symmetric=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="float64"):
        collect_ranges(network(), ["c"], from_array(data().astype(np.float64)), symmetric=False)


def test_activations_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DriftFailed, match="activation 'c' is not finite"):
        collect_ranges(network(), ["c"], from_array(data() * np.float32(7e37)), symmetric=False)


def test_options_are_checked() -> None:
    with pytest.raises(UnknownName, match="did you mean minmax"):
        from_array(data(), method="min-max")
    with pytest.raises(UsageError, match="at least one image"):
        from_array(data(), count=0)
    with pytest.raises(UsageError, match="percentile"):
        from_array(data(), percentile=12.0)


def test_made_up_images_say_so_and_are_seeded() -> None:
    first, same, other = (synthetic_calibration((3, 6, 6), seed=s, count=10) for s in (1, 1, 2))
    images = [np.concatenate(list(c.images())) for c in (first, same, other)]
    assert images[0].shape == (10, 3, 6, 6)
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert first.facts()["synthetic"] is True
    assert first.data_sha256 == same.data_sha256 != other.data_sha256


def outliers() -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    values[0] = 20.0
    return values


def range_by(method: str, values: np.ndarray, *, symmetric: bool = True) -> tuple[float, float]:
    histogram = WideningHistogram()
    for piece in np.array_split(values, 7):
        histogram.add(piece)
    extremes = (min(float(values.min()), 0.0), max(float(values.max()), 0.0))
    return choose_range(histogram, extremes, from_array(data(), method=method), symmetric=symmetric)


def test_a_percentile_holds_its_share_of_the_values() -> None:
    values = outliers()
    low, high = range_by("percentile", values)
    share = np.mean((values >= low) & (values <= high))
    assert share == pytest.approx(0.9999, abs=2e-5)
    assert high < 5.0
    low, high = range_by("percentile", np.abs(values), symmetric=False)
    assert low == 0.0
    assert 3.5 < high < 5.0


@pytest.mark.parametrize("method", ["entropy", "mse"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_rare_outliers_are_cut_and_an_even_spread_is_not(method: str, symmetric: bool) -> None:
    low, high = range_by(method, outliers(), symmetric=symmetric)
    assert high < 15.0
    even = np.linspace(-1, 1, 100_000, dtype=np.float32)
    low, high = range_by(method, even, symmetric=symmetric)
    assert high > 0.95
    assert low < -0.95


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("count", [2_000, 200_000])
def test_entropy_behind_a_relu_is_not_drawn_down_by_its_zeros(
    count: int, shift: float, symmetric: bool
) -> None:
    values = np.maximum(np.random.default_rng(2).standard_normal(count) - shift, 0)
    _, high = range_by("entropy", values.astype(np.float32), symmetric=symmetric)
    assert (values > high).sum() / (values > 0).sum() < 0.002


def test_a_mask_that_is_infinite_has_an_infinite_range_where_that_is_allowed() -> None:
    weight = numpy_helper.from_array(np.array([0, -np.inf], np.float32), "m")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "m"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 2))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.array([[1, 2], [3, 4]], np.float32)
    for method in METHODS:
        images = from_array(x, method=method)
        ranges = collect_ranges(model, ["a"], images, symmetric=False, infinite=["a"])
        assert ranges["a"] == (-np.inf, 3.0)
        with pytest.raises(DriftFailed, match="'a' is not finite"):
            collect_ranges(model, ["a"], images, symmetric=False)
    # What one asks for that takes infinities is not remembered for another that does not.
    images = from_array(x, remembered={})
    assert collect_ranges(model, ["a"], images, symmetric=False, infinite=["a"])["a"][1] == 3.0
    with pytest.raises(DriftFailed, match="'a' is not finite"):
        collect_ranges(model, ["a"], images, symmetric=False)


def test_the_squared_error_chosen_is_the_least_on_the_values_themselves() -> None:
    values = outliers()

    def error(peak: float) -> float:
        step = peak / 127
        return float(np.mean((values - np.clip(np.rint(values / step), -127, 127) * step) ** 2))

    _, high = range_by("mse", values)
    assert error(high) < min(error(20.0), error(high * 2), error(high / 2))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60), st.integers(1, 7))
def test_a_histogram_counts_every_value_once_however_it_comes(
    values: list[float], pieces: int
) -> None:
    array = np.asarray(values, np.float32)
    whole, split = WideningHistogram(), WideningHistogram()
    whole.add(array)
    for piece in np.array_split(array, pieces):
        split.add(piece)
    assert whole.counts.sum() == split.counts.sum() == array.size
    assert whole.limit == split.limit
    assert np.array_equal(whole.counts, split.counts)
    peak = float(np.max(np.abs(array)))
    assert whole.limit == 0.0 if peak == 0 else peak < whole.limit


def test_a_histogram_has_a_fixed_size() -> None:
    histogram = WideningHistogram()
    for scale in (1e-3, 1.0, 1e4, 1e-6):
        histogram.add(np.full(1000, scale, np.float32))
    assert histogram.counts.shape == (BINS,)
