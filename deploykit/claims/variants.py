"""Networks and parts of networks that papers count and the catalogue does not hold, made from the zoo's blocks.

Claims name them in expressions, with arguments: `parameters(resnet_cifar(depth=20))`. `deploykit.claims.networks`
imports this module when the first of them is made, because it imports torch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor, nn

from deploykit.errors import UsageError
from deploykit.zoo.blocks import Parallel
from deploykit.zoo.efficientnet import EfficientNet
from deploykit.zoo.googlenet import ConvRelu, googlenet
from deploykit.zoo.inception_v3 import inception_v3
from deploykit.zoo.lenet import LeNet5
from deploykit.zoo.mobilenet import MobileNet, Separable, mobilenet
from deploykit.zoo.resnet import Bottleneck, bottleneck_resnet
from deploykit.zoo.squeezenet import Fire, squeezenet1_0, squeezenet1_1


class _CifarBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters, which strides and pads channels with zeros."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.added = stride, width - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, width, H / stride, W / stride)."""
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


def resnet_cifar(*, depth: int) -> nn.Module:
    """The residual network for 32 px of He et al., arXiv 1512.03385, section 4.2: 6n + 2 layers, shortcuts A."""
    repeats, rest = divmod(depth - 2, 6)
    if rest or repeats < 1:
        raise UsageError(f"a residual network for CIFAR has 6n + 2 layers, not {depth}")
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    inputs = 16
    for width in (16, 32, 64):
        for index in range(repeats):
            layers.append(_CifarBlock(inputs, width, 2 if width > 16 and not index else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class _CifarDenseLayer(nn.Module):
    """Norm, ReLU and convolution, with a 1x1 bottleneck before where asked for; the input is passed on beside."""

    def __init__(self, inputs: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if bottleneck:
            layers = [
                nn.BatchNorm2d(inputs),
                nn.ReLU(),
                nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            ]
            inputs = 4 * growth
        layers += [
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, growth, 3, padding=1, bias=False),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + growth, H, W)."""
        return torch.cat([x, self.layers(x)], 1)


def densenet_cifar(*, depth: int, growth: int, bottleneck: bool = False) -> nn.Module:
    """DenseNet for 32 px of Huang et al., arXiv 1608.06993, section 3: three blocks; with `bottleneck` DenseNet-BC.

    BC starts with twice the growth rate and halves the channels in its transitions; the plain one starts with 16.
    """
    layers_each, rest = divmod(depth - 4, 6 if bottleneck else 3)
    if rest:
        raise UsageError(f"three equal blocks can't make {depth} layers")
    channels = 2 * growth if bottleneck else 16
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for block in range(3):
        for _ in range(layers_each):
            layers.append(_CifarDenseLayer(channels, growth, bottleneck))
            channels += growth
        if block < 2:
            outputs = channels // 2 if bottleneck else channels
            layers += [
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, outputs, 1, bias=False),
                nn.AvgPool2d(2),
            ]
            channels = outputs
    head: list[nn.Module] = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, *head, nn.Flatten(), nn.Linear(channels, 10))


def lenet5_at(*, side: int) -> nn.Module:
    """LeNet-5 for images of another side, whose first fully connected layer reads all of the last maps."""
    network = LeNet5(10)
    last_px = ((side - 4) // 2 - 4) // 2
    network.classifier[1] = nn.Linear(16 * last_px**2, 120)
    return network


def mobilenet_shallow() -> nn.Module:
    """MobileNet without five layers of 14x14 maps and 512 channels, Howard et al., arXiv 1704.04861, table 5."""
    network = mobilenet()
    assert isinstance(network, MobileNet)
    stages = list(network.blocks)
    stages[3] = nn.Sequential(next(iter(stages[3].children())))
    network.blocks = nn.Sequential(*stages)
    return network


class _Bypassed(nn.Module):
    """A fire module whose input is added to its output, through a 1x1 convolution where channels change."""

    def __init__(self, fire: Fire, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fire = fire
        self.bypass = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        bypassed: Tensor = self.fire(x) + self.bypass(x)
        return bypassed


def squeezenet_bypass(*, complex: bool) -> nn.Module:
    """SqueezeNet with bypasses, Iandola et al., arXiv 1602.07360, figure 2.

    Simple ones go around the modules that keep the number of channels (fire 3, 5, 7 and 9); complex ones go around
    the others too, through 1x1 convolutions.
    """
    network = squeezenet1_0()
    features: list[nn.Module] = []
    for part in network.get_submodule("features").children():
        if isinstance(part, Fire):
            inputs = part.squeeze.in_channels
            outputs = part.expand1x1.out_channels + part.expand3x3.out_channels
            if complex or inputs == outputs:
                features.append(_Bypassed(part, inputs, outputs))
                continue
        features.append(part)
    network.add_module("features", nn.Sequential(*features))
    return network


def squeezenet1_0_released() -> nn.Module:
    """SqueezeNet 1.0 as its authors released it for Caffe: its last convolution pads a 1x1 kernel by 1."""
    network = squeezenet1_0()
    network.get_submodule("classifier").add_module("1", nn.Conv2d(512, 1000, 1, padding=1))
    return network


def squeezenet1_1_released() -> nn.Module:
    """SqueezeNet 1.1 as its authors released it for Caffe, for images of 227 px as well."""
    return squeezenet1_1()


def _inceptions(network: nn.Module) -> dict[str, nn.Module]:
    """GoogLeNet's nine modules by name, in order."""
    return {n: part for n, part in network.named_children() if n.startswith("inception")}


def _filters(module: nn.Module, branch: str) -> int:
    """Channels that a branch of a module puts out."""
    last = [part for part in module.get_submodule(branch).modules() if isinstance(part, nn.Conv2d)]
    return last[-1].out_channels


def googlenet_without_reductions() -> nn.Module:
    """GoogLeNet with 3x3 and 5x5 convolutions on all that its modules take in, and all else as it is."""
    network = googlenet()
    for name, module in _inceptions(network).items():
        branches = dict(module.named_children())
        inputs = next(p for p in module.modules() if isinstance(p, nn.Conv2d)).in_channels
        for branch, kernel in (("branch2", 3), ("branch3", 5)):
            branches[branch] = ConvRelu(inputs, _filters(module, branch), kernel)
        network.add_module(name, Parallel(**branches))
    return network


def googlenet_naive() -> nn.Module:
    """GoogLeNet of the naive modules of Szegedy et al., arXiv 1409.4842, figure 2(a).

    They have no reductions, and their pools pass all channels on. What a module joins goes through `joined`.
    """
    network = googlenet()
    inputs = 192
    for name, module in _inceptions(network).items():
        kernels = {"branch1": 1, "branch2": 3, "branch3": 5}
        widths = {branch: _filters(module, branch) for branch in kernels}
        branches: dict[str, nn.Module] = {
            branch: ConvRelu(inputs, widths[branch], kernel) for branch, kernel in kernels.items()
        }
        branches["branch4"] = nn.MaxPool2d(3, 1, 1)
        stage = nn.Sequential()
        stage.add_module("branches", Parallel(**branches))
        stage.add_module("joined", nn.Identity())
        network.add_module(name, stage)
        inputs += sum(widths.values())
    network.add_module("fc", nn.Linear(inputs, 1000))
    return network


def googlenet_with_heads() -> nn.Module:
    """GoogLeNet with its two auxiliary classifiers, as it is trained."""
    return googlenet(aux_logits=True)


def inception_v3_with_head() -> nn.Module:
    """Inception v3 with its auxiliary classifier, as it is trained."""
    return inception_v3(aux_logits=True)


def efficientnet_scaled(*, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """EfficientNet-B0 with its channels and numbers of layers multiplied."""
    return EfficientNet(width, depth, 0.2, 1000)


def resnet_v1(*, depth: int) -> nn.Module:
    """A ResNet of bottlenecks with the stride in the first 1x1, He et al., arXiv 1512.03385, table 1."""
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    if depth not in blocks:
        raise UsageError(
            f"ResNets of bottlenecks have {', '.join(map(str, blocks))} layers, not {depth}"
        )
    return bottleneck_resnet(blocks[depth], 1000, stride_first=True)


def resnext_block(*, groups: int, width: int) -> nn.Module:
    """A block of 256 channels with `groups` paths of `width` channels, Xie et al., arXiv 1611.05431, table 2."""
    return Bottleneck(256, 64, 1, groups=groups, group_width=width)


def conv(
    *, inputs: int, outputs: int, kernel: int, rows: int = 0, side: int = 14, groups: int = 1
) -> nn.Module:
    """A convolution without bias that keeps the size: kernel x kernel, or rows x kernel."""
    del side  # of the input, which is made to it
    height = rows or kernel
    padding = (height // 2, kernel // 2)
    return nn.Conv2d(inputs, outputs, (height, kernel), padding=padding, groups=groups, bias=False)


def separable(*, inputs: int, outputs: int, side: int = 14) -> nn.Module:
    """MobileNet's layer: a 3x3 convolution of each channel, then 1x1, each normalised."""
    del side
    return Separable(inputs, outputs, 1)


def shape_of(name: str, arguments: dict[str, float]) -> tuple[int, int, int]:
    """Channels, height and width of the input that a variant is counted at."""
    if name in ("conv", "separable"):
        side_px = int(arguments.get("side", 14))
        return (int(arguments["inputs"]), side_px, side_px)
    if name == "resnext_block":
        return (256, 56, 56)
    if name == "lenet5_at":
        return (1, int(arguments["side"]), int(arguments["side"]))
    if name.endswith("_cifar"):
        return (3, 32, 32)
    if name.endswith("_released"):
        return (3, 227, 227)
    side_px = 299 if name == "inception_v3_with_head" else 224
    return (3, side_px, side_px)
