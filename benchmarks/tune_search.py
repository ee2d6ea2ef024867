"""`deploykit tune`'s answer against an exhaustive search over its own space, network by network.

    python -m benchmarks.tune_search [NETWORK[@ALPHA]]... [--budget S] [--search S] [--time S] [--csv FILE]

For each network, at batch 1: tune answers within its budget. Then every configuration of its space has a first look
beside the default: all engines at all numbers of threads, and then each told every combination of its runtime's
options that tuning tries and that can change anything here; those with the fewest options first, so that a search
that is cut short (--search) lacks the oddest. An engine that takes twice as long as the best is not told options
("far_off" of the space): the most that any made of any other is in the row ("option_ratio"). Those that come out
nearest to the best race in turns with the answer and every runtime's default. The smallest of many noisy values is
smaller than it is, so the ratios are taken anew: the answer beside the winner of that race, and beside the best
default, each in an interleaved comparison of its own.

Tune begins with an empty store, as its user does the first time: what it builds is part of its budget. Engines that
it refuses for what they do to outputs are out here, too. The rows go into the CSV, where those of
other networks stay. A run goes on where it stopped: rows that this state of the code made on this machine stay, and
what was looked at of a network that was not finished is in a journal beside the engines.
"""

from __future__ import annotations

import argparse
import itertools
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deploykit import backends, env
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.race import IN, UNFIT, Entrant, Race, lanes
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Policy
from deploykit.errors import DeploykitError
from deploykit.report.csv import CsvReport, read_cells
from deploykit.row import Row
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.journal import Journal
from deploykit.workflow.plan import Source
from deploykit.workflow.space import candidates, tried_values
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Candidate, Question, Tuned
from studies import wild

NETWORKS = (
    "lenet5 squeezenet1_0 squeezenet1_1 mobilenet mobilenet@0.5 mobilenet@0.25 resnet18 resnet50 "
    "efficientnet_b0 googlenet densenet121 vgg16"
).split()
#: Seconds: of tuning a network, of first looks of the exhaustive search, of the race of the nearest, of each
#: comparison; and of the whole run, after which no further network is begun.
BUDGET_S, SEARCH_S, RACE_S, COMPARED_S, TIME_S = 180.0, 420.0, 40.0, 12.0, 420.0
#: How many times the best of all engines one takes that is not told options.
FAR_OFF = 2.0
#: A first look asks who is far off: it takes no long warm-up.
LOOKING = Policy(warmup_s=0.1, warmup_max_s=1.0, min_s=0.5, max_s=2.0)
#: So many of the nearest are raced.
NEAREST = 8
#: What is to be reached: the answer over the best found, over the best default, and time outside measuring over the
#: budget.
MOST_OF_BEST, MOST_OF_DEFAULT, MOST_OUTSIDE = 1.02, 1.00, 0.2
THRESHOLD = 0.005
#: What a row is that was put together from two runs: its times are of the last.
RESUMED = "resumed: times are of the last part"
STORE = Path("engines/tune_search")

#: Of the report. "searched" of "space" configurations had a look; "same" stands for a ratio where both sides are
#: one configuration. "outside_s" is what tune took beside measuring, of it "building_s" for exporting the network
#: and building engines and "judging_s" for what they do to outputs; "starting_s" is what of measuring was starting
#: processes and loading engines.
COLUMNS = (
    "network answer best ratio ratio_low ratio_high best_default default_ratio default_low default_high budget_s "
    "elapsed_s measuring_s starting_s outside_s building_s judging_s outside_share space searched far_off "
    "option_ratio search_s met note device env_id code timestamp"
).split()


def source_of(name: str) -> ModelSpec:
    """The network that a name such as "mobilenet@0.5" means."""
    model, _, alpha = name.partition("@")
    return ModelSpec(model, alpha=float(alpha or 1))


def variants(base: Configuration) -> Iterator[Configuration]:
    """A configuration with every combination of its runtime's options that tuning tries, itself among them."""
    backend = backends.get(base.backend)
    tried = tried_values(backend, Question(), base.scenario.threads)
    for values in itertools.product(*tried.values()):
        told = tuple(zip(tried, values, strict=True))
        yield replace(base, options=backend.chosen_options(told))


def bases(source: Source, question: Question, more: Sequence[Configuration]) -> list[Configuration]:
    """All that tune can choose from before options, the default first.

    Args:
        source: the network.
        question: that tune was asked.
        more: what tune made itself while it went on, such as a mix.
    """
    default, others = candidates(source, question)
    return list(dict.fromkeys((default, *others, *(replace(m, options=()) for m in more))))


def space(source: Source, question: Question, more: Sequence[Configuration]) -> list[Configuration]:
    """All that tune can choose from, the default first, then those that are told the least; see `bases`."""
    every = [one for base in bases(source, question, more) for one in variants(base)]
    return sorted(dict.fromkeys(every), key=lambda one: len(one.options))


