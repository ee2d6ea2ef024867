from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.figures import general, in_full, plainly, with_ends, with_interval
from deploykit.report import profile_page, views
from deploykit.report.markdown import as_text, table
from deploykit.row import Row

ROW = {
    "model": "mobilenet",
    "alpha": 0.5,
    "rho": "6/7",
    "backend": "onnxruntime",
    "precision": "fp16",
    "precision_actual": "fp32",
    "batch": 8,
    "status": "ok",
    "latency_p50_ms": 1.23456,
    "latency_p50_low_ms": 1.2,
    "latency_p50_high_ms": 1.31,
    "top1": 0.994,
    "top1_low": 0.98251,
    "top1_high": 0.997957,
    "engine_bytes": 5_372_104,
}


def cells(row):
    return {field.heading: field.text(row) for field in views.PROFILE}


def test_a_measured_row_reads_as_people_write_it():
    shown = cells(ROW)
    assert shown["model"] == "mobilenet α=0.5 ρ=6/7"
    assert shown["precision"] == "fp16 (as fp32)"
    assert shown["p50 ms [95%]"] == "1.23 [1.20, 1.31]"
    assert shown["top-1 [95%]"] == "99.4% [98.3%, 99.8%]"
    assert shown["engine MB"] == "5.37"
    assert shown["batch"] == "8"


def test_rows_of_several_machines_have_a_column_for_it_and_those_of_one_have_none():
    rows = [{**ROW, "env_id": "aaaa1111"}, {**ROW, "env_id": "bbbb2222"}]
    arranged = [views.arrange(views.PROFILE, of) for of in (rows, rows[:1])]
    shown = ["machine" in [one.heading for one in of.fields] for of in arranged]
    assert shown == [True, False]
    assert not any("machine" in text for of in arranged for text in of.above)


def test_a_metric_of_the_users_own_is_shown_in_any_width_with_its_interval_and_that_of_fp32():
    judged = {**ROW, "metric": "iou:each", "metric_value": 0.8123, "metric_fp32": 0.9}
    assert cells(judged)["metric [95%]"] == "0.812"
    whole = cells({**judged, "metric_low": 0.79, "metric_high": 0.83})
    assert whole["metric [95%]"] == "0.812 [0.790, 0.830]"
    assert whole["metric of fp32"] == "0.900"
    assert [one.rank for one in views.PROFILE if one.name == "metric_value"] == [0]


def test_a_multiplier_that_is_no_number_is_shown_as_it_stands():
    assert views.label({"model": "mobilenet", "alpha": "wide", "rho": "1"}) == "mobilenet α=wide"
    assert views.label({"model": "mobilenet", "alpha": "0.50"}) == "mobilenet α=0.5"


def test_a_row_read_back_from_csv_reads_the_same():
    assert cells({name: str(value) for name, value in ROW.items()}) == cells(ROW)


def test_what_was_not_measured_is_a_dash_and_never_a_number():
    shown = cells({"model": "vgg11", "precision": "int8", "status": "failed"})
    configuration = {field.heading for field in views.PROFILE if field.apart}
    configuration |= {"constraint", "status"}
    measured = set(shown) - configuration
    assert {shown[heading] for heading in measured} == {"–"}
    assert shown["status"] == "failed"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.23456, "1.23"),
        (123.456, "123"),
        (4402.7, "4,403"),
        (0.00012, "0.000120"),
        (6e-06, "0.00000600"),
        (3.08e-07, "3.08×10^-7"),
        (12.0, "12.0"),
        (2.5e7, "25,000,000"),
        ("", "–"),
        (None, "–"),
    ],
)
def test_three_significant_digits(value, text):
    assert views.significant(value) == text


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_significant_is_within_half_a_percent(value):
    text = views.significant(value).replace(",", "").replace("×10^", "e")
    assert float(text) == pytest.approx(value, rel=0.0051)


