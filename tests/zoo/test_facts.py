"""Every figure that catalogue.toml states is recomputed from the networks themselves."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import pytest
from torch import nn

from deploykit import zoo
from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.zoo.catalogue import Architecture

CATALOGUE = zoo.architectures()
DIGESTS = json.loads(Path(__file__).with_name("state_dict_digests.json").read_text())


@functools.cache
def module_of(name: str) -> nn.Module:
    """The network without weights, for all tests of it."""
    return zoo.create(ModelSpec(name), device="meta")


each = pytest.mark.parametrize("architecture", CATALOGUE, ids=lambda a: a.name)


@each
def test_stored_parameters_and_macs_are_what_the_network_has(architecture: Architecture) -> None:
    module = module_of(architecture.name)
    counts = zoo.count_module(module, architecture.input_shape)
    assert counts.parameters == architecture.parameters
    assert counts.macs == architecture.macs
    assert not counts.uncounted
    assert sum(part.macs for part in counts.by_operator.values()) == counts.macs
    assert sum(part.parameters for part in counts.by_operator.values()) == counts.parameters


@each
def test_smallest_input_works_and_a_smaller_one_does_not(architecture: Architecture) -> None:
    module = module_of(architecture.name)
    smallest = architecture.min_resolution_px
    zoo.count_module(module, (architecture.channels, smallest, smallest))
    with pytest.raises(UsageError):
        zoo.count_module(module, (architecture.channels, smallest - 1, smallest - 1))


@pytest.mark.parametrize("reference", DIGESTS)
def test_state_dict_is_that_of_the_public_implementation(reference: str) -> None:
    """Keys, shapes and their order, BatchNorm's buffers included."""
    (architecture,) = [a for a in CATALOGUE if a.reference == reference]
    state = module_of(architecture.name).state_dict()
    lines = "".join(f"{key} {'x'.join(map(str, v.shape))}\n" for key, v in state.items())
    assert len(state) == DIGESTS[reference]["entries"]
    assert hashlib.sha256(lines.encode()).hexdigest() == DIGESTS[reference]["sha256"]


#: Published counts, to notice if a network and its stored figure were changed together.
PUBLISHED = {
    "lenet5_1998": 60_000,
    "alexnet": 60_965_224,
    "vgg16": 138_357_544,
    "googlenet": 6_998_552,
    "inception_v2": 11_194_984,
    "inception_resnet_v1": 22_756_328,
    "resnet50": 25_557_032,
    "condensenet_g4": 4_773_944,
    "condensenet_182": 4_209_226,
    "mobilenet": 4_231_976,
    "squeezenet1_0": 1_248_424,
    "efficientnet_b7": 66_347_960,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_equal_the_published_count(name: str) -> None:
    assert zoo.lookup(name).parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    ("alpha", "parameters", "macs"),
    [(0.75, 2_585_560, 325.4), (0.5, 1_331_592, 149.5), (0.25, 470_072, 41.0)],
)
def test_mobilenet_thins_as_its_paper_says(alpha: float, parameters: int, macs: float) -> None:
    spec = ModelSpec("mobilenet", alpha=alpha)
    counts = zoo.count_module(zoo.create(spec, device="meta"), zoo.input_shape(spec))
    assert counts.parameters == parameters
    assert counts.macs == pytest.approx(macs * 1e6, abs=0.06e6)
