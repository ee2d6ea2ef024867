from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploykit import zoo
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import ModelSpec


@pytest.mark.parametrize(
    ("rho", "resolution_px"),
    [(Fraction(1), 224), (Fraction(6, 7), 192), (Fraction(5, 7), 160), (Fraction(4, 7), 128)],
)
def test_rho_leads_to_the_papers_inputs(rho: Fraction, resolution_px: int) -> None:
    shape = zoo.input_shape(ModelSpec("mobilenet", rho=rho))
    assert shape == (3, resolution_px, resolution_px)


def test_rho_acts_on_the_resolution_asked_for() -> None:
    spec = ModelSpec("mobilenet", rho=Fraction(1, 2), resolution_px=64)
    assert zoo.input_shape(spec) == (3, 32, 32)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec("mobilenet", alpha=0), "alpha 0 is out of range"),
        (ModelSpec("mobilenet", alpha=1.5), "alpha 1.5 is out of range"),
        (ModelSpec("mobilenet", alpha=float("nan")), "alpha nan is out of range"),
        (ModelSpec("resnet18", alpha=0.5), "resnet18 has no width multiplier"),
        (ModelSpec("mobilenet", rho=Fraction(0)), "rho 0 is out of range"),
        (ModelSpec("mobilenet", rho=Fraction(3, 2)), "rho 3/2 is out of range"),
        (ModelSpec("lenet5", rho=Fraction(1, 2)), "lenet5 takes 32 px and no other size"),
        (ModelSpec("lenet5", resolution_px=28), "lenet5 takes 32 px and no other size"),
        (ModelSpec("resnet18", resolution_px=0), "resolution 0 px is out of range"),
        (ModelSpec("resnet18", num_classes=0), "num_classes 0 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spec: ModelSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        zoo.input_shape(spec)
    assert "\n" not in str(caught.value)


def test_a_too_small_input_is_answered_with_the_smallest_that_works() -> None:
    with pytest.raises(UsageError, match="the smallest that works is 21 px, rho 3/32 of 224 px"):
        zoo.input_shape(ModelSpec("squeezenet", rho=Fraction(1, 100)))
    assert zoo.input_shape(ModelSpec("squeezenet", rho=Fraction(3, 32))) == (3, 21, 21)


def test_a_resolution_below_the_smallest_names_no_rho_that_would_not_do() -> None:
    with pytest.raises(UsageError, match=r"the smallest that works is 21 px$"):
        zoo.input_shape(ModelSpec("squeezenet", resolution_px=16))


def test_an_unknown_name_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName):
        zoo.input_shape(ModelSpec("no_such_net"))


@settings(deadline=None)
@given(
    st.sampled_from(zoo.architectures()),
    st.fractions(min_value=Fraction(1, 1000), max_value=1),
    st.integers(min_value=1, max_value=1024),
)
def test_whatever_is_accepted_is_within_the_stated_bounds(architecture, rho, resolution_px) -> None:
    spec = ModelSpec(architecture.name, rho=rho, resolution_px=resolution_px)
    try:
        channels, height, width = zoo.input_shape(spec)
    except UsageError:
        return
    assert channels == architecture.channels
    assert height == width == round(resolution_px * rho)
    assert height >= architecture.min_resolution_px
    assert architecture.has_rho or height == architecture.resolution_px
