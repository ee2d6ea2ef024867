"""Modules in whatever state people hand over: pruned, scripted, quantised, wrapped."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from deploykit import zoo
from deploykit.errors import UsageError

PARAMETERS, MACS = 112, 64 * 108  # of the convolution below


def convolution() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, padding=1)


class Around(nn.Module):
    """A convolution, and something that is done with what it gives."""

    def __init__(self, then: Callable[[nn.Module, Tensor], Tensor] = lambda self, y: y) -> None:
        super().__init__()
        self.conv, self.then = convolution(), then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self, self.conv(x))


def pruned() -> nn.Module:
    return prune.l1_unstructured(convolution(), "weight", 0.5)


def with_a_cache() -> nn.Module:
    module = Around(lambda self, y: y + self.cache)
    module.cache = module.conv.weight.sum()
    return module


def with_a_kept_activation() -> nn.Module:
    module = Around()
    module.kept = [module(torch.zeros(1, 3, 8, 8))]
    return module


def with_a_lock() -> nn.Module:
    module = Around()
    module.lock, module.stream = threading.Lock(), iter([1])
    return module


def scripted() -> nn.Module:
    return torch.jit.script(convolution())


def traced() -> nn.Module:
    return torch.jit.trace(convolution().eval(), torch.zeros(1, 3, 8, 8))


def frozen() -> nn.Module:
    return torch.jit.freeze(torch.jit.script(nn.Sequential(convolution()).eval()))


def quantised_dynamically() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), {nn.Linear}, dtype=torch.qint8
    )


def quantised() -> nn.Module:
    quantisation = torch.ao.quantization
    module = nn.Sequential(
        quantisation.QuantStub(),
        convolution(),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 2, 2),
        quantisation.DeQuantStub(),
    ).eval()
    module.qconfig = quantisation.default_qconfig
    quantisation.fuse_modules(module, [["1", "2"]], inplace=True)
    quantisation.prepare(module, inplace=True)
    module(torch.zeros(1, 3, 8, 8))
    return quantisation.convert(module, inplace=True)


def observed_in_training() -> nn.Module:
    module = nn.Sequential(convolution()).train()
    module.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    return torch.ao.quantization.prepare_qat(module, inplace=True)


MODULES = [
    (pruned, PARAMETERS, MACS),
    (lambda: nn.utils.weight_norm(convolution()), PARAMETERS + 4, MACS),
    (with_a_cache, PARAMETERS, MACS),
    (with_a_kept_activation, PARAMETERS, MACS),
    (with_a_lock, PARAMETERS, MACS),
    (scripted, PARAMETERS, MACS),
    (traced, PARAMETERS, MACS),
    (frozen, PARAMETERS, MACS),
    (lambda: nn.DataParallel(convolution()), PARAMETERS, MACS),
    (quantised_dynamically, 192 * 5 + 5, 192 * 5),
    (quantised, PARAMETERS + 34, MACS + 64 * 4 * 2 * 4),
    (observed_in_training, PARAMETERS, MACS),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "parameters", "macs"),
    MODULES,
    ids="pruned weight_norm cache kept lock scripted traced frozen parallel dynamic quantised observed".split(),
)
def test_a_module_is_counted_in_the_state_that_it_is_in(
    make: Callable[[], nn.Module], parameters: int, macs: int
) -> None:
    counts = zoo.count_module(make(), (3, 8, 8))
    assert (counts.parameters, counts.macs, counts.uncounted) == (parameters, macs, {})
    assert counts.weight_bytes > 0


@pytest.mark.filterwarnings("ignore")
def test_a_script_has_its_parameters_under_the_operators_that_it_was_made_of() -> None:
    module = nn.Sequential(convolution(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 5))
    of_script = zoo.count_module(torch.jit.script(module), (3, 8, 8))
    assert of_script.by_operator == zoo.count_module(module, (3, 8, 8)).by_operator


@pytest.mark.filterwarnings("ignore")
def test_a_recurrent_layer_that_is_quantised_has_parameters_and_makes_a_lower_bound() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]

    made = torch.ao.quantization.quantize_dynamic(Recurrent(), {nn.LSTM}, dtype=torch.qint8)
    counts = zoo.count_module(made, (3, 8))
    assert counts.parameters == sum(p.numel() for p in nn.LSTM(8, 4).parameters())
    assert counts.is_lower_bound


def test_a_module_that_draws_numbers_leaves_the_random_state_alone() -> None:
    module = Around(lambda self, y: y if torch.rand(1) < 2 else -y)
    before = torch.get_rng_state()
    assert zoo.count_module(module, (3, 8, 8)).macs == MACS
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("table", [nn.Embedding(10, 8), nn.EmbeddingBag(10, 8)])
def test_a_module_of_embeddings_is_counted_on_numbers_of_its_rows(table: nn.Module) -> None:
    steps = 6 if isinstance(table, nn.Embedding) else 1
    counts = zoo.count_module(nn.Sequential(table, nn.Linear(8, 4)), (6,))
    assert (counts.parameters, counts.macs, counts.uncounted) == (80 + 36, steps * 32, {})


def test_a_lazy_layer_that_is_never_run_is_named() -> None:
    module = Around()
    module.unused = nn.LazyLinear(4)
    counts = zoo.count_module(module, (3, 8, 8))
    assert (counts.parameters, counts.macs) == (PARAMETERS, MACS)
    assert counts.remarks == (
        "unused: a lazy layer that forward does not reach has no parameters yet",
    )


def test_a_complex_module_gets_complex_values() -> None:
    counts = zoo.count_module(nn.Linear(4, 5, dtype=torch.complex64), (4,))
    assert (counts.parameters, counts.macs, counts.uncounted) == (25, 20, {})


def test_a_module_of_several_inputs_is_told_to_be_wrapped() -> None:
    class Two(nn.Module):
        def forward(self, image: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
            return image * mask * scale

    with pytest.raises(UsageError, match=r"its forward takes image, mask: wrap it in a module"):
        zoo.count_module(Two(), (3, 8, 8))


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_fails_says_so_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^[^\n]*: a step of its script fails; [^\n]*$"):
        zoo.count_module(scripted(), (5, 8, 8))


class WithItsOwnNames(nn.Module):
    """A layer whose methods are called as those of quantised layers are, and are something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = convolution()

    def get_weight(self, number: int) -> Tensor:
        return self.conv.weight[number]

    def get_bias(self) -> Tensor | None:
        return self.conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_methods_that_are_named_as_those_of_quantised_layers_are_left_alone() -> None:
    assert zoo.count_module(WithItsOwnNames(), (3, 8, 8)).parameters == PARAMETERS


@pytest.mark.filterwarnings("ignore")
def test_frozen_scripts_count_each_and_beside_other_layers() -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = frozen(), frozen(), convolution()

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) + self.second(x) + self.third(x)

    assert zoo.count_module(Three(), (3, 8, 8)).parameters == 3 * PARAMETERS


def test_what_fails_on_numbers_of_rows_says_why() -> None:
    module = nn.Sequential(nn.Embedding(10, 8), nn.Linear(7, 4))
    with pytest.raises(UsageError, match=r"mat1 and mat2|size mismatch|cannot be multiplied"):
        zoo.count_module(module, (6,))
