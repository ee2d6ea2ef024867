"""The sequential test of a drop in accuracy: its error is bounded however often it is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from deploykit.stats.sequential import ACCEPTED, OPEN, REJECTED, DropTest

#: Planted networks per question; the error that is promised is one in a hundred.
CASES = 1000


def run(
    generator: np.random.Generator, drop: float, disagreeing: float, allowed: float, images: int
) -> str:
    """The verdict on a planted network, looked at after every 100 images."""
    lost, gained = (disagreeing + drop) / 2, (disagreeing - drop) / 2
    steps = generator.multinomial(100, [lost, gained, 1 - lost - gained], size=images // 100)
    test = DropTest(allowed)
    for only_reference, only_this, _ in steps.tolist():
        test = test.plus(100, only_reference, only_this)
        if test.verdict != OPEN:
            break
    return test.verdict


@pytest.mark.parametrize("disagreeing", [0.01, 0.1])
def test_at_most_one_in_a_hundred_that_drop_by_all_that_is_allowed_is_accepted(
    disagreeing: float,
) -> None:
    generator = np.random.default_rng(7)
    # At the limit itself the error is largest; a drop beyond it is accepted less often still.
    verdicts = [run(generator, 0.005, disagreeing, 0.005, 4000) for _ in range(CASES)]
    assert verdicts.count(ACCEPTED) <= CASES // 100
    assert verdicts.count(REJECTED) <= CASES // 100


def test_most_that_do_not_drop_are_accepted_long_before_the_last_image() -> None:
    generator = np.random.default_rng(8)
    verdicts = [run(generator, 0.0, 0.01, 0.01, 4000) for _ in range(100)]
    assert verdicts.count(ACCEPTED) >= 95


def test_most_that_drop_by_far_more_are_rejected() -> None:
    generator = np.random.default_rng(9)
    verdicts = [run(generator, 0.05, 0.1, 0.01, 2000) for _ in range(100)]
    assert verdicts.count(REJECTED) >= 95


def test_images_come_in_any_blocks() -> None:
    whole = DropTest(0.01).plus(500, 3, 2)
    parts = DropTest(0.01).plus(100, 1, 0).plus(0, 0, 0).plus(400, 2, 2)
    assert whole == parts
    assert whole.drop == pytest.approx(0.002)


@pytest.mark.parametrize("allowed", [0.001, 0.005, 0.05])
def test_as_many_images_as_it_says_decide_and_one_fewer_does_not(allowed: float) -> None:
    needed = DropTest(allowed).images_needed()
    assert DropTest(allowed, images=needed).verdict == ACCEPTED
    assert DropTest(allowed, images=needed - 1).verdict == OPEN


def test_networks_that_disagree_need_more_images() -> None:
    alike = DropTest(0.005, images=1000).images_needed()
    assert DropTest(0.005, images=1000, only_reference=20, only_this=20).images_needed() > 2 * alike


def test_as_many_images_are_needed_as_the_drop_so_far_asks_for() -> None:
    """It said 'about 4,604 images are needed' of networks whose 10,000 images had not decided."""
    seen = DropTest(0.005, images=10_000, only_reference=60, only_this=40)
    assert seen.verdict == OPEN
    needed = seen.images_needed()
    assert needed > 10_000
    at_last = DropTest(
        0.005, images=needed, only_reference=round(needed * 0.006), only_this=round(needed * 0.004)
    )
    assert at_last.verdict == ACCEPTED
    assert needed > DropTest(0.005, images=10_000, only_reference=50, only_this=50).images_needed()


def test_no_number_of_images_accepts_a_network_that_drops_by_what_is_allowed() -> None:
    assert DropTest(0.005, images=1000, only_reference=25, only_this=20).images_needed() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_drop": 0.0},
        {"allowed_drop": 1.0},
        {"allowed_drop": 0.1, "error": 0.0},
        {"allowed_drop": 0.1, "images": 2, "only_reference": 2, "only_this": 1},
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"between|no count"):
        DropTest(**wrong)  # type: ignore[arg-type]
