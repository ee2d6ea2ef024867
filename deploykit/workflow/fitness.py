"""Whether the engines of a tuning can be taken: by drift, then by accuracy or a metric, each engine once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from deploykit import codec
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.request import run_worker
from deploykit.errors import OutputFailed, UsageError
from deploykit.figures import general
from deploykit.graph.precision import AS_IS
from deploykit.spec import options_text
from deploykit.stats import DropTest
from deploykit.stats.sequential import ACCEPTED, REJECTED
from deploykit.workflow.choices import Goal
from deploykit.workflow.configuration import Configuration, source_name
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.tuned import MIN_SNR_DB, Candidate, Question

#: An engine that computes in float32 and is this near is the network itself but for the order of sums.
FP32_SNR_DB = 60.0
#: Decibels above those asked for, with which layers are kept: on other images it may be less.
SNR_ROOM_DB = 1.0
#: Seconds that judging an engine may take, and is given in any case.
LIMIT_S, JUDGING_MIN_S = 600.0, 10.0
TOO_LATE = "what it loses was not found out in the time that was left: give a larger --budget"
#: Columns that are blank without labels.
OF_LABELS = frozenset({"top1", "top1_low", "top1_high", "top5", "mcnemar_p"})
#: What judging an engine measures of it.
JUDGED = ("drift_snr_db", "top1", "top1_low", "top1_high", "metric_value")


class Fitness:
    """Judges the engines of one network by what its question allows them to lose.

    Args:
        source: the network.
        question: what is asked.
        profiler: that measures.
        journal: with the verdicts that were found before; it is told each new one.
        left_s: seconds that are left for judging; asked whenever an engine is judged.
        detail: is told whom it judges.

    Attributes:
        judging_s: seconds that were spent on judging.
    """

    def __init__(
        self,
        source: Source,
        question: Question,
        profiler: Profiler,
        journal: Journal,
        left_s: Callable[[], float] = lambda: math.inf,
        detail: Say = lambda text: None,
    ) -> None:
        self._source, self._question, self._detail = source, question, detail
        self._left_s = left_s
        self._profiler, self._journal = profiler, journal
        self._verdicts: dict[str, str] = dict(journal.judged)
        self.judging_s = 0.0

    def require_labels(self) -> None:
        """Refuse, before anything is measured, a drop, or a bound on accuracy, that nobody could judge.

        Raises:
            UsageError: it is one.
        """
        if self._question.max_metric_drop is not None and self._profiler.options.metric is None:
            raise UsageError("a drop of a metric needs the metric: give its function, too")
        bound = next((c for c in self._question.constraints if c.column in OF_LABELS), None)
        if self._question.max_accuracy_drop is None and bound is None:
            return
        said = self._profiler.why_unjudged(self._source)
        if said is None:
            return
        named = f"leave --constraint '{bound}' out"
        if self._question.max_accuracy_drop is not None:
            named = "leave --max-accuracy-drop out and judge by --min-snr-db"
        raise UsageError(
            f"accuracy of {source_name(self._source)} can't be judged: {said}; give labelled images with --data, "
            f"or {named}"
        )

    def too_few_images(self) -> str:
        """What to say where no number of right answers on the images that there are would be enough; else empty."""
        wanted = self._question.max_accuracy_drop
        images = None if wanted is None else self._profiler.judging_images(self._source)
        needed = None if wanted is None else DropTest(wanted).images_needed()
        if images is None or needed is None or images >= needed:
            return ""
        return (
            f"{images:,} images are too few to judge a drop of {wanted:.2%}: it takes {needed:,} where a network "
            "never differs from fp32, and more where it does. Only what computes in fp32 could be taken; give more "
            "images, or allow a larger drop."
        )

    def measure_metric(self) -> None:
        """Compute the user's metric of fp32 where the question is about it, before anything is measured.

        Each engine would be refused for a function that can't be computed, one after the other.

        Raises:
            DeploykitError: it can't be computed.
        """
        if self._question.max_metric_drop is None:
            return
        self._detail(f"{self._profiler.options.metric} in fp32")
        start = time.perf_counter()
        self._profiler.metric_in_fp32(self._source)
        self.judging_s += time.perf_counter() - start

    def reason(self, candidate: Candidate) -> str:
        """Why an engine can't be taken; empty where it can. Asked once for an engine."""
        assert candidate.request is not None
        told = options_text(candidate.configuration.options)
        engine = f"{candidate.request.engine} {told}".rstrip()
        if engine not in self._verdicts:
            self._detail(f"judge {candidate.name}")
            start = time.perf_counter()
            try:
                reason = self._unfit(candidate)
            except OutputFailed:
                raise
            except WorkerFailure as failure:
                late = failure.kind == "timeout"
                reason = TOO_LATE if late else f"it does not run: {failure}"
            finally:
                self.judging_s += time.perf_counter() - start
            self._verdicts[engine] = reason
            if (
                reason != TOO_LATE
            ):  # which says nothing of the engine: going on, there is time again
                self._journal.write(Entry(engine=engine, reason=reason))
        return self._verdicts[engine]

    def _unfit(self, candidate: Candidate) -> str:
        configuration, wanted = candidate.configuration, self._question.max_accuracy_drop
        request = self._profiler.judging(configuration, wanted)
        left_s = max(JUDGING_MIN_S, self._left_s())
        result = run_worker(request, min(left_s, self._profiler.options.timeout_s or LIMIT_S))
        seen = {name: result.columns.get(name) for name in JUDGED if name in result.columns}
        candidate.row = candidate.row.plus(seen)
        # Of several outputs the worst decides: boxes of large numbers would hide what became of scores.
        snr = result.columns.get("drift_worst_snr_db", result.columns.get("drift_snr_db"))
        least, by_metric = self._question.min_snr_db, self._question.max_metric_drop is not None
        computes_fp32 = candidate.row.get("precision_actual") == "fp32"
        if wanted is None and not by_metric:
            least = MIN_SNR_DB if least is None else least
        if least is not None and snr is not None and snr < least:
            return f"its outputs drift to {snr:.1f} dB, below {least:g} dB"
        is_as_is = configuration.precision == AS_IS
        same = computes_fp32 or is_as_is or result.columns.get("drift_max_abs") == 0
        if least is not None and snr is None and not same:
            return "its outputs can't be compared with those of fp32, so that nobody knows what it loses"
        if by_metric and (reason := self._lost_metric(configuration, seen)):
            return reason
        if wanted is None:
            return ""
        if computes_fp32 and snr is not None and snr >= FP32_SNR_DB:
            return ""
        accuracy = request.accuracy
        if accuracy is not None and accuracy.reference is None and accuracy.predictions is not None:
            return ""  # it is what others are judged by
        stored = result.details.get("drop")
        if stored is None:
            said = next((n.text for n in result.notes if n.kind == "data"), "there are no labels")
            raise UsageError(
                f"accuracy of {source_name(self._source)} can't be judged: {said}; leave --max-accuracy-drop out "
                "and judge by --min-snr-db"
            )
        test = codec.from_values(stored, DropTest)
        if test.verdict == ACCEPTED:
            return ""
        drop = f"{test.drop:+.2%} on {test.images} images".replace("+-", "-")
        if test.verdict == REJECTED:
            return f"its top-1 drops by more than {wanted:.2%}: {drop}"
        needed = test.images_needed()
        more = (
            "no number of images would tell if it goes on so"
            if needed is None
            else f"if it goes on so, about {needed:,} images are needed"
        )
        return f"whether its top-1 drops by more than {wanted:.2%} can't be told: {drop}; {more}"

    def _lost_metric(self, configuration: Configuration, seen: Mapping[str, object]) -> str:
        """Why an engine can't be taken for what it loses of the user's metric; empty where it loses no more."""
        name, allowed = self._profiler.options.metric, self._question.max_metric_drop
        value = seen.get("metric_value")
        assert isinstance(value, int | float)
        assert allowed is not None
        best = self._profiler.metric_in_fp32(configuration.source)
        if best - value <= allowed:
            return ""
        return f"its {name} is {general(value, 4)}, below the {general(best, 4)} of fp32 by more than {allowed:g}"

    @property
    def text(self) -> str:
        """How accuracy was judged, in a sentence."""
        wanted, allowed = self._question.max_accuracy_drop, self._question.max_metric_drop
        if wanted is None and allowed is not None:
            return (
                f"{self._profiler.options.metric} is below that of fp32 by {allowed:g} at the most."
            )
        if wanted is None:
            least = self._question.min_snr_db
            return (
                f"Accuracy was not judged: outputs keep {MIN_SNR_DB if least is None else least:g} dB "
                "to those of fp32."
            )
        return (
            f"Top-1 is below that of fp32 by less than {wanted:.2%}, with an error of at most 1%."
        )

    @property
    def goal(self) -> Goal:
        """What layers are kept for: half of the drop that is allowed, as other images judge it; or the drift."""
        asked = self._question
        if asked.max_accuracy_drop is not None:
            return Goal(max_drop=asked.max_accuracy_drop / 2)
        if asked.max_metric_drop is not None:
            metric = self._profiler.options.metric
            return Goal(max_metric_drop=asked.max_metric_drop / 2, metric=metric)
        least = MIN_SNR_DB if asked.min_snr_db is None else asked.min_snr_db
        return Goal(min_snr_db=least + SNR_ROOM_DB)