def defaults(everyone: Mapping[str, Candidate]) -> list[str]:
    """The names of what every runtime does where nobody says anything: fp32 on all cores."""
    found = []
    for name, one in everyone.items():
        at = one.configuration
        plain = at.precision == "fp32" and not at.options and at.scenario.threads is None
        if plain and one.request is not None:
            found.append(name)
    return found


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        everyone: the candidates that could be built, by name.
        firsts: how many times the default each took at its look, the fastest first.
        far_off: how many were not looked at, as they are told options and their engine is far off without.
        option_ratio: the least that a candidate with options took of its engine without.
        order: of the race of the nearest, the best first.
        seconds: of all of it.
    """

    everyone: Mapping[str, Candidate]
    firsts: Mapping[str, float]
    far_off: int
    option_ratio: float
    order: Sequence[str]
    seconds: float


def search(tuning: Tuning, tuned: Tuned, search_s: float, race_s: float) -> Searched:
    """Look at all of the space, and race the nearest."""
    start = time.perf_counter()
    made = [one.configuration for one in tuned.candidates if one.request is not None]
    everyone: dict[str, Candidate] = {}
    for configuration in space(tuning.source, tuning.question, made):
        candidate = Candidate(configuration, Row({}))
        try:
            candidate.row, candidate.request = tuning.profiler.prepared(configuration)
        except DeploykitError:
            continue  # tune's own rows say why
        everyone[candidate.name] = candidate
    journal = Journal(tuning.journal.path.with_suffix(".search.jsonl"))
    plain = [name for name, one in everyone.items() if not one.configuration.options]
    default = plain[0]

    def fit(names: Iterable[str]) -> Iterator[str]:
        """Those whose outputs can be taken."""
        for name in names:
            one = everyone[name]
            if name != default and (reason := tuning.fitness.reason(one)):
                one.fate, one.reason = UNFIT, reason
            else:
                yield name

    with _race("search", plain, everyone, journal) as race:
        firsts = race.look(search_s)
    limit = FAR_OFF * firsts[next(fit(firsts))]
    without = {name: _without_options(everyone[name]) for name in everyone if name not in plain}
    near = [name for name, base in without.items() if firsts.get(base, math.inf) <= limit]
    with _race("variants", [default, *near], everyone, journal) as race:
        told = race.look(search_s - (time.perf_counter() - start))
    option_ratio = min((told[n] / firsts[without[n]] for n in near if n in told), default=1.0)
    firsts = dict(sorted({**told, **firsts}.items(), key=lambda pair: pair[1]))
    answer: list[str] = []
    if tuned.best is not None:
        everyone.setdefault(tuned.best.name, tuned.best)
        answer = [tuned.best.name]
    nearest = itertools.islice(fit(firsts), NEAREST)
    raced = dict.fromkeys((*answer, *nearest, *(n for n in defaults(everyone) if n in firsts)))
    with _race("nearest", raced, everyone, journal) as race:
        race.look()
        # All are started anew, of which what is compiled when it is loaded takes half a minute.
        outcome = race.run(race_s + sum(race.start_s.values()))
    order = [one.name for one in outcome.standings if one.value is not None]
    journal.end()
    far_off, seconds = len(without) - len(near), time.perf_counter() - start
    return Searched(everyone, firsts, far_off, option_ratio, order, seconds)


def _without_options(candidate: Candidate) -> str:
    return Candidate(replace(candidate.configuration, options=()), Row({})).name


def _race(
    name: str,
    names: Sequence[str] | Mapping[str, object],
    of: Mapping[str, Candidate],
    journal: Journal,
) -> Race:
    entrants = [Entrant(one, partial(timed, of[one])) for one in names]
    return Race(
        lanes(entrants),
        record=journal.record(name),
        say=_say,
        earlier=journal.events.get(name, ()),
    )


def _say(text: str) -> None:
    if not text.startswith("round "):
        print(f"  {text}", file=sys.stderr, flush=True)


def timed(candidate: Candidate) -> WorkerRequest:
    """What times a candidate, and no more."""
    assert candidate.request is not None
    return replace(candidate.request, policy=LOOKING, samples_path=None)


def beside(ours: Candidate, other: Candidate) -> RatioInterval | None:
    """What one takes over what the other takes; None where they are one configuration."""
    if ours.configuration == other.configuration:
        return None
    compared = compare_interleaved(
        timed(other), timed(ours), threshold=THRESHOLD, budget_s=COMPARED_S, quantile=0.5
    )
    return compared.ratio


def verdict(
    ratio: RatioInterval | None,
    default: RatioInterval | None,
    outside_share: float,
    *,
    whole: bool = True,
) -> tuple[str, str]:
    """Whether all is reached, "yes", "no", or "open" where both may be; and what is not.

    Args:
        ratio: the answer over the best found; None where they are one.
        default: the answer over the best default; None where they are one.
        outside_share: time outside measuring, as a share of the budget.
        whole: whether all of the space was searched.
    """
    found = [] if whole else [("better where the search did not come", "open")]
    for what, most, measured in (
        ("best", MOST_OF_BEST, ratio),
        ("default", MOST_OF_DEFAULT, default),
    ):
        if measured is None or measured.ratio <= most:
            continue
        found.append((f"above {most:.2f} of the {what}", "no" if measured.low > most else "open"))
    if outside_share > MOST_OUTSIDE:
        found.append((f"more than {MOST_OUTSIDE:.0%} of the budget outside measuring", "no"))
    said = "; ".join(text if told == "no" else f"perhaps {text}" for text, told in found)
    return ("no" if any(told == "no" for _, told in found) else "open" if found else "yes"), said


def row_of(
    name: str, store: Store, question: Question, search_s: float, race_s: float
) -> dict[str, str]:
    """The row of one network."""
    budget_s = question.budget_s
    options = ProfileOptions(policy=Policy.quick(), roofline=False)
    source = source_of(name)
    tuning = Tuning(source, question, options, store, lambda text: print(text, file=sys.stderr))
    tuning.keeps_journal = True  # until the row is whole
    resumed = tuning.journal.path.exists()
    if not resumed:
        shutil.rmtree(store.root, ignore_errors=True)
    row = {"network": name, "budget_s": f"{budget_s:g}", **_where()}
    try:
        tuned = tuning()
        assert tuned.best is not None  # nothing is asked of the answer
        found = search(tuning, tuned, search_s, race_s)
        if not found.order:
            raise DeploykitError(f"{race_s:g} s are too short for a race of the nearest")
        everyone = found.everyone
        outside_s = tuned.elapsed_s - tuned.measuring_s
        ours = tuned.best
        best = everyone[next(n for n in found.order if everyone[n].fate == IN)]
        plain = defaults(everyone)
        best_default = everyone[next(n for n in found.order if n in plain)]
        ratio, to_default = beside(ours, best), beside(ours, best_default)
    except DeploykitError as error:
        return {**row, "met": "no", "note": str(error)}
    tuning.forget()
    share = outside_s / budget_s
    whole = len(found.firsts) + found.far_off == len(everyone)
    met, note = verdict(ratio, to_default, share, whole=whole)
    return row | {
        "answer": ours.name,
        "best": best.name,
        **_cells("ratio", "ratio", ratio),
        "best_default": best_default.name,
        **_cells("default", "default_ratio", to_default),
        "elapsed_s": f"{tuned.elapsed_s:.1f}",
        "measuring_s": f"{tuned.measuring_s:.1f}",
        "starting_s": f"{tuned.starting_s:.1f}",
        "outside_s": f"{outside_s:.1f}",
        "building_s": f"{tuned.building_s:.1f}",
        "judging_s": f"{tuned.judging_s:.1f}",
        "outside_share": f"{share:.3f}",
        "space": str(len(everyone)),
        "searched": str(len(found.firsts)),
        "far_off": str(found.far_off),
        "option_ratio": f"{found.option_ratio:.3f}",
        "search_s": f"{found.seconds:.0f}",
        "met": met,
        "note": "; ".join(text for text in (note, RESUMED if resumed else "") if text),
    }


def _cells(prefix: str, name: str, found: RatioInterval | None) -> dict[str, str]:
    if found is None:
        return {name: "same"}
    return {
        name: f"{found.ratio:.3f}",
        f"{prefix}_low": f"{found.low:.3f}",
        f"{prefix}_high": f"{found.high:.3f}",
    }


def _where() -> dict[str, str]:
    return {
        "device": env.device_name(),
        "env_id": env.env_id(),
        "code": wild.state_of_code(Path(__file__)),
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_done(row: Mapping[str, str], budget_s: float) -> bool:
    """Whether a row was made by this state of the code on this machine, in the same budget."""
    here = _where()
    same = all(row.get(key) == here[key] for key in ("env_id", "code"))
    return same and row.get("budget_s") == f"{budget_s:g}"


def main() -> int:
    """Measure the networks that are named, or all, and keep the rows where that is asked for.

    Returns:
        1 where networks were not reached, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tune_search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, help="seconds of tune, of each network"
    )
    parser.add_argument(
        "--search", type=float, default=SEARCH_S, help="seconds of first looks, of each"
    )
    parser.add_argument(
        "--race", type=float, default=RACE_S, help="seconds of the race of the nearest"
    )
    parser.add_argument("--time", type=float, default=TIME_S, help="seconds; then run it again")
    parser.add_argument("--backend", nargs="*", default=(), help="those of tune; else all")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    rows: dict[str, dict[str, str]] = {}
    if options.csv and options.csv.exists():
        rows = {row["network"]: dict(row) for row in read_cells(str(options.csv))}
    start_s, left = time.perf_counter(), []
    for name in options.names:
        if is_done(rows.get(name, {}), options.budget):
            continue
        if time.perf_counter() - start_s >= options.time:
            left.append(name)
            continue
        question = Question(budget_s=options.budget, backends=tuple(options.backend))
        store = Store(options.store / name)
        row = row_of(name, store, question, options.search, options.race)
        rows[name] = row
        print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        if options.csv:
            CsvReport(str(options.csv), COLUMNS).replace(list(rows.values()))
    if left:
        print(f"{len(left)} networks were not reached: run it again to go on", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
