"""What is shown of a row while it is measured is told before and after runs are timed, and never meanwhile."""

from __future__ import annotations

import threading
import time

import pytest
from clockwork import FEEDS, Clockwork, policy

from deploykit.bench import phases
from deploykit.bench.reference import make_reference
from deploykit.bench.request import AccuracyRequest, WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.bench.timing import measure

BRIEF = Policy(warmup_s=0.05, warmup_max_s=0.2, window_s=0.005, min_s=0.2, max_s=0.5, block_s=0.01)


def test_a_page_is_one_memory_for_whoever_opens_it():
    with phases.watched() as page:
        assert page is not None
        assert page.read() is None
        other = phases.opened(phases.watched_page())
        assert other is not None
        other.begin("measure", 300.0)
        told = page.read()
        assert told is not None
        assert (told.name, told.expected_s) == ("measure", 300.0)
        other.close()
    assert phases.watched_page() is None


def test_a_page_that_is_gone_or_not_named_keeps_nothing_from_being_measured():
    assert phases.opened(None) is None
    assert phases.opened("/proc/1/fd/none") is None


def test_a_process_that_measures_tells_its_phases_in_their_order(engine, tiny, tmp_path):
    model = tiny.as_model(tmp_path / "model.onnx", tiny.classifier())
    request = WorkerRequest(
        engine.folder,
        "onnxruntime",
        threads=1,
        policy=BRIEF,
        drift_reference=make_reference(model, tmp_path / "reference.npz"),
        accuracy=AccuracyRequest("digits", limit=64),
    )
    seen: list[phases.Phase] = []
    ended = threading.Event()
    with phases.watched() as page:
        assert page is not None

        def look() -> None:
            while not ended.wait(0.001):
                told = page.read()
                if told is not None and (not seen or seen[-1].name != told.name):
                    seen.append(told)

        looking = threading.Thread(target=look)
        looking.start()
        run_worker(request, 60)
        ended.set()
        looking.join()
        assert page.read() is None
    names = [one.name for one in seen]
    assert names == sorted(names, key=phases.NAMES.index)
    assert {"load", "warm up", "measure"} <= set(names)
    assert next(one for one in seen if one.name == "measure").expected_s == BRIEF.min_s


@pytest.mark.parametrize(("iterations", "expected_s"), [(None, 0.05), (40, 0.04)])
def test_nothing_is_told_while_runs_are_timed(iterations, expected_s):
    told: list[object] = []

    def run_ns(i: int) -> int:
        told.append("run")
        return 1_000_000

    measure(
        Clockwork(run_ns),
        FEEDS,
        policy(min_s=0.05, iterations=iterations),
        lambda name, next_s: told.append((name, round(next_s, 6))),
    )
    begins, ends = told.index(("warmup", expected_s)), told.index(("run", 0.0))
    assert ends == len(told) - 1
    assert set(told[begins + 1 : ends]) == {"run"}


def test_a_phase_knows_how_long_it_has_lasted():
    with phases.watched() as page:
        assert page is not None
        page.begin("load")
        time.sleep(0.02)
        told = page.read()
        assert told is not None
        assert told.passed_s >= 0.02
