"""How inputs are made up where no data is given: the texts of `--input`, and the values that they mean."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deploykit import env
from deploykit.errors import UsageError
from deploykit.lazy import np
from deploykit.reading import open_file
from deploykit.spec import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMS = "FILE.npy, range(0,255), range(0,255):uint8 for whole numbers, constant(16000), tokens(0,30000) or normal"
_CALL = re.compile(r"(range|constant|tokens|normal)(?:\(([^()]*)\))?")
#: Whole numbers are drawn as int64.
_LARGEST_TOKEN = 2**62
#: What a text is led by whose values stand in a file, and how much of the file's digest follows its path.
_FILE, _DIGEST = "file:", 16


def numpy_type(dtype: str) -> np.dtype[Any] | None:
    """The type of numpy's own by that name; None where it has none.

    For bfloat16, FP8 and integers of 4 bits it has none, though packages beside it may add some, once they are
    imported, that behave like no number's.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        return None
    return None if found.kind == "V" else found


def is_float(dtype: str) -> bool:
    """Whether it is the name of a floating-point type that numpy has."""
    found = numpy_type(dtype)
    return found is not None and found.kind == "f"


def default_values(dtype: str) -> str:
    """What an input of a type gets: normal values, or zeros and ones, which are valid as indices and masks."""
    return "normal" if is_float(dtype) else "range(0,1)"


def parse_values(text: str, option: str = "--input") -> str:
    """The text of one input's values in the form in which it is stored; files by their path and digest.

    Raises:
        UsageError: it is none of the forms, or the file can't be read as one array.
    """
    if text.startswith(_FILE):
        return text
    if text.endswith(".npy"):
        path = Path(text)
        digest, _ = _stored(path, option)
        return f"{_FILE}{path.absolute()}#{digest}"
    text, colon, kind = text.partition(":")
    name, numbers = _parts(text, option)
    wanted = {"range": 2, "tokens": 2, "constant": 1, "normal": 0}[name]
    if len(numbers) != wanted:
        raise UsageError(f"{option} {text}: {name} takes {wanted} numbers; give {FORMS}")
    if wanted == 2 and not numbers[0] < numbers[1]:
        raise UsageError(f"{option} {text}: the first number must be below the second")
    if colon:
        name, numbers = _of_type(name, numbers, kind.strip(), f"{option} {text}:{kind}")
    return f"{name}({','.join(f'{n:.17g}' for n in numbers)})" if numbers else name


def _of_type(
    name: str, numbers: tuple[float, ...], kind: str, said: str
) -> tuple[str, tuple[float, ...]]:
    """Values of an element type, such as range(0,255):uint8, which may then be stored as another one.

    A range of an integer type is of whole numbers, its last one among them, also where the input is of floats.

    Raises:
        UsageError: it is no numeric type, or can't hold the numbers.
    """
    try:
        dtype = np.dtype(kind)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiu":
        raise UsageError(
            f"{said}: {kind!r} is no type of numbers; give one such as uint8 or float32"
        )
    if dtype.kind == "f":
        return name, numbers
    limits = np.iinfo(dtype)
    ends = (*numbers[:1], numbers[1] - 1) if name == "tokens" else numbers
    if name == "normal" or any(n != int(n) or not limits.min <= n <= limits.max for n in ends):
        raise UsageError(f"{said}: {kind} holds whole numbers from {limits.min} to {limits.max}")
    return ("tokens", (numbers[0], numbers[1] + 1)) if name == "range" else (name, numbers)


