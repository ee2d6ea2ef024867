from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deploykit import zoo
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import ModelSpec

#: One of every family that is cheap enough to run; sizes are small for the same reason.
REPRESENTATIVES = {
    "mlp_xor": None,
    "mlp": None,
    "lenet5": None,
    "lenet5_1998": None,
    "alexnet": 67,
    "vgg11_lrn": 32,
    "googlenet": 64,
    "googlenet_bn": 64,
    "bn_inception": 64,
    "inception_v2": 96,
    "inception_v3": 96,
    "inception_resnet_v1": 96,
    "inception_v4": 96,
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "densenet121": 64,
    "xception": 71,
    "se_resnet50": 64,
    "se_resnext50_32x4d": 64,
    "condensenet_86": None,
    "condensenet_g8": 64,
    "nin": 67,
    "mobilenet": 64,
    "mobilenet_conv": 64,
    "squeezenet1_1": 64,
    "efficientnet_b0": 64,
}


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_logits_are_finite_differ_between_images_and_fit_half_precision(name: str) -> None:
    spec = ModelSpec(name, num_classes=7, resolution_px=REPRESENTATIVES[name])
    module = zoo.create(spec)
    assert not module.training
    largest = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            part.register_forward_hook(lambda *call: largest.append(float(call[2].abs().max())))
    images = torch.randn(3, *zoo.input_shape(spec), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = module(images)
    assert logits.shape == (3, 7)
    assert torch.isfinite(logits).all()
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    assert max(largest) < 1000  # float16 ends at 65504
    assert min(largest) > 1e-3


def test_equal_seeds_make_equal_weights_and_others_do_not() -> None:
    first, same, other = (
        zoo.create(ModelSpec("condensenet_86", seed=seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["classifier.index"], other["classifier.index"])
    key = "features.denseblock_1.0.conv_1.conv.weight"
    assert not torch.equal(first[key], other[key])


def test_the_callers_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    zoo.create(ModelSpec("mobilenet", alpha=0.25))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_running_statistics_are_those_of_the_activations() -> None:
    """What a BatchNorm normalises comes out with deviation 1, in the last layers as in the first."""
    module = zoo.create(ModelSpec("resnet18"))
    deviations = []

    def watch(norm: nn.BatchNorm2d, inputs: object, output: torch.Tensor) -> None:
        shape = (1, -1, 1, 1)
        plain = (output - norm.bias.view(shape)) / norm.weight.view(shape)
        deviations.append(float(plain.std()))

    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.momentum == 0.1
            assert int(part.num_batches_tracked or 0) == 0
            part.register_forward_hook(watch)
    with torch.no_grad():
        module(torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(5)))
    assert len(deviations) == 20
    assert all(0.8 < deviation < 1.3 for deviation in deviations)


def test_a_network_for_counting_has_no_storage_at_any_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(nn.Module, "to_empty")  # what gives a network its storage
    module = zoo.create(ModelSpec("vgg19"), device="meta")
    assert all(t.is_meta for t in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize(
    ("factory", "heads"), [("googlenet", 2), ("googlenet_bn", 2), ("inception_v3", 1)]
)
def test_auxiliary_heads_exist_on_demand_and_answer_in_training_only(
    factory: str, heads: int
) -> None:
    from deploykit.zoo import googlenet, inception_v3

    make = getattr(inception_v3 if factory == "inception_v3" else googlenet, factory)
    size_px = 299 if factory == "inception_v3" else 64  # whose head needs a 17x17 map
    images = torch.randn(2, 3, size_px, size_px)
    module = make(num_classes=5, aux_logits=True)
    assert len(module.train()(images)) == 1 + heads
    with torch.no_grad():
        assert module.eval()(images).shape == (2, 5)


def test_alpha_is_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="no width multiplier"):
        zoo.create(ModelSpec("vgg16", alpha=0.5))


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
