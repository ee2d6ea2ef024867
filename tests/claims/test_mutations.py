from __future__ import annotations

import dataclasses

import pytest

from deploykit.claims import (
    Outcome,
    PartResult,
    evaluate_claim,
    list_claims,
    parse_claims,
    stored_texts,
)
from deploykit.claims import check as registry
from deploykit.claims.networks import Network, changed
from deploykit.report.csv import read_cells
from studies.mutations import __main__ as table
from studies.mutations.claims import Moved, _stated_as_found, move, mutants, named_networks
from studies.mutations.networks import CHANGES, larger_kernels, smaller_kernels

#: Networks that are looked at in no time.
QUICK = {"alexnet", "lenet5", "lenet5_1998", "mlp", "nin", "squeezenet1_0", "vgg11", "vgg16"}


def sampled():
    """Claims about such networks alone, every sixth of them; `make claims-mutations` tries all claims."""
    quick = [
        claim
        for claim in list_claims()
        if set(claim.kind.split("+")) <= {"counted", "structural"}
        and 0 < len(named := named_networks(claim.arguments)) <= 3
        and set(named) <= QUICK
    ]
    return quick[::5]


@pytest.mark.parametrize("claim", sampled(), ids=lambda claim: claim.id)
def test_a_change_of_what_a_claim_rests_on_moves_its_verdict(claim):
    moved = move(claim)
    assert moved is not None
    assert moved.what == "verdict"


def test_a_verdict_that_looks_at_nothing_is_found_out(monkeypatch):
    monkeypatch.setattr(registry, "_CHECKS", dict(registry._CHECKS))

    def blind(network: Network) -> Outcome:
        return Outcome([PartResult("it is so", True)], None, f"{network.name}.")

    blind.__annotations__ = {"network": Network, "return": Outcome}
    registry.check(blind)
    (claim,) = parse_claims(
        """
        [[claim]]
        id = "x"
        statement = "s"
        source = "s"
        about = "a"
        kind = "counted"
        stated = "so"
        unit = ""
        check = "blind"
        arguments = { network = "lenet5" }
        expected = "confirmed"
        parts = "holds"
        """
    )
    assert move(claim) is None


@pytest.mark.parametrize(
    "name",
    [
        "dropout-regularises",
        "ensembles-help",
        "gap-localises",
        "loss-smoother-with-shortcuts",
        "mlp-overfits",
        "plain-deeper-trains-worse",
        "sigmoid-gradients-vanish-by-depth",
    ],
)
def test_what_comes_of_trainings_moves_the_claims_of_training(name):
    (claim,) = [claim for claim in list_claims() if claim.id == name]
    moved = move(claim)
    assert (moved.what, moved.by) == ("verdict", "training")


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("3x3-stack-only-benefits", "row and network"),
        ("deeper-contains-shallower", "network"),
        ("lenet5-seven-layers", "network"),
        ("lrn-makes-large-larger", "network"),
        ("residual-zero-is-identity", "network"),
        ("se-one-fc-softmax", "network"),
    ],
)
def test_blocks_and_layers_that_are_wrong_move_what_rests_on_them(name, by):
    (claim,) = [claim for claim in list_claims() if claim.id == name]
    moved = move(claim)
    assert (moved.what, moved.by) == ("verdict", by)


@pytest.mark.parametrize("name", ["error-term-independent-of-bias", "resnext-needs-shortcuts"])
def test_figures_that_are_compared_move_what_rests_on_all_of_them(name):
    """Only a part of a claim moved that several pairs of figures hold up, as one was changed at a time."""
    (claim,) = [claim for claim in list_claims() if claim.id == name]
    moved = move(claim)
    assert (moved.what, moved.by) == ("verdict", "figure")


def test_what_print_leaves_open_moves_where_it_is_decided():
    """A claim that is undecided waited for rows or trainings, which a cited one never gets."""
    (claim,) = [claim for claim in list_claims() if claim.id == "lenet5-most-banks"]
    moved = move(claim)
    assert (moved.what, moved.by) == ("verdict", "figure")


def test_growth_from_network_to_network_is_tried_by_other_networks():
    """What moved it was B0 alone, held against itself."""
    (claim,) = [claim for claim in list_claims() if claim.id == "efficientnet-compound"]
    three = ["efficientnet_b0", "efficientnet_b1", "efficientnet_b3"]
    claim = dataclasses.replace(claim, arguments={"networks": three})
    moved = move(claim)
    assert (moved.what, moved.by) == ("verdict", "network")
    changes = {one.change: one for one in mutants(claim, evaluate_claim(claim))}
    assert changes["networks in reverse order"].verdict(claim).verdict == "refuted"
    assert changes["efficientnet_b0 alone"].verdict(claim).error is not None


def test_what_is_stated_of_several_quantities_can_be_what_was_found_of_each():
    stated = {"relations": {"a": "depth(x) == 3", "b": "side(x) > 3"}, "figures": [{"of": "y"}]}
    assert _stated_as_found(stated, {"depth(x)": 48, "side(x)": 1, "y": 2.5}) == {
        "relations": {"a": "depth(x) == 48", "b": "side(x) > 3"},
        "figures": [{"of": "y", "stated": 2.5}],
    }


def test_a_graph_of_half_precision_with_wide_weights_is_found_out():
    (claim,) = [claim for claim in list_claims() if claim.id == "fp16-halves-file"]
    claim = dataclasses.replace(claim, arguments={"networks": ["lenet5"]})
    assert move(claim) == Moved("verdict", "graph", "half_with_wide_weights")


def test_a_claim_that_moved_is_not_tried_again_until_its_entry_changes(
    monkeypatch, tmp_path, capsys
):
    path, asked = tmp_path / "mutations.csv", []

    def move(claim):
        asked.append(claim.id)
        return Moved("verdict", "figure", "x") if claim.id != "b" else None

    claims = [dataclasses.replace(list_claims()[0], id=name) for name in ("a", "b", "c")]
    for name, value in (("move", move), ("list_claims", lambda: claims)):
        monkeypatch.setattr(table, name, value)
    assert table.main(["--csv", str(path), "--time", "-1"]) == 1
    assert "3 are left" in capsys.readouterr().out
    assert table.main(["--csv", str(path), "c"]) == 0
    assert table.main(["--csv", str(path)]) == 1
    assert [(r["claim"], r["moved"], r["by"]) for r in read_cells(path)] == [
        ("a", "verdict", "figure"),
        ("b", "nothing", ""),
        ("c", "verdict", "figure"),
    ]
    assert "The verdicts of 2 of 3 claims moved (66.7%)" in capsys.readouterr().out
    claims[0] = dataclasses.replace(claims[0], statement="another")
    assert table.main(["--csv", str(path)]) == 1
    assert asked == ["c", "a", "b", "a", "b"]


def test_the_digest_of_a_claim_is_that_of_its_entry():
    """The check of a claim is another object in every process, and was in it: nothing was ever kept."""
    first, second = (parse_claims(stored_texts()["vgg.toml"])[0] for _ in range(2))
    assert first.decide is not second.decide
    assert table.digest_of(first) == table.digest_of(second)
    assert table.digest_of(first) != table.digest_of(dataclasses.replace(first, stated=1))


def test_every_change_leaves_a_network_that_runs_and_is_another():
    network = Network.named("squeezenet1_0")
    before = network.counts
    for change in CHANGES:
        with changed("squeezenet1_0", change):
            assert network.counts.macs > 0
    with changed("squeezenet1_0", larger_kernels):
        assert network.parameters > before.parameters
    with changed("squeezenet1_0", smaller_kernels):
        assert network.parameters < before.parameters
