"""A study of size against accuracy on Fashion-MNIST at 64 px, a proxy for ImageNet; and of transfer.

The networks are those of the claims: MobileNet over its two multipliers, SqueezeNet, AlexNet, LeNet-5.
Fashion-MNIST is a proxy: it has ten classes of small grey images, so the *order* of networks and what a
multiplier costs carry over to ImageNet at best, the accuracies themselves do not.

Trainings take hours on a small machine. So the study is made of cases that are each resumable, the
cheapest first, within a budget of time: calling it again goes on where it stopped.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from deploykit import zoo
from deploykit.codec import MalformedMessage, from_json, to_values
from deploykit.data import Dataset, open_dataset
from deploykit.data.dataset import stratified_split
from deploykit.errors import DeploykitError, UsageError
from deploykit.lazy import torch
from deploykit.spec import ModelSpec
from deploykit.store import file_sha256
from deploykit.training.epochs import Progress
from deploykit.training.loop import train
from deploykit.training.recipes import recipe_for
from deploykit.writing import write_atomic
from deploykit.zoo.weights import metadata

RESOLUTION_PX = 64

#: Passes over Fashion-MNIST's train part. The recipes' own number would take a day on two cores; what
#: is asked is what sizes cost, and that the order of networks shows after three.
EPOCHS = 3

ALPHAS = (1.0, 0.75, 0.5, 0.25)
RHOS = (Fraction(1), Fraction(6, 7), Fraction(5, 7), Fraction(4, 7))

#: A tenth of the digits' train part.
TRANSFER_IMAGES = 110
TRANSFER_SEEDS = (0, 1, 2)

#: All of MobileNet but its classifier.
BODY = ("conv_stem.*", "bn1.*", "blocks.*")

JOURNAL = "study.json"


@dataclass(frozen=True)
class Case:
    """One training of the study.

    Attributes:
        name: of the checkpoint's file, without its ending.
        spec: the network.
        dataset: what it is trained on, as `open_dataset` takes it.
        seed: decides the initial weights, the order of images, augmentation and dropout.
        epochs: passes over the train part; None is the recipe's own number.
        train_images: only so many images of the train part, stratified; None is all.
        start: name of the case whose checkpoint it starts from, "" for none.
        freeze: parameters that are kept as they are.
    """

    name: str
    spec: ModelSpec
    dataset: str = "fashion-mnist"
    seed: int = 0
    epochs: int | None = None
    train_images: int | None = None
    start: str = ""
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: its name.
        status: "trained" now, "stored" from an earlier call, "paused" when the budget was spent,
            "failed", or "waiting" where it has not begun.
        reason: why it failed, or what it waits for.
        checkpoint: file name in the study's folder, where there is one.
        top1: share of the whole test part that is classified right.
        test_images: size of that part.
        train_s: seconds of training in the call that finished it, whichever call that was.
    """

    case: str
    status: str
    reason: str = ""
    checkpoint: str | None = None
    top1: float | None = None
    test_images: int | None = None
    train_s: float | None = None


class _BudgetSpent(Exception):
    """Ends a training that can be resumed."""


def plan(epochs: int | None = EPOCHS) -> tuple[Case, ...]:
    """All cases, the cheapest first; transfer cases follow the one that they start from.

    AlexNet is `alexnet_owt`, because the network of 2012 can't process 64 px; LeNet-5 takes its 32 px.

    Args:
        epochs: on Fashion-MNIST; None is the recipes' own number.
    """
    specs = [
        ModelSpec("mobilenet", alpha=alpha, rho=rho, resolution_px=RESOLUTION_PX)
        for alpha in ALPHAS
        for rho in RHOS
    ]
    specs += [
        ModelSpec(name, resolution_px=RESOLUTION_PX) for name in ("squeezenet1_0", "alexnet_owt")
    ]
    specs.append(ModelSpec("lenet5"))
    cases = [Case(f"{_stem(spec)}-fashion-mnist", spec, epochs=epochs) for spec in specs]
    cases.sort(key=lambda case: (_macs(case.spec), case.name))
    source = next(c for c in cases if c.spec.alpha == min(ALPHAS) and c.spec.rho == 1)
    at = cases.index(source) + 1
    return (*cases[:at], *_transfer_cases(source), *cases[at:])


def _transfer_cases(source: Case) -> Iterable[Case]:
    """The source's network on a tenth of the digits: from nothing, fine-tuned, and its head alone."""
    ways: Mapping[str, dict[str, Any]] = {
        "scratch": {},
        "finetuned": {"start": source.name},
        "head": {"start": source.name, "freeze": BODY},
    }
    for way, settings in ways.items():
        for seed in TRANSFER_SEEDS:
            yield Case(
                f"{_stem(source.spec)}-digits-tenth-{way}-{seed}",
                source.spec,
                dataset="digits",
                seed=seed,
                train_images=TRANSFER_IMAGES,
                **settings,
            )


