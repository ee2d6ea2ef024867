from __future__ import annotations

import pytest

from deploykit.cli.display import print_table


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
