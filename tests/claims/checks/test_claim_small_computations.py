"""Checks that compute something small: what they hold against each other can come out either way."""

from __future__ import annotations

import pytest

from deploykit.claims.checks import activations, gradients, identities, normalisation
from deploykit.claims.checks.gradients import Chain
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network


def holds(outcome):
    return {part.name: part.holds for part in outcome.parts}


def test_a_sigmoid_is_flat_only_near_its_ends():
    found = holds(activations.sigmoid_saturates((0.3, 0.999), 0.05, 1.0))
    assert found == {
        "sigmoid at an output of 0.3": False,
        "sigmoid at an output of 0.999": True,
        "ReLU": True,
    }
    assert holds(activations.sigmoid_saturates((0.999,), 0.05, 2.0))["ReLU"] is False


def test_gradients_vanish_in_sigmoids_by_depth_alone():
    found = holds(activations.gradient_vanishes_with_depth((2, 8), 16, 3, 0.01))
    assert list(found.values()) == [False, True, True]


def test_sigmoids_approach_what_is_continuous():
    found = holds(activations.one_layer_approximates(("|x|", "a step"), (4, 64), 0.05, 0))
    assert found == {"|x|": True, "a step": False}
    few = activations.one_layer_approximates(("sin(pi x)",), (2, 3), 0.05, 0)
    assert holds(few) == {"sin(pi x)": False}


def test_maxout_needs_pieces():
    assert all(holds(activations.maxout_is_convex((2, 16), 0.01, 50, 0)).values())
    assert (
        holds(activations.maxout_is_convex((1, 2), 0.01, 50, 0))["maxout approximates x^2"] is False
    )


def test_normalisations_are_counted_in_the_networks():
    found = holds(normalisation.norm_has_two_per_channel((Network.named("resnet18"),), 2, 0))
    assert all(found.values())
    assert not holds(normalisation.norm_has_two_per_channel((Network.named("vgg11"),), 2, 0))[
        "vgg11: 2 a channel"
    ]
    assert not holds(normalisation.norm_has_two_per_channel((Network.named("resnet18"),), 3, 0))[
        "resnet18: 3 a channel"
    ]


def test_a_normalisation_is_undone():
    assert all(holds(normalisation.norm_can_be_undone(4, 0, 1e-9)).values())
    assert holds(normalisation.norm_can_be_undone(4, 0, 1e3))["changed otherwise"] is False


def test_local_normalisation_acts_on_large_values():
    found = normalisation.local_norm_normalises(Network.named("alexnet"), (0.1, 1000.0), 0.05, 0)
    assert list(holds(found).values()) == [False, True]


def test_only_shortcuts_with_normalisation_pass_gradients():
    chains = {
        "both": Chain(shortcuts=True, normalised=True, stays=True),
        "one": Chain(shortcuts=True, normalised=False, stays=False),
    }
    assert list(holds(gradients.gradient_through_chains(chains, 60, 1, 100)).values()) == [
        True,
        True,
    ]
    few = gradients.gradient_through_chains({"one": chains["one"]}, 1, 1, 100)
    assert list(holds(few).values()) == [False]


def test_scaled_residuals_stay_bounded():
    network = Network.named("inception_resnet_v1")
    outcome = gradients.residual_scaling(network, 0.1, 0.3, {"1": False, "0.1": True}, 20, 10.0, 0)
    assert list(holds(outcome).values()) == [True, True, True]
    outcome = gradients.residual_scaling(network, 0.15, 0.3, {"0.1": False}, 20, 10.0, 0)
    assert list(holds(outcome).values()) == [False, False]


def test_windows_and_biases():
    assert list(holds(gradients.window_seen({"3": 3, "5": 4})).values()) == [True, False]
    found = holds(gradients.gradient_regardless_of_bias((0.0, 1.0), 0))
    assert found == {"convolution alone": True, "with a ReLU": False}
    assert holds(gradients.gradient_regardless_of_bias((1.0, 1.0), 0))["with a ReLU"] is True


def test_shortcuts_pass_gradients_but_for_the_activation():
    all_of_it, half = Margin("at least"), Stated("0.4")
    found = gradients.shortcut_passes_gradient(Stated(1), all_of_it, 0)
    assert list(holds(found).values()) == [True, False]
    found = gradients.shortcut_passes_gradient(half, all_of_it, 0)
    assert list(holds(found).values()) == [True, True]


@pytest.mark.parametrize(("kernel", "same"), [(1, True), (3, False)])
def test_only_a_1x1_convolution_is_a_linear_layer(kernel, same):
    outcome = identities.pointwise_is_linear(4, 5, kernel, 1e-9, 0)
    assert holds(outcome) == {"same outputs": same}


def test_identities():
    found = identities.zero_block_is_identity(Stated(1), Margin("at least"), 0)
    assert list(holds(found).values()) == [True, False]
    found = identities.zero_block_is_identity(Stated("0.4"), Margin("at least"), 0)
    assert list(holds(found).values()) == [True, True]
    assert all(holds(identities.deeper_contains_shallower(2, 0)).values())
