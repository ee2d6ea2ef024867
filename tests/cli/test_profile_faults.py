"""Whatever becomes of the process that measures a row, the command goes on with the rest."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "bench" / "plugin"


def test_killed_hung_and_babbling_rows_fail_with_their_reasons_and_the_rest_go_on(
    run_process, tmp_path
):
    paths = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]

    def profile(backends: str, *options: str):
        return run_process(
            *("profile", "lenet5", "--weights", "trained", "--backend", backends, "-q"),
            *("--seconds", "0.1", "--no-roofline", "--csv", "p.csv", *options),
            env={"PYTHONPATH": os.pathsep.join(paths)},
        )

    # The limit follows what a row takes on this machine now: the last row must stay within it.
    start_s = time.monotonic()
    assert profile("onnxruntime").code == 0
    limit = f"{max(5.0, 1.5 * (time.monotonic() - start_s)):.1f}"
    ended = profile("doomed,stuck,babbling,onnxruntime", "--timeout", limit)
    with (tmp_path / "p.csv").open(newline="") as file:
        killed, hung, babbled, last = csv.DictReader(file)
    assert "was killed (SIGKILL)" in killed["reason"]
    assert f"no result after {float(limit):g} s; raise --timeout" in hung["reason"]
    assert (hung["latency_p50_ms"], hung["samples"]) == ("", "")
    assert "which is no result" in babbled["reason"]
    assert [row["status"] for row in (killed, hung, babbled)] == ["failed"] * 3
    assert last["status"] == "ok"
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert all(reason in ended.err for reason in ("SIGKILL", "raise --timeout", "no result"))
