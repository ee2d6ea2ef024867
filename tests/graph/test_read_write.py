from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_models import make_model
from onnx import TensorProto, helper, numpy_helper

from deploykit import env
from deploykit.errors import InvalidModel, OutputFailed, UsageError
from deploykit.graph.nodes import graph_inputs
from deploykit.graph.origin import set_origin
from deploykit.graph.read_write import open_model, read_model, save_model
from deploykit.spec import ModelSpec

SHIPPED = Path(onnx.__file__).parent / "backend" / "test" / "data"
LIGHT = sorted((SHIPPED / "light").glob("*.onnx"))


def refusal(path: Path) -> str:
    with pytest.raises(InvalidModel) as caught:
        read_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "; " in message, "the message says what to do"
    return message


def written(model: onnx.ModelProto, folder: Path, **options: object) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path, **options)
    return path


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_third_party_networks_open_with_their_one_input(path: Path) -> None:
    model = open_model(path)
    assert [value.shape for value in model.inputs] == [(1, 3, 224, 224)]
    assert model.precision == "fp32"
    assert model.spec == ModelSpec(path.stem, weights="file")


def test_there_are_third_party_networks() -> None:
    assert len(LIGHT) == 9


def test_operators_of_many_opsets_open_whatever_types_they_take() -> None:
    refused = set()
    for path in sorted(SHIPPED.glob("*/*/model.onnx")):
        if graph_inputs(onnx.load(path).graph):
            read_model(path)
        else:
            assert "has no input" in refusal(path)
            refused.add(path.parent.name)
    assert refused == {"test_operator_non_float_params"} or not refused


