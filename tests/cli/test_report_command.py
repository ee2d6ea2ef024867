from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from stored_reports import repeats, row, save

import deploykit
from deploykit.columns import NAMES
from deploykit.errors import UsageError


@pytest.fixture
def report(tmp_path):
    return save(tmp_path / "profile.csv", [row(), row(precision="int8", latency_p50_ms=1.0)])


def test_the_page_lies_beside_the_report_by_default(run, report, tmp_path):
    ended = run("report", report)
    assert (ended.code, ended.out) == (0, "")
    page = tmp_path / "profile.html"
    assert ended.err == f"wrote {page}\n"
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_page_goes_to_stdout_on_request(run, report, tmp_path):
    ended = run("report", report, "-o", "-")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile.csv"]


def test_a_report_of_claims_or_layers_is_known_by_its_header(run, tmp_path):
    (tmp_path / "claims.csv").write_text(
        "id,verdict,as_expected,statement\na,confirmed,true,It is small\n"
    )
    assert run("report", "claims.csv").code == 0
    assert "It is small" in (tmp_path / "claims.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv"], "can't read missing.csv: No such file or directory"),
        ([""], "can't read : No such file or directory"),
        (["."], "can't read .: it is a directory, not a file"),
        (["/"], "can't read /: it is a directory, not a file"),
        (["other.csv"], "other.csv is no report that a page is made of: name a CSV of"),
        (["empty.csv"], "empty.csv has a header but no rows"),
        (
            ["profile.csv", "-o", "none/page.html"],
            "the folder none of none/page.html does not exist",
        ),
        (["profile.csv", "--claims", "other.csv"], "other.csv holds no verdicts"),
        (["profile.csv", "--layers", "other.csv"], "other.csv holds no layers"),
        # Rows of other lengths are no damage where the file is of another kind.
        (["profile.csv", "--claims", "list.toml"], "list.toml holds no verdicts"),
        (["profile.csv", "--layers", "list.toml"], "list.toml holds no layers"),
        (["profile.csv", "other.csv"], "other.csv is no report that a page is made of"),
        (["profile.csv", "--across-machines"], "--across-machines"),
        (["profile.csv", "--max-slowdown", "3%"], "--max-slowdown"),
        (["profile.csv", *["--layers", "l.csv"] * 3], "give --layers twice at most"),
        (["profile.csv", "-o", "profile.csv"], "profile.csv is read, and would be replaced"),
        (["profile.csv", "empty.csv", "-o", "./empty.csv"], "./empty.csv is read, and would be"),
        (["verdicts.csv", "--claims", "other.csv"], "verdicts.csv holds claims itself: leave"),
        (["sheet.csv", *["--layers", "l.csv"] * 2], "sheet.csv among them: leave l.csv out"),
    ],
)
def test_what_can_not_be_shown_is_one_line(run, report, tmp_path, arguments, said):
    (tmp_path / "other.csv").write_text("benchmark,value\na,1\n")
    (tmp_path / "empty.csv").write_text(",".join(NAMES) + "\n")
    (tmp_path / "list.toml").write_text("[[claim]]\nparts = ['a', 'b']\n")
    (tmp_path / "verdicts.csv").write_text("id,verdict,as_expected,statement\n")
    (tmp_path / "sheet.csv").write_text("node,op_type,time_ms\n")
    ended = run("report", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_claims_beside_a_report_are_found(run, report, tmp_path):
    (tmp_path / "claims.csv").write_text(
        "id,verdict,as_expected,statement\na,confirmed,true,It is small\n"
    )
    assert run("report", report).code == 0
    assert "It is small" in (tmp_path / "profile.html").read_text()


def test_a_file_beside_a_report_that_holds_no_verdicts_is_left_out(run, report, tmp_path):
    """Nobody named it, so that it may be another program's, and the report ended with 2."""
    (tmp_path / "claims.csv").write_text("policy,damage\n1,20\n")
    ended = run("report", "profile.csv")
    assert ended.code == 0
    said = (
        "claims.csv, which nobody named, is left out: claims.csv holds no verdicts: name a CSV of "
    )
    assert ended.err == f"{said}`deploykit claims`\nwrote profile.html\n"
    assert "is left out" in (tmp_path / "profile.html").read_text()
    (tmp_path / "claims.csv").write_bytes((tmp_path / "profile.csv").read_bytes())
    assert run("report", "claims.csv").err == "wrote claims.html\n"


def test_cells_of_verdicts_that_are_no_numbers_stand_as_they_are(run, tmp_path):
    (tmp_path / "claims.csv").write_text(
        "id,verdict,as_expected,statement,stated,found,deviation\n"
        "a,confirmed,true,It is small,infinity,nan,none\n"
    )
    assert run("report", "claims.csv").code == 0
    assert "stated infinity, found nan" in (tmp_path / "claims.html").read_text()


def test_pictures_are_files_on_request(run, tmp_path):
    rows = repeats(2, drift_snr_db=40.0) + repeats(1, precision="int8", drift_snr_db=20.0)
    save(tmp_path / "profile.csv", rows)
    ended = run("report", "profile.csv", "--svg", "pictures")
    assert ended.code == 0
    written = (tmp_path / "pictures" / "drift.svg").read_text()
    assert written.startswith("<svg xmlns=")
    assert "Drift against latency" in written


def test_png_without_matplotlib_says_how_to_get_it_before_anything_is_written(
    run, report, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    ended = run("report", report, "--png", "pictures")
    assert ended.code == 3
    assert "PNG is drawn by matplotlib, which is not installed: pip install" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile.csv"]


def test_compare_writes_a_page_of_both(run, tmp_path):
    base = save(tmp_path / "base.csv", repeats(2))
    head = save(tmp_path / "head.csv", repeats(3))
    ended = run("compare", base, head, "--html", "page.html")
    assert ended.code == 1
    text = (tmp_path / "page.html").read_text()
    assert "Against the earlier report" in text
    assert "1.500 slower" in text
    refused = run("compare", base, "-", "--html", "other.html")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--html reads both reports once more" in refused.err


def test_claims_write_a_page(run, tmp_path):
    ended = run("claims", "squeezenet-year", "--html", "page.html")
    assert ended.code == 0
    assert "SqueezeNet is from 2017" in (tmp_path / "page.html").read_text()


def test_profile_writes_a_page_with_samples(run, tmp_path):
    asked = ["profile", "lenet5", "--seconds", "0.1", "--no-roofline", "--csv", "profile.csv"]
    assert run(*asked, "--html", "page.html").code == 0
    text = (tmp_path / "page.html").read_text()
    assert "runs, in their order" in text
    nowhere = run("profile", "lenet5", "--seconds", "0.1", "--html", "none/page.html")
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "the folder none of none/page.html does not exist" in nowhere.err


def test_a_pipe_has_no_place_beside_it_and_is_not_read_twice(run, report, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for arguments, said in (
        (
            ["report", "pipe"],
            "pipe is a pipe, and no page can lie beside it: name the page with -o",
        ),
        (["report", "pipe", report, "-o", "a.html"], "read twice each: name files instead of"),
        (["report", report, "pipe", "-o", "a.html"], "read twice each: name files instead of"),
        (["compare", report, "pipe", "--html", "a.html"], "reads both reports once more"),
    ):
        ended = run(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1), arguments
        assert said in ended.err
    with pytest.raises(UsageError, match="name the page by path"):
        deploykit.write_report("pipe")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "profile.csv"]


def test_a_report_through_a_pipe_becomes_the_page_that_was_named(run, report, tmp_path):
    read_end, write_end = os.pipe()
    text = save(tmp_path / "small.csv", [row()])
    with os.fdopen(write_end, "wb") as writer:
        writer.write(Path(text).read_bytes())
    try:
        refused = run("report", f"/dev/fd/{read_end}")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "name the page with -o" in refused.err
        ended = run("report", f"/dev/fd/{read_end}", "-o", "page.html")
    finally:
        os.close(read_end)
    assert (ended.code, ended.err) == (0, "wrote page.html\n")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_columns_that_are_missing_or_that_no_profile_has_are_told_on_the_page_and_beside_it(
    run, tmp_path
):
    # The speedup is shown alone: that it is missing makes no row look better than it is.
    names = (*(n for n in NAMES if n not in ("latency_bound_ms", "speedup")), "mood\x1b[31m")
    save(tmp_path / "old.csv", repeats(2), names)
    save(tmp_path / "new.csv", repeats(2))
    said = "old.csv has no column latency_bound_ms: taken as blank; has extra columns, ignored: "
    for arguments in (["old.csv"], ["new.csv", "old.csv"], ["old.csv", "new.csv"]):
        ended = run("report", *arguments, "-o", "page.html")
        assert ended.code == 0
        assert ended.err == f"{said}mood\\x1b[31m\nwrote page.html\n", arguments
        assert (tmp_path / "page.html").read_text().count(said) == 1
    ended = run("report", "new.csv", "-o", "page.html")
    assert ended.err == "wrote page.html\n"
