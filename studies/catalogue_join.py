"""Latencies in the proof of the catalogue: one table that can be sorted by either.

`studies.catalogue` proves networks and `studies.catalogue_latency` measures them; the processes of a configuration
become one latency here, with the interval over them, in the proof's row of it. OpenVINO, which the proof does not
build for, has rows of its own.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.report.states import is_emulated, words_of
from deploykit.row import Row
from deploykit.stats import mean_ratio

#: What a row of the proof gets from the rows of its latency; milliseconds.
LATENCY_COLUMNS = (
    "latency_p50_ms",
    "latency_low_ms",
    "latency_high_ms",
    "latency_state",
    "latency_processes",
    "latency_threads",
    "latency_device",
    "latency_env_id",
)
#: What a row of a backend that the proof leaves out takes from its latency's.
_TAKEN = (
    *("backend_version", "parameters", "macs", "onnx_bytes", "engine_bytes", "build_s"),
    *("precision_actual", "drift_max_abs", "drift_cosine", "drift_snr_db", "env_id"),
)
CONFIDENCE = 0.95
#: Fewer processes than these have no spread to tell an interval by.
_MIN_PROCESSES = 3

Cells = Mapping[str, Any]
Key = tuple[str, float, str]
#: A configuration of a network: precision and backend.
Setting = tuple[str, str]


def key_of(row: Cells) -> Key:
    """Which network a row is about: name, alpha, rho."""
    return (str(row["model"]), float(row["alpha"]), str(row["rho"]))


def joined(
    rows: Sequence[Cells], latencies: Sequence[Row], proven: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows of the proof with their latencies, each network followed by its rows of other backends.

    Args:
        rows: of the proof; those that an earlier join added are made anew. A network without any stays out.
        latencies: rows of a profile, of batch 1. Of several machines the one counts that has most rows.
        proven: backends that the proof builds for; a row of another one holds nothing but its latency's facts.

    Returns:
        The rows in their order, with blanks for what was not measured.
    """
    machines = Counter(row.get("env_id") for row in latencies)
    machine = max(machines, key=lambda env_id: machines[env_id], default=None)
    measured: dict[Key, dict[Setting, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in latencies:
        if row.get("env_id") == machine:
            measured[key_of(row)][row["precision"], row["backend"]].append(row)
    blank: dict[str, Any] = dict.fromkeys(LATENCY_COLUMNS)
    networks: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for cells in rows:
        backend = cells.get("backend")  # a network whose process failed has a row without one
        if not backend or backend in proven:
            found = measured[key_of(cells)].get((str(cells.get("precision")), str(backend)))
            networks[key_of(cells)].append({**cells, **(latency(found) if found else blank)})
    for key, own in networks.items():
        for (precision, backend), found in measured[key].items():
            if backend not in proven:
                own.append(_of_latency_alone(own[0], precision, backend, found))
    return [row for own in networks.values() for row in own]


def latency(rows: Sequence[Row]) -> dict[str, Any]:
    """The latency of a configuration over its processes.

    Its p50 is the geometric mean of the processes' medians, with Student's 95% interval of the mean logarithm,
    which takes three processes. The state is "ok", or what makes some doubtful, or why there is none.
    """
    medians = [row["latency_p50_ms"] for row in rows if row.get("latency_p50_ms")]
    last = rows[-1]
    cells: dict[str, Any] = {
        "latency_state": _state(rows),
        "latency_processes": len(medians),
        "latency_threads": last.get("threads"),
        "latency_device": last.get("device"),
        "latency_env_id": last.get("env_id"),
    }
    if not medians:
        return dict.fromkeys(LATENCY_COLUMNS) | cells
    cells["latency_p50_ms"] = statistics.geometric_mean(medians)
    if len(medians) >= _MIN_PROCESSES:
        mean = mean_ratio([1.0] * len(medians), medians, confidence=CONFIDENCE)
        cells["latency_low_ms"], cells["latency_high_ms"] = mean.low, mean.high
    return dict.fromkeys(LATENCY_COLUMNS) | cells


def _state(rows: Sequence[Row]) -> str:
    """What there is to beware of, and in how many of the processes: "doubtful: busy machine (2 of 3)"."""
    words: Counter[str] = Counter()
    for row in rows:
        if row["status"] != "ok":
            notes = row.noted("failed", "skipped")
            words[f"{row['status']}: {notes[0].text}" if notes else row["status"]] += 1
            continue
        words.update(["emulated"] if is_emulated(row) else [])
        words.update(f"doubtful: {word}" for word in words_of(row))
    return ", ".join(f"{word} ({n} of {len(rows)})" for word, n in words.items()) or "ok"


def _of_latency_alone(
    like: Cells, precision: str, backend: str, rows: Sequence[Row]
) -> dict[str, Any]:
    """A row of what was measured and not proven; `like` is one of the same network."""
    facts = rows[-1]
    ok = any(row["status"] == "ok" for row in rows)
    return {
        **{name: like[name] for name in ("model", "alpha", "rho")},
        **{name: facts.get(name) for name in _TAKEN},
        **latency(rows),
        "drift_of": "engine" if facts.get("drift_snr_db") is not None else None,
        "precision": precision,
        "backend": backend,
        "status": "ok" if ok else facts["status"],
        "reason": "" if ok else _state(rows),
    }
