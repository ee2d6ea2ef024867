"""Making networks, files and engines: what `deploykit list`, `count`, `export` and `build` do, and converting."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit import backends, zoo
from deploykit.api.arguments import (
    Names,
    PerChannel,
    StoreLike,
    calibration_of,
    engine_of,
    image_options,
    opened,
    spoken,
    texts,
    variants_of,
)
from deploykit.api.networks import (
    any_shape_of_module,
    data_text,
    source_of,
    spec_of,
    verification_of,
)
from deploykit.errors import UsageError
from deploykit.spec import BuildOptions, Counts, Engine, OnnxModel
from deploykit.workflow.build import (
    build_despite_wipes,
    build_network,
    check_buildable,
    check_precisions,
    check_used,
    require_available,
    usable_backends,
)
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import EngineChoice
from deploykit.workflow.configuration import default_precisions, source_name
from deploykit.workflow.convert import convert_network
from deploykit.workflow.engine_file import check_usable, places_of, put_engine
from deploykit.workflow.export import destinations, write_network
from deploykit.workflow.network import count_source, obtain_network
from deploykit.zoo import Architecture

if TYPE_CHECKING:
    import torch

    from deploykit.api.networks import Data, Model


@spoken
def create_model(
    name: str,
    *,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    num_classes: int | None = None,
    weights: str | None = None,
    seed: int = 0,
) -> torch.nn.Module:
    """Make a network of the catalogue as a module in eval mode.

    It takes float32 (N, C, H, W), with the C, H and W that `model_info(name).input_shape` has at rho 1, and returns
    logits, float32 (N, classes).

    Args:
        name: a network of the catalogue, or "module:factory".
        alpha: the width multiplier, for the networks that have one.
        rho: the resolution multiplier; it shapes no weight, but is checked against what the network can take.
        num_classes: how many classes the head tells apart; None takes the architecture's own number.
        weights: "random" (the default), "trained", "torchvision", "timm", or a checkpoint's path.
        seed: what random weights are drawn with; equal seeds give equal weights.

    Raises:
        UnknownName: there is no such network.
        UsageError: a multiplier that it does not have, or a value out of range.
        InvalidModel: the checkpoint is damaged, or of another network.
        MissingDependency: torch is not installed.

    Example:
        >>> import torch
        >>> lenet5 = deploykit.create_model("lenet5", num_classes=4)
        >>> lenet5(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 4])
    """
    return zoo.create(spec_of(name, alpha, rho, num_classes, weights, seed))


@spoken
def list_models(pattern: str | None = None) -> list[str]:
    """List the names of the catalogue, all or those that match a shell pattern.

    Example:
        >>> deploykit.list_models("squeezenet*")
        ['squeezenet1_0', 'squeezenet1_1']
    """
    return [architecture.name for architecture in zoo.architectures(pattern)]


@spoken
def model_info(name: str) -> Architecture:
    """Tell what the catalogue states about a network; needs no torch.

    Raises:
        UnknownName: there is none of that name.

    Example:
        >>> deploykit.model_info("mobilenet").input_shape  # channels, height, width in px
        (3, 224, 224)
    """
    return zoo.lookup(name)


@spoken
def count(
    path_or_module: str | os.PathLike[str] | torch.nn.Module,
    input_shape: Iterable[int] | None = None,
    *,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    layout: str | None = None,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    build_timeout_s: float | None = None,
) -> Counts:
    """Count parameters, multiply-accumulates (MACs) and bytes of a network, for one image.

    Args:
        path_or_module: a network of the catalogue, "module:factory", an .onnx file, or a module.
        input_shape: of a module's input, without the batch: (C, H, W), a sequence's (length, features), a row's
            (features,), or (length,) of whole numbers that an embedding looks up.
        shapes: of a file's inputs that leave sizes open, by name; None in a shape leaves one as it is.
        dims: sizes of a file's open dimensions by their names. Those that nothing is said of are taken as in
            every command, 224 for height and width of images, 1 elsewhere, and a warning and the remarks of the
            counts say so.
        layout: "NHWC" or "NCHW" of image inputs of a file; None finds out.
        alpha: the width multiplier of a network that is named.
        rho: its resolution multiplier.
        weights: whose network is counted, as in `create_model`.
        num_classes: of its head.
        resolution: base input size in px, which `rho` multiplies.
        build_timeout_s: give up what takes longer to read, convert or build.

    Raises:
        InvalidModel: the file is no sound ONNX graph, or is missing.
        UsageError: a module without `input_shape`, or a shape that contradicts the file.

    Example:
        >>> deploykit.count("lenet5").macs
        416520
    """
    given = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    if isinstance(path_or_module, str | os.PathLike):
        text = os.fspath(path_or_module)
        variants = variants_of(
            alpha,
            rho,
            weights,
            num_classes,
            resolution,
            shapes=given,
            dims=dims,
            layout=layout,
        )
        source = source_of(text, variants, opened(None), "count")
        counted = count_source(source)
        said = [f"{note.text}: give sizes with shapes or dims" for note in counted.notes]
        for remark in said:
            warnings.warn(remark, stacklevel=3)
        counts = counted.counts
        return dataclasses.replace(counts, remarks=(*counts.remarks, *said))
    if input_shape is None:
        raise UsageError(
            "counting a module needs the shape of its input: give input_shape, such as (3, 224, 224) or (128,)"
        )
    kind = type(path_or_module).__name__
    shape = any_shape_of_module(input_shape, kind)
    try:
        return zoo.count_module(path_or_module, shape)
    except UsageError:
        if len(shape) != 4 or shape[0] != 1:
            raise
        return zoo.count_module(path_or_module, shape[1:])  # an image with its batch


@spoken
def export(
    model: Model,
    path: str | os.PathLike[str] | None = None,
    *,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
) -> OnnxModel:
    """Write a network as an ONNX file with a free batch, verified against PyTorch at batch 1 and 3.

    `recipe["verified"]` of what is returned has the largest relative error, by which the outputs of ONNX Runtime
    differ from those of PyTorch.

    Args:
        model: a name, "module:factory", an .onnx file (its inputs are made definite), a `ModelSpec`, or a module
            that takes one tensor (N, C, H, W) and returns one (N, ...).
        path: of the file; None leaves it in the store alone.
        alpha: the width multiplier of a network that is named.
        rho: its resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px, which `rho` multiplies.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input; None asks its attribute `input_shape`.
        name: of a module; None is the name of its class.
        shapes: of inputs of a file that leaves sizes open, by name; None in a shape leaves one as it is.
        dims: sizes of a file's open dimensions, by name.
        inputs: what a file's inputs are fed, by name: "FILE.npy", "range(0,255)", "constant(16000)",
            "tokens(0,30000)".
        layout: "NHWC" or "NCHW" of image inputs of a file; None finds out.
        build_timeout_s: give up what takes longer to read, convert or build; None is 300 to read, else 3600.
        store: of graphs; None is the default one.

    Raises:
        UsageError: an argument that can't be, or that changes nothing.
        InvalidModel: the file is no sound ONNX graph.
        BuildFailed: the module can't be expressed in ONNX.
        DriftFailed: ONNX Runtime gives other outputs than PyTorch.
        OutputFailed: the file can't be written; nothing half-written is left.

    Example:
        >>> model = deploykit.export("lenet5", "lenet5.onnx", weights="trained")
        >>> model.inputs[0].shape, model.recipe["verified"]["batches"]
        (('batch', 1, 32, 32), [1, 3])
    """
    artifacts = opened(store)
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    if path is not None and not isinstance(path, str | os.PathLike):
        raise UsageError(f"path takes the path of a file, not {path!r}")
    source = source_of(model, variants, artifacts, "export", input_shape=input_shape, name=name)
    places = [] if path is None else destinations([source], os.fspath(path))
    network = obtain_network(source, artifacts)
    model_of_network, verified = network.model, verification_of(source)
    if verified is not None:
        recipe = {**model_of_network.recipe, "verified": verified}
        model_of_network = dataclasses.replace(model_of_network, recipe=recipe)
    for place in places:
        write_network(network, place)
        model_of_network = dataclasses.replace(model_of_network, path=place)
    return model_of_network


@spoken
def quantize(
    model: Model,
    path: str | os.PathLike[str] | None = None,
    *,
    precision: str = "int8",
    target: str = "cpu",
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    strict: bool = False,
    keep: Names = (),
    keep_op: Names = (),
    keep_drift: int | None = None,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
) -> OnnxModel:
    """Write a network in a lower precision as an ONNX file: the graph that `build` and `profile` would take.

    Args:
        model: as in `export`.
        path: of the file; None leaves it in the store alone.
        precision: "int8", "fp16" or another of `deploykit list --precisions`.
        target: whose recipe the graph follows: "cpu", "tensorrt-rtx", "tensorrt".
        data: images to calibrate with: a data set's name, an array float32 (N, C, H, W) as the network takes them
            or uint8 (N, H, W, C), (images, labels), or arrays by name as in an .npz file.
        mean: of images of your own, in `data` that is a folder or an .npz file, of values in 0..1: one number, or
            one for each channel; None is what the data set has.
        std: their standard deviation, in the same way.
        resize: the shorter side of resized images in px; None is 256/224 of the network's input.
        crop: the side of the centre that is cut out in px; None is the network's input.
        channel_order: in which the network takes colours, "RGB" or "BGR".
        calibration_method: "minmax", "percentile", "entropy" or "mse".
        calibration_images: how many of the images; None takes all that are for calibration.
        int8: what int8 for the CPU does beyond ranges: "default", "plain", or names of its steps with commas.
        synthetic_calibration: allow made-up images: a graph to time, not to trust.
        strict: raise where values of a layer don't fit the precision, which stays in fp32 otherwise.
        keep: nodes that stay in fp32, by name or pattern.
        keep_op: operator types that stay in fp32, such as "Gemm".
        keep_drift: so many layers stay in fp32, those whose conversion costs the outputs most.
        alpha: as in `export`, as are all that follow.
        rho: the resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs; None is the default one.

    Raises:
        UnknownName: no such precision, target, method, data set or node.
        UsageError: there is nothing to calibrate with, or the precision changes nothing.
        DriftFailed: values don't fit the precision, and `strict` is given.
        OutputFailed: the file can't be written.

    Example:
        >>> model = deploykit.quantize("lenet5", "lenet5-int8.onnx", weights="trained")
        >>> model.precision, model.recipe["calibration"]["count"]
        ('int8', 100)
    """
    artifacts = opened(store)
    choice = calibration_of(
        data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order)),
        calibration_method,
        calibration_images,
        int8,
        synthetic_calibration,
        strict,
        keep,
        keep_op,
        keep_drift,
    )
    check_choice(choice)
    choice.keep.check([precision])
    check_precisions([precision], [target])
    check_used(EngineChoice(), choice, [precision], [backends.for_target(target)])
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    source = source_of(
        model,
        variants,
        artifacts,
        "quantize",
        data=choice.data,
        input_shape=input_shape,
        name=name,
    )
    place = None
    if path is not None:
        (place,) = destinations([source], os.fspath(path))
    network = obtain_network(source, artifacts)
    if precision == network.model.precision:
        raise UsageError(
            f"{network.model.spec.label} is in {precision} already: give another --precision"
        )
    converted = convert_network(network, precision, target, choice, artifacts)
    if place is None:
        return converted
    write_network(dataclasses.replace(network, model=converted), place)
    return dataclasses.replace(converted, path=place)


@spoken
def build(
    model: Model,
    path: str | os.PathLike[str] | None = None,
    *,
    precision: str | None = None,
    target: str = "cpu",
    backend: str | None = None,
    engine: EngineChoice | BuildOptions | None = None,
    data: Data | None = None,
    mean: PerChannel = None,
    std: PerChannel = None,
    resize: int | None = None,
    crop: int | None = None,
    channel_order: str | None = None,
    calibration_method: str = "minmax",
    calibration_images: int | None = None,
    int8: str = "default",
    synthetic_calibration: bool = False,
    strict: bool = False,
    keep: Names = (),
    keep_op: Names = (),
    keep_drift: int | None = None,
    alpha: float = 1.0,
    rho: Fraction | float | str = 1,
    weights: str | None = None,
    num_classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Mapping[str, str] | None = None,
    layout: str | None = None,
    build_timeout_s: float | None = None,
    store: StoreLike = None,
) -> Engine:
    """Build an engine, or find it in the store; its precision is the one asked for, or an error says so.

    Args:
        model: as in `export`.
        path: of a file to put it to, to be used without deploykit: `manifest["usage"]` of what is returned is
            Python that loads it. None leaves it in the store alone.
        precision: None is fp32, or that of a file that is quantised already.
        target: who builds, by whose recipe: "cpu", "tensorrt-rtx", "tensorrt".
        backend: who builds, by name, such as "openvino", rather than by `target`.
        engine: what it is built for: `BuildOptions`, such as `BuildOptions(batch_max=8)`.
        data: as in `quantize`, as are all that follow up to `keep_drift`.
        mean: of images of your own, as in `quantize`, as are the next four.
        std: their standard deviation.
        resize: the shorter side in px.
        crop: the side of the centre that is cut out in px.
        channel_order: "RGB" or "BGR".
        calibration_method: how ranges are found.
        calibration_images: how many images.
        int8: what int8 for the CPU does beyond ranges.
        synthetic_calibration: allow made-up images.
        strict: raise where the runtime leaves a layer in another precision, which is else a remark.
        keep: nodes that stay in fp32.
        keep_op: operator types that stay in fp32.
        keep_drift: so many layers stay in fp32.
        alpha: as in `export`, as are all that follow.
        rho: the resolution multiplier.
        weights: as in `create_model`.
        num_classes: of the head.
        resolution: base input size in px.
        seed: of random weights.
        input_shape: (C, H, W) of a module's input.
        name: of a module.
        shapes: of inputs of a file.
        dims: of a file's open dimensions.
        inputs: what a file's inputs are fed.
        layout: of image inputs of a file.
        build_timeout_s: give up what takes longer to read, convert or build.
        store: of graphs and engines; None is the default one.

    Raises:
        UnknownName, UsageError: a precision, target or backend that there is not, or an option that changes
            nothing.
        MissingDependency: who should build is not installed.
        BuildFailed: the builder refuses the graph.
        PrecisionMismatch: it built, but not in the precision that was asked for.
        DriftFailed: the engine's outputs are not finite.

    Example:
        >>> engine = deploykit.build("lenet5", precision="int8", weights="trained")
        >>> engine.precision_actual
        'int8'
    """
    artifacts = opened(store)
    choice = calibration_of(
        data_text(data, artifacts, image_options(mean, std, resize, crop, channel_order)),
        calibration_method,
        calibration_images,
        int8,
        synthetic_calibration,
        strict,
        keep,
        keep_op,
        keep_drift,
    )
    check_choice(choice)
    named = list(texts(precision, "--precision"))
    if len(named) > 1:
        raise UsageError(f"build makes one engine, not {len(named)}: give one --precision")
    choice.keep.check(named or ("fp32",))
    if backend is not None:
        builder = backends.get(backend)
        require_available([builder])
        check_precisions(named, [builder.target])
    else:
        check_precisions(named, [target])
        (builder,) = usable_backends([target])
    check_buildable(named, [builder])
    built_for = engine_of(engine)
    check_used(built_for, choice, named, [builder])
    variants = variants_of(
        alpha, rho, weights, num_classes, resolution, seed, shapes, dims, inputs, layout
    )
    source = source_of(
        model, variants, artifacts, "build", data=choice.data, input_shape=input_shape, name=name
    )
    wanted = named[0] if named else default_precisions(source)[0]
    places: Sequence[Path | None] = [None]
    if path is not None:
        check_usable([builder], "path")
        places = places_of([(source_name(source), builder)], os.fspath(path))
    made = partial(
        build_network,
        precision=wanted,
        backend=builder,
        options=built_for.at_batch(1),
        choice=choice,
        store=artifacts,
    )
    built = build_despite_wipes(source, obtain_network(source, artifacts), made, artifacts)
    return built.engine if places[0] is None else put_engine(built.engine, places[0])
