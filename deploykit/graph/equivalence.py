"""Whether a rewritten network computes what it did: both are run on the same made-up inputs.

ONNX Runtime runs them as they stand. Where it runs one of them not, as it has few operators of opsets before 7,
ONNX's reference does; it has faults of its own in old opsets, but the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deploykit.errors import DeploykitError, InvalidModel, UsageError, one_line
from deploykit.graph.evidence import TRIAL_LIMIT_S, run_within
from deploykit.graph.inputs import input_specs_of
from deploykit.graph.nodes import node_name, opset
from deploykit.graph.normalise import replace_graph
from deploykit.graph.read_write import is_apart, open_proto
from deploykit.graph.shapes import skeleton
from deploykit.graph.values import make_values
from deploykit.lazy import np, onnx
from deploykit.ort_session import installed_version, session_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = Mapping[str, NDArray[Any]]
    Outputs = Mapping[str, Any]
    Runner = Callable[[onnx.ModelProto, Values], Outputs]

#: Relative error (of norms) up to which outputs are the same but for rounding.
SAME = 1e-3
#: Operators before opset 7 of which the reference computes something else than the standard and the runtimes: an
#: average over the padding too.
_WRONG_IN_REFERENCE, _RIGHT_FROM = frozenset({"AveragePool"}), 7
#: Weights of this much run in ONNX's reference in seconds: it is written in Python.
_REFERENCE_BYTES = 64 * 2**20


class NotRun(DeploykitError):
    """The network does not run with what is here, which tells nothing of it."""


class Trial:
    """A network's outputs before it is rewritten, to compare with those afterwards.

    Args:
        model: the network before.

    Attributes:
        said: what compared it, or why nothing did.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.said = ""
        self.feeds: Values | None = None
        self.before: Outputs | NotRun
        try:
            self.feeds = _feeds(model, seed=0)
            self.before = _by_runtime(model, self.feeds)
        except NotRun as error:
            self.before = error

    def compare(
        self,
        model: onnx.ModelProto,
        old: onnx.ModelProto,
        rewrite: Callable[[onnx.ModelProto], None],
    ) -> None:
        """Hold the rewritten network against what it was.

        Args:
            model: the network afterwards; not to be used any more where it is refused.
            old: what it was, without its weights.
            rewrite: does to a network what was done to this one.

        Raises:
            InvalidModel: it computes something else, or does not run any more; the first operator that does is
                named.
        """
        if self.feeds is None:
            self.said = f"not run: {self.before}"
            return
        reasons = []
        if isinstance(self.before, NotRun):
            reasons.append(str(self.before))
        else:
            try:
                same = _same(self.before, _by_runtime(model, self.feeds))
            except NotRun as error:
                reasons.append(str(error))
            else:
                if not same:
                    self._look_closer(model, old, rewrite, _by_runtime)
                self.said = "the same in ONNX Runtime"
                return
        wrong = {node.op_type for node in old.graph.node} & _WRONG_IN_REFERENCE
        if wrong and opset(old) < _RIGHT_FROM:
            self.said = f"not run: {reasons[0]}; ONNX's reference is wrong for {', '.join(wrong)}"
            return
        new = skeleton(model)
        try:
            after = _by_reference(model, self.feeds)
            _put_back(model, old)
            before = _by_reference(model, self.feeds)
        except NotRun as error:
            self.said = f"not run: {reasons[0]}; {error}"
            return
        finally:
            _put_back(model, new)
        if not _same(before, after):
            self._look_closer(model, old, rewrite, _by_reference)
        self.said = "the same in ONNX's reference"

    def _look_closer(
        self,
        model: onnx.ModelProto,
        old: onnx.ModelProto,
        rewrite: Callable[[onnx.ModelProto], None],
        run: Runner,
    ) -> None:
        """Refuse the network by its first operator that computes something else, if it is not random.

        Raises:
            InvalidModel: there is such an operator.
        """
        feeds = self.feeds or {}
        present, least = opset(old), opset(model)
        _add_outputs(old)
        _put_back(model, old)
        try:
            before, again = run(model, feeds), run(model, feeds)
            rewrite(model)
            after = run(model, feeds)
        except (NotRun, InvalidModel):
            before = again = after = {}
        for node in old.graph.node:
            for name in node.output:
                if name in after and not _same({name: before[name]}, {name: after[name]}):
                    if not _same({name: before[name]}, {name: again[name]}):
                        return  # random values, and what is made of them
                    raise InvalidModel(_refusal(node, present, least))
        raise InvalidModel(_refusal(None, present, least))


