from __future__ import annotations

import json

import pytest

from deploykit.bench import phases
from deploykit.cli import display
from deploykit.cli.display import print_doubts, print_fields, print_json, print_notes, print_table
from deploykit.cli.progress import Steps, phase_text
from deploykit.report.views import PROFILE, Field
from deploykit.row import Finding, Note, Row

OK = Row({"status": "ok", "model": "lenet5", "backend": "onnxruntime", "precision": "fp32"})


def test_progress_is_a_line_per_step_where_there_is_no_terminal(capsys):
    with Steps(2) as steps:
        steps.say("export lenet5")
        steps.step()
        steps.say("build lenet5")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "[1/2] export lenet5\n[2/2] build lenet5\n"


def test_progress_of_unknown_length_counts_without_a_total(capsys):
    with Steps(0) as steps:
        for text in ("convert", "measure"):
            steps.say(text)
            steps.step()
    assert capsys.readouterr().err == "[1] convert\n[2] measure\n"


def test_progress_can_be_silenced(capsys):
    with Steps(2, quiet=True) as steps:
        steps.say("export lenet5")
        steps.step()
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_goes_away_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Steps(0) as steps:
        steps.expect(3)
        steps.say("build lenet5")
        steps.step()
        assert steps.done == 1
        assert steps._bar is not None
        assert steps._bar.tasks[0].total == 3
    assert steps._bar.finished is False
    assert capsys.readouterr().out == ""


def test_a_bar_tells_the_phase_of_a_row_and_cuts_the_name_before_it(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Steps(2) as steps:
        page = phases.opened(phases.watched_page())
        assert page is not None
        name = "measure squeezenet1_0 int8 onnxruntime batch 1 1 thread"
        steps.say(name)
        assert steps.doing(name, 80) == name
        page.begin("measure", 300.0)
        assert steps.doing(name, 100) == f"{name} \N{MIDDLE DOT} measure 1 s of 5 min"
        cut = steps.doing(name, 50)
        assert len(cut) == 50
        assert cut.endswith("\N{HORIZONTAL ELLIPSIS} \N{MIDDLE DOT} measure 1 s of 5 min")
        page.begin("")
        monkeypatch.setattr(steps, "_said_s", steps._said_s - 100)
        assert steps.doing(name, 100) == f"{name} \N{MIDDLE DOT} 2 min"
        page.close()
    assert phases.watched_page() is None


def test_where_there_is_no_bar_nobody_is_asked_for_phases(capsys):
    with Steps(2) as steps:
        steps.say("measure lenet5")
        assert phases.watched_page() is None


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (phases.Phase("warm up", 2.2, 0.0), "warm up 2 s"),
        (phases.Phase("measure", 41.0, 300.0), "measure 41 s of 5 min"),
        (phases.Phase("measure", 12.0, 3.0), "measure 12 s, at least 3 s"),
    ],
)
def test_a_phase_reads_as_words(phase, text):
    assert phase_text(phase) == text


