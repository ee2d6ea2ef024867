"""Damaged models through the Python API and the command line, in short: `make torture` tries thousands."""

from __future__ import annotations

import hashlib

import pytest

from deploykit.errors import BuildFailed, InvalidModel
from studies.torture import damage, models, rewrite
from studies.torture.mutants import KEPT, kept_seeds, mutant
from studies.torture.networks import bases
from studies.torture.part import Task
from studies.torture.subject import try_call

#: Fresh seeds that the tests try beside those that failed once.
FRESH = 25


def test_a_seed_is_always_the_same_file():
    first = [hashlib.sha256(mutant(seed).data).hexdigest() for seed in range(200)]
    assert first == [hashlib.sha256(mutant(seed).data).hexdigest() for seed in range(200)]
    assert len(set(first)) > 190
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        seed, _, said = line.partition("#")
        if seed.strip():
            assert said.strip() in mutant(int(seed)).name, (
                "a kept seed means another file than it did"
            )


def test_every_kind_of_mutation_and_every_base_comes():
    seen = [mutant(seed) for seed in range(600)]
    assert {one.base for one in seen} == {base.name for base in bases()}
    done = {what for one in seen for what in one.done}
    assert set(rewrite.KINDS) | set(damage.KINDS) <= done


def test_the_fields_of_messages_are_found_at_every_depth():
    for base in bases():
        top = damage.fields(base.data)
        assert b"".join(base.data[one.start : one.end] for one in top) == base.data
        graph = next(one for one in top if one.number == 7)
        assert len(damage.fields(base.data[graph.payload : graph.end])) > 5


class Unclean(InvalidModel):
    """An error whose text nobody cleaned."""

    def __str__(self):
        return "\x1b[31mno input"


def raising(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "end", "contained"),
    [
        (raising(KeyError("w")), "tracebacks", ""),
        (raising(BuildFailed("it met a fault of deploykit or below")), "tracebacks", ""),
        (raising(Unclean("no input")), "bad lines", ""),
        (raising(InvalidModel("no input; export it again")), "refused 2", ""),
        (raising(BuildFailed("building ended in a crash (SIGSEGV)")), "refused 4", "crashes"),
        (lambda: None, "done", ""),
    ],
)
def test_what_becomes_of_a_call_is_told_apart(call, end, contained):
    stage = try_call("load", call, 10.0)
    assert (stage.end, stage.contained) == (end, contained)


def test_a_call_that_takes_too_long_is_one():
    assert try_call("load", lambda: None, -1.0).end == "over time"


def test_damaged_models_end_in_a_line(tmp_path):
    result = models.run(Task(tmp_path, seconds=3600.0, seed=500_000, count=FRESH))
    assert result.failures == []
    assert result.done == result.asked == len(kept_seeds()) + FRESH
    assert result.counts["load: done"] > 0
    assert result.counts["load: refused 2"] > 0


def test_a_damaged_model_ends_in_a_line_of_the_command_line(tmp_path):
    assert models.by_command(500_001, tmp_path, models.LIMIT_S) == []
