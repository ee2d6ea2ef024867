from __future__ import annotations

import copy
import dataclasses
import functools
import re
import sys
from pathlib import Path

import pytest
import torch

from deploykit.claims import (
    PartResult,
    evaluate_claim,
    evaluate_claims,
    failure,
    list_claims,
    networks,
    parse_claims,
    read_claims,
    refuse_without_rows,
)
from deploykit.claims.check import measured_rows
from deploykit.claims.checks import computations
from deploykit.claims.verdict import decide
from deploykit.errors import BuildFailed, MissingDependency, UnknownName, UsageError
from deploykit.lazy import install_line
from deploykit.row import Row


@pytest.fixture(scope="module")
def verdicts():
    return evaluate_claims()


def test_every_claim_comes_out_as_expected_without_measured_rows(verdicts):
    assert [v.claim.id for v in verdicts] == [c.id for c in list_claims()]
    assert failure(verdicts) is None, [
        (v.claim.id, v.verdict, v.outcome.explanation) for v in verdicts
    ]


def test_every_verdict_is_explained_by_numbers(verdicts):
    for v in verdicts:
        assert v.outcome.explanation.endswith((".", ")"))
        assert v.outcome.evidence
        assert v.seconds > 0


def test_nothing_is_confirmed_that_was_not_computed_now(verdicts):
    for v in verdicts:
        printed = [part.printed for part in v.outcome.parts]
        assert v.verdict != "confirmed" or not any(printed), v.claim.id
        # What is decided by print says so, and what is not is no such claim.
        assert any(printed) == ("cited" in v.claim.kind.split("+")), v.claim.id


def test_what_is_undecided_says_how_to_settle_it(verdicts):
    undecided = [v for v in verdicts if v.verdict == "undecided"]
    assert undecided
    for v in undecided:
        if v.claim.kind == "cited":  # nothing that is run decides what print leaves open
            assert v.settled_by == ""
            continue
        assert f"deploykit claims {v.claim.id} --" in v.settled_by
        assert "measured" in v.claim.kind or "trained" in v.claim.kind


def test_claims_come_in_the_order_asked_for_and_once():
    verdicts = evaluate_claims(["two-3x3-one-5x5", "vgg-140m", "two-3x3-one-5x5"])
    assert [v.claim.id for v in verdicts] == ["two-3x3-one-5x5", "vgg-140m"]


def test_an_unknown_claim_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="unknown claim 'vgg-140': did you mean vgg-140m"):
        evaluate_claims(["vgg-140"])


@pytest.mark.parametrize(
    ("holds", "of_all", "of_some"),
    [
        ({"a": True, "b": True}, "confirmed", "confirmed"),
        ({"a": True, "b": None}, "undecided", "undecided"),
        ({"a": False, "b": None}, "refuted", "undecided"),
        ({"a": True, "b": False}, "refuted", "in context"),
        ({"a": True, "b": False, "c": None}, "refuted", "in context"),
        ({"a": False, "b": False}, "refuted", "refuted"),
        ({"a": None}, "undecided", "undecided"),
        ({}, "undecided", "undecided"),
    ],
)
def test_the_verdict_follows_from_the_parts(holds, of_all, of_some):
    parts = [PartResult(name, held) for name, held in holds.items()]
    assert decide(parts, universal=True) == of_all
    assert decide(parts, universal=False) == of_some


def test_parts_under_one_condition_hold_together():
    small = [PartResult("a", True, "small"), PartResult("b", True, "small")]
    large = [PartResult("c", True, "large"), PartResult("d", False, "large")]
    assert decide([*small, *large], universal=False) == "in context"
    # Alone, nothing of it is true anywhere: one half of the statement is not the statement.
    assert decide(large, universal=False) == "refuted"
    half_known = [PartResult("c", False, "large"), PartResult("d", None, "large")]
    assert decide(half_known, universal=False) == "refuted"


def test_what_rests_on_print_is_cited_and_never_confirmed():
    printed = PartResult("b", True, printed=True)
    for universal in (True, False):
        assert decide([printed], universal) == "cited"
        assert decide([PartResult("a", True), printed], universal) == "cited"
    assert decide([PartResult("a", False, printed=True)], universal=True) == "refuted"


