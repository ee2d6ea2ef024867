"""Made-up inputs: each form gives what it says, in the input's type and shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from deploykit import env
from deploykit.bench.feeds import synthetic
from deploykit.errors import UsageError
from deploykit.graph.values import (
    check_values,
    doubtful_inputs,
    inputs_text,
    make_values,
    numpy_type,
    parse_values,
    require_values_fit,
    values_text,
)
from deploykit.spec import TensorSpec


def made(dtype, text, shape=("batch", 1000), batch=2):
    spec = TensorSpec("x", shape, dtype, values=parse_values(text) if text else "")
    return make_values(spec, batch, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("dtype", "text", "low", "high"),
    [
        ("uint8", "range(0,255)", 0, 255),
        ("int64", "tokens(5,9)", 5, 8),
        ("float32", "range(0,255)", 0, 255),
        ("int64", "constant(16000)", 16000, 16000),
        ("int64", "", 0, 1),
        ("bool", "", 0, 1),
    ],
)
def test_values_lie_in_what_is_said_and_fill_it(dtype, text, low, high):
    values = made(dtype, text)
    assert (values.dtype, values.shape) == (np.dtype(dtype), (2, 1000))
    assert low <= values.min() <= low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) <= values.max() <= high


def test_floats_are_normal_by_default_in_their_own_type():
    for dtype in ("float16", "float64"):
        values = made(dtype, "")
        assert values.dtype == dtype
        assert abs(values.astype(np.float64).std() - 1) < 0.1


def test_a_file_gives_as_many_as_the_batch_needs(tmp_path):
    path = tmp_path / "v.npy"
    stored = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(path, stored)
    spec = TensorSpec("x", ("n", 3), "float32", values=parse_values(str(path)))
    values = make_values(spec, 3, np.random.default_rng(0))
    assert np.array_equal(values, stored[[0, 1, 0]])
    assert inputs_text((spec,), 3) == "x=3x3 float32 v.npy"
    np.save(path, stored + 1)
    with pytest.raises(UsageError, match="has changed"):
        make_values(spec, 3, np.random.default_rng(0))


def test_a_file_of_another_shape_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((2, 4), np.float32))
    spec = TensorSpec("x", ("n", 3), "float32", values=parse_values(str(tmp_path / "v.npy")))
    with pytest.raises(UsageError, match=r"holds float32 .* takes float32 \[1, 3\]"):
        check_values(spec)


def header(shape, dtype="<f4"):
    stated = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117)
    return b"\x93NUMPY\x01\x00" + len(stated + b"\n").to_bytes(2, "little") + stated + b"\n"


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (b"", "EOF"),
        (b"PK\x03\x04 no archive", "magic string"),
        (b"\x93NUMPY\x09\x00", "is not known"),
        (header((10**6, 10**6)), "cut short"),
        (header((-1, 3)), "its shape has a size below 0 or beyond 64 bits"),
        (header((10**400, 3)), "its shape has a size below 0 or beyond 64 bits"),
        (header((1,), "|O") + bytes(64), "Python objects"),
        (header("1//0"), "valid"),
    ],
)
def test_a_file_that_is_no_array_is_refused_in_one_line(tmp_path, stored, why):
    path = tmp_path / "v.npy"
    path.write_bytes(stored)
    with pytest.raises(UsageError, match=rf"v.npy can't be read: .*{why}.*save it with numpy.save"):
        parse_values(str(path))


def test_an_array_of_more_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "v.npy"
    with path.open("wb") as file:
        file.write(header((2**26,)))
        file.truncate(file.tell() + 2**28)
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**27)
    with pytest.raises(UsageError, match=r"v.npy takes 0.25 GiB, and 0.125 GiB of memory are left"):
        parse_values(str(path))


def test_numbers_beyond_the_type_are_refused():
    with pytest.raises(UsageError, match="uint8 holds whole numbers from 0 to 255"):
        check_values(TensorSpec("x", ("n",), "uint8", values="constant(300)"))


def test_types_that_nobody_can_make_up_are_refused():
    generator = np.random.default_rng(0)
    for dtype in ("string", "object"):
        with pytest.raises(UsageError, match="takes text, which can't be made up"):
            make_values(TensorSpec("s", ("n",), dtype), 1, generator)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8e4m3fn", "float8_e4m3fn", "float4_e2m1fn", "int4"]
)
def test_types_that_numpy_has_not_are_refused_whatever_adds_them_to_it(dtype):
    assert onnx.TensorProto.BFLOAT16  # importing it brings some of the types to numpy
    spec = TensorSpec("s", ("n",), dtype)
    assert numpy_type(dtype) is None
    assert values_text(spec) == "range(0,1)"
    check_values(replace(spec, values="constant(3)"))
    require_values_fit([spec], 2)
    with pytest.raises(UsageError, match="export the model with float32 inputs"):
        make_values(spec, 1, np.random.default_rng(0))


def test_whole_numbers_that_nobody_gave_are_named_where_a_network_does_not_run():
    specs = (TensorSpec("x", ("N", 8), "float32"), TensorSpec("size", (4,), "int64"))
    assert "size was fed range(0,1): give what it takes with --input size=" in doubtful_inputs(
        specs
    )
    given = (TensorSpec("size", (4,), "int64", values="constant(8)"),)
    assert doubtful_inputs((specs[0], *given)) == ""


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("mask", ("N", 7), "bool"),
        TensorSpec("orig_im_size", (2,), "float32"),
        TensorSpec("scale", (), "float16"),
    ],
)
def test_masks_and_single_numbers_that_nobody_gave_are_named_too(spec):
    assert f"; {spec.name} was fed " in doubtful_inputs((spec,))


def test_a_row_says_what_each_input_is_fed():
    specs = (
        TensorSpec("x", ("N", 8, 8, 3), "float32", layout="NHWC"),
        TensorSpec("ids", ("N", 128), "int64", values="tokens(0,30000)"),
        TensorSpec("rate", (), "int64"),
    )
    assert inputs_text(specs, 2) == (
        "x=2x8x8x3 float32 normal NHWC; ids=2x128 int64 tokens(0,30000); rate=scalar int64 range(0,1)"
    )


def test_what_takes_more_memory_than_is_left_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**28)
    spec = TensorSpec("x", ("batch", 3, 2**10, 2**10), "float32")
    assert make_values(spec, 1, np.random.default_rng(0)).shape == (1, 3, 2**10, 2**10)
    generator = None  # nothing is drawn
    with pytest.raises(
        UsageError, match=r"'x' of shape \[64, 3, 1024, 1024\] takes 0.75 GiB, and 0.25 GiB"
    ):
        make_values(spec, 64, generator)
    with pytest.raises(
        UsageError, match=r"32 times takes 0.375 GiB, and 0.25 GiB of memory are left"
    ):
        synthetic([spec], 1, sets=32)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        ("float64", "range(-1e308,1e308)"),
        ("float32", "range(0,1e39)"),
        ("float16", "constant(1e6)"),
        ("float32", "tokens(0,1e30)"),
        ("int64", "tokens(0,1e30)"),
    ],
)
def test_numbers_beyond_a_type_are_refused_in_one_line(dtype, text):
    values = parse_values(text)
    with pytest.raises(UsageError, match=rf"--input x=.*of {dtype} takes numbers from"):
        check_values(TensorSpec("x", (1, 3), dtype, values=values))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("range(0,255):uint8", "tokens(0,256)"),
        ("range(-3, 3): int8", "tokens(-3,4)"),
        ("range(0,1):float32", "range(0,1)"),
        ("tokens(0,256):uint8", "tokens(0,256)"),
        ("constant(7):int64", "constant(7)"),
        ("normal:float32", "normal"),
    ],
)
def test_values_of_a_type_are_whole_numbers_where_it_is_one_of_integers(text, stored):
    assert parse_values(text) == stored
    values = make_values(
        TensorSpec("x", (4, 100), "float32", values=stored), 1, np.random.default_rng(0)
    )
    if "int" in text:
        assert np.array_equal(values, np.round(values))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("range(0,256):uint8", "uint8 holds whole numbers from 0 to 255"),
        ("range(0,0.5):uint8", "uint8 holds whole numbers"),
        ("normal:int8", "int8 holds whole numbers"),
        ("range(0,1):byte string", "no type of numbers"),
        ("range(0,1):", "'' is no type of numbers"),
    ],
)
def test_a_type_that_can_not_hold_the_values_is_refused(text, why):
    with pytest.raises(UsageError, match=why):
        parse_values(text)