def test_a_model_survives_saving_and_reading(convolution: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    sha256 = save_model(convolution, path)
    assert path.read_bytes() == convolution.SerializeToString(deterministic=True)
    model = open_model(path)
    assert model.sha256 == sha256
    assert model.inputs[0].shape == ("batch", 3, 8, 8)
    assert model.inputs[0].dtype == "float32"
    assert read_model(path) == convolution


def test_metadata_and_functions_are_written_as_protobuf_would(tmp_path: Path) -> None:
    model = make_model(
        [helper.make_node("Twice", ["x"], ["y"], "twice", domain="own")],
        opsets=[helper.make_opsetid("", 20), helper.make_opsetid("own", 1)],
        functions=[
            helper.make_function(
                "own",
                "Twice",
                ["a"],
                ["b"],
                [helper.make_node("Add", ["a", "a"], ["b"])],
                [helper.make_opsetid("", 20)],
            )
        ],
    )
    helper.set_model_props(model, {"author": "someone"})
    model.producer_name, model.doc_string = "a producer", "a text"
    save_model(model, tmp_path / "model.onnx")
    assert read_model(tmp_path / "model.onnx") == model


def test_a_file_remembers_the_network_it_came_from(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    spec = ModelSpec("mobilenet", alpha=0.5, rho=Fraction(6, 7), weights="/far/away/best.pt")
    set_origin(convolution, spec, {"opset": 20})
    save_model(convolution, tmp_path / "other-name.onnx")
    model = open_model(tmp_path / "other-name.onnx")
    assert (model.spec.name, model.spec.alpha, model.spec.rho) == ("mobilenet", 0.5, Fraction(6, 7))
    assert model.spec.weights == "best.pt", "no path of this machine goes into the file"
    assert model.recipe == {"opset": 20}


@pytest.mark.parametrize(
    "recipe",
    [
        "[",
        "[1]",
        '{"a": ' + "[" * 100_000,
        '{"calibration": 7}',
        '{"calibration": {"method": 1, "count": 2, "synthetic": false}}',
        '{"kept": "all"}',
        '{"kept_by_value": {"conv": 1}}',
        '{"int8_steps": [[[]]]}',
        '{"constants_converted": "1"}',
        '{"verified": 1}',
    ],
    ids=lambda text: text[:30],
)
def test_a_strange_origin_is_ignored(
    convolution: onnx.ModelProto, tmp_path: Path, recipe: str
) -> None:
    helper.set_model_props(
        convolution, {"deploykit.spec": '{"name": 3, "rho": "1/0"}', "deploykit.recipe": recipe}
    )
    model = open_model(written(convolution, tmp_path))
    assert model.spec == ModelSpec("model", weights="file")
    assert model.recipe == {}


def test_initialisers_listed_as_inputs_are_not_reported(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    convolution.ir_version = 3
    for tensor in convolution.graph.initializer:
        convolution.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model = open_model(written(convolution, tmp_path))
    assert [value.name for value in model.inputs] == ["x"]


def torch_checkpoint() -> bytes:
    torch = pytest.importorskip("torch")
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"PK\x03\x04rest of a zip", "PyTorch checkpoint"),
        (b"name,latency\nmobilenet,3\n", "not an ONNX file"),
        (bytes(range(256)) * 8, "not an ONNX file"),
        (b"\x00" * 64, "not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "but a pointer of Git LFS; get the"),
        (b"\n<!DOCTYPE html><html>404", "but a web page; download"),
        (b"\x1f\x8b\x08\x00" * 9, "but packed with gzip; unpack"),
        (b"\x1c\0\0\0TFL3" * 9, "but a TensorFlow Lite model; export"),
        (b'\x40\0\0\0\0\0\0\0{"w":{"dtype":"F32"', "in safetensors; name the network"),
    ],
    ids="empty zip text bytes zeros lfs page gzip tflite safetensors".split(),
)
def test_other_files_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert said in refusal(path)


def test_a_checkpoint_is_told_from_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(torch_checkpoint())
    assert "PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT8, TensorProto.UINT64])
def test_typed_values_of_another_number_than_their_shape_are_refused(
    kind: int, tmp_path: Path
) -> None:
    model = make_model([helper.make_node("Reshape", ["x", "to"], ["y"])])
    target = helper.make_tensor("to", kind, [2], [1, -1] if kind == TensorProto.INT64 else [1, 2])
    target.dims[:] = [2, 1000]
    model.graph.initializer.append(target)
    assert "'to' does not hold what its shape [2, 1000] needs" in refusal(written(model, tmp_path))


def test_a_model_cut_short_is_refused(convolution: onnx.ModelProto, tmp_path: Path) -> None:
    data = convolution.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: len(data) // 2])
    assert "not an ONNX file, or is cut short" in refusal(path)


def test_a_file_that_ends_in_what_is_no_field_is_refused_though_all_is_there(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    path = written(convolution, tmp_path)
    path.write_bytes(path.read_bytes() + b"\xff\xff\xff")
    assert "not an ONNX file, or is cut short" in refusal(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.onnx")
    assert "is a folder" in refusal(tmp_path)


def test_what_no_file_is_behind_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")  # reading it would wait for a writer
    (tmp_path / "circle.onnx").symlink_to("circle.onnx")
    assert "it is a pipe, not a file" in refusal(tmp_path / "pipe.onnx")
    assert "too many levels of symbolic links" in refusal(tmp_path / "circle.onnx")
    assert "it is a device, not a file" in refusal(Path("/dev/zero"))
    assert "file name too long" in refusal(tmp_path / f"{'x' * 5000}.onnx")
    assert "no such name can be" in refusal(tmp_path / "a\0.onnx")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("circle", "leads nowhere (symlink loop)"),
        ("a\0b", "leads nowhere (embedded null byte)"),
        ("x" * 5000, "leads nowhere (file name too long)"),
        ("pipe", "is missing"),
        (".", "is missing"),
    ],
)
def test_external_data_that_is_nowhere_is_refused(
    location: str, said: str, external: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    assert said in refusal(written(model, tmp_path))


def test_weights_that_can_not_be_read_are_named(
    external: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "model.data":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert "model.data: permission denied; copy the file again" in refusal(external)


def test_a_place_of_weights_that_is_no_text_is_refused(external: Path) -> None:
    external.write_bytes(external.read_bytes().replace(b"model.data", b"model\xffdata"))
    assert "is not UTF-8 text" in refusal(external)


def test_a_file_larger_than_memory_is_refused_before_it_is_read(
    external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**27)
    with (tmp_path / "model.data").open("r+b") as data:
        data.truncate(2**28)
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        del tensor.external_data[2:]  # its length: all that is there
    assert "its weights take 0.537 GB" in refusal(written(model, tmp_path))
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**28)
    assert "what is in it takes 0.268 GB" in refusal(tmp_path / "large.onnx")


def test_nodes_in_a_cycle_are_refused(tmp_path: Path) -> None:
    model = make_model(
        [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    )
    model.graph.output[0].name = "b"
    assert "cycle" in refusal(written(model, tmp_path))


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Convolve", ["x"], ["y"]),
        helper.make_node("Relu", ["x", "x"], ["y"]),
        helper.make_node("Relu", ["x"], ["y"], slope=0.5),
    ],
    ids=["unknown operator", "too many inputs", "unknown attribute"],
)
def test_invalid_nodes_are_refused(node: onnx.NodeProto, tmp_path: Path) -> None:
    assert "not a valid ONNX graph" in refusal(written(make_model([node]), tmp_path))


def test_a_weight_with_a_negative_dimension_is_refused(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    convolution.graph.initializer[0].dims[0] = -16
    assert "'w' has a negative dimension" in refusal(written(convolution, tmp_path))


def test_a_weight_that_does_not_fit_its_shape_is_refused(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    convolution.graph.initializer[0].dims[0] = 17
    assert "'w' holds 1728 bytes" in refusal(written(convolution, tmp_path))


def test_a_custom_operator_is_named_with_its_domain(tmp_path: Path) -> None:
    model = make_model(
        [helper.make_node("Deform", ["x"], ["y"], domain="acme.vision")],
        opsets=[helper.make_opsetid("", 20), helper.make_opsetid("acme.vision", 1)],
    )
    message = refusal(written(model, tmp_path))
    assert "'Deform'" in message
    assert "'acme.vision'" in message


def test_operators_of_onnx_runtime_are_welcome(tmp_path: Path) -> None:
    model = make_model(
        [helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")],
        opsets=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)],
    )
    read_model(written(model, tmp_path))


def test_a_model_without_any_input_is_refused(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["w"], ["y"])])
    del model.graph.input[:]
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    assert "has no input" in refusal(written(model, tmp_path))