def test_a_markdown_table_survives_bars_and_line_breaks():
    text = table(("a", "b"), [("x|y", "two\nlines")], right=[1])
    assert text == "| a | b |\n| --- | --: |\n| x\\|y | two lines |\n"


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((11.8, 11.79, 11.82), ("11.80", "11.79", "11.82")),
        ((0.0322, 0.03218, 0.03221), ("0.03220", "0.03218", "0.03221")),
        ((37.9, 33.4, 42.8), ("37.9", "33.4", "42.8")),
        ((1234.5, 1200.0, 1300.0), ("1,234", "1,200", "1,300")),
        ((12.0, 12.0, 13.1), ("12.0", "12.0", "13.1")),
        ((11.8, 11.8, 11.8), None),
    ],
)
def test_a_value_and_its_interval_have_the_same_digits_and_ends_that_differ(numbers, texts):
    assert with_interval(*numbers) == texts


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("over the run (p 2e-05); wait", "over the run (p 0.00002); wait"),
        ("deviation(formula)=8.93e-08", "deviation(formula)=0.0000000893"),
        ("1.5e+07 rows", "15000000 rows"),
        ("found 3e-30", "found 3.00×10^-30"),
        ("layer1e-05x/Conv.1e-05", "layer1e-05x/Conv.1e-05"),  # a name
    ],
)
def test_numbers_in_texts_that_are_stored_read_without_exponents(text, read):
    assert plainly(text) == read


@given(st.floats(allow_nan=False, min_value=1e-15, max_value=1e22))
def test_a_number_in_full_is_itself_and_has_no_exponent(number):
    text = in_full(number)
    assert float(text) == number
    assert "e" not in text


@pytest.mark.parametrize(
    ("number", "text"), [(29273.0, "29,273"), (6e-06, "0.000006"), (12.0, "12"), (0.5, "0.5")]
)
def test_a_number_in_a_sentence_has_no_exponent(number, text):
    assert general(number) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <img src=x>", r"a \<img src=x>"),
        ("</table><!-- -->", r"\</table>\<!-- -->"),
        ("[here](http://example.com)", r"[here]\(http://example.com)"),
        ("p < 0.0001, 2.00 [1.90, 2.10]", "p < 0.0001, 2.00 [1.90, 2.10]"),
    ],
)
def test_names_are_text_in_markdown_too(text, shown):
    assert as_text(text) == shown
    assert shown in table(("name",), [(text,)])


def test_a_page_of_a_profile_takes_names_for_text():
    hostile = Row({"status": "ok", "model": "net<script>alert(1)</script>", "latency_p50_ms": 1.0})
    text = profile_page.page([hostile], remarks=["<b>said</b>"])
    assert "<script>" not in text.replace("\\<", "")
    assert "<b>" not in text.replace("\\<", "")


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((3.0, 2.29, 3.44), ("3.00", "2.29", "3.44")),
        ((1.04, 1.037, 1.043), ("1.040", "1.037", "1.043")),
        ((1.04, 1.04, 1.04), ("1.0400", "1.0400", "1.0400")),
    ],
)
def test_the_ends_of_an_interval_in_a_sentence_differ_where_they_can(numbers, texts):
    assert with_ends(*numbers) == texts


def test_a_tuning_shows_what_was_asked_for_and_an_end_of_an_interval_with_its_value():
    shown = views.tuned(["host_peak_mib", "top1_low", "latency_p99_ms", "top1"])
    staying = [one.name for one in shown if one.rank == 0]
    assert staying == ["", "host_peak_mib", "top1", "latency_p99_ms", "status"]
    names = [one.name for one in shown]
    assert len(names) == len(set(names))
    # The column `metric` has the name of a function.
    assert "metric_value" in [one.name for one in views.tuned(["metric_low"])]
    assert "p99 ms" in [one.heading for one in shown]
    judged = next(one for one in views.tuned(["latency_p50_ms"]) if one.name == "metric_value")
    assert judged.text({"metric_value": 0.5, "metric_low": 0.4, "metric_high": 0.6}) == (
        "0.500 [0.400, 0.600]"
    )
