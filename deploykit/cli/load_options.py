"""Options of how to measure: in which scenario, how long, how often, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploykit.cli.options import listed, stack, whole_numbers
from deploykit.errors import UsageError

if TYPE_CHECKING:
    from deploykit.bench.policy import Policy
    from deploykit.bench.scenario import Scenario

#: A row that is to reach a percentile may take this share of --timeout; the rest is for loading and accuracy.
SHARE_OF_TIMEOUT = 0.5

load_options = stack(
    click.option(
        "--threads", metavar="LIST", help="Of the runtime, such as 1,2; else all usable cores."
    ),
    click.option(
        "--streams", default="1", metavar="LIST", help="Concurrent requests, such as 1,2."
    ),
    click.option(
        "--rate",
        metavar="LIST",
        help="Requests arrive at 100/s, say, at random; queueing counts in the latency.",
    ),
    click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s."),
    click.option(
        "--seconds", type=click.FloatRange(0.1), metavar="S", help="Measure each row that long."
    ),
    click.option(
        "--percentile",
        type=click.FloatRange(50, 99.9),
        metavar="P",
        help="Measure until this one, such as 99, has the samples it needs.",
    ),
    click.option(
        "--repeats",
        type=click.IntRange(1),
        default=1,
        metavar="N",
        help="Processes per configuration, spread over the run.",
    ),
    click.option(
        "--samples",
        metavar="DIR",
        help="Keep every latency there; else beside the --csv, in NAME-samples.",
    ),
    click.option("--no-samples", is_flag=True, help="Keep no latencies."),
    click.option(
        "--no-roofline", is_flag=True, help="Don't measure the machine's ceilings (once, 3 s)."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=600.0,
        metavar="S",
        help="Kill a row that takes longer.",
    ),
)


@dataclass(frozen=True)
class Measuring:
    """What the options of `load_options` mean.

    Attributes:
        scenarios: every combination of threads, streams and rate.
        policy: how long to measure.
        repeats: processes per configuration.
        timeout_s: kill a row's process after that long.
        roofline: compare rows with the machine's ceilings.
        samples: folder for raw samples; None keeps none.
    """

    scenarios: tuple[Scenario, ...]
    policy: Policy
    repeats: int
    timeout_s: float
    roofline: bool
    samples: Path | None


def take_measuring(options: dict[str, Any], csv_path: str | None) -> Measuring:
    """Take the options of `load_options` out of a command's options.

    Raises:
        UsageError: a value that can't be, or two options that contradict each other.
    """
    from deploykit.bench.scenario import Scenario, parse_rate

    threads, streams, rates = (options.pop(name) for name in ("threads", "streams", "rate"))
    scenarios = tuple(
        Scenario(count, requests, per_s)
        for count in (whole_numbers(threads, "--threads") if threads else (None,))
        for requests in whole_numbers(streams, "--streams")
        for per_s in ([parse_rate(text) for text in listed(rates, "--rate")] if rates else (None,))
    )
    timeout_s = options.pop("timeout")
    return Measuring(
        scenarios=scenarios,
        policy=_policy(
            options.pop("quick"), options.pop("seconds"), options.pop("percentile"), timeout_s
        ),
        repeats=options.pop("repeats"),
        timeout_s=timeout_s,
        roofline=not options.pop("no_roofline"),
        samples=_samples(options.pop("samples"), options.pop("no_samples"), csv_path),
    )


def _policy(quick: bool, seconds: float | None, percent: float | None, timeout_s: float) -> Policy:
    from deploykit.bench.policy import Policy

    if quick and seconds is not None:
        raise UsageError("--quick and --seconds both say how long: give one of them")
    if seconds is not None and seconds >= timeout_s:
        raise UsageError(
            f"--timeout {timeout_s:g} leaves no time to measure {seconds:g} s: raise it"
        )
    policy = Policy.quick() if quick else Policy()
    if seconds is not None:
        policy = policy.lasting(seconds)
    if percent is not None:
        policy = policy.reaching(percent, timeout_s * SHARE_OF_TIMEOUT)
    return policy


def _samples(folder: str | None, none: bool, csv_path: str | None) -> Path | None:
    from deploykit.report.csvfile import STDOUT

    if none:
        if folder:
            raise UsageError("--samples and --no-samples contradict each other: give one of them")
        return None
    if folder:
        if Path(folder).exists() and not Path(folder).is_dir():
            raise UsageError(f"--samples {folder} is a file: name a folder")
        return Path(folder)
    if csv_path in (None, STDOUT) or (Path(csv_path).exists() and not Path(csv_path).is_file()):
        return None
    report = Path(csv_path)
    return report.with_name(f"{report.stem}-samples")