def test_an_output_without_shape_or_type_is_found_out(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], shape=(1, 3, 8, 8))
    model.graph.output[0].ClearField("type")
    (output,) = open_model(written(model, tmp_path)).outputs
    assert (output.shape, output.dtype) == ((1, 3, 8, 8), "float32")


def test_an_old_version_may_keep_weights_to_itself(convolution, tmp_path: Path) -> None:
    convolution.ir_version = 3
    assert read_model(written(convolution, tmp_path)).ir_version == 4


@pytest.fixture
def external(convolution: onnx.ModelProto, tmp_path: Path) -> Path:
    return written(
        convolution,
        tmp_path,
        save_as_external_data=True,
        location="model.data",
        size_threshold=0,
    )


def test_external_data_is_read_and_can_be_embedded(external: Path, tmp_path: Path) -> None:
    assert (tmp_path / "model.data").stat().st_size >= 4 * 448
    model = read_model(external)
    save_model(model, tmp_path / "whole.onnx")
    (tmp_path / "model.data").unlink()
    weight = read_model(tmp_path / "whole.onnx").graph.initializer[0]
    assert numpy_helper.to_array(weight).shape == (16, 3, 3, 3)
    assert np.isfinite(numpy_helper.to_array(weight)).all()


def test_the_hash_covers_external_data(external: Path, tmp_path: Path) -> None:
    before = open_model(external).sha256
    data = bytearray((tmp_path / "model.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "model.data").write_bytes(data)
    assert open_model(external).sha256 != before


def test_missing_external_data_is_named(external: Path, tmp_path: Path) -> None:
    (tmp_path / "model.data").unlink()
    assert "'model.data' is missing" in refusal(external)


def test_external_data_that_git_did_not_fetch_is_told(external: Path, tmp_path: Path) -> None:
    (tmp_path / "model.data").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a")
    assert "'model.data' is a pointer of Git LFS; get the file" in refusal(external)


def test_external_data_cut_short_is_refused(external: Path, tmp_path: Path) -> None:
    data = tmp_path / "model.data"
    data.write_bytes(data.read_bytes()[:100])
    assert "too short" in refusal(external)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_external_data_outside_the_folder_is_refused(
    location: str, external: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert "outside the model's folder" in refusal(path)


def hub_cache(root: Path, model: Path, secret: bool = False) -> Path:
    """The two files of `model` as a hub's cache keeps them: links of a snapshot to blobs."""
    blobs, snapshot = (
        root / "models--a--b" / "blobs",
        root / "models--a--b" / "snapshots" / "f00" / "onnx",
    )
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(model.read_bytes())
    data = (root if secret else blobs) / "2"
    data.write_bytes((model.parent / "model.data").read_bytes())
    (snapshot / "model.onnx").symlink_to(Path("../../../blobs/1"))
    (snapshot / "model.data").symlink_to(os.path.relpath(data, snapshot))
    return snapshot / "model.onnx"


def test_links_into_the_blobs_of_a_hubs_cache_are_followed(external: Path, tmp_path: Path) -> None:
    found = read_model(hub_cache(tmp_path / "cache", external)).graph.initializer[0]
    expected = read_model(external).graph.initializer[0]
    assert numpy_helper.to_array(found).tobytes() == numpy_helper.to_array(expected).tobytes()
    assert open_model(tmp_path / "cache/models--a--b/snapshots/f00/onnx/model.onnx").outputs


def test_a_link_of_a_cache_to_anywhere_else_is_refused(external: Path, tmp_path: Path) -> None:
    path = hub_cache(tmp_path / "cache", external, secret=True)
    assert "outside the model's folder" in refusal(path)


# ---- what runtimes take though ONNX's checker does not


def test_an_output_without_a_shape_gets_the_inferred_one(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    expected = open_model(written(convolution, tmp_path)).outputs
    bare = onnx.ModelProto()
    bare.CopyFrom(convolution)
    bare.graph.output[0].type.tensor_type.ClearField("shape")
    (output,) = open_model(written(bare, tmp_path)).outputs
    assert len(output.shape) == len(expected[0].shape)
    assert output.dtype == "float32"


def test_an_output_whose_shape_no_one_can_infer_is_taken(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["z"]),
        helper.make_node("Cast", ["z"], ["s"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4]),
            helper.make_tensor_value_info("t", TensorProto.INT64, ["R"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert [o.name for o in open_model(written(model, tmp_path)).outputs] == ["y"]


def test_group_normalization_of_opset_18_is_welcome(tmp_path: Path) -> None:
    groups = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in "sb"]
    graph = helper.make_graph(
        [helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 4, 4])],
        groups,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert open_model(written(model, tmp_path)).precision == "fp32"


def test_a_failed_write_leaves_the_old_file(
    convolution: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputFailed, match="No space left"):
        save_model(convolution, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_a_mistake_of_the_user(
    convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="create it first"):
        save_model(convolution, tmp_path / "none" / "model.onnx")


def quantised(element_type: int) -> onnx.ModelProto:
    """A MatMul between DequantizeLinear of its operands, the first through a Reshape."""
    weight = helper.make_tensor("w", element_type, (8, 4), [1] * 32)
    scale = helper.make_tensor("s", TensorProto.FLOAT, (), [0.1])
    zero = helper.make_tensor("z", element_type, (), [0])
    return make_model(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("Flatten", ["d"], ["f"]),
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"]),
            helper.make_node("MatMul", ["f", "v"], ["y"]),
        ],
        [weight, scale, zero],
        shape=("batch", 8),
    )


@pytest.mark.parametrize(
    ("element_type", "precision"),
    [
        (TensorProto.INT8, "int8"),
        (TensorProto.UINT8, "int8"),
        (TensorProto.FLOAT8E4M3FN, "fp8"),
    ],
)
def test_products_of_dequantised_operands_are_quantised(
    element_type: int, precision: str, tmp_path: Path
) -> None:
    assert open_model(written(quantised(element_type), tmp_path)).precision == precision


def test_a_product_with_only_its_weight_quantised_is_not(tmp_path: Path) -> None:
    model = quantised(TensorProto.INT8)
    model.graph.node[2].input[0] = "x"
    assert open_model(written(model, tmp_path)).precision == "fp32"


@pytest.mark.parametrize(
    ("element_type", "precision"),
    [(TensorProto.FLOAT16, "fp16"), (TensorProto.BFLOAT16, "bf16")],
)
def test_a_product_computes_in_the_type_it_is_cast_to(
    element_type: int, precision: str, tmp_path: Path
) -> None:
    weight = helper.make_tensor("w", element_type, (8, 4), [1.0] * 32)
    model = make_model(
        [
            helper.make_node("Cast", ["x"], ["h"], to=element_type),
            helper.make_node("MatMul", ["h", "w"], ["p"]),
            helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
        ],
        [weight],
        shape=("batch", 8),
    )
    assert open_model(written(model, tmp_path)).precision == precision
