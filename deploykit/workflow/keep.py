"""Mixed precision: which layers of a network stay in float32, by rule, by what each costs, or by search.

The search looks for the fewest layers with which a network keeps its accuracy, a metric of the user's own, or its
outputs their signal.
Layers are ranked once, by how much noise each adds to what it was given; that takes one conversion. The
ranking only says in which order to try: each answer comes from a graph that was converted and measured.
The number of layers is found by bisection, and then each is put back in turn, the least suspected first,
and stays out where the goal holds without it. No layer of the answer can be left out alone; that no other
choice is smaller is not proved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deploykit.bench import contain
from deploykit.bench.accuracy import graph_value
from deploykit.bench.drift import IMAGES, LayerDrift, layer_drift
from deploykit.code_digest import code_digest
from deploykit.errors import BuildFailed, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.lineage import layers, neighbours
from deploykit.graph.operators import PRODUCTS, Trait, names
from deploykit.graph.precision import KeepRules, convert, find_recipe
from deploykit.graph.read_write import read_inlined
from deploykit.graph.recipes import AS_IS, PrecisionRecipe
from deploykit.graph.view import GraphView
from deploykit.spec import OnnxModel
from deploykit.workflow.calibration import calibration_of
from deploykit.workflow.choices import CalibrationChoice, Goal, KeepChoice
from deploykit.workflow.network import Network
from deploykit.writing import working_folder

#: Operators beside the products that recipes can compute in few bits; a Sum of two is written as an Add.
_OTHERS = names(Trait.INTEGER_FORM) | {"Sum"}
#: Images whose ranges are enough to rank layers by; the verdict on what is kept takes them all.
RANKING_IMAGES = 8


def keep_facts(choice: KeepChoice, dataset: str | None) -> dict[str, Any] | None:
    """What a converted graph's key takes in of `choice`; `dataset` is what costs are measured on."""
    if not choice:
        return None
    facts: dict[str, Any] = asdict(choice)
    if choice.drift:
        facts |= {"ranked_on": dataset, "code": code_digest(__name__)}
    return facts


def keep_rules(
    network: Network, precision: str, target: str, choice: CalibrationChoice
) -> KeepRules | None:
    """The rules that `choice.keep` means for a network; None where there are none.

    Layers to keep for what they cost are found by converting and running them one by one.

    Raises:
        DeploykitError: as `layers_by_snr` says.
    """
    keep = choice.keep
    if not keep:
        return None
    names = list(keep.nodes)
    if keep.drift:
        ranked = layers_by_snr(network, precision, target, choice)
        names += [name_as_rule(name) for name, _ in ranked][: keep.drift]
    return KeepRules(tuple(dict.fromkeys(names)), keep.op_types)


def layers_by_snr(
    network: Network,
    precision: str,
    target: str,
    choice: CalibrationChoice | None = None,
    *,
    images: int = IMAGES,
    on_layer: Callable[[str], None] = lambda node: None,
) -> list[tuple[str, float | None]]:
    """Convolutions and matrix products by what writing that one alone in `precision` costs, worst first.

    For each, the network is converted with all others kept in float32, and the outputs are compared with
    those of fp32: a layer's own contribution, without what others before it have done to its input. That
    takes a conversion and a run per layer.

    Args:
        network: the fp32 network.
        precision: what one layer at a time is written in.
        target: the target whose recipe does it.
        choice: the calibration; no more than `RANKING_IMAGES` of its images are used.
        images: that outputs are compared on, from the calibration part.
        on_layer: called with the name of each layer before it is converted.

    Returns:
        Node names, each with the signal-to-noise ratio of the outputs in dB, lowest first.

    Raises:
        DeploykitError: as `deploykit.graph.precision.convert` and `deploykit.bench.drift.layer_drift` say.
    """
    recipe = find_recipe(precision, target)
    choice = choice or CalibrationChoice()
    calibration = ranking_calibration(network, choice, recipe) if recipe.needs_calibration else None
    view = GraphView(read_inlined(network.model.path))
    graph_layers = layers(view)
    graph_outputs = view.outputs
    output_layers = [layer.node for layer in graph_layers if layer.tensor in graph_outputs]
    node_names = {node.name for node in view.nodes if node.name}
    products = [x.node for x in graph_layers if x.op_type in PRODUCTS and x.node in node_names]
    del view
    ranked: list[tuple[str, float | None]] = []
    with working_folder() as folder:
        for name in products:
            on_layer(name)
            keep = KeepRules(
                nodes=tuple(name_as_rule(other) for other in products if other != name)
            )
            model = convert(
                network.model, precision, target, folder / "one.onnx", calibration, keep
            )
            drift = layer_drift(
                network.model,
                model,
                dataset=choice.data or network.dataset,
                images=images,
                activation_bytes=int(network.facts["activation_bytes"]),
                only=output_layers,
            )
            values = [d.snr_db for d in drift.values() if d.snr_db is not None]
            ranked.append((name, min(values, default=None)))
    return sorted(ranked, key=lambda pair: float("inf") if pair[1] is None else pair[1])


