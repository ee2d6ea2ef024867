"""`deploykit layers --mix`: the table of both precisions, the options of the best mix, and what was measured."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace

import pytest

import deploykit
from deploykit.stats import RatioInterval
from deploykit.workflow import what_if
from deploykit.workflow.mix import Passed, Table, Unit

TABLE = Table(
    (
        Unit(("features.0/Conv", "features.1/Tanh"), "features.0/Conv", "Conv", 2, 3, True, False),
        Unit(("features.3/Conv",), "features.3/Conv", "Conv", 2.0, 0.5, True, False),
        Unit(("softmax",), "softmax", "Softmax", 0.25, 0.0, False, False),
    ),
    (
        Passed(None, (0,), False, 0.0625, 0.0),
        Passed(0, (1,), False, 0.125, 0.375),
        Passed(1, (2,), False, 0.0, 0.0),
    ),
    4.25,
    3.875,
)


@pytest.fixture
def found(monkeypatch):
    """What is found and tried, without measuring."""
    monkeypatch.setattr("deploykit.workflow.network.obtain_network", lambda *arguments: None)

    def of(in_int8, kept):
        seen = what_if.WhatIf(TABLE, frozenset(in_int8), kept, 2.875, None, None)
        monkeypatch.setattr(what_if, "what_if", lambda *arguments, **rest: seen)
        interval = RatioInterval(0.75, 0.7, 0.8, 0.99, 12)
        tried = what_if.Tried(SimpleNamespace(), 3.0, interval, interval)
        monkeypatch.setattr(what_if, "try_mix", lambda *arguments, **rest: tried)

    return of


def test_the_table_the_options_and_how_near_the_prediction_was(run, found, monkeypatch):
    found({1}, ("features.0/Conv", "features.1/Tanh"))
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        ended = run("layers", "lenet5", "--mix", "-q")
        assert ended.code == 0, ended.err
        lines = ended.out.splitlines()
        assert max(map(len, lines)) <= columns
        cells = [line.split() for line in lines]
        first = next(line for line in cells if line[:1] == ["features.0/Conv"])
        assert first[-1] == "fp32"
        assert first[-5:-1] == ["2.0000", "3.0000", "0.1250", "0.3750"]
        assert any(line[-2:] == ["fp32", "only"] for line in cells)
        assert "--keep features.0/Conv" in lines
        assert " ".join(ended.out.split()).endswith(
            "The best mix of int8 and fp32 keeps 2 layers in fp32, and is predicted to take 2.875 ms: fp32 takes "
            "4.25 ms and int8 3.875. "
            "Measured: 3 ms, so that the prediction is 4.2% too low. It takes 0.750 (0.700 to 0.800) of int8, and "
            "0.750 (0.700 to 0.800) of fp32."
        )


def test_json_and_csv_have_every_unit(run, found):
    found({1}, ("features.0/Conv",))
    values = json.loads(run("layers", "lenet5", "--mix", "-q", "--json").out)
    assert values["kept"] == ["features.0/Conv"]
    assert (values["predicted_ms"], values["measured_ms"]) == (2.875, 3.0)
    assert [unit["mix"] for unit in values["units"]] == ["fp32", "int8", "fp32 only"]
    rows = list(
        csv.DictReader(io.StringIO(run("layers", "lenet5", "--mix", "-q", "--csv", "-").out))
    )
    assert [row["layers"] for row in rows] == ["2", "1", "1"]
    assert rows[2]["int8_ms"] == ""


def test_where_one_precision_is_best_throughout_it_says_so(run, found):
    found({0, 1}, ())
    ended = run("layers", "lenet5", "--mix", "-q")
    assert ended.out.splitlines()[-1].startswith(
        "No mix of int8 and fp32 is predicted to be faster than int8 alone"
    )
    assert "--keep" not in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--min-snr-db", "20"], "--mix looks for speed alone"),
        (["--by", "time"], "--mix has no use for --by"),
        (["--top", "3"], "--mix has no use for --top"),
        (["--quick"], "--mix has no use for --quick"),
        (["--time-limit", "60"], "--mix has no use for --time-limit"),
        (["--html", "page.html"], "--html draws the layers of one engine"),
        (["--precision", "fp16"], "--mix is of int8 and fp32 on onnxruntime"),
        (["--backend", "torch"], "--mix is of int8 and fp32 on onnxruntime"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_mix_is_not_is_said_in_one_line(run, found, arguments, said):
    ended = run("layers", "lenet5", "--mix", "-q", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err


def test_in_python_the_table_is_a_frame_and_what_to_keep_is_in_its_attrs(
    found, monkeypatch, tmp_path
):
    monkeypatch.setattr("deploykit.api.by_layer.obtain_network", lambda *arguments: None)
    found({1}, ("features.0/Conv",))
    said: list[str] = []
    frame = deploykit.best_mix("lenet5", weights="trained", store=tmp_path, say=said.append)
    assert tuple(frame.columns) == what_if.COLUMNS
    assert frame["mix"].tolist() == ["fp32", "int8", "fp32 only"]
    assert frame["int8_ms"].isna().tolist() == [False, False, True]
    assert str(frame["layers"].dtype) == "Int64"
    assert frame.attrs["kept"] == ["features.0/Conv"]
    assert (frame.attrs["predicted_ms"], frame.attrs["measured_ms"]) == (2.875, 3.0)
    assert frame.attrs["sentences"][1].startswith("Measured: 3 ms")
    assert said == ["build the mix and measure it beside both"]
    found({0, 1}, ())
    alone = deploykit.best_mix("lenet5", weights="trained", store=tmp_path)
    assert (alone.attrs["kept"], alone.attrs["measured_ms"]) == ([], None)
    assert len(alone.attrs["sentences"]) == 1