def test_a_change_of_any_part_fails_the_check_and_is_named():
    def larger(module):
        module = copy.deepcopy(module)
        first = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
        first.kernel_size, first.padding = (5, 5), (2, 2)
        first.weight = torch.nn.Parameter(torch.empty(64, 3, 5, 5, device="meta"))
        return module

    with networks.changed("vgg11", larger):
        (verdict,) = evaluate_claims(["vgg-only-3x3"])
    assert verdict.verdict in verdict.claim.expected  # which it is by vgg16 and vgg19
    error = failure([verdict])
    assert error is not None
    assert error.exit_code == 1
    assert "vgg-only-3x3 part 'vgg11: 3x3 kernels' fails, not holds" in str(error)


def test_parts_that_come_and_go_are_surprises():
    claim = next(c for c in list_claims() if c.id == "gap-avoids-fc")
    fewer = dataclasses.replace(claim, arguments={"networks": ["nin"]}, expected="confirmed")
    surprises = evaluate_claim(fewer).surprises
    assert "part 'squeezenet1_0 has none' is gone" in surprises
    more = dataclasses.replace(claim, arguments={"networks": ["nin", "vgg11"]})
    surprises = evaluate_claim(more).surprises
    assert "part 'vgg11 has none' fails, which no entry expects" in surprises


def test_a_surprising_verdict_fails_the_check_and_is_named():
    claim = next(c for c in list_claims() if c.id == "vgg-140m")
    surprise = evaluate_claim(dataclasses.replace(claim, stated=100_000_000))
    assert surprise.verdict == "refuted"
    error = failure([surprise])
    assert error is not None
    assert error.exit_code == 1
    assert "vgg-140m is refuted, not confirmed" in str(error)


def test_without_torch_a_claim_is_undecided_and_says_what_to_install(monkeypatch):
    for cached in ("_counts", "_module"):
        monkeypatch.setattr(networks, cached, getattr(networks, cached).__wrapped__)
    monkeypatch.setitem(sys.modules, "torch", None)
    verdicts = evaluate_claims(["vgg-140m", "two-3x3-one-5x5"])
    assert [v.verdict for v in verdicts] == ["undecided", "undecided"]
    for v in verdicts:
        assert install_line("export") in v.missing
        assert v.outcome.computed is None
        assert not v.as_expected
    error = failure(verdicts)
    assert error is not None
    assert error.exit_code == 3


NEW = """
[[claim]]
id = "mobilenet-half-macs"
statement = "MobileNet at half its width takes 149 million multiply-adds"
source = "Howard et al. 2017 (arXiv 1704.04861), table 6"
about = "macs(mobilenet-a0.5)"
kind = "counted"
stated = 149_000_000
unit = "MACs"
check = "count"
arguments = { network = { name = "mobilenet", alpha = 0.5 }, quantity = "macs" }
expected = "confirmed"
parts = "holds"
"""


def test_a_counted_claim_is_one_entry_of_a_file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(NEW)
    (verdict,) = evaluate_claims(["mobilenet-half-macs"], claims=read_claims(path))
    assert verdict.verdict == "confirmed"
    assert verdict.holds == {"macs(mobilenet-a0.5)": True}
    assert verdict.outcome.computed == verdict.outcome.evidence["macs(mobilenet-a0.5)"]
    assert verdict.deviation == pytest.approx(0, abs=0.005)
    assert "mobilenet-a0.5 has 149," in verdict.outcome.explanation
    assert failure([verdict]) is None

    path.write_text(NEW.replace("149_000_000", "160_000_000"))
    (wrong,) = evaluate_claims(claims=read_claims(path))
    assert wrong.verdict == "refuted"
    error = failure([wrong])
    assert error is not None
    assert "mobilenet-half-macs is refuted" in str(error)
    with pytest.raises(UnknownName, match="did you mean mobilenet-half-macs"):
        evaluate_claims(["mobilenet-half"], claims=read_claims(path))


def test_the_entries_that_the_docs_show_are_claims():
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    counted, _, measured, trained = (claim for block in blocks for claim in parse_claims(block))
    assert evaluate_claim(counted).verdict == "confirmed"
    assert [one.name for one in measured.measure.networks] == ["mobilenet", "mobilenet-a0.5"]
    assert evaluate_claim(measured).settled_by.endswith("--measure")
    rows = [
        Row({"model": "mobilenet", "alpha": alpha, "backend": "onnxruntime", "latency_p50_ms": ms})
        for alpha, ms in ((1.0, 8.0), (0.5, 2.0))
    ]
    assert evaluate_claim(measured, measured_rows(rows)).verdict == "confirmed"
    assert evaluate_claim(trained).settled_by.endswith("--train")


