"""Every figure that catalogue.toml states is recomputed from the networks themselves."""

from __future__ import annotations

import functools
import hashlib
import itertools
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
    "alexnet_one_tower": 62_378_344,
    "vgg16": 138_357_544,
    "googlenet": 6_998_552,
    "bn_inception": 11_194_984,
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


#: Convolutions as the papers' tables give them, with no look at the code: channels in and out, height times width
#: of the kernel, side of the map that comes out.
Convolutions = list[tuple[int, int, int, int]]
ONE_TOWER: Convolutions = [
    (3, 96, 121, 55),
    (96, 256, 25, 27),
    (256, 384, 9, 13),
    (384, 384, 9, 13),
    (384, 256, 9, 13),
]
#: The pairs of configuration A and of B that come before the pools; C and D have a third in the last three stacks.
VGG_A: Convolutions = [
    (3, 64, 9, 224),
    (64, 128, 9, 112),
    (128, 256, 9, 56),
    (256, 256, 9, 56),
    (256, 512, 9, 28),
    (512, 512, 9, 28),
    (512, 512, 9, 14),
    (512, 512, 9, 14),
]
VGG_C: Convolutions = [
    *VGG_A,
    (64, 64, 9, 224),
    (128, 128, 9, 112),
    (256, 256, 1, 56),
    (512, 512, 1, 28),
    (512, 512, 1, 14),
]


def factorised_7x7(width: int) -> Convolutions:
    """Fig. 6 of arXiv 1512.00567 on 768 channels, with branches of `width`."""
    entries = [(768, 192, 1, 17), (768, 192, 1, 17), (768, width, 1, 17), (768, width, 1, 17)]
    inner = [(width, width, 7, 17)] * 4
    return [*entries, *inner, (width, 192, 7, 17), (width, 192, 7, 17)]


def forked(inputs: int) -> Convolutions:
    """Fig. 7: to 2048 channels."""
    entries = [(inputs, width, 1, 8) for width in (320, 384, 448, 192)]
    return [*entries, (448, 384, 9, 8), *[(384, 384, 3, 8)] * 4]


#: Table 1 of arXiv 1512.00567, its modules as wide as those of the released Inception v3.
INCEPTION_V2: Convolutions = [
    *[(3, 32, 9, 149), (32, 32, 9, 147), (32, 64, 9, 147)],
    *[(64, 80, 9, 71), (80, 192, 9, 35), (192, 288, 9, 35)],
    *[(288, 64, 1, 35), (288, 48, 1, 35), (288, 64, 1, 35), (288, 64, 1, 35)] * 3,
    *[(48, 64, 9, 35), (64, 96, 9, 35), (96, 96, 9, 35)] * 3,
    *[(288, 64, 1, 35), (64, 384, 9, 17), (288, 64, 1, 35), (64, 96, 9, 35), (96, 96, 9, 17)],
    *factorised_7x7(128),
    *factorised_7x7(160) * 3,
    *factorised_7x7(192),
    *[(768, 192, 1, 17), (192, 320, 9, 8), (768, 192, 1, 17), (192, 192, 9, 17), (192, 192, 9, 8)],
    *forked(1280),
    *forked(2048),
]


@pytest.mark.parametrize(
    ("name", "convolutions", "linear", "values_of_a_channel"),
    [
        ("alexnet_one_tower", ONE_TOWER, (9216, 4096, 4096, 1000), 1),
        ("vgg11_lrn", VGG_A, (25088, 4096, 4096, 1000), 1),
        ("vgg16_c", VGG_C, (25088, 4096, 4096, 1000), 1),
        ("inception_v2", INCEPTION_V2, (2048, 1000), 2),
    ],
)
def test_tables_of_the_papers_come_to_the_stored_figures(
    name: str, convolutions: Convolutions, linear: tuple[int, ...], values_of_a_channel: int
) -> None:
    """A channel learns a bias, or the two values of its batch normalisation."""
    weights = [ins * outs * area for ins, outs, area, _ in convolutions]
    products = sum(ins * outs for ins, outs in itertools.pairwise(linear))
    learned = sum(outs * values_of_a_channel for _, outs, _, _ in convolutions) + sum(linear[1:])
    architecture = zoo.lookup(name)
    assert architecture.parameters == sum(weights) + products + learned
    sides = [side for *_, side in convolutions]
    macs = sum(n * side**2 for n, side in zip(weights, sides, strict=True))
    assert architecture.macs == macs + products


@pytest.mark.parametrize(
    ("name", "like", "shapes_that_differ"),
    [("alexnet_one_tower", "alexnet", 3), ("vgg16_c", "vgg16", 3)],
)
def test_a_variant_has_the_keys_of_what_it_varies(
    name: str, like: str, shapes_that_differ: int
) -> None:
    state, other = module_of(name).state_dict(), module_of(like).state_dict()
    assert list(state) == list(other)
    assert sum(state[key].shape != other[key].shape for key in state) == shapes_that_differ


def test_a_normalisation_without_weights_moves_the_numbers_of_layers_by_one() -> None:
    """A-LRN has A's weights in A's order; those after the first convolution are numbered one higher."""
    state, plain = module_of("vgg11_lrn").state_dict(), module_of("vgg11").state_dict()
    assert [v.shape for v in state.values()] == [v.shape for v in plain.values()]
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("features")]
    assert numbers == [
        int(key.split(".")[1]) + (not key.startswith("features.0."))
        for key in plain
        if key.startswith("features")
    ]


def test_the_state_of_the_network_of_table_1_is_laid_out_by_stage_and_branch() -> None:
    """A layout of its own, as nobody released it: a sequence of modules that have branches."""
    state = module_of("inception_v2").state_dict()
    # 6 convolutions before, 7 a module and 5 a reduction at 35 and at 17 px, 10 and 9 a module at 17 and at 8 px
    assert sum(key.endswith(".conv.weight") for key in state) == 6 + 3 * 7 + 5 + 5 * 10 + 5 + 2 * 9
    stages = list(dict.fromkeys(key.split(".")[1] for key in state if key.startswith("features")))
    assert stages == [str(i) for i in range(15) if i != 1]  # 1 is a pool
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["features.0.0.conv.weight"] == (32, 3, 3, 3)
    assert shapes["features.3.branch2.1.conv.weight"] == (64, 48, 3, 3)
    assert shapes["features.6.branch1.1.conv.weight"] == (384, 64, 3, 3)
    assert shapes["features.7.branch7x7_2.conv.weight"] == (128, 128, 1, 7)
    assert shapes["features.14.branch3x3_2a.conv.weight"] == (384, 384, 1, 3)
    assert shapes["fc.weight"] == (1000, 2048)
