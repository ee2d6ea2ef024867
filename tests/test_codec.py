"""Messages: what is written comes back equal, and what is not of the declared types is refused by name."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from deploykit import codec
from deploykit.spec import ModelSpec, TensorSpec


@pytest.mark.parametrize(
    "value",
    [
        ModelSpec("mobilenet", alpha=0.5, rho=Fraction(6, 7), resolution_px=96),
        TensorSpec("x", ("n", 3, None), "float32"),
    ],
)
def test_a_message_comes_back_equal(value):
    assert codec.from_json(codec.to_json(value), type(value)) == value
    assert codec.from_values(codec.to_values(value), type(value)) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, 5e-324, 0.1])
def test_numbers_come_back_equal_infinite_ones_too(value):
    assert codec.from_json(codec.to_json({"snr_db": value}), dict[str, float]) == {"snr_db": value}


def test_nan_is_not_lost_on_the_way():
    assert math.isnan(codec.from_json(codec.to_json(math.nan), float))


def test_keys_that_are_numbers_come_back_as_numbers():
    rates = {2**18: 80.5, 2**21: 40.25}
    assert codec.from_json(codec.to_json(rates), dict[int, float]) == rates
    assert codec.from_values(codec.to_values(rates), dict[int, float]) == rates


def test_a_file_name_outside_utf8_survives():
    path = Path("/a") / os.fsdecode(b"\xff.onnx")
    assert codec.from_json(codec.to_json(path), Path) == path


def test_a_path_travels_as_its_absolute_text():
    assert codec.to_values({"engine": Path("a")}) == {"engine": str(Path("a").absolute())}
    assert codec.from_values("/a", Path) == Path("/a")


def test_numbers_of_numpy_are_plain_numbers():
    assert codec.to_values([np.float64(0.5), np.int64(3)]) == [0.5, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "truncated"),
        ("[" * 100_000, "object"),
        (f'{{"x": {"[" * 100_000}', "recursion"),
        ('{"name": 3}', r"\$\.name"),
        ('{"alpha": 1.0}', "name"),
        ('{"name": "a", "alpha": "1"}', r"\$\.alpha"),
        ('{"name": "a", "rho": "x"}', r"\$\.rho|Fraction|zero"),
        ('{"name": "a", "rho": "1/0"}', r"\$\.rho|Fraction|zero"),
        ('{"name": "a", "seed": 1.5}', r"\$\.seed"),
    ],
)
def test_a_malformed_message_is_refused_in_one_line(text, said):
    with pytest.raises(codec.MalformedMessage, match=f"(?i){said}") as caught:
        codec.from_json(text, ModelSpec)
    assert "\n" not in str(caught.value)


def test_a_value_without_a_json_form_is_an_error_of_the_program():
    with pytest.raises(TypeError, match="no JSON form"):
        codec.to_json(object())


def test_a_pretty_message_is_sorted_indented_and_ends_its_line():
    text = codec.to_json({"b": 1, "a": [float("inf")]}, pretty=True).decode()
    assert text == '{\n  "a": [\n    Infinity\n  ],\n  "b": 1\n}\n'


def test_a_file_of_json_is_read_with_its_types(tmp_path):
    spec = ModelSpec("mobilenet", rho=Fraction(6, 7))
    (tmp_path / "spec.json").write_bytes(codec.to_json(spec))
    assert codec.read_json(tmp_path / "spec.json", ModelSpec) == spec
    assert codec.read_stored(tmp_path / "spec.json", ModelSpec) == spec
    assert codec.read_stored(tmp_path / "other.json", ModelSpec) is None
    with pytest.raises(FileNotFoundError):
        codec.read_json(tmp_path / "other.json", ModelSpec)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b" " * 1001, "more than 1000 bytes"),
        (b"[" * 70 + b"]" * 70, "more than 64 deep"),
        (b'{"name": 3}', r"\$\.name"),
        (b"\xff", "malformed|invalid"),
        (b"", "truncated"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_and_made_again(tmp_path, text, said):
    (tmp_path / "spec.json").write_bytes(text)
    with pytest.raises(codec.MalformedMessage, match=f"(?i){said}"):
        codec.read_json(tmp_path / "spec.json", ModelSpec, max_bytes=1000)
    assert codec.read_stored(tmp_path / "spec.json", ModelSpec, max_bytes=1000) is None


def test_as_deep_as_the_limit_is_read(tmp_path):
    (tmp_path / "lists.json").write_text("[" * codec.MAX_NESTING + "]" * codec.MAX_NESTING)
    assert codec.read_stored(tmp_path / "lists.json", list) is not None


@pytest.mark.parametrize("pretty", [False, True])
def test_a_file_name_that_is_no_text_travels(pretty):
    spec = ModelSpec("bad\udcff", seed=1)
    assert codec.from_json(codec.to_json(spec, pretty=pretty), ModelSpec) == spec


@pytest.mark.parametrize(
    "text", [r'{"name": "\udcff", "seed": "1"}', r'{"name": "\udcff"', r'["\udcff"' + "[" * 10**5]
)
def test_what_is_malformed_beside_such_a_name_is_refused_too(text):
    with pytest.raises(codec.MalformedMessage):
        codec.from_json(text, ModelSpec)


def test_a_class_over_str_is_text():
    class Version(str):
        __slots__ = ()

    assert codec.to_json([Version("2.9")]) == b'["2.9"]'
