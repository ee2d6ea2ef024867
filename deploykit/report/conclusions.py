"""What was found, in sentences: how each precision compares with fp32, as far as the rows allow to say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from deploykit.columns import differences_from_plain
from deploykit.figures import general, significant, with_interval
from deploykit.report.speedup import MIN_PROCESSES, Speedup, of_processes, setting
from deploykit.report.states import DRIFTS, is_emulated, words_of
from deploykit.report.views import label, percent

Cells = Mapping[str, Any]

#: Columns that name a setting, as far as it is worth a word.
_APART = (
    *("batch", "streams", "rate_per_s", "threads", "pass", "boundary", "cuda_graph", "options"),
)
_PLAIN = ("kept", "engine_options")
#: Networks that a sentence names at most.
MAX_NAMED = 6


def conclusions(rows: Sequence[Cells]) -> list[str]:
    """A sentence for each configuration that has an fp32 one beside it: what is sure first, then what is doubtful.

    What is doubtful is said to be so, with the reason; what is emulated gets no figure of speed.
    """
    groups = _groups(rows)
    measured = [row for row in rows if row.get("status") == "ok"]
    worth = {
        name
        for name in ("backend", "threads", "env_id")
        if len({_text(row, name) for row in measured} - ({""} if name == "env_id" else set())) > 1
    }
    networks = {(label(row), _text(row, "weights")) for row in measured}
    worth |= {"weights"} if len(networks) > len({name for name, _ in networks}) else set()
    sure, doubtful = [], []
    emulated: dict[tuple[str, str], list[tuple[str, Cells]]] = {}
    for (common, precision, _), ours in groups.items():
        fp32 = groups.get((common, "fp32", ""))
        if precision == "fp32" or not fp32:
            continue
        place = _place(ours[0], worth)
        if is_emulated(ours[0]):
            actual = str(ours[0].get("precision_actual"))
            emulated.setdefault((precision, actual), []).append((place, ours[0]))
            continue
        ratio, doubt = of_processes(ours, fp32), _doubt(ours, fp32)
        beside = _beside(ours[0], fp32[0])
        if ratio is None:
            doubtful.append(f"{precision} against fp32 on {place}: no medians to compare{beside}")
        elif doubt:
            doubtful.append(
                f"{precision} is perhaps {_speed(ratio)} on {place}{beside}; doubtful: {doubt}"
            )
        else:
            sure.append(f"{precision} is {_speed(ratio)} on {place}{beside}")
    return [*sure, *doubtful, *(_emulated(*key, where) for key, where in emulated.items())]


def _emulated(precision: str, actual: str, where: Sequence[tuple[str, Cells]]) -> str:
    """What can be said of what is emulated: where, and the drift, which is that of the precision."""
    places = [place for place, _ in where]
    named = ", ".join(places if len(places) <= MAX_NAMED else places[: MAX_NAMED - 1])
    more = f" and {len(places) - MAX_NAMED + 1} more" if len(places) > MAX_NAMED else ""
    drifts = [float(d) for _, row in where if (d := row.get("drift_snr_db")) not in (None, "")]
    low, high = (f"{end(drifts):.0f}" if drifts else "" for end in (min, max))
    drift = f"; drift {low if low == high else f'{low} to {high}'} dB" if drifts else ""
    return (
        f"{precision} is emulated in {actual} on {named}{more}: its speed here says nothing about hardware that "
        f"has {precision}{drift}"
    )


def _groups(rows: Sequence[Cells]) -> dict[tuple[tuple[str, ...], str, str], list[Cells]]:
    """The measured rows by setting, precision and layers kept: the processes of one configuration together."""
    groups: dict[tuple[tuple[str, ...], str, str], list[Cells]] = {}
    for row in rows:
        if row.get("status") == "ok":
            key = setting(row), str(row.get("precision")), str(row.get("kept") or "")
            groups.setdefault(key, []).append(row)
    return groups


def _text(row: Cells, name: str) -> str:
    return str(row.get(name) or "")


def _place(row: Cells, worth: Set[str]) -> str:
    """Where something was measured: the network, and of its setting what tells it apart.

    Args:
        row: of the configuration.
        worth: columns of which the rows have several values, so that they are worth a word.
    """
    cells = {name: _text(row, name) for name in (*_APART, *_PLAIN)}
    cells["pass"] = cells["pass"] or "forward"
    apart = differences_from_plain(cells, threads="threads" in worth)
    apart += [
        f"{called}{_text(row, name)}"
        for name, called in (("weights", "weights "), ("env_id", "machine "))
        if name in worth and _text(row, name)
    ]
    words = [label(row), *([f"({_text(row, 'backend')})"] if "backend" in worth else [])]
    return " ".join(words) + "".join(f", {one}" for one in apart)


def _speed(ratio: Speedup) -> str:
    """What a speedup says: faster, slower, or neither for sure."""
    if ratio.low <= 1 <= ratio.high:
        ends = with_interval(ratio.ratio, ratio.low, ratio.high)
        span = f"{ends[1]} to {ends[2]}" if ends else significant(ratio.ratio)
        return f"neither faster nor slower than fp32 for sure ({span} times as fast)"
    word, value, low, high = "faster", ratio.ratio, ratio.low, ratio.high
    if ratio.high < 1:
        word, value, low, high = "slower", 1 / ratio.ratio, 1 / ratio.high, 1 / ratio.low
    texts = with_interval(value, low, high, digits=2)
    shown = f"{texts[0]} ({texts[1]} to {texts[2]})" if texts else significant(value)
    return f"{shown} times {word} than fp32"


def _beside(row: Cells, fp32: Cells) -> str:
    """What else changed: size, drift and accuracy."""
    parts = []
    ours, theirs = row.get("engine_bytes"), fp32.get("engine_bytes")
    if ours not in (None, "") and theirs not in (None, "") and float(ours) > 0:
        times = float(theirs) / float(ours)
        if times >= 1.05:
            parts.append(f"{significant(times, 2)} times smaller")
        elif times <= 0.95:
            parts.append(f"{significant(1 / times, 2)} times larger")
    if row.get("drift_snr_db") not in (None, ""):
        state = row.get("drift_state")
        poor = f", which is {state}" if state in DRIFTS else ""
        parts.append(f"drift {float(row['drift_snr_db']):.0f} dB{poor}")
    if row.get("top1") not in (None, "") and fp32.get("top1") not in (None, ""):
        parts.append(f"top-1 {percent(row['top1'])} (fp32: {percent(fp32['top1'])})")
    if row.get("metric_value") not in (None, "") and row.get("metric_fp32") not in (None, ""):
        ours, theirs = (general(float(row[f"metric_{of}"]), 4) for of in ("value", "fp32"))
        parts.append(f"{row.get('metric') or 'metric'} {ours} (fp32: {theirs})")
    return "".join(f", {part}" for part in parts)


def _doubt(ours: Sequence[Cells], fp32: Sequence[Cells]) -> str:
    """Why a comparison is doubtful: what most of the processes of a side say; empty where it is not."""
    parts = []
    for name, side in (("", ours), ("fp32: ", fp32)):
        reasons = [words for row in side if (words := words_of(row))]
        # Of many processes, what disturbed a few is in their spread already.
        enough = len(side) < MIN_PROCESSES or 2 * len(reasons) > len(side)
        parts += [f"{name}{', '.join(reasons[0])}"] if reasons and enough else []
    return "; ".join(parts)
