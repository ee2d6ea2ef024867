"""Where every command begins: the store, and networks in it as checked FP32 graphs with what is counted in them."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit import codec, env, zoo
from deploykit.bench.contain import READING_LIMIT_S, contained, start
from deploykit.code_digest import code_digest, others_digest
from deploykit.errors import InvalidModel, UsageError, one_line
from deploykit.graph.check import require_sizes
from deploykit.graph.count import count_graph
from deploykit.graph.evidence import blaming, runs_at
from deploykit.graph.export import export_model
from deploykit.graph.fit import require_fit, require_memory
from deploykit.graph.inputs import fix_batch, input_specs_of, name_batch_of_outputs, take_inputs
from deploykit.graph.names import part_names
from deploykit.graph.read_write import describe, read_source, write_model
from deploykit.graph.values import doubtful_inputs, parse_values
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.row import Note
from deploykit.spec import Counts, InputChoice, ModelFile, ModelSpec, OnnxModel, TensorSpec
from deploykit.store import Entry, GraphManifest, NetworkManifest, Store, file_sha256
from deploykit.workflow.choices import Variants
from deploykit.workflow.plan import DEFAULT_MODELS, Source
from deploykit.writing import working_folder
from deploykit.zoo import weights

#: Packages whose version can change the graph that an export gives.
_EXPORTERS = ("torch", "onnx", "onnxscript")


@dataclass(frozen=True)
class Network:
    """An FP32 graph (or a user's, as it is) and its facts.

    Attributes:
        model: the graph.
        folder: of its store entry; references that belong to it are stored there.
        facts: parameters, macs, activation_bytes, weight_bytes, uncounted, chosen, remarks of the graph.
        dataset: whose test part judges its accuracy, where its weights are of one that is the same anywhere.
        hit: whether it was in the store.
        notes: what was taken for what its file leaves open.
        origin: the user's file that it was taken in from, if it was.
        trained_on: what its weights say that they were trained on: `dataset`, or a folder or file of a user's own
            without its place.
    """

    model: OnnxModel
    folder: Path
    facts: Mapping[str, Any]
    dataset: str | None
    hit: bool
    notes: tuple[Note, ...] = ()
    origin: str | None = None
    trained_on: str | None = None


@dataclass(frozen=True)
class Counted:
    """What a network takes and costs, counted without making its weights or an entry of the store.

    Attributes:
        spec: the network; for a file, its name.
        inputs: what it takes; a batch that is free is 1 in the counts.
        counts: of one image.
        notes: what was taken for what its file leaves open.
    """

    spec: ModelSpec
    inputs: tuple[TensorSpec, ...]
    counts: Counts
    notes: tuple[Note, ...] = ()


def count_source(source: Source) -> Counted:
    """Count a network: the module of a name or a factory from its shapes, the graph of a file.

    Raises:
        UsageError, InvalidModel, MissingDependency, UnknownName: as `zoo.create` and `graph.read_write` say.
    """
    if isinstance(source, ModelFile):
        doing = f"reading {source.path}"
        return contained(
            count_file, source, doing=doing, failed=InvalidModel, limit_s=READING_LIMIT_S
        )
    shape = zoo.input_shape(source)
    counts = zoo.count_module(zoo.create(source, device="meta"), shape)
    return Counted(source, (TensorSpec("input", ("batch", *shape), "float32"),), counts)


def count_file(file: ModelFile) -> Counted:
    """Count the graph of a file in this process; see `count_source`.

    Operators that nobody here knows are taken, as nothing is run; the counts say what they leave out.
    """
    with _blaming(file.path):
        model, sha256, _ = read_source(file.path, foreign=True)
        notes = take_inputs(model, file.inputs)
        described = describe(model, file.path, sha256)
        spec = dataclasses.replace(described.spec, name=file.label or described.spec.name)
        view = GraphView(model)
        _require_fit(model, view, file.path, notes)
        return Counted(spec, described.inputs, count_graph(view), tuple(notes))


def _blaming(path: Path) -> contextlib.AbstractContextManager[None]:
    return blaming(path, lambda reason: InvalidModel(f"{path}: {reason}"))


def _require_fit(
    model: onnx.ModelProto, view: GraphView | None, path: Path, notes: Sequence[Note]
) -> None:
    """Refuse a file with inputs too large for any tensor, or in which shapes meet that do not fit each other.

    Raises:
        InvalidModel, UsageError: the line begins with the path.
    """
    require_sizes(model, path)
    taken = next((note.text for note in notes if note.kind == "inputs"), "")
    try:
        require_fit(model, view, taken)
    except UsageError as error:
        raise InvalidModel(f"{path}: {error}") from None


def obtain_network(source: Source | Path, store: Store) -> Network:
    """The graph of `source`: found in the store, or exported and verified, or taken in from its file.

    The inputs of a file are made definite (`graph.inputs`): after it, their only free dimension is the batch.
    Where others wiped the store meanwhile, the network is made once more.

    Raises:
        UsageError, InvalidModel, MissingDependency, DriftFailed: as `zoo.create`, `graph.export` and
            `graph.loading` say; nothing is left in the store.
    """
    asked = ModelFile(source) if isinstance(source, Path) else source
    return store.despite_wipes(lambda: _obtained(asked, store))


def _obtained(source: Source, store: Store) -> Network:
    if isinstance(source, ModelFile):
        return _from_file(source, None, store)
    if ":" in source.name:
        # The user's code may have changed in ways that can't be seen, so it is exported each time and the
        # bytes of the graph are what the store goes by.
        with working_folder() as folder:
            path = folder / "model.onnx"
            exported = export_model(source, path)
            network = _from_file(ModelFile(path), source, store)
        # A file says nothing of what it was compared with, and one of the same bytes may be in the store already.
        recipe = {**network.model.recipe, "verified": exported.recipe["verified"]}
        model = dataclasses.replace(network.model, recipe=recipe)
        return dataclasses.replace(network, model=model)
    return _from_zoo(source, store)


def _from_zoo(spec: ModelSpec, store: Store) -> Network:
    stored = _checkpoint(spec)
    fields: dict[str, Any] = {
        "spec": codec.to_values(spec),
        "checkpoint_sha256": file_sha256(stored) if stored else None,
        "versions": {name: env.package_version(name) for name in _EXPORTERS},
        "code": code_digest(__name__, "deploykit.zoo"),
    }
    if (others := others_digest(zoo.lookup(spec.name).factory)) is not None:
        fields["others"] = others

    def make(path: Path) -> Mapping[str, Any]:
        start()  # what comes after the export is done in it
        model = export_model(spec, path)
        return _describe(model) | {"dataset": weights.facts(spec).get("dataset")}

    return _network(
        store.produce(NetworkManifest, f"{spec.label}-fp32", fields, "model.onnx", make), spec
    )


@dataclass(frozen=True)
class Looked:
    """What a look into a user's file tells before it is taken in.

    Attributes:
        sha256: of its bytes, which covers files beside it that hold weights.
        whole: whether a copy of its bytes is the same model.
        precision: what it is written in.
        spec: the network.
        given: what was said of its inputs, files of values by their digest.
    """

    sha256: str
    whole: bool
    precision: str
    spec: ModelSpec
    given: InputChoice


def _from_file(file: ModelFile, spec: ModelSpec | None, store: Store) -> Network:
    doing = f"reading {file.path}"
    looked = contained(
        look_into,
        file.path,
        spec,
        file.inputs,
        doing=doing,
        failed=InvalidModel,
        limit_s=READING_LIMIT_S,
    )
    label = f"{looked.spec.label.replace(':', '.')}-{looked.precision}"

    def make(path: Path) -> Mapping[str, Any]:
        return contained(
            take_in,
            file.path,
            looked,
            path,
            doing=doing,
            failed=InvalidModel,
            limit_s=READING_LIMIT_S,
        )

    fields = {"source_sha256": looked.sha256, "code": code_digest(__name__)}
    if looked.given:
        fields["inputs"] = codec.to_values(looked.given)
    return _network(store.produce(NetworkManifest, label, fields, "model.onnx", make), looked.spec)


def look_into(path: Path, spec: ModelSpec | None, given: InputChoice) -> Looked:
    """Read and check a user's file.

    Args:
        path: the file.
        spec: the network that it was exported from; None goes by the file.
        given: what is said of its inputs.

    Raises:
        InvalidModel, DriftFailed: as `graph.read_write.read_source`.
        UsageError: values that can't be read.
    """
    with _blaming(path):
        proto, sha256, whole = read_source(path)
        source = describe(proto, path, sha256, spec)
    # The file of an input's values goes by its digest.
    values = tuple((name, parse_values(text, f"--input {name}=")) for name, text in given.values)
    given = dataclasses.replace(given, values=values)
    return Looked(sha256, whole, source.precision, source.spec, given)


def take_in(source: Path, looked: Looked, path: Path) -> dict[str, Any]:
    """Write a user's graph to `path`, its inputs made definite and tried, and return what a manifest holds of it.

    Args:
        source: the user's file.
        looked: what a look into it told.
        path: where the graph is to lie.

    Raises:
        InvalidModel: the file has changed since the look, or a node of it needs more memory than is left.
        UsageError: sizes or values do not fit the network.
    """
    with _blaming(source):
        proto, sha256, _ = read_source(source, looked.sha256)
        if sha256 != looked.sha256:
            raise InvalidModel(f"{source} has changed while it was read: run it again")
        before = _declared(proto)
        renamed = part_names(proto)
        notes = take_inputs(proto, looked.given)
        view = GraphView(proto)
        _require_fit(proto, view, source, notes)
        try:
            require_memory(view)
        except UsageError as error:
            raise InvalidModel(f"{source}: {error}") from None
        del view
        if renamed:
            count = "a node has" if renamed == 1 else f"{renamed} nodes have"
            text = f"{count} the name of another one, and a number behind it here"
            notes.append(Note("inputs", text))
        if (
            looked.whole and not renamed and _declared(proto) == before
        ):  # its bytes are taken as they are
            shutil.copyfile(source, path)
            digest = sha256
        else:
            digest = write_model(proto, path)
        before = _declared(proto)
        notes += _try(proto, path, notes)
        if _declared(proto) != before:
            digest = write_model(proto, path)
        facts = _describe(describe(proto, path, digest, looked.spec))
        return facts | {
            "dataset": None,
            "origin": str(source.absolute()),
            "notes": notes,
            "given": codec.to_values(looked.given),
        }


def _try(model: onnx.ModelProto, path: Path, assumptions: Sequence[Note]) -> list[Note]:
    """Run what was written to `path`, and learn from it of the batch; what it tells is changed in the model alone.

    A batch that is free in name only is fixed, and outputs that don't name theirs are told where it is.

    Args:
        model: the graph.
        path: its file.
        assumptions: what was taken for what the user's file leaves open.

    Returns:
        A note where the batch was fixed.

    Raises:
        UsageError: sizes that were taken do not fit the network.
    """
    free = any(spec.dynamic_batch for spec in input_specs_of(model))
    if not free and not assumptions:
        return []
    trials = runs_at(path, (1, 2) if free else (1,))
    if trials is None:
        return []
    if isinstance(trials[0], str):
        if assumptions:
            raise UsageError(
                f"the network does not run with what is {assumptions[0].text}: {one_line(trials[0], 200)}: "
                "give sizes with --shape or --dim" + doubtful_inputs(input_specs_of(model))
            )
        return []
    if not free:
        return []
    if not isinstance(trials[1], str):
        name_batch_of_outputs(model, trials[0], trials[1])
        return []
    fix_batch(model, 1)
    return [
        Note(
            "inputs",
            "the batch is open in the file but fixed to 1 by what is inside",
            "export it again for other batches",
        )
    ]


def _declared(model: onnx.ModelProto) -> tuple[bytes, ...]:
    """What `take_inputs` may change of a model."""
    graph = model.graph
    parts = (*graph.input, *graph.output, *graph.value_info, *model.metadata_props)
    return tuple(part.SerializeToString(deterministic=True) for part in parts)


def _checkpoint(spec: ModelSpec) -> Path | None:
    """The file that the weights come from, where they come from one."""
    if weights.is_trained(spec.weights):
        return weights.trained(spec)
    return None if spec.weights in weights.KEYWORDS else weights.existing(spec.weights)


def _describe(model: OnnxModel) -> dict[str, Any]:
    """What the manifest keeps of a graph, so that nothing has to be read or counted again."""
    counts = count_graph(model.path)
    return {
        "sha256": model.sha256,
        "network": model.spec,
        "precision": model.precision,
        "inputs": model.inputs,
        "outputs": model.outputs,
        "recipe": dict(model.recipe),
        "counts": {
            "parameters": counts.parameters,
            "macs": counts.macs,
            "activation_bytes": counts.activation_bytes,
            "weight_bytes": counts.weight_bytes,
            "uncounted": dict(counts.uncounted),
            "chosen": list(counts.chosen),
            "remarks": list(counts.remarks),
        },
    }


def _network(entry: Entry[NetworkManifest], spec: ModelSpec) -> Network:
    trained_on = entry.manifest.dataset
    return Network(
        model=model_of(entry, spec),
        folder=entry.folder,
        facts=entry.values["counts"],
        # Of a user's own images it says no place; another folder of that name would be taken for them.
        dataset=None if trained_on is None or ":" in trained_on else trained_on,
        hit=entry.hit,
        notes=entry.manifest.notes,
        origin=entry.manifest.origin,
        trained_on=trained_on,
    )


def model_of(entry: Entry[GraphManifest] | Entry[NetworkManifest], spec: ModelSpec) -> OnnxModel:
    """The graph of a store entry, from its manifest alone."""
    manifest = entry.manifest
    return OnnxModel(
        path=entry.path,
        sha256=manifest.sha256,
        spec=spec,
        precision=manifest.precision,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        recipe=manifest.recipe,
    )


def input_chw(model: OnnxModel) -> tuple[int, int, int] | None:
    """Channels, height, width of the graph's image input, or None where it has no such input."""
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        return None
    first, second, third = model.inputs[0].with_batch(1)[1:]
    return (third, first, second) if model.inputs[0].layout == "NHWC" else (first, second, third)


def stored_sources(store: Store) -> list[Source]:
    """The networks that the store has graphs of, in the order of their names.

    A user's own file counts as long as it is where it was.
    """
    sources: list[Source] = []
    for entry in store.entries(NetworkManifest):
        origin = entry.manifest.origin
        if origin is None:
            sources.append(entry.manifest.network)
        elif Path(origin).is_file():
            sources.append(ModelFile(Path(origin), entry.manifest.given))
    return list(dict.fromkeys(sources))


def sources_without_names(store: Store, variants: Variants) -> list[Source]:
    """What a profile of no MODEL in particular is about: the store's networks, else the default ones.

    Raises:
        UsageError: there are options that shape a network, but no network is named.
    """
    if variants != Variants():
        raise UsageError("--alpha, --rho, --weights and their like need a MODEL: name one")
    return stored_sources(store) or list(DEFAULT_MODELS)