def run_study(
    folder: Path,
    cases: Iterable[Case] | None = None,
    *,
    budget_s: float | None = None,
    jobs: int = 1,
    device: str = "cpu",
    notify: Callable[[Outcome], None] | None = None,
    progress: Callable[[str, Progress], None] | None = None,
) -> list[Outcome]:
    """Train what is not trained yet, and write what became of every case to `study.json`.

    Args:
        folder: for checkpoints and the journal; made if it is missing.
        cases: other than `plan()`.
        budget_s: stop all trainings after so many seconds, resumably; None is no limit.
        jobs: trainings at a time; with more than one, each has its process and one thread, which makes
            better use of the cores than one training with many threads.
        device: PyTorch's name of the device that trains, such as "cpu".
        notify: called at the end of each case.
        progress: called with the case's name after each batch; with one job only.

    Raises:
        OutputFailed: `folder` can't be written.
        UsageError: the folder's journal is damaged.
    """
    cases = tuple(plan() if cases is None else cases)
    folder.mkdir(parents=True, exist_ok=True)
    deadline = None if budget_s is None else time.time() + budget_s
    took_s = training_times_s(folder)
    outcomes = {c.name: Outcome(c.name, "waiting", train_s=took_s.get(c.name)) for c in cases}

    def note(outcome: Outcome) -> None:
        if outcome.status == "stored":
            outcome = replace(outcome, train_s=took_s.get(outcome.case))
        outcomes[outcome.case] = outcome
        rows = to_values([outcomes[case.name] for case in cases])
        write_atomic(folder / JOURNAL, json.dumps(rows, indent=1) + "\n", "journal")
        if notify:
            notify(outcome)

    if jobs == 1:
        for case in cases:
            watch = None if progress is None else _named(progress, case.name)
            note(_run_case(case, folder, deadline, device, watch))
    else:
        # Cases that start from another's checkpoint wait until it is there.
        first = [case for case in cases if not case.start]
        second = [case for case in cases if case.start]
        for group in (first, second):
            for outcome in _in_parallel(group, folder, deadline, device, jobs):
                note(outcome)
    return [outcomes[case.name] for case in cases]


def training_times_s(folder: Path) -> dict[str, float]:
    """Seconds that each finished training took, by case, as the folder's journal has them.

    Raises:
        UsageError: the journal is damaged.
    """
    journal = folder / JOURNAL
    if not journal.is_file():
        return {}
    try:
        outcomes = from_json(journal.read_bytes(), list[Outcome])
    except MalformedMessage:
        raise UsageError(f"{journal} is no journal of a study: remove it") from None
    return {outcome.case: outcome.train_s for outcome in outcomes if outcome.train_s is not None}


def _in_parallel(
    cases: Iterable[Case], folder: Path, deadline: float | None, device: str, jobs: int
) -> Iterable[Outcome]:
    # Spawned, because a forked process inherits locks of PyTorch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        futures: list[Future[Outcome]] = [
            pool.submit(_run_case, case, folder, deadline, device, None) for case in cases
        ]
        for future in as_completed(futures):
            yield future.result()


def _one_thread() -> None:
    torch.set_num_threads(1)


def _run_case(
    case: Case,
    folder: Path,
    deadline: float | None,
    device: str,
    progress: Callable[[Progress], None] | None,
) -> Outcome:
    out = folder / f"{case.name}.safetensors"

    def watch(now: Progress) -> None:
        if progress:
            progress(now)
        if deadline is not None and time.time() > deadline:
            raise _BudgetSpent

    try:
        start = folder / f"{case.start}.safetensors" if case.start else None
        stored = metadata(out) if out.is_file() else {}
        if stored.get("epochs") == str(_epochs(case)) and _is_from(stored, start):
            top1, tested = float(stored["test_top1"]), int(stored["test_images"])
            return Outcome(case.name, "stored", "", out.name, top1, tested)
        if deadline is not None and time.time() > deadline:
            return Outcome(case.name, "waiting")
        if start is not None and not start.is_file():
            return Outcome(case.name, "waiting", f"{start.name} is not there yet")
        result = train(
            case.spec,
            _part_of(open_dataset(case.dataset), case.train_images),
            out=out,
            epochs=case.epochs,
            seed=case.seed,
            resume=True,
            from_checkpoint=start,
            freeze=case.freeze,
            progress=watch,
            device=device,
        )
    except _BudgetSpent:
        return Outcome(case.name, "paused")
    except DeploykitError as error:
        return Outcome(case.name, "failed", str(error))
    return Outcome(
        case.name, "trained", "", out.name, result.top1, result.test_images, result.train_s
    )


def _is_from(stored: Mapping[str, str], start: Path | None) -> bool:
    """Whether a checkpoint started from what is there to start from now, as far as something is there."""
    if start is None or not start.is_file():
        return True
    return stored.get("from_sha256") == file_sha256(start)


def _epochs(case: Case) -> int:
    return recipe_for(zoo.lookup(case.spec.name).family, case.dataset, case.epochs).epochs


def _part_of(dataset: Dataset, train_images: int | None) -> Dataset:
    """The data set with only so many images to train on, every class with its share."""
    if train_images is None:
        return dataset

    chosen, _ = stratified_split(dataset.train.labels, (train_images,), 0)
    return replace(dataset, train=dataset.train.subset(chosen))


def _named(progress: Callable[[str, Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda now: progress(name, now)


def _stem(spec: ModelSpec) -> str:
    return replace(spec, resolution_px=None).label


def _macs(spec: ModelSpec) -> int:
    """An estimate of what a training costs: stored MACs, scaled by the multipliers and the resolution."""
    architecture = zoo.lookup(spec.name)
    side = zoo.input_shape(spec)[1] / architecture.resolution_px
    return int(architecture.macs * side**2 * spec.alpha**2)