def ranking_calibration(
    network: Network, choice: CalibrationChoice, recipe: PrecisionRecipe
) -> Calibration:
    """The few images that are enough to rank layers by; all of them where there are fewer.

    Raises:
        UsageError: as `calibration_of`.
    """
    few = min(choice.images or RANKING_IMAGES, RANKING_IMAGES)
    with suppress(UsageError):  # there are fewer, and nobody asked for so many
        return calibration_of(network, replace(choice, images=few), recipe)
    return calibration_of(network, choice, recipe)


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    Attributes:
        nodes: to leave in float32, in the graph's order; None where not even all suffice.
        candidates: how many there were to choose from.
        without: the drop or the ratio with none kept.
        reached: the same with `nodes` kept, or with all of them.
        measured: conversions that were made and measured.
        complete: whether the search came to its end; else `nodes` reach the goal, but fewer may.
    """

    nodes: tuple[str, ...] | None
    candidates: int
    without: float
    reached: float
    measured: int
    complete: bool = True


def fewest(
    ranked: Sequence[str],
    holds: Callable[[tuple[str, ...]], bool],
    late: Callable[[], bool] = lambda: False,
) -> tuple[str, ...] | None:
    """The shortest beginning of `ranked` for which `holds`, less what it can do without; None if none does.

    Args:
        ranked: the most suspected first.
        holds: whether keeping these is enough; asked once for each choice.
        late: whether to end with what is known to hold by now.
    """
    if holds(()):
        return ()
    if not holds(tuple(ranked)):
        return None
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1 and not late():
        middle = (too_few + enough) // 2
        if holds(tuple(ranked[:middle])):
            enough = middle
        else:
            too_few = middle
    fp32_nodes = tuple(ranked[:enough])
    for name in reversed(ranked[:enough]):
        fewer = tuple(other for other in fp32_nodes if other != name)
        if late():
            break
        if len(fp32_nodes) > 1 and holds(fewer):
            fp32_nodes = fewer
    return fp32_nodes


def by_added_noise(
    candidates: Sequence[str],
    drift: Mapping[str, LayerDrift],
    makers: Mapping[str, set[str]],
) -> list[str]:
    """Layers by the noise, relative to the signal, that each has more than the noisiest of its inputs.

    Args:
        candidates: names of the layers to rank.
        drift: of all layers of one converted graph.
        makers: by layer, whose values it reads.
    """

    def noise(name: str) -> float:
        measured = drift.get(name)
        return 0.0 if measured is None or measured.snr_db is None else 10 ** (-measured.snr_db / 10)

    def added(name: str) -> float:
        return noise(name) - max((noise(maker) for maker in makers[name]), default=0.0)

    return sorted(candidates, key=lambda name: -added(name))


def check_searched(precision: str) -> None:
    """Refuse to search for layers to keep in float32 where nothing is converted.

    Raises:
        UsageError: the precision is fp32, or that of a file as it is.
    """
    if precision == "fp32":
        raise UsageError("with --precision fp32 all layers are: give another one, such as int8")
    if precision == AS_IS:
        raise UsageError(
            f"nothing is converted with --precision {AS_IS}: give the float32 model and another precision, such as "
            "int8"
        )


def search_layers_to_keep(
    network: Network,
    precision: str,
    target: str,
    choice: CalibrationChoice,
    goal: Goal,
    *,
    images: int = IMAGES,
    say: contain.Say = lambda text: None,
    limit_s: float | None = None,
) -> SearchResult:
    """Search for the layers to keep in float32; see the module for how.

    Args:
        network: the fp32 network.
        precision: what all other layers are written in.
        target: the target whose recipe does it.
        choice: the calibration.
        goal: to hold.
        images: that outputs and layers are compared on, from the calibration part or of noise.
        say: called with each step, in words.
        limit_s: seconds after which the search ends with what holds by then, see `SearchResult.complete`; the
            first two choices, none and all, and the conversion under way are always measured. Beyond it, the
            search is given up after the time that one conversion may take.

    Raises:
        UsageError: accuracy is to be judged, but there are no data.
        DeploykitError: as conversion and measuring say.
    """
    return contain.contained(
        search_here,
        network,
        precision,
        target,
        choice,
        goal,
        images,
        limit_s,
        doing=f"searching the layers of {network.model.spec.label} to keep in fp32",
        failed=BuildFailed,
        beside_s=contain.SEARCHING_LIMIT_S if limit_s is None else limit_s,
        say=say,
    )


def search_here(
    network: Network,
    precision: str,
    target: str,
    choice: CalibrationChoice,
    goal: Goal,
    images: int,
    limit_s: float | None,
) -> SearchResult:
    """Search in this process; see `search_layers_to_keep`."""
    start_s = time.perf_counter()
    was_late = False

    def late() -> bool:
        nonlocal was_late
        was_late = limit_s is not None and time.perf_counter() - start_s >= limit_s
        return was_late

    dataset = choice.data or network.dataset
    if goal.max_loss is not None and dataset is None:
        option, images_of = "--max-accuracy-drop", "labelled images"
        if goal.metric is not None:
            option, images_of = "--max-metric-drop", "images to compute it on"
        raise UsageError(f"{option} needs {images_of}: give --data DATASET, or take --min-snr-db")
    calibration = None
    recipe = find_recipe(precision, target)
    if recipe.needs_calibration:
        calibration = replace(calibration_of(network, choice, recipe), remembered={})
    view = GraphView(read_inlined(network.model.path))
    graph_layers = layers(view)
    _, makers = neighbours(view, graph_layers)
    node_names = {node.name for node in view.nodes if node.name}
    graph_outputs = view.outputs
    del view
    output_layers = [layer.node for layer in graph_layers if layer.tensor in graph_outputs]
    kinds = _OTHERS | set(PRODUCTS)
    candidates = [x.node for x in graph_layers if x.op_type in kinds and x.node in node_names]

    def drift_of(model: OnnxModel, only: Sequence[str] | None) -> dict[str, LayerDrift]:
        return layer_drift(
            network.model,
            model,
            dataset=dataset,
            images=images,
            activation_bytes=int(network.facts["activation_bytes"]),
            only=only,
        )

    def judged(path: Path) -> float:
        """Top-1 accuracy, or the metric, of a graph."""
        return graph_value(path, str(dataset), scores=goal.scores, metric=goal.metric)

    reference = 0.0
    if goal.max_loss is not None:
        contain.say(f"{goal.metric or 'accuracy'} of fp32")
        reference = judged(network.model.path)
    values: dict[frozenset[str], float] = {}

    def value_of(model: OnnxModel) -> float:
        if goal.max_loss is not None:
            return reference - judged(model.path)
        ratios = [d.snr_db for d in drift_of(model, output_layers).values() if d.snr_db is not None]
        return min(ratios, default=math.inf)

    with working_folder() as folder:
        path = folder / "model.onnx"

        def holds(fp32_nodes: tuple[str, ...]) -> bool:
            if frozenset(fp32_nodes) not in values:
                contain.say(
                    f"{precision} with {len(fp32_nodes)} of {len(candidates)} layers in fp32"
                )
                rules = KeepRules(nodes=tuple(name_as_rule(name) for name in fp32_nodes))
                model = convert(network.model, precision, target, path, calibration, rules)
                values[frozenset(fp32_nodes)] = value_of(model)
            return goal.holds(values[frozenset(fp32_nodes)])

        first_s = time.perf_counter()
        if holds(()):
            ranked = candidates
        else:
            each_s = time.perf_counter() - first_s
            least = 2 + math.ceil(math.log2(max(2, len(candidates))))
            most = least + len(candidates)
            contain.say(
                f"{len(candidates)} layers to choose from: {least} to {most} conversions of about {each_s:.3g} s, "
                f"{duration(least * each_s)} to {duration(most * each_s)}"
                + (
                    ""
                    if limit_s is None
                    else f"; ends after {duration(limit_s)} with what holds by then"
                )
            )
            contain.say("rank the layers by the noise that each adds")
            model = convert(network.model, precision, target, path, calibration)
            ranked = by_added_noise(candidates, drift_of(model, None), makers)
        nodes = fewest(ranked, holds, late)
    reached = values[frozenset(candidates if nodes is None else nodes)]
    order = {name: i for i, name in enumerate(candidates)}
    return SearchResult(
        None if nodes is None else tuple(sorted(nodes, key=order.__getitem__)),
        len(candidates),
        values[frozenset()],
        reached,
        len(values),
        complete=not was_late,
    )


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best: "40 s", "12 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def name_as_rule(name: str) -> str:
    """A rule that means the node of this name and no other: `*`, `?` and `[` stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