def test_a_ratio_of_macs_is_an_entry_too(verdict_of):
    verdict = verdict_of(
        "squeezenet-params-50x",
        fields={"stated": 0.25},
        quantity="macs",
        top="vgg16",
        bottom="vgg19",
    )
    assert verdict.outcome.evidence["vgg16/vgg19"] == pytest.approx(15.47 / 19.63, abs=1e-3)
    assert "MB" not in verdict.outcome.explanation


def test_a_changed_network_can_be_given_in_place_of_a_name(verdict_of):
    class Pruned(networks.Network):
        parameters = 100_000_000

    pruned = Pruned(networks.Network.named("vgg16").spec)
    assert verdict_of("vgg-140m", network=pruned).verdict == "refuted"


def test_a_check_that_can_not_be_applied_is_one_line(verdict_of):
    error = verdict_of("vgg11-8conv-3fc", network="mlp").error
    assert isinstance(error, UsageError)
    assert str(error).startswith("claim vgg11-8conv-3fc: layers_and_widths can't be applied")
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("raised", "said", "exit_code"),
    [
        (AssertionError("no square"), "can't be applied to what it names: AssertionError", 2),
        (SystemExit(0), "can't be applied to what it names: SystemExit: 0", 2),
        (StopIteration(), "can't be applied to what it names: StopIteration", 2),
        (OSError(24, "Too many open files"), "claim {id}: too many open files; check", 4),
        (OSError(28, "No space left", "/tmp/a"), "claim {id}: /tmp/a: no space left; check", 4),
        (MemoryError(), "claim {id}: not enough memory", 4),
        (UsageError("no such layer"), "claim {id}: no such layer", 2),
        (BuildFailed("not to be exported"), "claim {id}: not to be exported", 4),
        (MissingDependency("there is no fashion-mnist"), "there is no fashion-mnist", 3),
    ],
)
@pytest.mark.parametrize("name", ["bn-formula", "lrn-helps-alexnet"])
def test_a_claim_that_raises_is_undecided_and_costs_none_of_the_others(
    monkeypatch, name, raised, said, exit_code
):
    """All verdicts were lost; and where undecided is expected the command ended with 0."""
    claims = {claim.id: claim for claim in list_claims()}
    broken = dataclasses.replace(claims[name])

    def decide(rows):
        raise raised

    object.__setattr__(broken, "decide", decide)
    chosen = [claims["vgg-140m"], broken, claims["two-3x3-one-5x5"]]
    verdicts = evaluate_claims(claims=chosen)
    assert [v.verdict for v in verdicts] == ["confirmed", "undecided", "confirmed"]
    assert [v.as_expected for v in verdicts] == [True, False, True]
    assert said.format(id=name) in verdicts[1].outcome.explanation
    assert verdicts[1].settled_by == ""
    error = failure(verdicts)
    assert error is not None
    assert error.exit_code == exit_code
    assert said.format(id=name) in str(error)


@pytest.mark.parametrize(
    ("name", "stated", "verdict"),
    [
        ("nin-no-fc", 3, "refuted"),
        ("xception-no-relu", 35, "confirmed"),
        ("mobilenet-cost-formula", 2, "refuted"),
        ("resnet-skip-no-params", 1_000, "refuted"),
        ("mlp-xor", 2, "refuted"),
        ("three-3x3-half-params", 2, "refuted"),
        ("mobilenet-vs-googlenet", 3, "refuted"),
    ],
)
def test_another_number_stated_is_another_claim(verdict_of, name, stated, verdict):
    """Their checks held what they found against constants: whatever was stated came out the same."""
    assert verdict_of(name, fields={"stated": stated}).verdict == verdict


