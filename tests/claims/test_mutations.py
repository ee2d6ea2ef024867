from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from deploykit.claims import Outcome, PartResult, list_claims, parse_claims
from deploykit.claims import check as registry
from deploykit.claims.networks import Network

MUTATIONS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "claims_mutations.py"))
#: Networks that are looked at in no time.
QUICK = {"alexnet", "lenet5", "lenet5_1998", "mlp", "nin", "squeezenet1_0", "vgg11", "vgg16"}


def sampled():
    """Claims about such networks alone, every sixth of them; `make claims-mutations` tries all claims."""
    quick = [
        claim
        for claim in list_claims()
        if set(claim.kind.split("+")) <= {"counted", "structural"}
        and 0 < len(named := MUTATIONS["named_networks"](claim.arguments)) <= 3
        and set(named) <= QUICK
    ]
    return quick[::5]


@pytest.mark.parametrize("claim", sampled(), ids=lambda claim: claim.id)
def test_a_change_of_what_a_claim_rests_on_moves_its_verdict(claim):
    moved = MUTATIONS["move"](claim)
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
    assert MUTATIONS["move"](claim) is None


def test_every_change_leaves_a_network_that_runs_and_is_another():
    network = Network.named("squeezenet1_0")
    before = network.counts
    for change in MUTATIONS["CHANGES"]:
        with MUTATIONS["changed"]("squeezenet1_0", change):
            assert network.counts.macs > 0
    with MUTATIONS["changed"]("squeezenet1_0", MUTATIONS["larger_kernels"]):
        assert network.parameters > before.parameters
    with MUTATIONS["changed"]("squeezenet1_0", MUTATIONS["smaller_kernels"]):
        assert network.parameters < before.parameters
