"""What a page says of rows, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from stored_reports import repeats, row, save

from deploykit.errors import UsageError
from deploykit.report.page import Contents, render
from deploykit.report.page.claims_section import amount
from deploykit.report.page.comparison_picture import comparison_picture
from deploykit.report.page.distributions import distributions_picture
from deploykit.report.page.drawing import Dots, Line, Mark, Text
from deploykit.report.page.entry import DOUBTFUL, FAILED, OK, SKIPPED, entries_of
from deploykit.report.page.latency_spread import spread_picture
from deploykit.report.page.precision_panels import precisions_picture
from deploykit.report.page.raster import png
from deploykit.report.page.reading import read
from deploykit.report.page.roofline_picture import roofline_picture
from deploykit.report.page.samples import samples_ms
from deploykit.report.page.series import Series
from deploykit.report.page.shell import between, machine_text
from deploykit.report.page.svg import document
from deploykit.report.page.tradeoff import drift_picture, frontier
from deploykit.report.states import WORDS, state

HOSTILE = "<script>alert(1)</script>\x1b[31m"
UNSTABLE = "unstable: trend: latency changed by +86% over the run; warm up longer"


def entries(*rows):
    return entries_of(rows, "report.csv", Path())


def page(*rows, **more):
    return render(Contents("deploykit: a report", entries(*rows), **more))


def full(**values):
    usual = {"latency_p95_ms": 2.4, "throughput_ips": 450.0, "drift_snr_db": 40.0}
    return row(**{**usual, **values})


def test_what_takes_the_keyboard_s_focus_has_a_name():
    text = page(full())
    focused = re.findall(r'<(?:div|g)[^>]*tabindex="0"[^>]*>', text)
    assert focused
    assert all('role="region"' in tag and "aria-label=" in tag for tag in focused)


def test_rows_have_one_of_four_states():
    found = entries(
        full(),
        full(stability=UNSTABLE),
        full(status="failed", reason="it crashed"),
        full(status="skipped", reason="no NVIDIA GPU here"),
    )
    assert [entry.state for entry in found] == [OK, DOUBTFUL, FAILED, SKIPPED]


def test_every_doubtful_number_is_marked_and_the_reason_stands_beside_it():
    text = page(full(stability=UNSTABLE))
    (cells,) = re.findall(r"(?s)<tr data-r=.*?</tr>", text)
    marked = re.findall(r">([\d.,]+)(?: \[[^<]*\])?<abbr", cells)
    assert marked == ["2.20", "2.40", "450"]
    assert "trend: latency changed by +86% over the run" in cells.rpartition("<td")[2]


def test_a_doubtful_drift_marks_the_drift_alone():
    (cells,) = re.findall(
        r"(?s)<tr data-r=.*?</tr>", page(full(calibration="minmax, 8 synthetic images"))
    )
    assert re.findall(r">([\d.,]+)(?: \[[^<]*\])?<abbr", cells) == ["40.0"]


def test_a_metric_far_from_that_of_fp32_is_marked():
    (cells,) = re.findall(
        r"(?s)<tr data-r=.*?</tr>",
        page(full(metric="iou:each", metric_value=0.5, metric_high=0.6, metric_fp32=0.9)),
    )
    assert re.findall(r">([\d.,]+)(?: \[[^<]*\])?<abbr", cells) == ["0.500"]


def test_a_metric_and_the_accuracy_beside_it_are_doubtful_each_for_itself():
    judged = {"metric": "iou:each", "metric_value": 0.5, "metric_high": 0.6, "metric_fp32": 0.6}
    cases = (
        ({"metric_fp32": 0.9}, ["metric"]),
        ({"top1_low": 0.5, "top1_high": 0.9}, ["accuracy"]),
        ({"calibration": "minmax, 100 synthetic images"}, ["accuracy", "metric"]),
    )
    for cells, doubtful in cases:
        usual = {"top1": 0.7, "top1_low": 0.69, "top1_high": 0.71}
        (entry,) = entries(full(**(usual | judged | cells)))
        assert [what for what in ("accuracy", "metric") if entry.doubtful(what)] == doubtful


def test_rows_of_several_machines_are_told_apart():
    rows = [full(env_id=machine) for machine in ("aaaa1111", "bbbb2222")]
    assert [one.name for one in entries(*rows)] == [
        "lenet5 fp32 on aaaa1111",
        "lenet5 fp32 on bbbb2222",
    ]
    assert [one.name for one in entries(rows[0])] == ["lenet5 fp32"]
    text = page(*rows)
    assert [text.count(f"<td>{machine}</td>") for machine in ("aaaa1111", "bbbb2222")] == [1, 1]
    assert "machine</button>" not in page(rows[0])


@pytest.mark.parametrize(
    ("cells", "doubtful", "word"),
    [
        ({"latency_p95_ms": None}, [], None),
        (
            {"latency_p50_ms": None, "latency_mean_ms": 2.0, "iterations": 3},
            ["latency"],
            "few runs",
        ),
        ({"drift_state": "coarse"}, ["drift"], "coarse drift"),
        ({"drift_state": "poor", "drift_snr_db": 4.0}, ["drift"], "drift"),
        ({"precision": "fp16"}, ["latency"], "emulated"),
    ],
)
def test_a_row_is_as_doubtful_on_a_page_as_in_a_table_of_a_terminal(cells, doubtful, word):
    (entry,) = entries(full(**cells))
    assert [what for what in ("latency", "drift", "accuracy") if entry.doubtful(what)] == doubtful
    assert (entry.state == OK) == (state(entry.cells) == "ok") == (word is None)
    assert word is None or f"<small>{word}</small>" in page(full(**cells))


def test_a_doubtful_mark_is_hollow_and_a_sure_one_is_not():
    sure, doubtful = entries(full(), full(stability=UNSTABLE))
    series = Series([sure, doubtful])
    assert [series.mark(one, (0, 0)).hollow for one in (sure, doubtful)] == [False, True]


def test_names_are_text_and_never_markup():
    text = page(
        full(model=HOSTILE, backend=HOSTILE, precision=HOSTILE, device=HOSTILE, inputs=HOSTILE)
    )
    assert HOSTILE not in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in text


def test_claims_are_shown_with_their_arithmetic():
    claim = {
        "id": "params",
        "verdict": "refuted",
        "as_expected": "false",
        "statement": f"Fifty times fewer {HOSTILE}",
        "stated": "50",
        "found": "48.8",
        "unit": "ratio",
        "deviation": "-0.023",
        "agrees_from": "45.0",
        "agrees_to": "55.0",
        "tolerance": "half a unit",
        "parts": "ratio: holds",
        "evidence": "a=60965224; b=1248424",
    }
    text = render(Contents("claims", claims=[claim]))
    assert "stated 50 times, found 48.8 times: -2.3% off, 45.0 to 55.0 agrees (half a unit)" in text
    assert "<code>a=60965224</code>" in text
    assert "refuted, not as expected" in text
    assert "<script>alert" not in text


def test_the_line_joins_what_none_beats_in_both():
    fast, good, beaten, emulated = entries(
        full(latency_p50_ms=1.0, drift_snr_db=30.0),
        full(latency_p50_ms=2.0, drift_snr_db=60.0),
        full(latency_p50_ms=3.0, drift_snr_db=50.0),
        full(latency_p50_ms=0.5, drift_snr_db=90.0, precision="fp16", precision_actual="fp32"),
    )
    height = lambda entry: entry.value("drift_snr_db")  # noqa: E731
    assert frontier([beaten, emulated, good, fast], height) == [fast, good]


def test_a_simulated_device_has_no_page():
    with pytest.raises(UsageError, match="no measurements"):
        page(full(device="GPU (simulated)"))


def test_a_page_of_a_thousand_rows_is_under_two_megabytes():
    reason = (
        "emulated: computed in fp32 and rounded after each operator, so that the latency says nothing; "
        * 3
    )
    rows = [
        full(
            **{
                "model": f"network-with-a-long-name-{number // 3}",
                "precision": ("fp32", "fp16", "int8")[number % 3],
                "latency_p50_ms": 1 + number % 97 / 10,
                "top1": 0.5 + number % 40 / 100,
                "top1_low": 0.4,
                "top1_high": 0.95,
                "dataset": "digits/test",
                "gflops": 1.0 + number,
                "arithmetic_intensity": 1.0 + number % 50,
                "host_peak_mib": 100.0 + number,
                "reason": reason,
                "stability": UNSTABLE if number % 2 else "stable",
            }
        )
        for number in range(1000)
    ]
    text = page(*rows)
    assert text.count("<tr data-r") == 1000
    assert len(text.encode()) < 2_000_000


def with_samples(folder, name, samples_ms, **values):
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, samples_ns=(np.asarray(samples_ms) * 1e6).astype(np.int64))
    return full(samples=f"{folder.name}/{name}", **values)


def test_distributions_show_where_runs_pile_up_and_how_they_drift(tmp_path):
    random = np.random.default_rng(0)
    two = np.concatenate([random.normal(1.0, 0.01, 600), random.normal(2.0, 0.02, 600)])
    rows = [
        with_samples(tmp_path / "s", "two.npz", random.permutation(two)),
        with_samples(
            tmp_path / "s", "rising.npz", np.linspace(1, 1.5, 900) + random.normal(0, 0.01, 900)
        ),
        full(repeat=3),
    ]
    contents = Contents("page", entries_of(rows, "report.csv", tmp_path), tmp_path)
    picture = distributions_picture(contents, Series(contents.entries))
    assert picture is not None
    said = [[item.text for item in one.items if isinstance(item, Text)] for one in picture.drawings]
    assert len(said) == 2
    piles = [
        [item for item in one.items if isinstance(item, Line) and item.dashed]
        for one in picture.drawings
    ]
    assert len(piles[0]) == 2
    assert any(
        re.search(r"900 runs, in their order; \+3\d\.\d% from start to end", text)
        for text in said[1]
    )
    assert picture.remarks[0].startswith("1 of 3 measured rows have no samples beside the report")


@pytest.mark.parametrize(
    ("base", "grey"),
    [
        ([{}], 1),
        ([{"threads": 1}], 0),
        ([{"threads": 1}, {}, {"env_id": "another"}], 1),
        ([{"env_id": "another"}], 1),
        ([{"pass": None}], 1),
    ],
)
def test_behind_a_distribution_stands_the_earlier_one_of_the_same_configuration(
    tmp_path, base, grey
):
    runs = np.random.default_rng(0).normal(1.0, 0.01, 200)
    now, *before = (
        with_samples(tmp_path / "s", f"{place}.npz", runs, **cells)
        for place, cells in enumerate([{}, *base])
    )
    rows, earlier = (entries_of(of, "report.csv", tmp_path) for of in ([now], before))
    contents = Contents("page", rows, tmp_path, base=earlier, base_folder=tmp_path)
    picture = distributions_picture(contents, Series(rows))
    assert picture is not None
    (drawing,) = picture.drawings
    lines = [item for item in drawing.items if isinstance(item, Line) and item.ink == "muted"]
    assert len(lines) == grey


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_samples_that_can_not_be_read_are_as_good_as_none(tmp_path, content):
    (tmp_path / "broken.npz").write_bytes(content)
    (entry,) = entries_of([full(samples="broken.npz")], "report.csv", tmp_path)
    assert samples_ms(entry, tmp_path) is None


def test_two_reports_are_drawn_over_each_other_with_the_limit(tmp_path):
    base = save(tmp_path / "base.csv", repeats(2.0) + repeats(1.0, precision="int8"))
    head = save(tmp_path / "head.csv", repeats(3.0) + repeats(1.0, (0.7, 1.4), precision="int8"))
    contents = read(head, base, max_slowdown=0.1)
    assert contents.comparison is not None
    picture = comparison_picture(contents.comparison, contents.entries, contents.base)
    assert picture is not None
    (drawing,) = picture.drawings
    marks = {item.title.split("\n")[0]: item for item in drawing.items if isinstance(item, Mark)}
    slower = next(mark for name, mark in marks.items() if "fp32" in name)
    undecided = next(mark for name, mark in marks.items() if "int8" in name)
    assert (slower.ink, slower.hollow) == ("limit", False)
    assert undecided.hollow
    texts = [item.text for item in drawing.items if isinstance(item, Text)]
    assert {"limit 1.1", "1.500 slower"} <= set(texts)
    dots = [len(item.points) for item in drawing.items if isinstance(item, Dots)]
    assert sorted(dots) == [2, 5, 5, 5]


@pytest.mark.parametrize(
    "other",
    [
        {"rate_per_s": 50.0},
        {"kept": "conv1"},
        {"options": "ort.allow_spinning=0"},
        {"env_id": "else"},
    ],
)
def test_a_line_of_two_reports_has_the_processes_of_its_own_configuration_alone(tmp_path, other):
    rows = repeats(2.0) + repeats(8.0, **other)
    paths = [save(tmp_path / f"{name}.csv", rows) for name in ("head", "base")]
    contents = read(*paths)
    assert contents.comparison is not None
    picture = comparison_picture(contents.comparison, contents.entries, contents.base)
    assert picture is not None
    (drawing,) = picture.drawings
    dots = [item for item in drawing.items if isinstance(item, Dots)]
    assert [len(item.points) for item in dots] == [5, 5, 5, 5]
    # The marks of a line belong to the first row of its own configuration, which the filter shows and hides.
    assert sorted({item.row for item in dots}) == [0, 5]


def test_a_ratio_of_a_doubtful_side_has_its_mark_in_the_picture_too(tmp_path):
    base = save(tmp_path / "base.csv", repeats(2.0))
    head = save(tmp_path / "head.csv", repeats(3.0, stability=UNSTABLE))
    for paths, text in (((head, base), "1.500? slower"), ((base, base), "1.000 same")):
        contents = read(*paths)
        assert contents.comparison is not None
        picture = comparison_picture(contents.comparison, contents.entries, contents.base)
        assert picture is not None
        items = picture.drawings[0].items
        assert text in [item.text for item in items if isinstance(item, Text)]
        (mark,) = [item for item in items if isinstance(item, Mark)]
        assert ("head doubtful: changes over the run" in mark.title) == ("?" in text)
        assert ("question mark" in picture.reading) == ("?" in text)


def test_processes_of_machines_that_differ_are_drawn_where_they_are_compared_all_the_same(tmp_path):
    base = save(tmp_path / "base.csv", repeats(2.0, env_id="before"))
    head = save(tmp_path / "head.csv", repeats(2.0, env_id="now"))
    contents = read(head, base, across_machines=True)
    assert contents.comparison is not None
    picture = comparison_picture(contents.comparison, contents.entries, contents.base)
    assert picture is not None
    dots = [item for item in picture.drawings[0].items if isinstance(item, Dots)]
    assert [len(item.points) for item in dots] == [5, 5]


def test_a_roof_is_drawn_where_the_machine_is_described_and_said_to_be_missing_elsewhere():
    rows = entries(full(gflops=20.0, arithmetic_intensity=5.0))
    ceilings = {
        "gflops": {"fp32": 200.0},
        "copy_gb_s": {"1048576": 100.0},
        "threads": 2,
        "doubt": "load: 3.1",
    }
    series = Series(rows)
    bare = roofline_picture(rows, series, {})
    assert bare is not None
    assert "not in an env.json beside the report" in bare.remarks[0]
    roofed = roofline_picture(rows, series, {"machine": {"ceilings": [ceilings]}})
    assert roofed is not None
    assert "drawn dashed: while they were measured, load: 3.1" in roofed.remarks[0]
    roofs = [item for item in roofed.drawings[0].items if isinstance(item, Line) and item.dashed]
    assert len(roofs) == 2


@pytest.mark.parametrize(
    ("threads", "streams", "measured_with"), [(1, 2, 2), (2, 4, 4), (2, 1, 2), (None, 1, 0)]
)
def test_a_row_stands_under_the_roof_of_as_many_threads_as_compute_at_once(
    threads, streams, measured_with
):
    rows = entries(full(gflops=20.0, arithmetic_intensity=5.0, threads=threads, streams=streams))
    ceilings = {"gflops": {"fp32": 200.0}, "copy_gb_s": {"1048576": 100.0}}
    for count in range(9):
        record = {"machine": {"cores": 4}, "ceilings": [{**ceilings, "threads": count}]}
        picture = roofline_picture(rows, Series(rows), {"machine": record})
        assert picture is not None
        assert (not picture.remarks) == (count == measured_with)


@pytest.mark.parametrize(
    "record",
    [
        "text",
        {"machine": None},
        {"machine": {"cpu": "A CPU", "cores": None, "memory_gib": None, "gpus": [{"name": "G"}]}},
        {"machine": {"cpu": "A CPU", "gpus": 3}, "ceilings": 3},
        {"ceilings": [{"threads": 2, "gflops": {"fp32": 1.0}, "copy_gb_s": 3}]},
        {"ceilings": [{"threads": 2, "gflops": {"fp32": 1.0}, "copy_gb_s": {"much": 1.0}}]},
    ],
)
def test_a_machine_that_is_described_in_another_form_spoils_no_page(record):
    row = full(gflops=20.0, arithmetic_intensity=5.0)
    assert "no roof is drawn over its rows" in page(row, machines={"machine": record})


def test_a_machine_is_told_in_a_line():
    facts = {"cpu": "A CPU", "cores": 2.0, "memory_gib": 24, "gpus": []}
    assert machine_text({"machine": facts}) == "A CPU, 2 cores, 24 GiB, no GPU"
    assert machine_text({"machine": {"cpu": "A CPU"}}) == "A CPU"


@pytest.mark.parametrize("place", [".", "profile-samples", "kept/elsewhere"])
def test_a_machine_is_found_beside_the_report_or_among_its_samples_wherever_they_lie(
    tmp_path, place
):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "env.json").write_text('{"machine": {"machine": {"cpu": "A CPU"}}}')
    path = save(tmp_path / "profile.csv", [full(samples="kept/elsewhere/1.npz")])
    assert list(read(path).machines) == ["machine"]


def test_a_picture_is_the_same_drawing_as_svg_and_png():
    pytest.importorskip("matplotlib")
    rows = entries(full(), full(precision="int8", latency_p50_ms=1.0, drift_snr_db=20.0))
    picture = drift_picture(rows, Series(rows))
    assert picture is not None
    assert png(picture) == png(picture)
    assert png(picture).startswith(b"\x89PNG")
    assert document(picture).count("<circle") + document(picture).count("<path") > 4


def test_a_precision_stands_against_the_fp32_of_its_own_round():
    rows = entries(
        full(repeat=1, latency_p50_ms=2.0),
        full(repeat=1, latency_p50_ms=1.0, precision="int8", precision_actual="int8"),
        full(repeat=2, latency_p50_ms=4.0),
        full(repeat=2, latency_p50_ms=2.0, precision="int8", precision_actual="int8"),
    )
    picture = precisions_picture(rows, Series(rows))
    assert picture is not None
    marks = [item for item in picture.drawings[0].items if isinstance(item, Mark)]
    across = [next(mark.at[0] for mark in marks if mark.row == number) for number in range(4)]
    assert across[1] == across[3] < across[0] == across[2]


@pytest.mark.parametrize(
    "other", [{"engine_options": "channels-last"}, {"macs": 900_000}, {"env_id": "another"}]
)
def test_a_precision_stands_against_no_fp32_row_that_differs_in_more(other):
    rows = entries(
        full(latency_p50_ms=2.0),
        full(latency_p50_ms=1.0, precision="int8", precision_actual="int8", **other),
    )
    assert precisions_picture(rows, Series(rows)) is None


def test_no_line_joins_a_network_at_two_sizes_of_its_input():
    small = full(latency_p50_ms=1.0, drift_snr_db=30.0)
    large = full(latency_p50_ms=2.0, drift_snr_db=60.0)
    joined = [
        sum(isinstance(item, Line) and len(item.points) == 3 for item in picture.drawings[0].items)
        for macs in (small["macs"], 900_000)
        for rows in [entries(small, {**large, "macs": macs})]
        if (picture := drift_picture(rows, Series(rows))) is not None
    ]
    # The corner of the axes is such a line, too.
    assert joined == [2, 1]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-11-26T21:19:40+00:00", "2026-11-26T21:22:10+00:00", "2026-11-26 21:19 to 21:22 UTC"),
        ("2026-11-26T21:19:40+00:00", "2026-11-26T21:19:59+00:00", "2026-11-26 21:19 UTC"),
        ("2026-11-26T23:59:00+02:00", "2026-11-27T00:01:00+02:00", "2026-11-26 21:59 to 22:01 UTC"),
        ("2026-11-26T23:59:00+00:00", "2026-11-27T00:01:00+00:00", "2026-11-26 23:59 to 2026-11-27 00:01 UTC"),
        ("lately", "lately", "lately"),
    ],
)  # fmt: skip
def test_when_rows_were_measured_reads_as_people_write_it(first, last, said):
    assert between(first, last) == said


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        ("48.8337", "ratio", "48.83 times"),
        ("138357544", "parameters", "138,357,544 parameters"),
        ("0.893647", "share", "89.36%"),
        ("2017", "year", "2017"),
        ("3.57", "%", "3.57%"),
        ("< 0.5 MB", "", "< 0.5 MB"),
        ("", "MB", "nothing"),
    ],
)
def test_what_a_claim_states_has_its_unit_in_words(text, unit, said):
    assert amount(text, unit) == said


def test_a_cause_for_doubt_has_one_name_in_terminals_and_pages():
    (cells,) = re.findall(r"(?s)<tr data-r=.*?</tr>", page(full(stability=UNSTABLE)))
    assert f"<small>{WORDS['trend']}</small>" in cells


def test_a_row_that_is_doubtful_for_its_precision_alone_is_marked_behind_its_median():
    emulated = entries(full(precision="fp16", precision_actual="fp32"))
    picture = spread_picture(emulated, Series(emulated))
    assert picture is not None
    said = [part.text for part in picture.drawings[0].items if isinstance(part, Text)]
    assert any(re.fullmatch(r"[\d.]+\?( \[[\d., ]+\])? ms", text) for text in said), said
