"""What a row is worth, in a word or two: ok, doubtful and why, emulated, overloaded, failed or skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.figures import plainly
from deploykit.row import OVERLOAD, Finding, emulated, findings_in

Cells = Mapping[str, Any]

#: Behind every number that is doubtful.
DOUBT = "?"
#: What each finding is in a table, where there is no room for a sentence.
WORDS = {
    OVERLOAD: OVERLOAD,
    "steal": "stolen time",
    "load": "busy machine",
    "throttled": "throttled",
    "frequency": "frequency changed",
    "warm-up": "not warmed up",
    "clock": "clock at odds",
    "trend": "changes over the run",
    "modes": "several modes",
    "spread": "wide interval",
    "threads": "more threads than cores",
    "gpu-throttled": "GPU throttled",
    "gpu-clock": "GPU clock changed",
    "gpu-load": "busy GPU",
    "gpu-ecc": "GPU memory errors",
}
#: What stands for a row whose samples can't carry a median.
FEW_RUNS = "few runs"
EMULATED = "emulated"
#: How a speedup calls the row that it is against, where that is what its doubt is of.
FP32_ROW = "its fp32 row"
#: How states call a drift that is not ok.
DRIFTS = {"poor": "poor drift", "coarse": "coarse drift"}


def findings_of(row: Cells) -> tuple[Finding, ...]:
    """What makes a row's timing doubtful; nothing where it is stable, or was not timed."""
    return findings_in(str(row.get("stability") or "")) or ()


def few_runs(row: Cells) -> bool:
    """Whether a row was timed, by too few runs to tell their median."""
    timed = row.get("latency_mean_ms") not in (None, "")
    return timed and row.get("latency_p50_ms") in (None, "")


def doubtful(row: Cells) -> bool:
    """Whether what was timed of a row is doubtful."""
    return few_runs(row) or bool(findings_of(row))


def is_emulated(row: Cells) -> bool:
    """Whether nothing of a row computes in the precision that was asked for."""
    known = {name: str(row.get(name) or "") for name in ("precision", "precision_actual")}
    return known["precision"] not in ("", "as-is") and emulated(known)


def state(row: Cells) -> str:
    """A row's state: "ok", "failed", "skipped", or what to beware of: "emulated, doubtful: busy machine"."""
    status = str(row.get("status") or "")
    if status != "ok":
        return status
    words = words_of(row)
    parts = [OVERLOAD] if OVERLOAD in words else []
    parts += [EMULATED] if is_emulated(row) else []
    parts += [DRIFTS[drift]] if (drift := row.get("drift_state")) in DRIFTS else []
    others = [word for word in words if word != OVERLOAD]
    parts += [f"doubtful: {', '.join(others)}"] if others else []
    return ", ".join(parts) or "ok"


def words_of(row: Cells) -> list[str]:
    """What makes a row's timing doubtful, a word or two for each cause."""
    words = [FEW_RUNS] if few_runs(row) else []
    return words + [WORDS.get(finding.name, finding.name) for finding in findings_of(row)]


def doubts(rows: Sequence[Cells]) -> list[str]:
    """What makes timings doubtful, a line for each cause, with what would help."""
    seen: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if few_runs(row):
            runs = f"{float(row.get('iterations') or 0):.0f} runs are too few for a median"
            seen.setdefault((FEW_RUNS, "measure longer, by --seconds"), []).append(runs)
        for finding in findings_of(row):
            word = WORDS.get(finding.name, finding.name)
            seen.setdefault((word, finding.remedy), []).append(finding.seen)
    inherited = sum(
        not doubtful(row) and FP32_ROW in str(row.get("speedup_doubt") or "") for row in rows
    )
    which = "1 more speedup is" if inherited == 1 else f"{inherited} more speedups are"
    alone = f"{which} doubtful, as the fp32 row is that it is against"
    said = [
        f"{len(texts)} of {len(rows)} rows {'are' if len(texts) > 1 else 'is'} doubtful, {word}: "
        f"{'such as ' * (len(set(texts)) > 1)}{plainly(texts[0])}; {remedy}"
        for (word, remedy), texts in seen.items()
    ]
    return [*said, alone] if inherited else said
