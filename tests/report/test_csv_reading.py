from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_reports import row, save

from deploykit.columns import NAMES
from deploykit.errors import UsageError
from deploykit.lazy import pd
from deploykit.report.csv import (
    ADDED,
    open_table,
    positive,
    read_cells,
    read_rows,
    rows_of,
    share,
    to_csv,
)
from deploykit.row import Finding, Note, Row, text_of

WANTED = ("model", "latency_p20_ms")


def read(path, names=WANTED):
    with open_table(str(path), names) as table:
        return list(table.rows)


def complaint(path, names=WANTED) -> str:
    with pytest.raises(UsageError) as caught:
        read(path, names)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_columns_asked_for_come_in_the_order_asked(tmp_path):
    path = save(tmp_path / "a.csv", [row(), row(model="mlp")])
    assert read(path) == [(2, ("lenet5", "2")), (3, ("mlp", "2"))]
    assert read(path, WANTED[::-1])[0] == (2, ("2", "lenet5"))


def test_the_line_is_that_of_the_file(tmp_path):
    path = tmp_path / "a.csv"
    save(path, [row(reason="x"), row()])
    path.write_text(path.read_text().replace(",x,", ',"two\nlines",'))
    assert [line for line, _ in read(path)] == [3, 4]


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(to_csv([row()])))
    assert len(read("-")) == 1


def test_what_a_spreadsheet_puts_first_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeff" + to_csv([row()]), encoding="utf-8")
    assert len(read(path)) == 1


def test_a_report_from_before_a_column_was_added_reads_as_blank_and_says_so(tmp_path):
    path = save(tmp_path / "old.csv", [row()], tuple(n for n in NAMES if n not in ADDED))
    with open_table(path, WANTED) as table:
        assert [cells for _, cells in table.rows] == [("lenet5", "")]
        assert table.remark == f"{path} has no column latency_p20_ms: taken as blank"


def test_columns_of_others_are_ignored_and_named(tmp_path):
    path = save(tmp_path / "a.csv", [row(mood="good")], (*NAMES, "mood"))
    with open_table(path, WANTED) as table:
        assert len(list(table.rows)) == 1
        assert table.remark == f"{path} has extra columns, ignored: mood"


def test_missing_columns_are_named(tmp_path):
    path = save(tmp_path / "a.csv", [row()], tuple(n for n in NAMES if n != "model"))
    assert "has no column model: name a CSV of `deploykit profile`" in complaint(path)
    (tmp_path / "b.csv").write_text("a;b\n1;2\n")
    assert "has no column schema, status, model" in complaint(tmp_path / "b.csv")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(to_csv([row()]).replace(",alpha,", ",model,", 1))
    assert "has the column 'model' twice" in complaint(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (to_csv([]).encode(), "has a header but no rows"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "is not text in UTF-8"),
        (b"\x00\x00\x00", "has no column"),
        (b'"' + b"x" * 200_000 + b'"', "is not a CSV"),
    ],
)
def test_what_is_no_report_is_one_line(tmp_path, content, said):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert said in complaint(path)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    assert "no such file" in complaint(tmp_path / "none.csv").lower()
    assert "is a directory" in complaint(tmp_path).lower()


def test_a_row_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(to_csv([row(), row()])[:-40])
    assert f"line 3: {len(NAMES) - 1}" not in complaint(path)
    assert "line 3: " in complaint(path)
    assert f"the header has {len(NAMES)}: the file is damaged" in complaint(path)


def test_another_schema_is_refused_with_both_versions(tmp_path):
    path = save(tmp_path / "a.csv", [row(), row(schema=2)])
    assert "line 3: schema 2, this deploykit reads 1" in complaint(path)


def test_an_unknown_status_is_refused(tmp_path):
    path = save(tmp_path / "a.csv", [row(status="fine")])
    assert "line 2: status 'fine' is none of ok, failed and skipped" in complaint(path)


@pytest.mark.parametrize("text", ["nan", "-1", "0", "inf", "fast"])
def test_a_latency_is_a_positive_number(text):
    with pytest.raises(UsageError, match=rf"a\.csv, line 7: x is {text}: it must be a positive"):
        positive(text, "x", "a.csv", 7)


def test_blanks_are_none():
    assert positive("", "x", "a.csv", 7) is None
    assert share("", "x", "a.csv", 7) is None