def test_what_is_computed_is_computed_in_one_thread(monkeypatch):
    """Threads that waited for each other on a busy machine took a hundred times as long as one that works."""
    (claim,) = [
        dataclasses.replace(c) for c in list_claims() if c.id == "residual-zero-is-identity"
    ]
    seen, threads, create = set(), torch.get_num_threads(), computations.create

    def watched(do, *arguments):
        seen.add(torch.get_num_threads())
        return do(*arguments)

    object.__setattr__(claim, "decide", functools.partial(watched, claim.decide))
    computations._trained.cache_clear()
    monkeypatch.setattr(computations, "create", functools.partial(watched, create))
    torch.set_num_threads(2)
    try:
        verdicts = [evaluate_claim(claim), *evaluate_claims(["mlp-xor"])]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [v.as_expected for v in verdicts] == [True, True]
    assert seen == {1}


def test_what_kept_a_claim_from_being_evaluated_is_told_before_a_surprise(verdict_of):
    wrong = verdict_of("vgg-140m", fields={"stated": 100_000_000})
    broken = verdict_of("vgg11-8conv-3fc", network="mlp")
    assert failure([wrong, broken]) is broken.error


def test_a_network_of_ones_own_is_named_by_its_factory(tmp_path, monkeypatch):
    (tmp_path / "claimed.py").write_text(
        "import torch\n"
        "def net(): return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 1))\n"
        "net.input_shape = (3, 16, 16)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = NEW.replace("149_000_000", "260").replace(
        '{ name = "mobilenet", alpha = 0.5 }, quantity = "macs"', '"claimed:net"'
    )
    (verdict,) = evaluate_claims(claims=parse_claims(own))
    assert verdict.outcome.computed == 3 * 8 * 9 + 8 + 8 * 4 + 4
    assert verdict.verdict == "confirmed"


def test_a_claim_of_nothing_is_not_evaluated():
    own = NEW.replace('"count"', '"figures"').replace(
        '{ network = { name = "mobilenet", alpha = 0.5 }, quantity = "macs" }', "{ figures = [] }"
    )
    (verdict,) = evaluate_claims(claims=parse_claims(own))
    assert "figures is given nothing to decide: fill in its arguments" in str(verdict.error)


def test_two_parts_of_one_name_are_refused():
    """One of them stood for both, in a verdict too."""
    figures = '{ figures = [{ of = "1", stated = 1 }, { of = "1", stated = 2, hedge = "under" }] }'
    own = NEW.replace('"count"', '"figures"').replace(
        '{ network = { name = "mobilenet", alpha = 0.5 }, quantity = "macs" }', figures
    )
    (verdict,) = evaluate_claims(claims=parse_claims(own))
    assert "2 parts are called '1': give each a name of its own" in str(verdict.error)


def test_the_catalogue_knows_nothing_of_a_network_of_ones_own():
    own = networks.Network.named("claimed:net")
    with pytest.raises(UsageError, match="claimed:net is a network of your own, which nothing but"):
        _ = own.facts


def test_a_small_network_is_told_in_full():
    own = NEW.replace("149_000_000", "60_000").replace(
        '{ name = "mobilenet", alpha = 0.5 }, quantity = "macs"', '"lenet5"'
    )
    (verdict,) = evaluate_claims(claims=parse_claims(own))
    said = "lenet5 has 61,706 parameters, +2.8% from the 60,000 stated."
    assert verdict.outcome.explanation == said


def test_a_report_without_the_rows_that_a_claim_takes_is_refused():
    (undecided,) = evaluate_claims(["mobilenet-rho-squared"], [])
    with pytest.raises(UsageError, match=r"^p.csv has no rows that decide mobilenet-rho-squared"):
        refuse_without_rows([undecided], "p.csv")
    refuse_without_rows(evaluate_claims(["vgg-140m"]), "p.csv")


def test_every_claim_on_rows_says_that_it_lacks_them(verdicts):
    for v in verdicts:
        assert v.outcome.lacks_rows == v.claim.takes_rows, v.claim.id


def test_rows_whose_repeats_differ_are_rows_and_leave_the_claim_undecided():
    cells = {"model": "mobilenet", "backend": "onnxruntime", "batch": 1, "threads": 2}
    rows = [
        Row({**cells, "precision": precision, "latency_p50_ms": ms, "repeat": repeat})
        for repeat, int8_ms in enumerate((3.0, 5.0), 1)
        for precision, ms in (("fp32", 12.0), ("int8", int8_ms))
    ]
    found = evaluate_claims(["int8-3x-faster"], rows)
    assert [v.verdict for v in found] == ["undecided"]
    refuse_without_rows(found, "p.csv")
    assert failure(found) is None
