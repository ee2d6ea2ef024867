from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stored_reports import repeats, row, save

from deploykit.report.compare import compare_reports
from deploykit.report.compare.rendering import (
    COLUMNS,
    MOST_ROWS,
    noteworthy,
    rows_of,
    table_of,
    title,
    to_junit,
    to_markdown,
)
from deploykit.report.csv import to_csv

GOLDEN = Path(__file__).with_name("golden") / "compare.md"


@pytest.fixture
def comparison(tmp_path):
    """Every verdict that there is."""
    judged = {"dataset": "digits/test", "test_images": 10_000}
    base = [
        *repeats(2),
        *repeats(3, precision="int8", top1=0.95, **judged),
        *repeats(4, model="mobilenet", alpha=0.5),
        *repeats(5, model="vgg16", batch=8)[:1],
        *repeats(model="nin"),
        row(model="zfnet", status="failed", reason="out of memory"),
        *repeats(model="mlp"),
        row(model="resnet18"),
    ]
    head = [
        *repeats(2),
        *repeats(3, precision="int8", top1=0.91, **judged),
        *repeats(4.6, model="mobilenet", alpha=0.5),
        *repeats(4, model="vgg16", batch=8)[:1],
        row(model="nin", status="failed", reason="the child was killed | signal 9"),
        *repeats(model="zfnet"),
        row(model="mlp", status="skipped", reason="no device"),
        row(model="resnet34"),
    ]
    paths = save(tmp_path / "base.csv", base), save(tmp_path / "head.csv", head)
    return compare_reports(*paths)


def test_the_markdown_is_the_golden_one(comparison):
    assert to_markdown(comparison) == GOLDEN.read_text()


def test_the_csv_has_every_configuration_and_reads_back(comparison):
    rows = list(csv.DictReader(io.StringIO(to_csv(rows_of(comparison), COLUMNS))))
    verdicts = {(r["model"], r["precision"]): (r["verdict"], r["regression"]) for r in rows}
    assert verdicts == {
        ("lenet5", "fp32"): ("same", "false"),
        ("lenet5", "int8"): ("same", "true"),
        ("mobilenet", "fp32"): ("slower", "true"),
        ("vgg16", "fp32"): ("undecided", "false"),
        ("nin", "fp32"): ("failed", "true"),
        ("zfnet", "fp32"): ("mended", "false"),
        ("mlp", "fp32"): ("skipped", "false"),
        ("resnet18", "fp32"): ("base only", "false"),
        ("resnet34", "fp32"): ("head only", "false"),
    }
    slower = next(r for r in rows if r["verdict"] == "slower")
    assert float(slower["ratio"]) == pytest.approx(1.15, rel=1e-4)
    assert float(slower["ratio_low"]) < 1.15 < float(slower["ratio_high"])
    assert float(slower["latency_p"]) < 0.01
    assert (slower["base_processes"], slower["quantile"]) == ("5", "p20")


def test_rows_hold_exactly_the_columns(comparison):
    assert all(tuple(found) == COLUMNS for found in rows_of(comparison))


def test_regressions_fail_and_open_questions_are_skipped_in_junit(comparison):
    root = ElementTree.fromstring(to_junit(comparison).encode())
    states = {
        (case.get("classname") or "").removeprefix("compare."): [
            child.tag for child in case if child.tag != "system-out"
        ]
        for case in root.iter("testcase")
        if "int8" not in (case.get("name") or "")
    }
    assert states["nin"] == states["mobilenet"] == ["failure"]
    assert states["vgg16"] == states["mlp"] == states["resnet18"] == ["skipped"]
    assert states["lenet5"] == []
    assert root.get("failures") == "3"


def test_people_see_what_is_worth_a_look_first_and_not_everything(tmp_path):
    base = [r for i in range(MOST_ROWS + 5) for r in repeats(model=f"m{i}")]
    head = [r | ({"latency_p20_ms": 9.0} if r["model"] == "m7" else {}) for r in base]
    paths = save(tmp_path / "base.csv", base), save(tmp_path / "head.csv", head)
    found = compare_reports(*paths)
    assert [c.identity["model"] for c in noteworthy(found)] == ["m7"]
    assert f"{MOST_ROWS + 4} more configurations are in the CSV" in to_markdown(found)


def test_latencies_of_doubtful_processes_are_marked_with_the_reason(tmp_path):
    spread = {"stability": "unstable: spread: the median is only known to 9%; measure longer"}
    base = repeats(2)
    head = [row | spread for row in repeats(2)]
    once = [*head[:1], *repeats(2)[1:]]
    paths = [save(tmp_path / f"{n}.csv", r) for n, r in (("b", base), ("h", head), ("o", once))]
    _, (cells,), _ = table_of(compare_reports(paths[0], paths[1]).changes)
    assert cells[1:4] == ["2.00", "2.00?", "1.000? [0.983, 1.017]"]
    assert cells[-1] == "head doubtful: wide interval"
    (told,) = rows_of(compare_reports(paths[0], paths[1]))
    assert (told["base_doubt"], told["head_doubt"]) == (None, "wide interval")
    # One disturbed process of five is in the spread that the test judges by.
    _, (cells,), _ = table_of(compare_reports(paths[0], paths[2]).changes)
    assert not any("?" in cell for cell in cells)


def test_where_nothing_could_be_decided_the_title_says_so(tmp_path):
    paths = [save(tmp_path / f"{n}.csv", [row()]) for n in "bh"]
    found = compare_reports(*paths)
    assert title(found) == "Undecided: none of the configurations could be judged"
    assert to_markdown(found).startswith("## Undecided")


def test_names_of_test_results_carry_no_machine_and_stay_unique(tmp_path):
    machines = [r | {"env_id": machine} for machine in ("aaaa1111", "bbbb2222") for r in repeats(2)]
    paths = [save(tmp_path / f"{n}.csv", machines) for n in "bh"]
    names = [
        str(case.get("name"))
        for case in ElementTree.fromstring(to_junit(compare_reports(*paths)).encode()).iter(
            "testcase"
        )
    ]
    assert len(set(names)) == len(names) == 2
    assert not any("1111" in name or "2222" in name for name in names)


def test_configurations_of_several_machines_are_told_apart_in_tables_and_messages(tmp_path):
    ours, theirs = (repeats(2, env_id=machine) for machine in ("aaaa1111", "bbbb2222"))
    slow = repeats(3, env_id="bbbb2222")
    paths = [save(tmp_path / f"{n}.csv", ours + of) for n, of in (("b", theirs), ("h", slow))]
    found = compare_reports(*paths)
    names = [cells[0] for cells in table_of(found.changes)[1]]
    usual = "lenet5 fp32 onnxruntime 2 threads"
    assert names == [f"{usual} on bbbb2222", f"{usual} on aaaa1111"]
    assert f"{usual} on bbbb2222: 1.5 times as long" in str(found.failure)
    alone = compare_reports(*[save(tmp_path / "one.csv", ours)] * 2)
    assert [change.name for change in alone.changes] == [usual]