def _stored(path: Path, option: str) -> tuple[str, NDArray[Any]]:
    """The digest of a file of one array, and the array.

    Raises:
        UsageError: it can't be read as one.
    """
    try:
        with open_file(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST]
            size_bytes = file.tell()
            file.seek(0)
            return digest, read_array(file, size_bytes, f"{option} {path}")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{option} {path} can't be read: {error}; save it with numpy.save"
        ) from None


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, the order of axes (True for Fortran's) and the type of an array that numpy stored.

    Raises:
        OSError, ValueError: it is none, or its header is not sound.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"array format {version} is not known")
    except (EOFError, RecursionError, SyntaxError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    if any(not 0 <= size < 2**63 for size in shape):
        raise ValueError("its shape has a size below 0 or beyond 64 bits")
    return shape, fortran, dtype


def read_array(file: IO[bytes], size_bytes: int, what: str) -> NDArray[Any]:
    """An array that numpy stored, without what is no number or text, and without more memory than there is.

    A header may state any shape: it is held against what is stored before anything is allocated.

    Args:
        file: at its begin.
        size_bytes: that are stored, header included.
        what: it is, as the subject of a message.

    Raises:
        OSError, ValueError: it is not sound.
        UsageError: it takes more memory than is left.
    """
    begin = file.tell()
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read (allow_pickle)")
    held = math.prod(shape) * dtype.itemsize
    if held > size_bytes - (file.tell() - begin):
        raise ValueError("the array is cut short")
    env.require_memory(held, what)
    file.seek(begin)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _parts(text: str, option: str) -> tuple[str, tuple[float, ...]]:
    match = _CALL.fullmatch(text.replace(" ", ""))
    try:
        if match is not None:
            numbers = tuple(float(n) for n in (match[2] or "").split(",") if n)
            if np.isfinite(np.asarray(numbers, float)).all():
                return match[1], numbers
    except ValueError:
        pass
    raise UsageError(f"{option} {text!r} is no way to make values: give {FORMS}")


def make_values(spec: TensorSpec, batch: int, generator: np.random.Generator) -> NDArray[Any]:
    """Values for an input at a batch: as its `values` say, else the default of its type.

    Raises:
        UsageError: its type is not numeric, its values take more memory than is left, or its file has changed
            or does not fit.
    """
    if spec.dtype in ("string", "object"):
        raise UsageError(
            f"input {spec.name!r} takes text, which can't be made up: cut it off, and what reads it, with "
            "onnx.utils.extract_model"
        )
    dtype = numpy_type(spec.dtype)
    if dtype is None or dtype.kind not in "fiub":
        raise UsageError(
            f"input {spec.name!r} is of type {spec.dtype}, which numpy and so the runtimes' Python interfaces have "
            "not: export the model with float32 inputs"
        )
    text = spec.values or default_values(spec.dtype)
    shape = spec.with_batch(batch)
    if text.startswith(_FILE):
        return _from_file(text, spec, shape)
    require_values_fit([spec], batch)
    name, numbers = _parts(text, "--input")
    values: NDArray[Any]
    if name == "normal":
        values = generator.standard_normal(shape, dtype=np.float32)
    elif name == "constant":
        values = np.full(shape, numbers[0])
    elif name == "tokens":
        values = generator.integers(int(numbers[0]), int(numbers[1]), size=shape)
    elif dtype.kind == "f":
        values = generator.uniform(numbers[0], numbers[1], size=shape)
    else:
        values = generator.integers(int(numbers[0]), int(numbers[1]) + 1, size=shape)
    return np.asarray(values, dtype=dtype, order="C")


def require_values_fit(inputs: Sequence[TensorSpec], batch: int, sets: int = 1) -> None:
    """Refuse inputs that take more memory than is left, before they are made.

    Raises:
        UsageError: they do.
    """
    types = [numpy_type(spec.dtype) for spec in inputs]  # what has none is refused when it is made
    sizes = [
        math.prod(spec.with_batch(batch)) * (1 if dtype is None else dtype.itemsize)
        for spec, dtype in zip(inputs, types, strict=True)
    ]
    named = " and ".join(
        f"{spec.name!r} of shape {list(spec.with_batch(batch))}" for spec in inputs
    )
    env.require_memory(sum(sizes) * sets, f"made-up input {named}" + f", {sets} times" * (sets > 1))


def check_values(spec: TensorSpec) -> None:
    """Refuse values that an input can't hold.

    Raises:
        UsageError: a number beyond its type, or a file of another shape.
    """
    dtype = numpy_type(spec.dtype)
    if not spec.values or spec.values == "normal" or dtype is None:
        return
    if spec.values.startswith(_FILE):
        _from_file(spec.values, spec, spec.with_batch(1))
        return
    name, numbers = _parts(spec.values, "--input")
    if name == "tokens" or dtype.kind == "f":
        # Half of the type's largest, so that the span of a range is one of its numbers, too.
        largest = float(np.finfo(dtype).max) / 2 if dtype.kind == "f" else math.inf
        largest = min(largest, float(_LARGEST_TOKEN)) if name == "tokens" else largest
        if any(abs(n) > largest for n in numbers):
            raise UsageError(
                f"--input {spec.name}={spec.values}: {name} of {spec.dtype} takes numbers from {-largest:g} to "
                f"{largest:g}"
            )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if any(not limits.min <= n <= limits.max + 1 or n != int(n) for n in numbers):
            raise UsageError(
                f"--input {spec.name}={spec.values}: {spec.dtype} holds whole numbers from {limits.min} "
                f"to {limits.max}"
            )


def _from_file(text: str, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[Any]:
    path, _, digest = text.removeprefix(_FILE).rpartition("#")
    known, stored = _stored(Path(path), "--input")
    if known != digest:
        raise UsageError(f"{path} has changed since it was given with --input: give it again")
    axis = spec.batch_axis
    if axis is not None and stored.ndim == len(shape) - 1:
        stored = np.expand_dims(stored, axis)
    if axis is not None and stored.ndim == len(shape) and stored.shape[axis]:
        # As many as the batch needs, the first again after the last.
        stored = np.take(stored, np.arange(shape[axis]) % stored.shape[axis], axis=axis)
    if stored.shape != shape or not np.can_cast(stored.dtype, spec.dtype, "same_kind"):
        raise UsageError(
            f"--input {path} holds {stored.dtype} {list(stored.shape)}, and input {spec.name!r} takes "
            f"{spec.dtype} {list(shape)}: save it in that type and shape"
        )
    return np.asarray(stored, dtype=spec.dtype, order="C")


def values_text(spec: TensorSpec) -> str:
    """What an input is made up of, as people read it: the default of its type where nothing is said."""
    text = spec.values or default_values(spec.dtype)
    return Path(text.rpartition("#")[0]).name if text.startswith(_FILE) else text


def is_guessed(spec: TensorSpec) -> bool:
    """Whether an input may mean what made-up values are not: a size, a place or a mask that nobody gave."""
    return not spec.values and (
        spec.dtype.startswith(("int", "uint", "bool")) or len(spec.shape) < 2
    )


def doubtful_inputs(inputs: Sequence[TensorSpec]) -> str:
    """What to try where a network does not run, or gives what is no number: inputs whose values were guessed."""
    guessed = [spec for spec in inputs if is_guessed(spec)]
    if not guessed:
        return ""
    names = " and ".join(f"{spec.name} was fed {values_text(spec)}" for spec in guessed[:2])
    return f"; {names}: give what it takes with --input {guessed[0].name}=FILE.npy, say"


def inputs_text(inputs: Sequence[TensorSpec], batch: int) -> str:
    """The cell of the `inputs` column: name, shape, type and values of each."""
    return "; ".join(
        f"{spec.name}={'x'.join(map(str, spec.with_batch(batch))) or 'scalar'} {spec.dtype} "
        f"{values_text(spec)}{' NHWC' if spec.layout == 'NHWC' else ''}"
        for spec in inputs
    )
