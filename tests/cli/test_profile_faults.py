"""Whatever becomes of the process that measures a row, the command goes on with the rest."""

from __future__ import annotations

import csv
import os
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "bench" / "plugin"


def test_killed_hung_and_babbling_rows_fail_with_their_reasons_and_the_rest_go_on(
    run_process, tmp_path
):
    paths = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
    names = "doomed,stuck,babbling,onnxruntime"
    options = ("--backend", names, "--seconds", "0.1", "--timeout", "5", "--no-roofline", "-q")
    ended = run_process(
        *("profile", "lenet5", "--weights", "trained", *options, "--csv", "p.csv"),
        env={"PYTHONPATH": os.pathsep.join(paths)},
    )
    with (tmp_path / "p.csv").open(newline="") as file:
        killed, hung, rubbish, last = csv.DictReader(file)
    assert "was killed (SIGKILL)" in killed["reason"]
    assert "no result after 5 s; raise --timeout" in hung["reason"]
    assert "which is no result" in rubbish["reason"]
    assert [row["status"] for row in (killed, hung, rubbish)] == ["failed"] * 3
    assert last["status"] == "ok"
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert all(reason in ended.err for reason in ("SIGKILL", "--timeout", "no result"))
