from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import errors
from deploykit.errors import DeploykitError, UnknownName

CLASSES = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, DeploykitError)
]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn = dict(re.findall(r"(\w+) +(\d)(?:\s|$)", errors.__doc__ or ""))
    assert drawn == {cls.__name__: str(cls.exit_code) for cls in CLASSES}


def test_each_error_is_drawn_below_the_one_that_it_derives_from():
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"    ((?:[│├└─ ]{4})*)(\w+) +\d(?:\s|$)", line)
        if drawn:
            depth, name = len(drawn.group(1)) // 4, drawn.group(2)
            above[depth:] = [name]
            parent = above[depth - 1] if depth else "Exception"
            assert getattr(errors, name).__bases__[0].__name__ == parent, name
    assert above


def test_every_error_ends_a_command_with_a_documented_code():
    assert {cls.exit_code for cls in CLASSES} == {1, 2, 3, 4}
    assert errors.EXIT_INTERRUPTED == 130


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_says_what_it_is_for(cls):
    assert cls.__doc__


def test_an_unknown_name_names_the_nearest():
    error = UnknownName("model", "mobilnet", ["mobilenet", "alexnet", "lenet5"])
    assert str(error).startswith("unknown model 'mobilnet': did you mean mobilenet")
    assert error.exit_code == 2


def test_where_none_is_near_the_hint_or_all_names_are_shown():
    far = UnknownName("target", "zzz", ["cpu", "tensorrt"])
    assert str(far).endswith("known: cpu, tensorrt")
    hinted = UnknownName("target", "zzz", ["cpu"], "see `deploykit list`")
    assert str(hinted).endswith("see `deploykit list`")


@given(st.text(), st.lists(st.text(alphabet="abc"), max_size=5))
def test_an_unknown_name_is_one_line_whatever_was_typed(name, known):
    assert len(str(UnknownName("model", name, known, "see the list")).splitlines()) == 1


@given(st.text())
def test_whatever_a_message_quotes_it_is_one_line(quoted):
    assert len(str(DeploykitError(f"no such file: {quoted}; give another")).splitlines()) == 1


def test_a_long_message_is_cut_between_words():
    text = "the runtime refuses an operator of this opset because it has no kernel"
    assert errors.one_line(text, 30) == "the runtime refuses an…"
    assert errors.one_line(text, len(text)) == text
    assert errors.one_line("x" * 50, 10) == "x" * 9 + "…"


def test_nodes_around_the_one_that_failed_leave_room_for_the_reason():
    said = "[ONNXRuntimeError] : 1 : FAIL : " + "".join(
        f"Non-zero status code returned while running {kind} node. Name:'{name}' Status Message: "
        for kind, name in (("Loop", "outer"), ("Loop", "inner"), ("Scan", "steps"))
    )
    text = errors.one_line(
        said + "Subgraph must have the shape set for all outputs but h2 did not."
    )
    assert text == (
        "[ONNXRuntimeError] : 1 : FAIL : Loop 'outer': Loop 'inner': Scan 'steps': Subgraph must have the shape "
        "set for all outputs but h2 did not."
    )
