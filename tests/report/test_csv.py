from __future__ import annotations

import csv
import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.columns import NAMES
from deploykit.errors import OutputFailed, UsageError
from deploykit.report.csv import CsvReport, check_destination, read_cells, read_rows, to_csv
from deploykit.row import Row, text_of
from deploykit.text import printable

COLUMNS = ("model", "status", "reason")
OK = {"model": "lenet5", "status": "ok"}
FAILED = {"model": "vgg11", "status": "failed", "reason": 'it said "no, never"; stop'}


def names(folder):
    return [path.name for path in folder.iterdir()]


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), st.text(), max_size=3), max_size=4))
def test_whatever_rows_hold_can_be_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "whatever.csv"
    path.write_bytes(to_csv(rows, COLUMNS).encode())
    expected = [{name: printable(text_of(row.get(name, ""))) for name in COLUMNS} for row in rows]
    assert read_cells(path) == expected
    for cell in (cell for row in read(path.read_text()) for cell in row.values()):
        assert cell.isprintable()
        assert cell[:1] not in "=+-@" or is_number(cell) or not cell


def is_number(text: str) -> bool:
    try:
        return bool(text) and float(text) is not None
    except ValueError:
        return False


def test_the_header_stands_even_without_rows():
    assert to_csv([]) == ",".join(NAMES) + "\n"


def test_a_file_holds_every_finished_row_at_any_time(tmp_path):
    path = tmp_path / "profile.csv"
    report = CsvReport(str(path), COLUMNS)
    report.add(OK)
    assert [r["model"] for r in read(path.read_text())] == ["lenet5"]
    report.add(FAILED)
    assert [r["reason"] for r in read(path.read_text())] == ["", FAILED["reason"]]
    assert names(tmp_path) == ["profile.csv"]


def test_a_reader_never_sees_half_a_report(tmp_path):
    path, seen, done = tmp_path / "profile.csv", [], threading.Event()
    report = CsvReport(str(path), COLUMNS)
    report.add(OK)

    def watch() -> None:
        while not done.is_set():
            text = path.read_text()
            seen.append(text.startswith("model,") and text.endswith("\n"))

    reader = threading.Thread(target=watch)
    reader.start()
    for _ in range(50):
        report.add(FAILED)
    done.set()
    reader.join()
    assert seen
    assert all(seen)


def test_the_old_report_stays_until_the_first_row_is_finished(tmp_path):
    path = tmp_path / "profile.csv"
    path.write_text("old")
    report = CsvReport(str(path), COLUMNS)
    assert path.read_text() == "old"
    report.add(OK)
    assert read(path.read_text())


def test_replace_takes_rows_in_an_order_of_their_own(tmp_path):
    path = tmp_path / "profile.csv"
    report = CsvReport(str(path), COLUMNS)
    report.add(OK)
    report.replace([FAILED, OK])
    assert [r["model"] for r in read(path.read_text())] == ["vgg11", "lenet5"]


def test_a_dash_is_stdout_with_one_header(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = CsvReport("-", COLUMNS)
    report.add(OK)
    assert capsys.readouterr().out == "model,status,reason\nlenet5,ok,\n"
    report.add(FAILED)
    assert capsys.readouterr().out.startswith("vgg11,failed,")
    assert names(tmp_path) == []


def test_a_pipe_gets_row_after_row(tmp_path):
    path, text = tmp_path / "pipe", []
    os.mkfifo(path)

    def drain() -> None:
        text.append(path.read_text())
        text.append(path.read_text())

    reader = threading.Thread(target=drain)
    reader.start()
    report = CsvReport(str(path), COLUMNS)
    report.add(OK)
    while not text:  # a second writer before the first reader is done would join the two
        pass
    report.add(FAILED)
    reader.join(10)
    assert "".join(text) == to_csv([OK, FAILED], COLUMNS)
    assert path.is_fifo()


def test_a_destination_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist: make it first"):
        check_destination(str(tmp_path / "missing" / "profile.csv"))


def test_a_folder_is_no_destination(tmp_path):
    with pytest.raises(UsageError, match="is a folder: name a file in it"):
        check_destination(str(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused_before_any_work():
    with pytest.raises(OutputFailed, match=r"can't write report /sys/kernel/profile\.csv: "):
        CsvReport("/sys/kernel/profile.csv")


def test_checking_a_destination_leaves_nothing(tmp_path):
    check_destination(str(tmp_path / "profile.csv"))
    check_destination("-")
    assert names(tmp_path) == []


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "'=1+1", "''@x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula_to_a_spreadsheet_and_comes_back_as_it_was(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_text(
        to_csv([Row({"schema": 1, "status": "ok", "model": text, "drift_snr_db": -3.5})])
    )
    (line,) = read(path.read_text())
    assert line["model"] == f"'{text}"
    assert line["drift_snr_db"] == "-3.5"
    assert read_rows(str(path))[0]["model"] == text
    assert read_cells(path)[0]["model"] == text


def test_apostrophes_of_their_own_stay(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        to_csv([Row({"schema": 1, "status": "ok", "model": "'tis", "weights": "-1e3"})])
    )
    row = read_rows(str(path))[0]
    assert (row["model"], row["weights"]) == ("'tis", "-1e3")


def test_no_cell_holds_an_escape_sequence():
    assert "\\x1b[31m" in to_csv([Row({"schema": 1, "status": "ok", "model": "\x1b[31mred"})])