@pytest.mark.parametrize("text", ["nan", "-0.1", "1.1", "all"])
def test_a_share_is_from_0_to_1(text):
    with pytest.raises(UsageError, match="must be from 0 to 1"):
        share(text, "x", "a.csv", 7)


@given(st.data())
def test_a_damaged_report_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "a.csv"
    whole = to_csv([row(), row(model="mlp")]).encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:])
    said = ""
    try:
        found = read(path)
    except UsageError as error:
        found, said = [], str(error)
    assert all(len(cells) == 2 for _, cells in found)
    assert found or str(path) in said


def test_rows_come_back_with_values_of_their_columns_types(tmp_path):
    made = Row(
        {"schema": 1, "status": "ok", "model": "1", "alpha": 0.5, "batch": 8, "macs": 138_357_544},
        (Note("load", "turns", "give --threads 2"), Note("data", "few")),
        (Finding("load", "others used 1 core", "stop them"),),
    )
    (found,) = read_rows(save(tmp_path / "a.csv", [made]))
    assert dict(found) == dict(made)
    assert found.findings == made.findings
    assert [note.kind for note in found.notes] == ["stored"]
    assert found["reason"] == "turns: give --threads 2; few"


def test_a_failed_row_comes_back_as_one(tmp_path):
    failed = row(status="failed", reason="killed; free memory", stability=None)
    (found,) = read_rows(save(tmp_path / "a.csv", [failed]))
    assert found.notes == (Note("failed", "killed; free memory"),)
    assert found.findings is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alpha": "wide"}, "line 2: alpha is wide: it must be a number"),
        ({"speedup": "nan"}, "line 2: speedup is nan: it must be a number"),
        ({"batch": "1.5"}, "line 2: batch is 1.5: it must be a whole number"),
        ({"macs": "inf"}, "line 2: macs is inf: it must be a whole number"),
    ],
)
def test_a_cell_of_another_type_is_named(tmp_path, values, said):
    path = save(tmp_path / "a.csv", [row(**values)])
    with pytest.raises(UsageError, match=said):
        read_rows(path)


def test_a_data_frame_is_rows_whatever_it_made_of_blanks():
    frame = pd.DataFrame([row(), row(macs=None, alpha=None, kept=None)])
    whole, blank = rows_of(frame)
    assert whole["macs"] == 416520
    assert isinstance(whole["macs"], int)
    assert blank["macs"] is blank["alpha"] is blank["kept"] is None
    assert rows_of([whole, row()]) == [whole, whole]
    assert rows_of(None) is None


def test_cells_of_any_report_are_read_and_a_cut_row_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("case,top1\na,\n\nb,0.5\n")
    assert read_cells(path) == [{"case": "a", "top1": ""}, {"case": "b", "top1": "0.5"}]
    path.write_text("case,top1\na\n")
    with pytest.raises(UsageError, match="line 2: 1 cells, the header has 2"):
        read_cells(path)


@pytest.mark.parametrize("name", ["profile.csv", "study.csv"])
def test_the_committed_reports_are_read_as_rows(name):
    path = Path(__file__).parents[2] / "reports" / name
    rows = read_rows(str(path))
    cells = read_cells(path)
    assert len(rows) == len(cells) > 0
    for one, texts in zip(rows, cells, strict=True):
        # Not a cell is lost or changed on its way through values.
        assert {name: text_of(one[name]) for name in texts} == texts


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_what_a_spreadsheet_saved_with_other_separators_is_refused_by_name(
    tmp_path, separator, name
):
    path = tmp_path / "a.csv"
    path.write_text(to_csv([row()]).replace(",", separator))
    assert f"has {name} between its columns" in complaint(path)


def test_columns_without_a_name_and_rows_of_blanks_are_the_spreadsheets(tmp_path):
    path = tmp_path / "a.csv"
    lines = to_csv([row(), row(model="mlp")]).splitlines()
    blanks = "," * len(NAMES) + ","
    path.write_text("\r\n".join([*(f"{line},," for line in lines), blanks, blanks, ""]))
    assert read(path) == [(2, ("lenet5", "2")), (3, ("mlp", "2"))]
    with open_table(str(path), WANTED) as table:
        assert table.remark == ""


def test_a_missing_column_is_named_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    said = complaint(path, ("schema", "status", "model"))
    assert "has no column schema, status, model: " in said
