from __future__ import annotations

import pytest

from deploykit.cli.display import print_table
from deploykit.cli.tables import layout, width_of, wrap


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_cell_is_cut_off_whatever_the_terminals_width(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    header = ("configuration", "base ms", "ratio [99%]", "top-1", "accuracy")
    row = (
        "lenet5 fp32 onnxruntime 1 thread",
        "0.0319",
        "0.995 [0.982, 1.008]",
        "99.6% → 99.6%",
        "same",
    )
    print_table(header, [row], right=(1, 2, 3))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for cell in (*header, *row):
        assert all(word in shown.replace("\n", " ") for word in cell.split() if len(word) <= 12)


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_no_name_breaks_inside_a_word_where_a_line_can_hold_it(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("squeezenet-params-50x", "vgg-depth-no-explosion")
    sentence = (
        "A deeper VGG does not blow up the parameters, since most are in the last three layers"
    )
    print_table(("id", "claim", "source"), [(name, sentence, sentence) for name in names])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert all(name in shown for name in names)
    assert set(sentence.split()) <= set(shown.split())


def test_a_word_that_no_line_can_hold_breaks_behind_its_signs():
    assert wrap("engines/mobilenet-a0.5-int8", 12) == ["engines/", "mobilenet-", "a0.5-int8"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]


@pytest.mark.parametrize("width", [-1, 0, 1])
def test_a_width_that_holds_nothing_still_ends(width):
    """Words were broken into pieces of no character without end, which filled the memory."""
    assert wrap("ab 模型", width) == ["a", "b", "模", "型"]


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_terminal_of_a_few_columns_gets_all_that_a_table_says(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(("id", "claim"), [("squeezenet", "has few parameters")])
    shown = capsys.readouterr().out
    assert "".join("squeezenet claim has few parameters".split()) in "".join(shown.split())


def test_wide_characters_take_two_columns():
    lines = layout(("name", "n"), [("模型", "1"), ("abcd", "2")], {1}, 80)
    assert width_of(lines[2]) == width_of(lines[3]) == 7