def _refusal(node: onnx.NodeProto | None, present: int, least: int) -> str:
    what = "the network" if node is None else f"{node.op_type} node {node_name(node)!r}"
    return (
        f"{what} computes something else once opset {present} is raised to {least}: export the model with opset "
        f"{least} or newer"
    )


def _feeds(model: onnx.ModelProto, seed: int) -> Values:
    generator = np.random.default_rng(seed)
    try:
        return {spec.name: make_values(spec, 1, generator) for spec in input_specs_of(model)}
    except UsageError as error:
        raise NotRun(str(error)) from None


def _by_runtime(model: onnx.ModelProto, feeds: Values) -> Outputs:
    """Outputs of ONNX Runtime, which runs the graph as it stands.

    Raises:
        NotRun: it does not, or not within `TRIAL_LIMIT_S`.
    """
    if installed_version() is None:
        raise NotRun("there is no ONNX Runtime")
    names = [value.name for value in model.graph.output]
    session = open_proto(model, session_options(optimise=False), NotRun)
    try:
        outputs = run_within(session, names, feeds)
    except Exception as error:  # ONNX Runtime has a class per status code, without a common base
        raise NotRun(one_line(error, 160)) from None
    if outputs is None:
        raise NotRun(f"it was not done after {TRIAL_LIMIT_S:.0f} s")
    return dict(zip(names, outputs, strict=True))


def _by_reference(model: onnx.ModelProto, feeds: Values) -> Outputs:
    """Outputs of ONNX's reference.

    Raises:
        NotRun: it does not run the network, or would take long.
    """
    from onnx.reference import ReferenceEvaluator  # no part of what `import onnx` brings

    if is_apart(model) or sum(len(t.raw_data) for t in model.graph.initializer) > _REFERENCE_BYTES:
        raise NotRun("too large for ONNX's reference")
    names = [value.name for value in model.graph.output]
    try:
        outputs = ReferenceEvaluator(model).run(names, dict(feeds))
    except Exception as error:  # it raises whatever its operators raise
        raise NotRun(f"ONNX's reference: {one_line(error)[:100]}") from None
    return dict(zip(names, outputs, strict=True))


def _same(before: Outputs, after: Outputs) -> bool:
    """Whether outputs are equal but for rounding."""
    return before.keys() == after.keys() and all(_equal(v, after[n]) for n, v in before.items())


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, list) or isinstance(after, list) or before is None or after is None:
        return _is_list_equal(before, after)
    one, other = np.asarray(before), np.asarray(after)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fc" and one.dtype.kind != "V":
        return bool(np.array_equal(one, other))
    one, other = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(one)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return False
    one, other = one[finite], other[finite]
    if not np.isfinite(other).all():
        return False
    # Squares of a float32's largest values still have room in a float64.
    return bool(np.linalg.norm(one - other) <= SAME * np.linalg.norm(one))


def _is_list_equal(before: Any, after: Any) -> bool:
    """Sequences of tensors, and optional values that are none."""
    if not isinstance(before, list) or not isinstance(after, list):
        return before is after
    return len(before) == len(after) and all(map(_equal, before, after))


def _put_back(model: onnx.ModelProto, light: onnx.ModelProto) -> None:
    """Give a model the nodes and outputs of another, which may lack its weights."""
    replace_graph(model, light)
    del model.graph.output[:]
    model.graph.output.extend(light.graph.output)


def _add_outputs(light: onnx.ModelProto) -> None:
    """Make all that the nodes of a graph make an output of it, which has a type that inference tells."""
    try:
        known = onnx.shape_inference.infer_shapes(light).graph
    except Exception:  # then the outputs that are there must do
        return
    outputs = {value.name for value in light.graph.output}
    light.graph.output.extend(v for v in known.value_info if v.name not in outputs)
