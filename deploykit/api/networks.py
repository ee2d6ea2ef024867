"""The networks that a call of the Python API means: names, files, specs and modules, and arrays as data."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec, zoo
from deploykit.api.arguments import exact
from deploykit.data.options import with_options
from deploykit.errors import UsageError, one_line
from deploykit.graph.export import export_module
from deploykit.lazy import np
from deploykit.spec import ModelFile, ModelSpec
from deploykit.store import Store
from deploykit.text import folder_name
from deploykit.workflow import ranges
from deploykit.workflow.choices import Variants
from deploykit.workflow.plan import Source, plan
from deploykit.writing import drafted, output_errors, working_folder
from deploykit.zoo.factories import require_float32, require_values
from deploykit.zoo.wrappers import unwrapped

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    #: A network as the API takes it: a name, "module:factory", the path of an .onnx file, a spec, or a module.
    Model = str | os.PathLike[str] | ModelSpec | torch.nn.Module
    #: Data as the API takes it: a data set's name, arrays by name, or images with their labels.
    Data = (
        str | os.PathLike[str] | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike] | ArrayLike
    )

#: Where modules and arrays that were handed over lie in a store, as files that other processes read.
MODULES, ARRAYS = "modules", "arrays"
#: Of the input of a module that is counted, at most.
MOST_DIMENSIONS = 8
#: What stands beside a module's file: how it was compared with PyTorch. The graph says nothing of it.
VERIFIED = "verified.json"


def is_module(model: object) -> bool:
    """Whether something is a `torch.nn.Module`; nothing is where PyTorch was never imported."""
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(model, torch_module.nn.Module)


def sources_of(
    models: Any,
    variants: Variants,
    store: Store,
    *,
    data: str | None = None,
    input_shape: Iterable[int] | None = None,
    name: str | None = None,
) -> list[Source]:
    """The networks that an argument means; names at every combination of `variants`, specs as they stand.

    Raises:
        UsageError: something is no network, or options are given that change none.
        DeploykitError: as `plan`, and for modules as `graph.export.export_module`.
    """
    listed = [models] if _is_one(models) else list(models)
    if not listed:
        raise UsageError("no network is named: give a name, an .onnx file, a ModelSpec or a module")
    named = [os.fspath(one) for one in listed if isinstance(one, str | os.PathLike)]
    others = [one for one in listed if not isinstance(one, str | os.PathLike)]
    if others and not named and variants != Variants():
        raise UsageError(
            "a ModelSpec and a module say themselves what they are: leave --alpha, --rho, --weights and their "
            "like out"
        )
    found: list[Source] = plan(named, variants, data) if named else []
    for one in others:
        if isinstance(one, ModelSpec):
            zoo.input_shape(one)
            found.append(one)
        elif is_module(one):
            found.append(_exported(unwrapped(one), input_shape, name, store))
        else:
            raise UsageError(
                f"{one_line(repr(one), 40)} is no network: give a name, an .onnx file, a ModelSpec or a "
                "torch.nn.Module"
            )
    if not any(map(is_module, others)) and (input_shape is not None or name is not None):
        raise UsageError("input_shape and name are of a torch.nn.Module: leave them out")
    return list(dict.fromkeys(found))


def source_of(models: Any, variants: Variants, store: Store, what: str, **rest: Any) -> Source:
    """The one network that an argument means.

    Raises:
        UsageError: it means several; as `sources_of`.
    """
    found = sources_of(models, variants, store, **rest)
    if len(found) != 1:
        raise UsageError(f"{what} takes one network, not {len(found)}: give one multiplier each")
    return found[0]


def spec_of(
    name: str,
    alpha: Any = 1,
    rho: Any = 1,
    num_classes: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> ModelSpec:
    """The spec of a network of the catalogue or of "module:factory", with one multiplier each.

    Raises:
        UnknownName: there is no such network.
        UsageError: a value that can't be, or several.
    """
    alphas, rhos = exact(alpha, "alpha"), exact(rho, "rho")
    if len(alphas) != 1 or len(rhos) != 1:
        raise UsageError("alpha and rho take one number each here, such as 0.5 or '6/7'")
    canonical = name if ":" in name else zoo.lookup(name).name
    kind = "random" if weights is None else os.fspath(weights)
    spec = ModelSpec(canonical, float(alphas[0]), rhos[0], num_classes, kind, seed=seed)
    if ":" not in canonical:
        zoo.input_shape(spec)
    return spec


def data_text(data: Any, store: Store, said: Mapping[str, str] | None = None) -> str | None:
    """The data set that an argument means, as `--data` takes it; arrays are written into the store.

    Args:
        data: a name such as "digits"; the path of a folder of images or of an .npz file; an array of images,
            float32 (N, C, H, W) as the network takes them or uint8 (N, H, W, C); (images, labels); or arrays by
            name, as `deploykit.data.npz` describes an .npz file.
        store: that the arrays are written into.
        said: of the images, as `image_options` gives it.

    Raises:
        UsageError: it is none of them, or nothing of the kind can be said of it.
        OutputFailed: the store can't be written.
    """
    return with_options(_named(data, store), said or {})


def _named(data: Any, store: Store) -> str | None:
    """The name of a data set, of which nothing more is said."""
    if data is None or isinstance(data, str):
        return data
    if isinstance(data, os.PathLike):
        path = Path(data)
        return f"{'imagefolder' if path.is_dir() else 'npz'}:{path}"
    if isinstance(data, Mapping):
        arrays = {str(key): np.asarray(value) for key, value in data.items()}
    elif isinstance(data, tuple) and len(data) == 2:
        arrays = {"images": np.asarray(data[0]), "labels": np.asarray(data[1])}
    else:
        arrays = {"images": np.asarray(data)}
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise UsageError(
                f"data: {key} is no array of numbers or text: give numpy arrays, a data set's name or a path"
            )
        if key not in ("mean", "std") and array.dtype in (np.float64, np.float16):
            arrays[key] = array.astype(np.float32)
    return f"npz:{_written(arrays, store)}"


def _written(arrays: Mapping[str, Any], store: Store) -> Path:
    """The arrays as an .npz file in the store, named by what is in them."""
    digest = hashlib.sha256()
    for key, array in sorted(arrays.items()):
        digest.update(f"{key} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    place = store.root / ARRAYS / f"{digest.hexdigest()[:16]}.npz"
    if not place.is_file():
        with output_errors("engine store"):
            place.parent.mkdir(parents=True, exist_ok=True)
            with drafted(place) as draft, draft.open("wb") as file:
                plain: dict[str, Any] = {k: np.ascontiguousarray(a) for k, a in arrays.items()}
                np.savez(file, **plain)
    return place


def _exported(
    module: torch.nn.Module, input_shape: Iterable[int] | None, name: str | None, store: Store
) -> ModelFile:
    """A module as a file in the store, exported and verified; equal modules give the same file.

    Raises:
        UsageError: the shape of its input is not known.
    """
    label = name or type(module).__name__.lower()
    require_float32(module, label)
    require_values(module, label)
    shape = shape_of_module(module, input_shape, label)
    folder = store.root / MODULES
    with output_errors("engine store"):
        folder.mkdir(parents=True, exist_ok=True)
        with working_folder(folder) as making:
            draft = making / "model.onnx"
            # No recipe may take its weights for random ones, to be calibrated on noise.
            model = export_module(module, shape, draft, ModelSpec(label, weights="file"))
            text = codec.to_json(dict(model.recipe["verified"]))
            (making / VERIFIED).write_bytes(text)
            place = folder / folder_name(label, f"-{model.sha256[:12]}")
            whole = making / "whole"
            whole.mkdir()
            for file in [path for path in making.iterdir() if path.is_file()]:
                file.rename(whole / file.name)
            if not place.is_dir():
                whole.rename(place)
    return ModelFile(place / "model.onnx", label=label)


def verification_of(source: Source) -> dict[str, Any] | None:
    """How the file of a module was compared with it; None for all other networks."""
    if not isinstance(source, ModelFile) or not (source.path.parent / VERIFIED).is_file():
        return None
    return codec.read_stored(source.path.parent / VERIFIED, dict[str, Any])


def any_shape_of_module(input_shape: Any, label: str) -> tuple[int, ...]:
    """What a module takes for one image, sequence or row, without the batch, as the caller says.

    Raises:
        UsageError: it is no such shape.
    """
    several = isinstance(input_shape, Iterable) and not isinstance(input_shape, str | bytes)
    sizes = list(itertools.islice(input_shape, MOST_DIMENSIONS + 1)) if several else []
    if not 1 <= len(sizes) <= MOST_DIMENSIONS:
        raise UsageError(
            f"input_shape of {label} is {one_line(repr(input_shape), 40)}: "
            "make it the sizes of one input without its batch, such as (3, 224, 224) or (128,)"
        )
    return tuple(int(ranges.SIZE.check(size, "input_shape")) for size in sizes)


def shape_of_module(
    module: torch.nn.Module, input_shape: Iterable[int] | None, label: str
) -> tuple[int, int, int]:
    """(C, H, W) of what a module takes, as the caller or the module itself says.

    Raises:
        UsageError: neither does, or it is no such shape.
    """
    declared: Any = getattr(module, "input_shape", None) if input_shape is None else input_shape
    if declared is None:
        raise UsageError(
            f"the input of {label} is not known: give input_shape=(channels, height, width), or set an "
            "attribute input_shape on the module"
        )
    several = isinstance(declared, Iterable) and not isinstance(declared, str)
    sizes = list(declared) if several else []
    if len(sizes) not in (3, 4):
        raise UsageError(
            f"input_shape of {label} is {one_line(repr(declared), 40)}: make it (channels, height, width)"
        )
    channels, height, width = (int(ranges.SIZE.check(size, "input_shape")) for size in sizes[-3:])
    return channels, height, width


def _is_one(models: Any) -> bool:
    return (
        isinstance(models, str | os.PathLike | ModelSpec)
        or is_module(models)
        or not isinstance(models, Iterable)
    )
