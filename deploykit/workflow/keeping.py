"""Mixed precision: which layers of a network stay in float32, by name, by type, or by what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deploykit.code_digest import code_digest
from deploykit.errors import UsageError
from deploykit.spec import OnnxModel

if TYPE_CHECKING:
    from deploykit.graph.precision import KeepRules
    from deploykit.workflow.conversion import CalibrationChoice
    from deploykit.workflow.network import Network


@dataclass(frozen=True)
class KeepChoice:
    """Layers that stay in float32 where the rest is converted.

    Attributes:
        nodes: names of ONNX nodes; `*` and `?` match as in file names.
        op_types: operator types, such as "Gemm".
        drift: so many convolutions and products, those whose conversion alone costs the outputs most.
    """

    nodes: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    drift: int = 0

    def __bool__(self) -> bool:
        return bool(self.nodes or self.op_types or self.drift)

    def check(self, precisions: Sequence[str]) -> None:
        """Refuse to keep what is not converted.

        Raises:
            UsageError: nothing but fp32 is asked for.
        """
        if self and set(precisions) <= {"fp32"}:
            raise UsageError(
                "--keep leaves layers in fp32, and all are with --precision fp32: "
                "give another precision, such as int8"
            )

    def facts(self, dataset: str | None) -> dict[str, Any] | None:
        """What a converted graph's key takes in; `dataset` is what costs are measured on."""
        if not self:
            return None
        found: dict[str, Any] = asdict(self)
        if self.drift:
            found |= {
                "ranked_on": dataset,
                "code": code_digest("deploykit.workflow.layer_ranking"),
            }
        return found


def keep_rules(
    network: Network, precision: str, target: str, choice: CalibrationChoice
) -> KeepRules | None:
    """The rules that `choice.keep` means for a network; None where there are none.

    Layers to keep for what they cost are found by converting and running them one by one.

    Raises:
        DeploykitError: as `deploykit.workflow.layer_ranking.layers_by_drift` says.
    """
    from deploykit.graph.precision import KeepRules

    keep = choice.keep
    if not keep:
        return None
    names = list(keep.nodes)
    if keep.drift:
        from deploykit.workflow.layer_ranking import layers_by_drift

        ranked = layers_by_drift(network, precision, target, choice)
        names += [name for name, _ in ranked][: keep.drift]
    return KeepRules(tuple(dict.fromkeys(names)), keep.op_types)


def kept_text(recipe: Mapping[str, Any]) -> str | None:
    """What the `kept` column says of a graph: its nodes that were kept in fp32 on request, else None."""
    return ", ".join(recipe.get("kept_by_rule", ())) or None


def losses_text(model: OnnxModel) -> str | None:
    """What rounding the weights cost, in one line; None where nothing was lost or nothing was rounded."""
    facts = model.recipe
    parts = [
        f"{count} {what}"
        for count, what in (
            (facts.get("constants_overflowed", 0), "overflow to infinity"),
            (
                facts.get("constants_subnormal", 0) - facts.get("constants_flushed_to_zero", 0),
                "are subnormal and lose digits",
            ),
            (facts.get("constants_flushed_to_zero", 0), "become 0"),
        )
        if count > 0
    ]
    if not parts:
        return None
    total = facts.get("constants_converted", 0)
    return f"of {total} weights in {model.precision}, {', '.join(parts)}"
