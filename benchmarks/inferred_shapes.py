"""MACs from shapes that are inferred, beside MACs from the shapes of a run, on networks of others.

    python -m benchmarks.inferred_shapes [NETWORK]... [--csv FILE]

Counting needs the shape of every product's operands, and a file seldom says them all: sizes are computed by
chains of Shape, Slice, Concat and Reshape. Each network of studies/wild.toml is run once with all that it
computes as outputs, and the rules of deploykit.graph.operators are summed up from the shapes that were there.
The same rules are summed up from the shapes that deploykit follows without a run, that ONNX's own inference
tells, and that it tells of what the optimiser of ONNX Script and, where it is installed, onnxslim make of the
graph. A product is missing where a shape is not known. All see the same graph: functions written out, the
inputs of the sizes that are run.

Products in the bodies of If, Loop and Scan are left out on all sides, as a run does not show what is in them;
"in_bodies" says how many bodies there are that multiply.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.int8_peers import made_up, source_of
from deploykit import env
from deploykit.errors import BuildFailed, DeploykitError, one_line
from deploykit.graph.count import has_rule, has_work, macs_of
from deploykit.graph.nodes import attribute_graphs
from deploykit.graph.operators import operator_of
from deploykit.graph.read_write import read_model
from deploykit.graph.view import GraphView
from deploykit.ort_session import open_session, session_options
from deploykit.report.csv import CsvReport, read_cells
from deploykit.store import Store
from deploykit.workflow.network import obtain_network
from studies import wild

#: Ways to know shapes without a run, ours first.
WAYS = ("deploykit", "onnx", "onnxscript", "onnxslim")
#: Of the report. "run_macs" are those of a run, "WAY_missing" the products whose shapes that way does not tell.
COLUMNS = (
    *("network", "products", "in_bodies", "run_macs"),
    *(f"{way}_{what}" for way in WAYS for what in ("macs", "missing", "s")),
    *("note", "versions", "env_id", "code"),
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Summed:
    """The multiply-accumulates of the products whose shapes are known, and how many products lack them."""

    macs: int
    missing: int


def products(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the main graph that multiply what depends on an input."""
    fixed = {tensor.name for tensor in graph.initializer}
    varying = {value.name for value in graph.input} - fixed
    for node in graph.node:
        bodies = list(attribute_graphs(node))
        if bodies or varying.intersection(node.input):
            varying.update(name for name in node.output if name)
            if not bodies and has_rule(node):
                yield node


def summed(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> Summed:
    """What the rules make of shapes by the names of tensors."""
    macs = missing = 0
    for node in products(graph):
        operator = operator_of(node)
        assert operator is not None
        assert operator.macs is not None
        found = operator.macs(node, [shapes.get(n) for n in node.input], shapes.get(node.output[0]))
        macs, missing = macs + (found or 0), missing + (found is None)
    return Summed(macs, missing)


def shapes_of_a_run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, Shape]:
    """The shapes of all that a graph computes, as they were."""
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    made = [name for node in seen.graph.node for name in node.output if name]
    del seen.graph.output[:]
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        path = Path(folder) / "seen.onnx"
        onnx.save(seen, path)
        session = open_session(path, session_options(optimise=False), BuildFailed)
        values = session.run(None, dict(feeds))
    found = dict(zip(made, map(np.shape, values), strict=True))
    return found | {name: a.shape for name, a in feeds.items()} | stored(model.graph)


def stored(graph: onnx.GraphProto) -> dict[str, Shape]:
    """The shapes of the tensors that a graph stores."""
    return {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def at_sizes(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with the sizes that are run as those of its inputs, and no shape else."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    del sized.graph.value_info[:]
    for value in sized.graph.input:
        if value.name in feeds:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for size in feeds[value.name].shape:
                shape.dim.add().dim_value = size
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    return sized


def inferred(model: onnx.ModelProto) -> Summed:
    """What ONNX's own inference, with the values of small tensors, tells of a graph."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = stored(graph)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            shapes.setdefault(value.name, tuple(d.dim_value for d in dims))
    return summed(graph, shapes)


def by_deploykit(model: onnx.ModelProto) -> Summed:
    """What deploykit follows without a run."""
    view = GraphView.of(model).expanded
    macs = [macs_of(node, view) for node in products(view.graph)]
    return Summed(sum(one or 0 for one in macs), macs.count(None))


def by_onnxscript(model: onnx.ModelProto) -> Summed:
    """What ONNX's inference tells of what ONNX Script's optimiser makes of a graph."""
    from onnxscript import optimizer

    return inferred(optimizer.optimize(model))


def by_onnxslim(model: onnx.ModelProto) -> Summed:
    """What ONNX's inference tells of what onnxslim makes of a graph."""
    import onnxslim

    return inferred(onnxslim.slim(model))


ASKED: Mapping[str, Callable[[onnx.ModelProto], Summed]] = {
    "deploykit": by_deploykit,
    "onnx": inferred,
    "onnxscript": by_onnxscript,
    "onnxslim": by_onnxslim,
}


def row_of(name: str, cache: Path) -> dict[str, str]:
    """The row of one network; what fails is its note."""
    row = {"network": name, "env_id": env.env_id(), "code": wild.state_of_code(Path(__file__))}
    row["versions"] = " ".join(f"{p} {env.package_version(p) or 'none'}" for p in WAYS)
    notes = []
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        network = obtain_network(source_of(name, cache), Store(Path(folder)))
        feeds = made_up(network, seed=1, count=1)[0]
        model = read_model(network.model.path)
    truth = summed(model.graph, shapes_of_a_run(model, feeds))
    bodies = [body for node in model.graph.node for body in attribute_graphs(node)]
    row["products"] = str(len(list(products(model.graph))))
    row["in_bodies"] = str(sum(has_work(body) for body in bodies))
    row["run_macs"] = str(truth.macs)
    for way, ask in ASKED.items():
        start_s = time.perf_counter()
        try:
            found = ask(at_sizes(model, feeds))
        except ImportError:
            continue
        except Exception as error:  # of any type: they are others' code
            notes.append(f"{way} fails: {type(error).__name__}: {one_line(error, 80)}")
            continue
        row[f"{way}_macs"], row[f"{way}_missing"] = str(found.macs), str(found.missing)
        row[f"{way}_s"] = f"{time.perf_counter() - start_s:.2f}"
    return {**row, "note": "; ".join(notes)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Count the networks that are named, or all; end with 1 where ours is not what a run tells."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inferred_shapes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everyone = [one.name for one in wild.networks()]
    parser.add_argument("names", nargs="*", default=everyone)
    parser.add_argument("--cache", type=Path, default=wild.cache_folder())
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    rows: dict[str, dict[str, str]] = {}
    if options.csv and options.csv.exists():
        rows = {row["network"]: dict(row) for row in read_cells(str(options.csv))}
    wrong = []
    for name in options.names:
        try:
            row = row_of(name, options.cache)
        except (DeploykitError, OSError) as error:
            row = {"network": name, "note": one_line(error, 200)}
        rows[name] = row
        if row.get("deploykit_macs") != row.get("run_macs"):
            wrong.append(name)
        print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        if options.csv:
            CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))
    if wrong:
        print(f"other than by a run: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
