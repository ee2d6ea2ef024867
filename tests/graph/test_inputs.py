"""What is free of a file's inputs is made definite: the batch by its name or place, the rest by what is said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.bench.feeds import fixed_batch, output_axis, run_in_batches
from deploykit.errors import UsageError
from deploykit.graph.count import count_graph
from deploykit.graph.inputs import fix_batch, name_batch_of_outputs, spec_of, take_inputs
from deploykit.graph.nodes import graph_inputs
from deploykit.spec import InputChoice, TensorSpec, has_batch, stored_about, stored_inputs

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def graph(*inputs, nodes=None, outputs=(("y", FLOAT, ["N"]),), stored=()) -> onnx.ModelProto:
    """A model of these inputs, (name, type, shape); its nodes matter only where they tell something."""
    nodes = nodes or [helper.make_node("Identity", [inputs[0][0]], ["y"])]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(values, name) for name, values in stored],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def taken(model: onnx.ModelProto, **said) -> tuple[list[TensorSpec], str]:
    """The inputs after they were taken, and the notes as one text."""
    notes = take_inputs(model, InputChoice(**said))
    stored = stored_inputs({entry.key: entry.value for entry in model.metadata_props})
    specs = [stored_about(spec_of(value), stored) for value in graph_inputs(model.graph)]
    return specs, "; ".join(map(str, notes))


IMAGE = ("x", FLOAT, ["N", 3, "height", "width"])


def test_free_height_and_width_are_224_and_said():
    (spec,), said = taken(graph(IMAGE))
    assert spec.with_batch(2) == (2, 3, 224, 224)
    assert "height=224, width=224" in said
    assert "--shape" in said


@pytest.mark.parametrize(
    "said",
    [
        {"shapes": (("x", (1, 3, 320, 64)),)},
        {"shapes": (("", (None, 3, 320, 64)),)},
        {"dims": (("height", 320), ("width", 64))},
    ],
)
def test_given_sizes_are_taken_and_leave_the_batch_free(said):
    (spec,), note = taken(graph(IMAGE), **said)
    assert (spec.with_batch(5), note) == ((5, 3, 320, 64), "")


def test_height_and_width_go_by_their_place_where_they_have_no_name():
    model = graph(("x", FLOAT, [None, None, None, 3]))
    (spec,), _ = taken(model, dims=(("height", 32), ("width", 48)))
    assert (spec.layout, spec.with_batch(1)) == ("NHWC", (1, 32, 48, 3))


def test_another_batch_than_one_is_fixed_as_it_is_given():
    (spec,), _ = taken(graph(IMAGE), shapes=(("x", (4, 3, 8, 8)),))
    assert (spec.shape, spec.dynamic_batch) == ((4, 3, 8, 8), False)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"shapes": (("x", (1, 1, 8, 8)),)}, "dimension 1 is fixed to 3 in the file"),
        ({"shapes": (("x", (1, 3, 8)),)}, "has 3 dimensions, the file has 4"),
        ({"shapes": (("z", (1,)),)}, "no input 'z'; the inputs are x"),
        ({"dims": (("depth", 3),)}, "no free dimension 'depth'; free are N, height, width"),
        ({"values": (("x", "tokens(3)"),)}, "tokens takes 2 numbers"),
        ({"values": (("x", "ones"),)}, "no way to make values"),
    ],
)
def test_what_contradicts_the_file_is_refused_in_one_line(said, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        take_inputs(graph(IMAGE), InputChoice(**said))


def test_the_batch_of_states_and_of_time_major_inputs_is_found_by_its_name():
    model = graph(("x", FLOAT, ["time", "batch", 40]), ("h", FLOAT, [2, "batch", 64]))
    (x, h), said = taken(model, dims=(("time", 7),))
    assert (x.with_batch(3), h.with_batch(3)) == ((7, 3, 40), (2, 3, 64))
    assert said == ""


def test_the_only_free_dimension_of_a_state_is_the_batch_where_nothing_has_a_name():
    model = graph(("x", FLOAT, [None, 512]), ("state", FLOAT, [2, None, 128]))
    (x, state), said = taken(model)
    assert (x.with_batch(3), state.with_batch(3), said) == ((3, 512), (2, 3, 128), "")


def test_the_batch_of_time_major_inputs_without_names_is_behind_the_steps():
    model = graph(("x", FLOAT, ["time", None, 40]), ("h", FLOAT, [2, None, 64]))
    (x, h), said = taken(model, dims=(("time", 7),))
    assert (x.with_batch(3), h.with_batch(3), said) == ((7, 3, 40), (2, 3, 64), "")


def recurrent(x, h=None, y=(None, None, 8), opening=()):
    """Sequences (steps, batch, 6) into a layer of 8, with its state among the inputs where that has a shape."""
    made = [helper.make_node(kind, read, [name], **more) for kind, read, name, more in opening]
    first = made[-1].output[0] if made else "x"
    inputs = [first, "w", "r", "", "", *(["h"] if h else [])]
    shapes = [("x", FLOAT, x), *([("h", FLOAT, h)] if h else [])]
    layer = helper.make_node("GRU", inputs, ["g"], hidden_size=8)
    return graph(
        *shapes,
        nodes=[*made, layer, helper.make_node("Squeeze", ["g", "one"], ["y"])],
        outputs=[("y", FLOAT, y)],
        stored=[
            ("w", np.ones((1, 24, 6), np.float32)),
            ("r", np.ones((1, 24, 8), np.float32)),
            ("one", np.array([1])),
            ("s", np.ones(6, np.float32)),
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("x", "h"),
    [
        (["steps", "samples", 6], [1, "samples", 8]),  # a name that says nothing
        (["s0", "s1", 6], [1, "s1", 8]),  # names that the exporter made up
        (["d0", "d1", 6], None),
        ([None, None, 6], [1, None, 8]),
        ([20, None, 6], [1, None, 8]),  # the steps look like a batch
        ([20, "samples", 6], None),
        ([None, "batch", 6], [1, "batch", 8]),
        (["T", "N", 6], [1, "N", 8]),
    ],
)
def test_the_batch_is_where_a_recurrent_layer_has_it(x, h):
    specs, _ = taken(recurrent(x, h))
    steps = 20 if x[0] == 20 else 1
    assert [spec.with_batch(3) for spec in specs] == [(steps, 3, 6), (1, 3, 8)][: len(specs)]


@pytest.mark.parametrize("x", [[None, None, 6], ["steps", "batch", 6]])
def test_a_state_that_no_layer_is_seen_to_read_has_the_batch_on_its_only_free_axis(x):
    model = recurrent(x)
    state = helper.make_tensor_value_info("h", FLOAT, [2, None, 8])
    model.graph.input.append(state)
    specs, _ = taken(model)
    assert [spec.with_batch(3) for spec in specs] == [(1, 3, 6), (2, 3, 8)]


def test_the_batch_of_a_recurrent_layer_is_followed_through_what_is_before_it():
    scaled = ("Mul", ["x", "s"], "m", {})
    turned = ("Transpose", ["m"], "t", {"perm": [1, 0, 2]})
    (spec,), _ = taken(recurrent(["rows", "cols_", 6], opening=[scaled, turned]))
    assert spec.shape == ("rows", 1, 6)


def test_steps_that_are_fixed_are_no_batch_and_the_batch_behind_them_is():
    model = recurrent([20, 4, 6], [1, 4, 8], [20, 4, 8])
    specs, _ = taken(model)
    outputs = [spec_of(value) for value in model.graph.output]
    assert [spec.image_axis for spec in specs] == [1, 1]
    assert fixed_batch(specs, outputs) == 4
    assert count_graph(model).macs == 20 * (24 * 6 + 24 * 8)
    assert output_axis(outputs[0], specs) == 1


def test_the_steps_of_a_scan_are_no_batch():
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["s", "w"], ["m"]),
            helper.make_node("Add", ["m", "e"], ["n"]),
            helper.make_node("Identity", ["n"], ["o"]),
        ],
        "step",
        [helper.make_tensor_value_info(name, FLOAT, [2, 8]) for name in "se"],
        [helper.make_tensor_value_info(name, FLOAT, [2, 8]) for name in "no"],
    )
    scan = helper.make_node("Scan", ["start", "x"], ["end", "y"], body=body, num_scan_inputs=1)
    stored = [("w", np.ones((8, 8), np.float32)), ("start", np.ones((2, 8), np.float32))]
    made = [("y", FLOAT, [6, 2, 8])]
    model = graph(("x", FLOAT, [6, 2, 8]), nodes=[scan], outputs=made, stored=stored)
    specs, _ = taken(model)
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) == 2
    assert count_graph(model).macs == 6 * 64


def test_images_that_a_scan_goes_along_without_a_state_are_a_batch():
    body = helper.make_graph(
        [helper.make_node("MatMul", ["e", "w"], ["o"])],
        "each",
        [helper.make_tensor_value_info("e", FLOAT, [4, 8])],
        [helper.make_tensor_value_info("o", FLOAT, [4, 8])],
    )
    scan = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
    stored = [("w", np.ones((8, 8), np.float32))]
    made = [("y", FLOAT, [6, 4, 8])]
    model = graph(("x", FLOAT, [6, 4, 8]), nodes=[scan], outputs=made, stored=stored)
    specs, _ = taken(model)
    assert [spec.image_axis for spec in specs] == [0]


@pytest.mark.parametrize("first", ["seq", "time", "T"])
def test_a_named_axis_behind_steps_is_no_batch_where_no_layer_says_so(first):
    (spec,), _ = taken(graph(("x", FLOAT, [first, "joints", 3])))
    assert spec.with_batch(5)[1] == 1


def test_a_recurrent_layer_s_batch_counts_where_one_output_shows_it():
    layer = helper.make_node("GRU", ["x", "w", "r"], ["y", "h"], hidden_size=8)
    stored = [("w", np.ones((1, 24, 6), np.float32)), ("r", np.ones((1, 24, 8), np.float32))]
    made = [("y", FLOAT, [20, 1, 4, 8]), ("h", FLOAT, [1, 4, 8])]
    model = graph(("x", FLOAT, [20, 4, 6]), nodes=[layer], outputs=made, stored=stored)
    specs, _ = taken(model)
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) == 4
    assert count_graph(model).macs == 20 * (24 * 6 + 24 * 8)


def convolved(*inputs, made, more=()) -> onnx.ModelProto:
    """A model that convolves its first input, (name, type, shape), and has outputs of these shapes."""
    outputs = [(f"y{place}", FLOAT, shape) for place, shape in enumerate(made)]
    conv = helper.make_node("Conv", [inputs[0][0], "w"], ["y0"], pads=[1, 1, 1, 1])
    stored = [("w", np.ones((5, 3, 3, 3), np.float32))]
    return graph(*inputs, nodes=[conv, *more], outputs=outputs, stored=stored)


IMAGES = ("x", FLOAT, [4, 3, 8, 8])


@pytest.mark.parametrize(
    ("made", "axis"),
    [
        ([(25, 4, 20)], 1),
        ([(4 * 64, 5)], None),
        ([(4 * 64, 4)], None),
        ([(1, 4), (7, 4, 2)], 1),
    ],
    ids=["time-major", "boxes of all images", "sides of boxes", "beside one row"],
)
def test_a_fixed_batch_that_is_convolved_counts_wherever_outputs_have_it(made, axis):
    """Four images were run as one: a quarter of the images per second, and four times the MACs of one.

    The four sides of boxes were taken for those of four images, and cut or joined for a metric.
    """
    model = convolved(IMAGES, made=made)
    specs, _ = taken(model)
    outputs = [spec_of(value) for value in model.graph.output]
    assert fixed_batch(specs, outputs) == 4
    assert output_axis(outputs[-1], specs) == axis
    assert count_graph(model).macs == 5 * 27 * 64


@pytest.mark.parametrize("made", [[(1, 101)], [(1, 4)], [(7, 4)], [(1000,)], [(1, 4, 8, 8)]])
def test_what_is_convolved_and_becomes_one_row_is_one_image(made):
    """Frames of a video, cut-outs of a picture, or images whose differences are the channels of a map."""
    model = convolved(IMAGES, made=made)
    specs, _ = taken(model)
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) == 1
    assert count_graph(model).macs == 4 * 5 * 27 * 64


@pytest.mark.parametrize(
    "beside", [("ids", INT64, [1, 77]), ("template", FLOAT, [1, 3, 8, 8])], ids=["text", "template"]
)
def test_images_beside_one_text_or_template_are_the_batch(beside):
    pool = helper.make_node("GlobalAveragePool", ["template"], ["pooled"])
    model = convolved(IMAGES, beside, made=[(4, 1)], more=[pool] if beside[1] == FLOAT else [])
    specs, _ = taken(model)
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) == 4
    assert [has_batch(spec, specs) for spec in specs] == [True, False]
    assert output_axis(TensorSpec("score", (4,), "float32"), specs) == 0


def test_a_fixed_batch_that_stands_last_is_found_from_the_convolution():
    turn = helper.make_node("Transpose", ["x"], ["t"], perm=[3, 2, 0, 1])
    conv = helper.make_node("Conv", ["t", "w"], ["y"], pads=[1, 1, 1, 1])
    stored = [("w", np.ones((5, 3, 3, 3), np.float32))]
    model = graph(
        ("x", FLOAT, [8, 8, 3, 4]),
        nodes=[turn, conv],
        outputs=[("y", FLOAT, [4, 5, 8, 8])],
        stored=stored,
    )
    (spec,), _ = taken(model)
    assert spec.image_axis == 3
    assert fixed_batch((spec,)) == 4
    assert count_graph(model).macs == 5 * 27 * 64


def test_one_sequence_whose_steps_stand_first_is_one():
    """Its steps were the batch: so many times the images per second, and as little of the MACs."""
    turn = helper.make_node("Transpose", ["x"], ["t"], perm=[1, 2, 0])
    conv = helper.make_node("Conv", ["t", "w"], ["c"], pads=[1, 1])
    back = helper.make_node("Transpose", ["c"], ["y"], perm=[2, 0, 1])
    model = graph(
        ("x", FLOAT, [100, 1, 3]),
        nodes=[turn, conv, back],
        outputs=[("y", FLOAT, [100, 1, 5])],
        stored=[("w", np.ones((5, 3, 3), np.float32))],
    )
    specs, _ = taken(model)
    assert fixed_batch(specs, [spec_of(value) for value in model.graph.output]) == 1
    assert count_graph(model).macs == 100 * 5 * 9


def test_of_a_batch_that_convolutions_tell_the_filling_is_left_out_where_outputs_have_it():
    class Recogniser:
        inputs = (TensorSpec("x", (4, 3), "float32", tells_batch=True),)
        outputs = (TensorSpec("y", (5, 4, 1), "float32"), TensorSpec("boxes", (8, 4), "float32"))

        def run(self, feeds):
            y = np.tile(feeds["x"][:, :1], (5, 1, 1))
            return {"y": y, "boxes": np.ones((8, 4), np.float32)}

    x = np.arange(18, dtype=np.float32).reshape(6, 3)
    parts = list(run_in_batches(Recogniser(), {"x": x}, 1))
    np.testing.assert_array_equal(np.concatenate([one["y"] for one in parts], 1)[0], x[:, :1])
    assert [one["boxes"].shape for one in parts] == [(8, 4)] * 2


@pytest.mark.parametrize("key", ["batch", "images"])
def test_an_axis_of_another_hand_that_is_not_there_tells_nothing(key):
    spec = stored_about(TensorSpec("x", (1, 3), "float32"), {"x": {key: "2"}})
    assert fixed_batch([spec]) == 1


class Turned:
    """A session that takes four sequences at a time, (steps, 4, 6), and gives them back."""

    inputs = (TensorSpec("x", (20, 4, 6), "float32", fixed_axis=1),)
    outputs = (TensorSpec("y", (20, 4, 6), "float32"),)

    def run(self, feeds):
        assert feeds["x"].shape == (20, 4, 6)
        return {"y": feeds["x"]}


def test_sequences_are_cut_and_filled_up_on_the_axis_of_a_fixed_batch():
    x = np.arange(20 * 6 * 6, dtype=np.float32).reshape(20, 6, 6)
    parts = [outputs["y"] for outputs in run_in_batches(Turned(), {"x": x}, 1)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), x)


class Boxes:
    """A session that takes eight images, and has outputs of another length and of none."""

    inputs = (TensorSpec("x", (8, 3), "float32"),)
    outputs = tuple(
        TensorSpec(n, s, "float32") for n, s in (("y", (8, 3)), ("z", (2, 7)), ("s", ()))
    )

    def run(self, feeds):
        return {"y": feeds["x"], "z": np.ones((2, 7), np.float32), "s": np.float32(1)}


def test_outputs_without_the_batch_are_whole_in_a_last_part_of_fewer_images():
    parts = list(run_in_batches(Boxes(), {"x": np.ones((12, 3), np.float32)}, 1))
    assert [outputs["y"].shape for outputs in parts] == [(8, 3), (4, 3)]
    assert [outputs["z"].shape for outputs in parts] == [(2, 7), (2, 7)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("batch", "N"), ("batch", "batch_size_2"), ("batch_size", "batch.1"), ("batch1", "batch2")],
)
def test_batches_by_other_names_are_one_batch(one, other):
    (a, b), said = taken(graph(("a", FLOAT, [one, 4]), ("b", FLOAT, [other, 3])))
    assert (a.with_batch(3), b.with_batch(3), said) == ((3, 4), (3, 3), "")


def test_an_input_has_one_batch_whatever_else_is_called_so():
    (points, boxes), _ = taken(
        graph(("points", FLOAT, ["batch", "N", 3]), ("boxes", FLOAT, ["N", 4]))
    )
    assert (points.with_batch(2), boxes.with_batch(2)) == ((2, 1, 3), (1, 4))


@pytest.mark.parametrize(
    ("shape", "nodes"),
    [
        (["height", "width", 3], None),
        ([None, None, 3], [("Unsqueeze", ["x", "zero"], "batch")]),
        ([3, None, None], [("Unsqueeze", ["x", "zero"], "batch")]),
        ([None, None, 3], [("Transpose", ["x"], "t"), ("Unsqueeze", ["t", "zero"], "batch")]),
    ],
)
def test_an_image_without_a_batch_has_none(shape, nodes):
    made = [helper.make_node(kind, read, [name]) for kind, read, name in nodes or ()]
    last = made[-1].output[0] if made else "x"
    nodes = [*made, helper.make_node("Identity", [last], ["y"])]
    (spec,), said = taken(graph(("x", FLOAT, shape), nodes=nodes, stored=[("zero", np.array([0]))]))
    assert spec.shape == tuple(3 if size == 3 else 224 for size in shape)
    assert "--shape" in said
    (spec,), _ = taken(
        graph(("x", FLOAT, shape), nodes=nodes, stored=[("zero", np.array([0]))]),
        dims=(("height", 20), ("width", 30)),
    )
    assert spec.shape in ((20, 30, 3), (3, 20, 30))


def test_points_without_a_name_have_a_batch():
    (spec,), _ = taken(graph(("x", FLOAT, [None, 64, 3])))
    assert spec.with_batch(5) == (5, 64, 3)


def test_a_second_batch_of_another_name_is_1_and_not_the_number_of_channels():
    nodes = [
        helper.make_node("Conv", [name, "w"], [f"{name}_out"], name=name) for name in ("x", "ref")
    ]
    weight = np.ones((4, 3, 3, 3), np.float32)
    shape = {"N": ["N", 3, 8, 8], "M": ["M", 3, 8, 8]}
    model = graph(
        ("x", FLOAT, shape["N"]), ("ref", FLOAT, shape["M"]), nodes=nodes, stored=[("w", weight)]
    )
    (x, ref), said = taken(model)
    assert (x.with_batch(2), ref.with_batch(2)) == ((2, 3, 8, 8), (1, 3, 8, 8))
    assert "M=1" in said


def test_sizes_of_outputs_are_stated_where_the_inputs_leave_none_open():
    nodes = [helper.make_node("Flatten", ["x"], ["y"])]
    model = graph(("x", FLOAT, [4, 3, 2]), nodes=nodes, outputs=(("y", FLOAT, [None, "k"]),))
    taken(model)
    assert spec_of(model.graph.output[0]).shape == (4, 6)
    model = graph(("x", FLOAT, ["N", 3, 2]), nodes=nodes, outputs=(("y", FLOAT, [None, "k"]),))
    taken(model)
    assert spec_of(model.graph.output[0]).shape == (None, "k")


def test_channels_are_those_of_a_convolution_behind_what_is_padded():
    """They were taken for 1, with which the network does not run."""
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
    ]
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    stored = [("w", np.ones((4, 3, 3, 3), np.float32)), ("pads", pads)]
    (spec,), _ = taken(graph(("x", FLOAT, ["N", "C", 8, 8]), nodes=nodes, stored=stored))
    assert spec.shape[1] == 3


@pytest.mark.parametrize(
    ("shape", "node", "weight", "axis", "size"),
    [
        (["N", "features", "T"], {"op_type": "Conv"}, (4, 80, 3), 1, 80),
        (["N", "T", "features"], {"op_type": "MatMul"}, (80, 4), 2, 80),
        (["N", "features"], {"op_type": "Gemm", "transB": 1}, (4, 80), 1, 80),
        (["N", 1, "T", "mels"], {"op_type": "MatMul"}, (80, 4), 3, 80),
        (["T", "N", "features"], {"op_type": "RNN", "hidden_size": 4}, (1, 4, 80), 2, 80),
        (["N", "C", "D", "H", "W"], {"op_type": "Conv", "group": 2}, (4, 8, 1, 1, 1), 1, 16),
    ],
)
def test_channels_and_features_are_those_of_the_weights(shape, node, weight, axis, size):
    """They were taken for 1, with which the network does not run; channels of images alone were read."""
    inputs = ["x", "w", "r"] if node["op_type"] == "RNN" else ["x", "w"]
    stored = [("w", np.ones(weight, np.float32)), ("r", np.ones((1, 4, 4), np.float32))]
    nodes = [helper.make_node(node.pop("op_type"), inputs, ["y"], **node)]
    (spec,), said = taken(graph(("x", FLOAT, shape), nodes=nodes, stored=stored))
    assert spec.shape[axis] == size
    assert f"{shape[axis]}={size}" in said


@pytest.mark.parametrize("size", [-1, 0])
def test_minus_one_and_zero_are_free(size):
    model = graph(("x", FLOAT, ["N", 3, 8, 8]), outputs=(("y", FLOAT, ["N", 3, 8, 8]),))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = size
    (spec,), said = taken(model)
    assert (spec.with_batch(6), said) == ((6, 3, 8, 8), "")
    assert spec_of(model.graph.output[0]).shape == (None, 3, 8, 8)
    assert name_batch_of_outputs(model, {"y": (1, 3, 8, 8)}, {"y": (2, 3, 8, 8)})
    assert spec_of(model.graph.output[0]).shape == ("batch", 3, 8, 8)


def test_a_run_tells_on_which_axis_outputs_have_the_batch():
    model = graph(("x", FLOAT, [None, 8]), outputs=(("y", FLOAT, [None, None, None]),))
    take_inputs(model, InputChoice())
    assert name_batch_of_outputs(model, {"y": (2, 1, 8)}, {"y": (2, 2, 8)})
    assert spec_of(model.graph.output[0]).shape == (None, "batch", None)
    assert not name_batch_of_outputs(model, {"y": (7, 1, 8)}, {"y": (9, 2, 8)})


def test_dimensions_of_one_name_share_a_size_and_other_names_are_not_the_batch():
    model = graph(("ids", INT64, ["batch", "seq"]), ("mask", INT64, ["batch", "seq"]))
    (ids, mask), said = taken(model, shapes=(("ids", (1, 12)),))
    assert ids.with_batch(2) == mask.with_batch(2) == (2, 12)
    assert said == ""


def test_a_file_that_leaves_nothing_open_stays_as_it_is():
    model = graph(("x", FLOAT, ["N", 3, 8, 8]))
    before = model.SerializeToString(deterministic=True)
    take_inputs(model, InputChoice())
    assert model.SerializeToString(deterministic=True) == before


def test_an_input_without_a_shape_needs_one():
    model = graph(("x", FLOAT, None))
    with pytest.raises(UsageError, match="no shape in the file: give --shape x="):
        take_inputs(model, InputChoice())
    (spec,), _ = taken(model, shapes=(("x", (1, 3, 8, 8)),))
    assert spec.with_batch(2) == (2, 3, 8, 8)


def test_whole_numbers_that_look_up_in_a_table_stay_within_it():
    nodes = [
        helper.make_node("Cast", ["ids"], ["whole"], to=INT64),
        helper.make_node("Gather", ["table", "whole"], ["y"]),
    ]
    table = np.zeros((257, 4), np.float32)
    model = graph(("ids", TensorProto.INT32, ["N", 8]), nodes=nodes, stored=[("table", table)])
    (spec,), _ = taken(model)
    assert spec.values == "tokens(0,257)"


@pytest.mark.parametrize(("slot", "rows"), [(0, 300), (1, 2)])
def test_tokens_of_a_fused_embedding_stay_within_its_tables(slot, rows):
    given = ["ids", "segments"]
    names = [*given, "words", "places", "kinds", "gamma", "beta"]
    fused = helper.make_node("EmbedLayerNormalization", names, ["y", "m"], domain="com.microsoft")
    sizes = [
        ("words", (300, 8)),
        ("places", (16, 8)),
        ("kinds", (2, 8)),
        ("gamma", (8,)),
        ("beta", (8,)),
    ]
    stored = [(name, np.zeros(size, np.float32)) for name, size in sizes]
    inputs = [(name, TensorProto.INT32, ["N", 4]) for name in given]
    specs, _ = taken(graph(*inputs, nodes=[fused], stored=stored))
    assert specs[slot].values == f"tokens(0,{rows})"


@pytest.mark.parametrize(
    ("kind", "shape", "values"),
    [
        (TensorProto.INT32, ["N", 3, 8, 8], "range(0,255)"),
        (TensorProto.INT8, ["N", 8, 8, 3], "range(-128,127)"),
        (TensorProto.UINT16, [1, 3, 8, 8], "range(0,65535)"),
        (TensorProto.INT32, ["N", 17, 8, 8], ""),  # planes of a board
    ],
)
def test_colours_of_whole_numbers_are_pixels(kind, shape, values):
    """They were zeros and ones, which are next to nothing of what a network sees."""
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=FLOAT)]
    if shape[3] == 3:
        nodes.append(helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]))
    nodes.append(helper.make_node("Conv", [nodes[-1].output[0], "w"], ["y"]))
    stored = [("w", np.ones((2, min(shape[1], 17) if shape[3] != 3 else 3, 1, 1), np.float32))]
    (spec,), _ = taken(graph(("x", kind, shape), nodes=nodes, stored=stored))
    assert spec.values == values


@pytest.mark.parametrize(
    ("shape", "axes", "single"),
    [([8, 8, 3], [0], True), ([400], [0, 1], True), ([4, 8, 3], [2], False)],
)
def test_what_the_graph_makes_a_batch_of_is_single(shape, axes, single):
    nodes = [helper.make_node("Unsqueeze", ["x", "axes"], ["y"])]
    model = graph(("x", FLOAT, shape), nodes=nodes, stored=[("axes", np.array(axes))])
    specs, _ = taken(model)
    assert specs[0].single is single
    assert fixed_batch(specs) == (1 if single else 4)


def test_what_no_node_reads_is_made_up_whatever_it_is():
    """Data had to have an array for it."""
    body = helper.make_graph(
        [helper.make_node("Add", ["x", "offset"], ["o"])],
        "b",
        [],
        [helper.make_tensor_value_info("o", FLOAT, ["N", 4])],
    )
    branch = helper.make_node("If", ["choice"], ["y"], then_branch=body, else_branch=body)
    inputs = [("x", FLOAT, ["N", 4]), ("offset", FLOAT, ["N", 4]), ("choice", TensorProto.BOOL, [])]
    unread = [("phase", TensorProto.BOOL, []), ("types", INT64, ["N", 4])]
    specs, _ = taken(graph(*inputs, *unread, nodes=[branch]))
    assert [spec.values for spec in specs] == ["", "", "", "constant(0)", "constant(0)"]


def test_what_functions_hold_tells_of_the_inputs_too():
    steps = [
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("LSTM", ["e", "W", "R"], ["o", ""], hidden_size=6),
    ]
    own = helper.make_function(
        "own", "Encode", ["ids", "table", "W", "R"], ["o"], steps, [helper.make_opsetid("", 17)]
    )
    call = helper.make_node("Encode", ["ids", "table", "W", "R"], ["y"], domain="own")
    sizes = {"table": (300, 4), "W": (1, 24, 4), "R": (1, 24, 6)}
    stored = [(name, np.zeros(size, np.float32)) for name, size in sizes.items()]
    model = graph(("ids", INT64, [7, None]), nodes=[call], stored=stored)
    model.functions.append(own)
    model.opset_import.append(helper.make_opsetid("own", 1))
    (spec,), _ = taken(model)
    assert spec.values == "tokens(0,300)"


@pytest.mark.parametrize(
    ("shape", "size"),
    [([None, 8, None, 64], 1), ([None, 3, None, 64], 224), ([None, 8, None, None], 224)],
)
def test_a_cache_without_names_is_no_image(shape, size):
    (spec,), _ = taken(graph(("past", FLOAT, shape)))
    assert spec.with_batch(1)[2] == size


@pytest.mark.parametrize(
    ("perm", "shape", "layout"),
    [([0, 3, 1, 2], ["N", 16, 16, 7], "NHWC"), ([0, 2, 1, 3], ["N", 3, 16, 16], "")],
)
def test_the_layout_is_found_from_a_transpose(perm, shape, layout):
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=perm)]
    (spec,), _ = taken(graph(("x", FLOAT, shape), nodes=nodes))
    assert spec.layout == layout
    (spec,), _ = taken(graph(("x", FLOAT, shape), nodes=nodes), layout="NCHW")
    assert spec.layout == ""


def test_a_layout_that_the_first_convolution_contradicts_is_refused():
    weight = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="first")]
    model = graph(("x", FLOAT, ["N", 3, 16, 16]), nodes=nodes)
    model.graph.initializer.append(weight)
    with pytest.raises(UsageError, match=r"--layout NHWC: node 'first' \(Conv\) reads .* as NCHW"):
        take_inputs(model, InputChoice(layout="NHWC"))
    take_inputs(model, InputChoice(layout="NCHW"))


def test_a_batch_can_be_fixed_in_inputs_and_outputs():
    model = graph(("x", FLOAT, ["N", 3]), outputs=(("y", FLOAT, [20, "N", 11]),))
    take_inputs(model, InputChoice())
    fix_batch(model, 1)
    assert spec_of(model.graph.input[0]).shape == (1, 3)
    assert spec_of(model.graph.output[0]).shape == (20, 1, 11)


@pytest.mark.parametrize("mark", ["?", "-1", "None"])
def test_a_mark_for_no_name_is_no_name_that_two_dimensions_share(mark):
    """A classifier of text lines that packages ship calls height and width "?"; they are not of one size."""
    (spec,), _ = taken(
        graph(("x", FLOAT, [mark, 3, mark, mark])), shapes=(("x", (None, 3, 48, 192)),)
    )
    assert spec.with_batch(1) == (1, 3, 48, 192)
    assert spec.dynamic_batch
