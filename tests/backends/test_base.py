"""The one timing loop, and what a backend and a session are by default."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from deploykit.backends.base import BackendBase, Bound, RunOption, SessionBase
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import Engine


class Recorder(SessionBase):
    """Keeps the order of all that happens; a set of inputs is known by its one value."""

    inputs = outputs = ()

    def __init__(self, **bound):
        self.events, self.options = [], bound

    def run(self, feeds):
        raise NotImplementedError

    def bind(self, feeds):
        (name,) = feeds.values()
        note = self.events.append
        note(f"bind {name}")
        return Bound(
            lambda argument: note(f"run {argument}"),
            name,
            release=lambda: note(f"release {name}"),
            **{
                what: (lambda act=act, what=what: note(f"{what} {name}") or act())
                for what, act in self.options.items()
            },
        )


def feeds(*names):
    return [{"x": name} for name in names]


def test_each_set_is_bound_once_and_turns_go_on_from_call_to_call():
    session, sets = Recorder(), feeds("a", "b", "c")
    for n in (1, 1, 4, 0, 1):
        assert session.sample(sets, n).shape == (n,)
    binds, runs = session.events[:3], session.events[3:]
    assert binds == ["bind a", "bind b", "bind c"]
    assert runs == [f"run {name}" for name in "abcabca"]


def test_other_feeds_are_bound_anew_and_the_old_are_given_back_first():
    session = Recorder()
    session.sample(feeds("a", "b"), 2)
    session.sample(feeds("c"), 1)
    assert session.events[-4:] == ["release a", "release b", "bind c", "run c"]


def test_a_set_that_does_not_bind_leaves_nothing_bound():
    class Failing(Recorder):
        def bind(self, feeds):
            if feeds["x"] == "bad":
                raise RuntimeError("too large")
            return super().bind(feeds)

    session, sets = Failing(), feeds("a", "bad")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="too large"):
            session.sample(sets, 1)
    session.close()
    assert session.events == ["bind a", "release a", "bind a", "release a"]


def test_leaving_a_session_closes_it_once():
    with Recorder() as session:
        session.sample(feeds("a"), 1)
    session.close()
    assert session.events == ["bind a", "run a", "release a"]


def test_only_the_run_is_timed():
    slow = 0.01

    class Heavy:
        def __del__(self):
            time.sleep(slow)

    class Slow(Recorder):
        def bind(self, feeds):
            return Bound(lambda _: Heavy(), prepare=lambda: time.sleep(slow))

    samples = Slow().sample(feeds("a"), 5)
    assert samples.dtype == np.int64
    assert np.median(samples) < slow * 1e9 / 4


def test_all_of_the_run_is_timed():
    class Slow(Recorder):
        def bind(self, feeds):
            return Bound(time.sleep, 0.005)

    assert (Slow().sample(feeds("a"), 3) >= 5_000_000).all()


def test_a_clock_of_the_devices_own_counts_and_is_read_behind_each_run():
    session = Recorder(prepare=lambda: None, elapsed_ns=lambda: 12_345)
    assert session.sample(feeds("a"), 2).tolist() == [12_345, 12_345]
    assert session.events[1:] == ["prepare a", "run a", "elapsed_ns a"] * 2


def test_the_state_of_a_session_is_there_while_it_binds_and_runs_and_is_left_when_it_fails():
    class Stateful(Recorder):
        def sampling(self):
            import contextlib

            @contextlib.contextmanager
            def state():
                self.events.append("enter")
                try:
                    yield
                finally:
                    self.events.append("leave")

            return state()

    session = Stateful()
    session.sample(feeds("a"), 1)
    assert session.events == ["enter", "bind a", "run a", "leave"]
    session = Stateful(prepare=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.sample(feeds("a"), 1)
    assert session.events[-1] == "leave"


class Least(BackendBase):
    """Only what every backend has to have."""

    name, target, filename = "least", "cpu", "engine.bin"

    def available(self):
        return None

    def device(self):
        return "somewhere"

    def version(self):
        return "1"

    def build(self, model, options, path):
        raise NotImplementedError

    def open(self, engine, threads, run_pass):
        return SimpleNamespace(asked=(engine.path, threads, run_pass), inputs=())


def test_what_a_backend_need_not_say_has_a_default(tmp_path):
    backend, engine = Least(), Engine(tmp_path, "", {})
    assert backend.emulated == {}
    assert (backend.precisions, backend.revision, backend.host()) == (None, None, None)
    assert (backend.passes, backend.timed_parts) == (("forward",), None)
    assert backend.prepare() is None
    assert backend.largest_batch(engine) is None
    assert backend.recipes() == ()
    assert backend.offered() == ["fp32", "fp16", "int8", "as-is"]
    assert backend.load(engine).asked == (tmp_path, None, "forward")
    with Recorder() as session:
        assert (session.boundary, session.threads) == ("end_to_end", None)
        assert (session.compile_s, session.notes) == (None, ())


def test_no_session_is_opened_for_a_pass_that_a_backend_lacks(tmp_path):
    engine = Engine(tmp_path, "", {})
    with pytest.raises(UsageError, match="least has no forward_backward pass"):
        Least().load(engine, 1, "forward_backward")
    with pytest.raises(UnknownName, match="unknown pass 'sideways'"):
        Least().load(engine, 1, "sideways")


def test_options_are_sorted_those_at_their_defaults_left_out_and_others_refused(tmp_path):
    class Told(Least):
        run_options = (
            RunOption("a.mode", ("slow", "fast"), "slow", "how"),
            RunOption("a.spin", ("0", "1"), "1", "whether"),
        )

        def open(self, engine, threads, run_pass, options=()):
            return SimpleNamespace(told=options, inputs=())

    backend, engine = Told(), Engine(tmp_path, "", {})
    both = (("a.spin", "0"), ("a.mode", "fast"))
    assert backend.load(engine, options=both).told == (("a.mode", "fast"), ("a.spin", "0"))
    assert backend.load(engine, options=(("a.spin", "1"),)).told == ()
    with pytest.raises(
        UnknownName, match=r"unknown option of least 'a\.spn': did you mean a\.spin"
    ):
        backend.load(engine, options=(("a.spn", "1"),))
    with pytest.raises(UsageError, match=r"a\.mode takes slow or fast, not 'medium'"):
        backend.load(engine, options=(("a.mode", "medium"),))
    # One that has none never comes to hear of any.
    assert Least().load(engine, options=()).asked == (tmp_path, None, "forward")
    with pytest.raises(UnknownName, match="it has none"):
        Least().load(engine, options=(("a.spin", "0"),))
