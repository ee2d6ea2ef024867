"""Notes of a row."""

from __future__ import annotations

import pytest

from deploykit.row import Note


def test_a_note_says_its_text_and_remedy():
    assert str(Note("load", "4 threads on 2 cores", "give --threads 2")) == (
        "4 threads on 2 cores: give --threads 2"
    )
    assert str(Note("missing", "no data")) == "no data"


def test_a_note_of_an_unknown_kind_is_an_error_of_the_program():
    with pytest.raises(ValueError, match="can't be of kind 'surprise'"):
        Note("surprise", "text")