def test_time_to_go_counts_down(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("deploykit.cli.progress.time.monotonic", lambda: now[0])
    steps = Steps(3, quiet=True)
    assert steps.left == ""
    now[0] += 30
    steps.step()
    assert steps.left == "about 60 s to go"
    now[0] += 20
    assert steps.left == "about 40 s to go"
    now[0] += 90
    assert steps.left == ""


def test_square_brackets_in_a_cell_are_no_markup(capsys):
    print_table(("p50 ms [95%]",), [("1.2 [1.1, 1.3]",), ("[bold]",)])
    shown = capsys.readouterr().out
    assert "p50 ms [95%]" in shown
    assert "1.2 [1.1, 1.3]" in shown
    assert "[bold]" in shown


def test_on_a_narrow_terminal_long_cells_give_way_and_no_column_vanishes(capsys, monkeypatch):
    monkeypatch.setattr(display, "_width", lambda: 80)
    path = "engines/mobilenet-a0.5-int8-tensorrt-rtx-0d30abf13f59/engine.plan"
    header = ("engine", "precision", "computes in", "MB", "build s", "")
    print_table(header, [(path, "int8", "int8+fp32", "12.34", "0.125", "found")], right=(3, 4))
    shown = capsys.readouterr().out
    assert all(cell in shown for cell in ("int8+fp32", "12.34", "0.125", "found", *header))
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_columns_in_which_no_row_says_anything_are_left_out(capsys):
    print_fields(PROFILE, [OK])
    shown = capsys.readouterr().out
    assert "backend" in shown
    assert "top-1" not in shown
    assert "batch" not in shown


def test_where_there_is_no_room_the_least_important_columns_go_first(capsys, monkeypatch):
    fields = [
        Field("name", lambda row: "lenet5", number=False),
        Field("first", lambda row: "1" * 10, rank=1),
        Field("second", lambda row: "2" * 10, rank=2),
    ]
    for width, columns in ((60, {"first", "second"}), (22, {"first"}), (12, set())):
        monkeypatch.setattr(display, "_width", lambda width=width: width)
        print_fields(fields, [OK])
        table, _, hidden = capsys.readouterr().out.partition("Not shown in")
        assert "lenet5" in table
        assert {name for name in ("first", "second") if name in table} == columns
        assert {name for name in ("first", "second") if name in hidden} == (
            {"first", "second"} - columns
        )


def test_no_rows_are_no_error(capsys):
    print_fields(PROFILE, [])
    assert "Traceback" not in capsys.readouterr().out


def test_a_reason_is_said_once_for_all_rows_that_it_concerns(capsys):
    rows = [
        OK.plus({"model": f"net{i}", "status": "skipped"}, [Note("failed", "no GPU; find one")])
        for i in range(5)
    ]
    rows.append(OK.plus({"status": "failed"}, [Note("failed", "refused")]))
    print_notes(rows)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "net0 fp32 onnxruntime, net1 fp32 onnxruntime, 3 more: skipped: no GPU; find one",
        "lenet5 fp32 onnxruntime: failed: refused",
    ]


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ([], ""),
        ([Note("missing", "too few for p99")], ""),
        ([Note("data", "accuracy is blank, says a text of another kind")], ""),
        (
            [Note("missing", "too few for p99"), Note("emulated", "emulated: in fp32; or so")],
            "lenet5 fp32 onnxruntime: emulated: in fp32; or so\n",
        ),
        (
            [Note("unjudged", "accuracy is blank"), Note("slower", "int8 is slower")],
            "lenet5 fp32 onnxruntime: accuracy is blank; int8 is slower\n",
        ),
    ],
)
def test_of_rows_that_are_ok_only_what_changes_their_meaning_is_noted(capsys, notes, said):
    print_notes([OK.plus(notes=notes)])
    assert capsys.readouterr().err == said


def test_what_makes_rows_doubtful_is_said_below_the_table_once_for_each_cause(capsys):
    load = Finding("load", "others used 2 cores", "stop them")
    more = Finding("load", "others used 3 cores", "stop them")
    print_doubts([OK.plus(findings=()), OK.plus(findings=(load,))])
    said = capsys.readouterr().out
    assert said == "1 of 2 rows is doubtful, busy machine: others used 2 cores; stop them\n"
    print_doubts([OK.plus(findings=(load,)), OK.plus(findings=(more,))])
    said = capsys.readouterr().out
    assert said == (
        "2 of 2 rows are doubtful, busy machine: such as others used 2 cores; stop them\n"
    )


def test_no_doubtful_number_stands_without_its_mark_and_its_reason(capsys, monkeypatch):
    times = {"latency_p50_ms": 2.0, "latency_p50_low_ms": 1.9, "latency_p50_high_ms": 2.1}
    times |= {"latency_p95_ms": 3.0, "throughput_ips": 400.0}
    doubtful = OK.plus(times, findings=(Finding("spread", "known to 9%", "measure longer"),))
    sure = OK.plus({**times, "precision": "int8"}, findings=())
    for width in (50, 80, 200):
        monkeypatch.setattr(display, "_width", lambda width=width: width)
        display.print_profile(PROFILE, [doubtful, sure])
        shown = capsys.readouterr().out
        assert "2.00? [1.90, 2.10]" in shown
        assert "2.00 [1.90, 2.10]" in shown
        assert ("3.00?" in shown) == ("3.00" in shown)
        assert "doubtful: wide interval" in " ".join(shown.split())
        assert "known to 9%" in " ".join(shown.split())


