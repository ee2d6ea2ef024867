"""Whatever becomes of the process that measures a row, the command goes on with the rest."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

from test_bad_data import save_network

PLUGIN = Path(__file__).parents[1] / "bench" / "plugin"


def test_killed_hung_and_babbling_rows_fail_with_their_reasons_and_the_rest_go_on(
    run_process, tmp_path
):
    paths = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
    save_network(tmp_path / "net.onnx")

    def profile(backends: str, *options: str):
        return run_process(
            *("profile", "net.onnx", "--backend", backends, "-q"),
            *("--seconds", "0.1", "--no-roofline", "--csv", "p.csv", *options),
            env={"PYTHONPATH": os.pathsep.join(paths)},
        )

    # The limit follows what a row takes on this machine now: the last row must stay within it.
    start_s = time.monotonic()
    assert profile("onnxruntime").code == 0
    limit = f"{max(2.0, 1.5 * (time.monotonic() - start_s)):.1f}"
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


def test_builders_that_crash_hang_or_take_all_memory_are_rows_and_the_rest_go_on(
    run_process, tmp_path
):
    """Neither they nor a recipe that crashes leave anything in the store."""
    paths = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
    names = "crashing-builder,hanging-builder,greedy-builder,crashing-recipe,onnxruntime"
    store = tmp_path / "engines"
    save_network(tmp_path / "net.onnx")

    def profile(store: Path, *options: str):
        return run_process(
            *("profile", "net.onnx", "--precision", "fp16", "-q"),
            *(
                "--seconds",
                "0.1",
                "--no-roofline",
                "--csv",
                "p.csv",
                "--store",
                str(store),
                *options,
            ),
            env={"PYTHONPATH": os.pathsep.join(paths)},
        )

    # The limit follows what this machine takes for the whole of a row, of which a build is a part.
    start_s = time.monotonic()
    assert profile(tmp_path / "others", "--backend", "onnxruntime").code == 0
    limit = f"{time.monotonic() - start_s:.1f}"
    ended = profile(store, "--backend", names, "--build-timeout", limit)
    with (tmp_path / "p.csv").open(newline="") as file:
        *failed, last = csv.DictReader(file)
    what = "net fp16 with"
    for row, reason in zip(
        failed,
        (
            f"building {what} crashing-builder ended in a crash (SIGSEGV)",
            f"building {what} hanging-builder was not done after {float(limit):g} s; raise --build-timeout",
            "not enough memory (Unable to allocate 8.00 PiB",
            "converting net to fp16 ended in a crash (SIGBUS)",
        ),
        strict=True,
    ):
        assert row["status"] == "failed"
        assert reason in row["reason"]
    assert last["status"] == "ok"
    assert ended.code == 4
    assert "Traceback" not in ended.err
    assert list(store.glob("net-fp16-onnxruntime-*"))
    # Neither half an engine nor half a graph, and nothing that was being made.
    assert not [*store.glob("*-builder-*"), *store.glob("*npu*"), *store.glob(".making-*")]
