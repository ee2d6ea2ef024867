"""Weights: finding checkpoints, reading them, and filling a network with what they hold.

What a checkpoint says of itself is read without torch.
"""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Mapping
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path, PosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from deploykit.errors import InvalidModel, MissingDependency, UsageError, one_line
from deploykit.lazy import LazyModule, np, torch
from deploykit.reading import instead_of_file
from deploykit.spec import ModelSpec

from .catalogue import Architecture, is_factory, lookup

if TYPE_CHECKING:
    from torch import Tensor, nn

#: What `ModelSpec.weights` may say beside the path of a file.
KEYWORDS = ("random", "trained", "torchvision", "timm")

safetensors: Any = LazyModule("safetensors")

#: How many wrong keys a message lists.
_LISTED = 5

#: Prefixes of auxiliary heads, which are there for training alone.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

#: Where programs of training keep the weights in what they save, the first that is there before the others.
_WRAPPERS = (
    *(
        "state_dict",
        "model",
        "model_state_dict",
        "state_dict_ema",
        "model_ema",
        "ema",
        "params_ema",
    ),
    *("params", "net", "network", "weights"),
)

#: Names of layers in the checkpoints of DenseNet that torchvision offers, from before names without dots in them.
_OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")

#: What a moving average keeps beside the weights of its module: of how many they are the mean.
_AVERAGED = "n_averaged"

#: What `torch.compile` puts into the keys of what it compiled, which may be a part of the network.
_COMPILED = "_orig_mod."

#: Endings of what programs that count leave in a module, and in whatever is saved of it.
_COUNTED = ("total_ops", "total_params")


def metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a .safetensors file; empty if it holds none.

    Raises:
        InvalidModel: the file can't be read, is cut short, or is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except OSError as error:
        raise InvalidModel(f"can't read {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        if instead := instead_of_file(path):
            raise InvalidModel(f"{path} is no safetensors file but {instead}") from error
        raise InvalidModel(
            f"{path} is no whole safetensors file: it is cut short or damaged, get it again"
        ) from error


def shipped() -> dict[str, Path]:
    """The checkpoints that come with the package: file stem to path."""
    folder = files(__package__).joinpath("checkpoints")
    if not folder.is_dir():
        return {}
    checkpoints = {}
    for entry in folder.iterdir():
        if entry.name.endswith(".safetensors"):
            with as_file(entry) as path:  # packages are installed as files, never zipped (torch)
                checkpoints[path.stem] = path
    return dict(sorted(checkpoints.items()))


def trained(spec: ModelSpec) -> Path:
    """The shipped checkpoint for `spec`: same network, alpha and rho, and the data set if one is named.

    `weights` is "trained", or "trained:DATASET" where a network comes with more than one; "trained" alone
    takes the one of the embedded digits, which can be judged anywhere.

    Raises:
        UsageError: none is shipped; the message names those that are.
    """
    name = lookup(spec.name).name
    dataset = spec.weights.partition(":")[2]
    fitting: dict[str, Path] = {}
    offers: dict[str, list[Fraction]] = {}
    for stem, path in shipped().items():
        stored = metadata(path)
        model, trained_on = stored.get("model", stem.partition("-")[0]), stored.get("dataset", "?")
        alpha, rho = float(stored.get("alpha", "1")), Fraction(stored.get("rho", "1"))
        offers.setdefault(_variant(model, alpha, trained_on), []).append(rho)
        if (model, alpha, rho) == (name, spec.alpha, spec.rho):
            fitting[trained_on] = path
    for choice in (dataset,) if dataset else ("digits", *fitting):
        if choice in fitting:
            return fitting[choice]
    listed = (
        offer + (f" at rho {', '.join(map(str, sorted(rhos)[::-1]))}" if set(rhos) != {1} else "")
        for offer, rhos in offers.items()
    )
    wanted = _variant(name, spec.alpha, dataset) + (f" at rho {spec.rho}" if spec.rho != 1 else "")
    raise UsageError(
        f"no trained weights come with deploykit for {wanted}: there are "
        f"{'; '.join(listed) or 'none'}; train with `deploykit train` and give the file, or `tune --train`"
    )


def _variant(name: str, alpha: float, dataset: str) -> str:
    return (
        name + (f" alpha {alpha:g}" if alpha != 1 else "") + (f" on {dataset}" if dataset else "")
    )


def is_trained(weights: str) -> bool:
    """Whether `weights` asks for a shipped checkpoint."""
    return weights == "trained" or weights.startswith("trained:")


def facts(spec: ModelSpec) -> dict[str, str]:
    """What the checkpoint of `spec` says of itself: num_classes, resolution_px, dataset, alpha...

    Empty for random weights, for those of other packages, and for files without metadata.

    Raises:
        UsageError: no such trained checkpoint, or it has another number of classes than asked for.
        InvalidModel: the file is not there, can't be read, or says that it is of another network.
    """
    path = checkpoint_path(spec)
    if path is None or path.suffix != ".safetensors":
        return {}
    stored = metadata(path)
    _require_network(path, stored, spec)
    for key in ("num_classes", "resolution_px"):
        if key in stored and not stored[key].isdigit():
            raise InvalidModel(f"{path} is damaged: its metadata has {key}={stored[key]!r}")
    if spec.num_classes is not None and spec.num_classes != int(
        stored.get("num_classes", spec.num_classes)
    ):
        raise UsageError(
            f"{path.name} has {stored['num_classes']} classes, not {spec.num_classes}: "
            "leave num_classes out"
        )
    return stored


def _require_network(path: Path, stored: Mapping[str, str], spec: ModelSpec) -> None:
    """Refuse a checkpoint of deploykit's own that another network was trained to.

    Networks that stride or normalise in other places have the same keys and shapes: nothing else would tell.

    Raises:
        InvalidModel: it says so itself.
    """
    if "deploykit" not in stored or is_factory(spec.name) or is_factory(stored.get("model", "")):
        return
    name, alpha = lookup(spec.name).name, f"{spec.alpha:g}"
    model, width = stored.get("model", name), stored.get("alpha", alpha)
    if (model, width) != (name, alpha):
        raise InvalidModel(
            f"{path} has weights of {model} at alpha {width}, not of {name} at alpha {alpha}: ask for that network"
        )


def existing(weights: str) -> Path:
    """The path that `weights` names.

    Raises:
        InvalidModel: it is no file.
    """
    path = Path(weights)
    if not path.is_file():
        raise InvalidModel(
            f"no weights at {weights}: give {', '.join(KEYWORDS)}, or a .safetensors, .pt or .pth file"
        )
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by key; nothing in it is ever executed.

    A dictionary that holds the weights under `state_dict`, `model` or the like, the arguments of the program beside
    them, and keys that all start with `module.`, are understood.

    Raises:
        InvalidModel: it isn't such a file, or is cut short.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # brings PyTorch

        metadata(path)
        try:
            return dict(load_file(path))
        except Exception as error:  # safetensors raises an error class of its own, in Rust
            raise InvalidModel(
                f"{path} is not a sound safetensors file: {first_line(error)}"
            ) from error
    try:
        with torch.serialization.safe_globals(_plain_values()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if instead := _instead_of_checkpoint(path):
            raise InvalidModel(f"{path} is no PyTorch checkpoint but {instead}") from error
        raise InvalidModel(
            f"{path} is no checkpoint of plain tensors: save module.state_dict(), best as .safetensors"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError... on damaged files
        if "TorchScript" in str(error):
            raise InvalidModel(
                f"{path} is a TorchScript archive: save module.state_dict(), best as .safetensors"
            ) from error
        raise InvalidModel(f"{path} is not a PyTorch checkpoint, or is cut short") from error
    for _ in _WRAPPERS:  # and no more often: a dictionary can hold itself
        if not isinstance(loaded, Mapping):
            break
        inside = (loaded.get(wrapper) for wrapper in _WRAPPERS)
        found = next((one for one in inside if isinstance(one, Mapping)), None)
        if found is None:
            break
        loaded = found
    if not isinstance(loaded, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in loaded.values()
    ):
        raise InvalidModel(f"{path} holds no state_dict: save module.state_dict()")
    state = {str(key): value for key, value in loaded.items()}
    for key, value in state.items():
        if what := _no_plain_tensor(value):
            raise InvalidModel(
                f"{path} holds {key} {what}: save module.state_dict() of a plain module"
            )
    keys = [key for key in state if key != _AVERAGED]
    if keys and all(key.startswith("module.") for key in keys):
        state = {key.removeprefix("module."): state[key] for key in keys}
    return state


def _plain_values() -> list[Any]:
    """What programs save beside weights that holds values alone: arguments, places, and numbers of numpy's.

    Each by the names of the modules that it has had; a path of Windows can't be made elsewhere, but be read.
    """
    from argparse import Namespace  # PyTorch brings it

    rebuild = np.float64().__reduce__()[0]
    numbers = {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}
    scalars = ("numpy.core.multiarray", "numpy._core.multiarray")  # of numpy 1 and 2
    paths = ("pathlib", "pathlib._local")  # the latter of Python 3.13
    return [
        Namespace,
        np.dtype,
        *numbers,
        *((rebuild, f"{module}.scalar") for module in scalars),
        *((PosixPath, f"{module}.PosixPath") for module in paths),
        *((PureWindowsPath, f"{module}.WindowsPath") for module in paths),
    ]


def _instead_of_checkpoint(path: Path) -> str:
    """What a file is that PyTorch reads no checkpoint from, and what to do; blank where nothing tells."""
    if instead := instead_of_file(path):
        return instead
    try:
        metadata(path)
    except InvalidModel:
        return ""
    return f"safetensors under another name; name it {path.stem}.safetensors"


def _no_plain_tensor(value: Tensor) -> str:
    """What a tensor is that has no plain array of values; blank for one that has."""
    if value.is_meta:
        return "without its values"
    if value.is_quantized:
        return "in quantised form"
    if value.is_nested or value.layout != torch.strided:
        return "in a sparse or nested layout"
    return ""


def checkpoint_path(spec: ModelSpec) -> Path | None:
    """The file that the weights of `spec` come from; None for random ones and those of other packages.

    Raises:
        UsageError: no such trained checkpoint.
        InvalidModel: no such file.
    """
    if is_trained(spec.weights):
        return trained(spec)
    return None if spec.weights in KEYWORDS else existing(spec.weights)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class where there is no text."""
    text = str(error).strip()
    return one_line(text.splitlines()[0], 120) if text else type(error).__name__


def load(module: nn.Module, spec: ModelSpec, architecture: Architecture) -> None:
    """Load the weights that `spec` names into `module`, which may be on the meta device.

    Raises:
        UsageError: no such weights for this network.
        InvalidModel: the file can't be read, or its keys or shapes differ (five at most are listed).
        MissingDependency: torchvision or timm isn't installed, or can't get its weights.
    """
    if spec.weights in ("torchvision", "timm"):
        state = _from_package(spec.weights, spec, architecture)
        source = architecture.reference
    else:
        path = checkpoint_path(spec)
        if path is None:
            raise ValueError(f"{spec.weights} weights are not loaded from a file")
        state, source = read_state(path), str(path)
    fill(module, state, source)


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Give `module` the values of `state`, which must match in keys and shapes.

    Some differences are harmless: a prefix of all keys, as wrappers of the network give them, and what a program
    of training saved beside the network under other words; auxiliary heads
    that the module doesn't have, and what programs that count left; missing `num_batches_tracked` counters of
    BatchNorm, which older checkpoints lack; all keys but one of a weight that the module holds in several places,
    which safetensors stores once. Such a weight stays one.

    Args:
        module: takes the tensors as its own, as float32 on the CPU.
        state: the stored tensors by key.
        source: how to call it in messages.

    Raises:
        InvalidModel: keys or shapes differ; lists five at most, and their count.
    """
    wanted = module.state_dict()
    given = {
        key: value
        for key, value in without_prefix(state, wanted, source).items()
        if key in wanted or not (key.startswith(_AUXILIARY) or key.rpartition(".")[2] in _COUNTED)
    }
    for key in wanted:
        if key.endswith(".num_batches_tracked") and key not in given:
            given[key] = torch.zeros((), dtype=torch.int64)
    shared = _shared(module)
    for keys in shared.values():
        held = next((given[key] for key in keys if key in given), None)
        given.update({key: held for key in keys if key not in given and held is not None})
    faults = [f"{key} is missing" for key in wanted if key not in given]
    faults += [f"{key} is unknown" for key in given if key not in wanted]
    shapes = {
        key: (list(given[key].shape), list(value.shape))
        for key, value in wanted.items()
        if key in given
        and not torch.nn.parameter.is_lazy(value)
        and given[key].shape != value.shape
    }
    heads = {stored[0] for stored, own in shapes.values() if stored and stored[1:] == own[1:]}
    remedy = ""
    if not faults and len(heads) == 1 and all(one[1:] == own[1:] for one, own in shapes.values()):
        remedy = f"; if these are its classes, give --num-classes {heads.pop()}"
    faults += [f"{key} is {stored}, not {own}" for key, (stored, own) in shapes.items()]
    # Integers may be codes of a quantised weight, which mean something else.
    faults += [
        f"{key} is {str(given[key].dtype).removeprefix('torch.')}, not floating point"
        for key, value in wanted.items()
        if key in given and value.is_floating_point() and not given[key].is_floating_point()
    ]
    ready: dict[str, Tensor] = {}
    if not faults:
        ready = {key: value.to(wanted[key].dtype).contiguous() for key, value in given.items()}
        require_finite(ready, source)  # before any are compared: what is no number equals nothing
        faults = [
            f"{key} is not {first}, and one weight with it here"
            for first, *others in shared.values()
            for key in others
            if not torch.equal(ready[key], ready[first])
        ]
    if faults:
        listed = ", ".join(faults[:_LISTED]) + (", …" if len(faults) > _LISTED else "")
        raise InvalidModel(
            f"{source} belongs to another network, {len(faults)} of its entries differ: {listed}{remedy}"
        )
    for tensor, keys in shared.items():
        one = ready[keys[0]]
        if isinstance(tensor, torch.nn.Parameter):
            one = torch.nn.Parameter(one, requires_grad=tensor.requires_grad)
        ready.update(dict.fromkeys(keys, one))  # else each key would get a weight of its own
    module.load_state_dict(ready, strict=True, assign=True)


def _shared(module: nn.Module) -> dict[Tensor, list[str]]:
    """The weights that a module holds in several places, with the keys of these: tied layers, for one."""
    keys: dict[Tensor, list[str]] = {}  # tensors are told apart by identity here
    for key, value in module.state_dict(keep_vars=True).items():
        if isinstance(value, torch.Tensor):
            keys.setdefault(value, []).append(key)
    return {value: places for value, places in keys.items() if len(places) > 1}


def require_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights with values that are not finite.

    Raises:
        InvalidModel: names the first such entry.
    """
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InvalidModel(f"{source} has values in {key} that are not finite: get it again")


def without_prefix(
    state: Mapping[str, Tensor], wanted: Mapping[str, Any], source: str
) -> Mapping[str, Tensor]:
    """The entries under the keys that the module has, where all had the same words before them, or older names.

    Where some have other words, as losses and metrics that were saved beside the network, it is the entries of the
    one prefix under which there is every key of the module. A part that was compiled, here or there, has the word
    of that in its keys.

    Raises:
        InvalidModel: there are several such prefixes, and nothing says which network is meant.
    """
    own = {key.replace(_COMPILED, ""): key for key in wanted}
    plain = {key.replace(_COMPILED, ""): value for key, value in state.items()}
    found = _unwrapped(plain, own, source)
    return {own.get(key, key): value for key, value in found.items()}


def _unwrapped(
    state: Mapping[str, Tensor], wanted: Mapping[str, Any], source: str
) -> Mapping[str, Tensor]:
    """As `without_prefix`, of keys without the word of compiled parts."""
    if not any(map(_OLD_DENSE.search, wanted)):
        state = {_OLD_DENSE.sub(r"\1\2", key): value for key, value in state.items()}
    stripped = state
    while stripped and not any(key in wanted for key in stripped):
        first = {key.partition(".")[0] for key in stripped}
        if len(first) > 1 or not all("." in key for key in stripped):
            return _within(state, wanted, source)
        stripped = {key.partition(".")[2]: value for key, value in stripped.items()}
    return stripped


def _within(
    state: Mapping[str, Tensor], wanted: Mapping[str, Any], source: str
) -> Mapping[str, Tensor]:
    """The entries of the one part of a checkpoint that has all keys of the module; else all as they are."""
    needed = [key for key in wanted if not key.endswith(".num_batches_tracked")]
    if not needed:
        return state
    found = [key.removesuffix(needed[0]) for key in state if key.endswith(f".{needed[0]}")]
    whole = [prefix for prefix in found if all(prefix + key in state for key in needed)]
    if len(whole) > 1:
        raise InvalidModel(
            f"{source} holds {len(whole)} networks that may be meant, among them {whole[0]} and {whole[1]}: "
            "save the state_dict() of one alone"
        )
    return (
        {k.removeprefix(whole[0]): state[k] for k in state if k.startswith(whole[0])}
        if whole
        else state
    )


def _from_package(package: str, spec: ModelSpec, architecture: Architecture) -> dict[str, Tensor]:
    """The released weights that `package` offers for the network."""
    home, _, name = architecture.reference.partition("/")
    if home != package:
        other = f"; --weights {home} has some" if home else ""
        raise UsageError(f"{package} has no weights for {architecture.name}{other}")
    if spec.alpha != 1:
        raise UsageError(
            f"{package} has no weights for {architecture.name} at alpha {spec.alpha:g}"
        )
    try:
        library: Any = importlib.import_module(
            "timm" if package == "timm" else "torchvision.models"
        )
    except (ImportError, RuntimeError) as error:
        raise MissingDependency(
            f"{package} is not installed or doesn't fit this torch ({first_line(error)}): pip install {package}"
        ) from error
    try:
        if package == "timm":
            reference = library.create_model(name, pretrained=True)
        else:
            reference = library.get_model(name, weights="IMAGENET1K_V1")
    except Exception as error:  # whatever the hub, the network or the cache on disk may raise
        raise MissingDependency(
            f"{package} could not get the weights of {name} ({first_line(error)}): "
            "check the network, or give a file that you have"
        ) from error
    return dict(reference.state_dict())