def test_what_all_rows_share_is_said_once_and_what_tells_them_apart_stays(capsys, monkeypatch):
    rows = [
        OK.plus({"backend": backend, "threads": 2, "throughput_ips": 400.0, "engine_bytes": 10**6})
        for backend in ("onnxruntime", "openvino")
    ]
    monkeypatch.setattr(display, "_width", lambda: 40)
    print_fields(PROFILE, rows)
    shown = capsys.readouterr().out
    assert "In all rows: precision fp32, threads 2" in shown
    assert "openvino" in shown
    assert "Not shown in 40 columns: engine MB" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 40


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
@pytest.mark.parametrize("backends", [("onnxruntime",), ("onnxruntime", "openvino")])
def test_what_was_found_and_what_tells_rows_apart_is_shown_in_every_width(
    capsys, monkeypatch, width, backends
):
    found = {
        "latency_p50_ms": 0.02005, "latency_p50_low_ms": 0.02003, "latency_p50_high_ms": 0.02007,
        "speedup": 0.8, "speedup_low": 0.779, "speedup_high": 0.823, "throughput_ips": 18892.0,
        "latency_p95_ms": 0.0204, "engine_bytes": 250_000, "host_peak_mib": 71.7, "drift_snr_db": 62.1,
        "top1": 0.996, "top1_low": 0.986, "top1_high": 0.999,
    }  # fmt: skip
    rows = [
        OK.plus(
            {**found, "model": "squeezenet1_0", "backend": backend, "precision": precision},
            findings=(Finding("load", "others used 2 cores", "stop them"),),
        )
        for backend in backends
        for precision in ("fp32", "fp16", "int8")
    ]
    monkeypatch.setattr(display, "_width", lambda: width)
    print_fields(PROFILE, rows)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    if width < 60:  # in paragraphs, whose lines are broken between words
        shown = " ".join(shown.split())
    for text in ("0.02005?", "[0.02003, 0.02007]", "0.800?", "[0.779, 0.823]", "18,892?"):
        assert shown.count(text) == len(rows)
    for text in ("fp32", "fp16", "int8", *backends):
        assert text in shown


def test_intervals_stand_below_their_numbers_in_all_rows_or_in_none(capsys, monkeypatch):
    rows = [
        OK.plus({"latency_p50_ms": value, "latency_p50_low_ms": low, "latency_p50_high_ms": high,
                 "precision": precision, "throughput_ips": 1.0})
        for precision, value, low, high in (("fp32", 8.21, 8.2, 8.23), ("int8", 0.07166, 0.07157, 0.07175))
    ]  # fmt: skip
    monkeypatch.setattr(display, "_width", lambda: 56)
    print_fields(PROFILE, rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if line.strip().startswith("[")] == [
        "[8.20, 8.23]",
        "[0.07157, 0.07175]",
    ]


def test_a_remark_on_a_terminal_is_wrapped_between_words(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    reason = "computed in fp32 and rounded to fp16 after each operator, so it says nothing"
    print_notes([OK.plus(notes=[Note("emulated", reason)])])
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == f"lenet5 fp32 onnxruntime: {reason}"


def test_where_not_even_names_have_room_each_row_is_a_paragraph(capsys, monkeypatch):
    rows = [
        OK.plus({"backend": "onnxruntime", "precision": precision, "threads": threads})
        for precision in ("fp32", "int8")
        for threads in (1, 2)
    ]
    rows = [*rows, OK.plus({"backend": "openvino", "threads": 1, "throughput_ips": 400.0})]
    monkeypatch.setattr(display, "_width", lambda: 40)
    print_fields(PROFILE, rows)
    lines = capsys.readouterr().out.splitlines()
    assert "lenet5 onnxruntime int8 threads 2" in lines
    assert "  images/s 400 · status ok" in lines
    assert max(map(len, lines)) <= 40


def test_a_row_of_few_runs_shows_them_marked_instead_of_nothing(capsys):
    few = OK.plus({"iterations": 3, "latency_mean_ms": 812.0, "latency_min_ms": 790.0})
    display.print_profile(PROFILE, [few])
    shown = capsys.readouterr().out
    assert "n 3, mean 812?, min 790?" in shown
    assert "doubtful: few runs" in shown
    assert "3 runs are too few for a median" in shown


def test_of_many_findings_the_first_are_told_and_where_all_are(capsys):
    rows = [
        OK.plus({"latency_p50_ms": ms, "model": f"net{number}", "precision": precision})
        for number in range(display.MAX_CONCLUSIONS + 2)
        for precision, ms in (("fp32", 2.0), ("int8", 1.0))
    ]
    for whole in ((), ("results/summary.md has all",)):
        display.print_conclusions(rows, *whole)
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == f"2 more: {whole[0] if whole else '--markdown FILE has all'}"


def test_a_percentile_that_was_asked_for_has_a_column_at_any_width(capsys, monkeypatch):
    monkeypatch.setattr(display, "_width", lambda: 60)
    print_fields(PROFILE, [OK.plus({"percentile": 99.5, "latency_percentile_ms": 4.5})])
    shown = capsys.readouterr().out
    assert "p99.5 ms" in shown
    assert "4.50" in shown


def test_json_has_no_character_that_a_terminal_acts_on(capsys):
    print_json({"a\x9b31m": "\x7fred \u202ereversed", "b": "\x1b[31m"})
    text = capsys.readouterr().out
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert json.loads(text) == {"a\x9b31m": "\x7fred \u202ereversed", "b": "\x1b[31m"}
