"""What a tuning chooses from beyond engines and threads: options that are asked for, mixes, metrics, training."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from answers import answer, candidate
from planted import Planted

from deploykit import backends, env
from deploykit.bench.race import UNFIT, Entrant
from deploykit.bench.scenario import Policy
from deploykit.data import open_dataset
from deploykit.errors import DeploykitError, UnknownName, UsageError
from deploykit.row import Row
from deploykit.spec import InputChoice, ModelFile, ModelSpec
from deploykit.stats import RatioInterval
from deploykit.workflow import confirmation, frontier, races, trained, tuned
from deploykit.workflow.asked import check_tuning
from deploykit.workflow.choices import Goal
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Entry
from deploykit.workflow.keep import SearchResult
from deploykit.workflow.profile import Profiler
from deploykit.workflow.space import candidates, combined_changes, single_changes
from deploykit.workflow.trained import Training
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question

LENET = ModelSpec("lenet5")
SMALL = Question(backends=("onnxruntime",), precisions=("fp32",), threads=(1,), budget_s=600.0)
QUICK = ProfileOptions(
    policy=Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2),
    roofline=False,
)


@pytest.fixture(autouse=True)
def plant(monkeypatch) -> Callable[[Callable[[str], float]], None]:
    """Let races be among planted latencies by candidates' names; whoever is met is twice as slow."""

    def of(value: Callable[[str], float]) -> None:
        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Planted]:
            return {one.name: Planted(value(one.name), n) for n, one in enumerate(entrants)}

        monkeypatch.setattr(races, "lanes", planted)

    met = SimpleNamespace(ratio=RatioInterval(0.5, 0.49, 0.51, 0.99, 12), elapsed_s=0.0)
    monkeypatch.setattr(confirmation, "compare_interleaved", lambda *sides, **rest: met)
    of(lambda name: 1.0)
    return of


# --- Backends of other packages ---


def points(monkeypatch, **loads: Callable[[], object]) -> None:
    """Let packages have entry points of these names."""
    found = {
        name: SimpleNamespace(name=name, value=f"{name}:Backend", dist=None, load=load)
        for name, load in loads.items()
    }
    monkeypatch.setattr(backends, "_third_party", lambda: found)


def test_backends_of_others_that_are_broken_leave_the_choice_among_the_rest(monkeypatch):
    """One package that did not load ended every tuning, though nobody had named its backend."""

    class Faulty(type(backends.reference())):
        name = "faulty"

        def available(self):
            raise RuntimeError("no driver")

    def gone():
        raise ImportError("no module")

    points(monkeypatch, gone=gone, faulty=lambda: Faulty)
    check_tuning(Question(), QUICK)
    _, others = candidates(LENET, Question(threads=(1,)))
    found = {one.backend for one in others}
    assert "onnxruntime" in found
    assert not found & {"gone", "faulty"}
    with pytest.raises(UsageError, match="does not load"):
        candidates(LENET, Question(backends=("gone",)))
    with pytest.raises(RuntimeError, match="no driver"):
        candidates(LENET, Question(backends=("faulty",)))


def test_a_precision_that_only_a_backend_of_others_has_need_not_be_named_with_it(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "backends" / "plugin"))
    points(monkeypatch, board=lambda: importlib.import_module("deploykit_board").Board)
    asked = Question(precisions=("eighths",), threads=(1,))
    check_tuning(asked, QUICK)
    _, others = candidates(LENET, asked)
    assert {(one.backend, one.precision) for one in others} == {("board", "eighths")}


def test_an_option_that_there_is_not_is_refused_before_any_work():
    """With --train a network was trained first."""
    with pytest.raises(UnknownName, match=r"ort\.allow_spinning"):
        check_tuning(Question(options=(("ort.allow_spining", ("0",)),)), QUICK)


# --- Options ---


def test_one_value_of_an_option_is_told_to_every_candidate_of_its_runtime_but_the_default(
    monkeypatch,
):
    monkeypatch.setattr(env, "usable_cores", lambda: 4.0)
    asked = replace(SMALL, options=(("ort.allow_spinning", ("0",)),), threads=(2,))
    default, others = candidates(LENET, asked)
    assert default.options == ()
    assert {one.options for one in others} == {(("ort.allow_spinning", "0"),)}
    names = {name for one in single_changes(others[0], asked) for name, _ in one.options}
    assert names == {
        "ort.allow_spinning",  # which stays
        "ort.denormal_as_zero",
        "ort.dynamic_block_base",
        "ort.execution_mode",
    }
    assert all(
        dict(one.options)["ort.allow_spinning"] == "0" for one in single_changes(others[0], asked)
    )


def test_several_values_are_tried_also_of_what_is_else_left_alone():
    asked = Question(options=(("ov.streams", ("2", "auto")), ("ov.pinning", ("0",))))
    base = Configuration(LENET, "fp32", "openvino", 1)
    tried = [one.options for one in single_changes(base, asked)]
    assert (("ov.streams", "2"),) in tried
    assert not any(name == "ov.pinning" for ((name, _),) in tried)
    assert [name for ((name, _),) in tried].count("ov.streams") == 1


def test_freezing_and_the_modes_are_tried_where_torch_compiles():
    base = Configuration(LENET, "fp32", "torch-compile", 1)
    assert [one.options for one in single_changes(base)] == [
        (("torch.freeze", "1"),),
        (("torch.compile_mode", "reduce-overhead"),),
        (("torch.compile_mode", "max-autotune"),),
    ]


def test_what_helped_is_combined_on_top_of_what_the_base_is_told_already():
    base = Configuration(LENET, "fp32", "onnxruntime", 1, options=(("a", "1"),))
    one = replace(base, options=(("a", "1"), ("b", "2")))
    other = replace(base, options=(("a", "1"), ("c", "3")))
    assert combined_changes([one], base) is None
    both = combined_changes([one, other], base)
    assert both is not None
    assert both.options == (("a", "1"), ("b", "2"), ("c", "3"))


def test_an_option_that_there_is_not_is_refused():
    with pytest.raises(UnknownName, match=r"ort\.allow_spinning"):
        candidates(LENET, replace(SMALL, options=(("ort.allow_spining", ("0",)),)))
    with pytest.raises(UsageError, match=r"ov\.pinning is told to openvino"):
        candidates(LENET, replace(SMALL, options=(("ov.pinning", ("1",)),)))


def test_as_many_threads_as_there_are_cores_are_no_candidate_beside_all_of_them(monkeypatch):
    monkeypatch.setattr(env, "usable_cores", lambda: 4.0)
    _, others = candidates(LENET, replace(SMALL, threads=(4, 2)))
    assert [one.scenario.threads for one in others] == [2]
    _, others = candidates(LENET, replace(SMALL, threads=(), precisions=("fp32", "int8")))
    assert {(one.precision, one.scenario.threads) for one in others} == {
        ("fp32", 2),
        ("fp32", 1),
        ("int8", None),
        ("int8", 2),
        ("int8", 1),
    }


# --- A mix of precisions ---


@pytest.fixture
def mixed(monkeypatch) -> list[Configuration]:
    """Let the best mix keep one convolution, and nothing else be measured or judged; who asks for it is listed."""
    asked: list[Configuration] = []

    def what_if(self: Profiler, configuration: Configuration) -> SimpleNamespace:
        asked.append(configuration)
        return SimpleNamespace(
            is_mix=True, gain=0.2, kept=("features.0/Conv",), sentence="It is predicted."
        )

    def rows(self: Profiler, wanted: Sequence[Configuration]) -> Iterator[Row]:
        for configuration in wanted:
            row, _ = self.prepared(configuration)
            yield row.plus({"status": "ok", "latency_p50_ms": 1.0})

    monkeypatch.setattr(Profiler, "what_if", what_if)
    monkeypatch.setattr(Profiler, "rows", rows)
    monkeypatch.setattr(Fitness, "_unfit", lambda self, candidate: "")
    return asked


MIXED = replace(SMALL, precisions=("fp32", "int8"))


def test_the_best_mix_races_beside_the_better_precision_and_can_be_the_answer(
    shared_store, plant, mixed, monkeypatch
):
    monkeypatch.setattr(races, "OPTIONS_MIN_S", 0.0)
    plant(lambda name: 0.5 if "but 1 layer" in name else 0.7 if "int8" in name else 1.0)
    found = Tuning(LENET, MIXED, QUICK, shared_store)()
    assert found.best is not None
    assert found.best.name.startswith("int8 but 1 layer in fp32 onnxruntime")
    assert found.best.row["kept"] == "features.0/Conv"
    assert found.best.row["precision_actual"] == "int8+fp32"
    assert [one.precision for one in mixed] == ["int8"]
    assert found.remarks[0] == "It is predicted."
    mix = "int8 but 1 layer in fp32 onnxruntime 1 thread"
    assert found.remarks[1].startswith(f"In the race {mix} took 0.7")
    assert tomllib.loads(found.toml)["keep"] == ["features.0/Conv"]
    assert found.engine is not None
    assert (found.engine / "manifest.json").exists()
    assert str(found.engine) in found.toml
    assert tuned.as_values(found)["engine"] == str(found.engine)


def test_a_mix_whose_outputs_drift_is_no_answer(shared_store, plant, mixed, monkeypatch):
    plant(lambda name: 0.3 if "but 1 layer" in name else 0.7 if "int8" in name else 1.0)
    monkeypatch.setattr(
        Fitness, "_unfit", lambda self, one: "it drifts" if one.configuration.kept else ""
    )
    found = Tuning(LENET, MIXED, QUICK, shared_store)()
    assert found.best is not None
    assert not found.best.configuration.kept
    # Ratios are to the best of those that are left: no option was tried any more, as that was called far off.
    assert found.best.ratio == pytest.approx(1.0, abs=0.1)
    assert any(one.configuration.options for one in found.candidates)
    plain = [one for one in found.candidates if one.configuration.kept and one.fate == UNFIT]
    assert [one.reason for one in plain] == ["it drifts"]


@pytest.fixture
def lost(mixed, monkeypatch) -> list[Goal]:
    """Let int8 lose too much, unless layers are kept; the goals for which these are searched are listed."""
    goals: list[Goal] = []

    def layers_to_keep(
        self: Profiler, at: Configuration, goal: Goal, limit_s: float
    ) -> SearchResult:
        goals.append(goal)
        return SearchResult(("features.0/Conv",), 5, 0.02, 0.001, 4)

    def unfit(self: Fitness, one: tuned.Candidate) -> str:
        at = one.configuration
        return "its top-1 drops" if at.precision == "int8" and not at.kept else ""

    monkeypatch.setattr(Profiler, "layers_to_keep", layers_to_keep)
    monkeypatch.setattr(Profiler, "why_unjudged", lambda *_: None)
    monkeypatch.setattr(
        Profiler, "what_if",
        lambda *_: SimpleNamespace(is_mix=False, gain=0.0, kept=(), sentence="No mix is worth it."),
    )  # fmt: skip
    monkeypatch.setattr(Fitness, "_unfit", unfit)
    monkeypatch.setattr(races, "OPTIONS_MIN_S", 0.0)
    return goals


def test_int8_that_loses_too_much_is_tried_with_layers_kept(shared_store, plant, lost):
    plant(lambda name: 0.6 if "but 1 layer" in name else 0.5 if "int8" in name else 1.0)
    asked = replace(MIXED, max_accuracy_drop=0.01)
    found = Tuning(LENET, asked, QUICK, shared_store)()
    assert found.best is not None
    assert found.best.configuration.kept == ("features.0/Conv",)
    assert lost == [Goal(max_drop=0.005)]
    assert any("once more with 1 of 5 layers in fp32" in text for text in found.remarks)


def test_int8_that_loses_too_much_and_is_no_faster_is_left_alone(shared_store, plant, lost):
    plant(lambda name: 1.2 if "int8" in name else 1.0)
    Tuning(LENET, replace(MIXED, min_snr_db=30.0), QUICK, shared_store)()
    assert lost == []


@pytest.mark.parametrize("other", ["features.0/Conv", "features.3/Conv"])
def test_layers_kept_have_no_race_where_a_mix_that_is_in_keeps_as_many(
    shared_store, plant, lost, monkeypatch, other
):
    """Both have one name: the race was of a candidate beside itself."""
    mix = SimpleNamespace(is_mix=True, gain=0.2, kept=(other,), sentence="It is predicted.")
    monkeypatch.setattr(Profiler, "what_if", lambda *_: mix)
    plant(lambda name: 0.6 if "but 1 layer" in name else 0.5 if "int8" in name else 1.0)
    run, real = [], races.Races.told

    def told(self, name, *rest):
        run.append(name)
        return real(self, name, *rest)

    monkeypatch.setattr(races.Races, "told", told)
    found = Tuning(LENET, replace(MIXED, max_accuracy_drop=0.01), QUICK, shared_store)()
    assert lost != []
    assert run[0] == "mix"
    assert "layers kept" not in run
    assert {one.configuration.kept for one in found.candidates} == {(), (other,)}
    assert found.best is not None
    assert found.best.configuration.kept == (other,)


def test_layers_kept_take_the_name_of_a_mix_that_is_out(shared_store, plant, lost, monkeypatch):
    mix = SimpleNamespace(
        is_mix=True, gain=0.2, kept=("features.3/Conv",), sentence="It is predicted."
    )
    monkeypatch.setattr(Profiler, "what_if", lambda *_: mix)

    def unfit(self: Fitness, one: tuned.Candidate) -> str:
        at = one.configuration
        return "it drops" if at.precision == "int8" and at.kept != ("features.0/Conv",) else ""

    monkeypatch.setattr(Fitness, "_unfit", unfit)
    plant(lambda name: 0.5 if "int8" in name else 1.0)
    found = Tuning(LENET, replace(MIXED, max_accuracy_drop=0.01), QUICK, shared_store)()
    assert found.best is not None
    assert found.best.configuration.kept == ("features.0/Conv",)


def test_a_mix_that_is_out_is_told_of_though_no_time_is_left_for_what_takes_its_name(
    shared_store, plant, lost, monkeypatch
):
    mix = SimpleNamespace(
        is_mix=True, gain=0.2, kept=("features.3/Conv",), sentence="It is predicted."
    )
    monkeypatch.setattr(Profiler, "what_if", lambda *_: mix)
    monkeypatch.setattr(
        Fitness, "_unfit",
        lambda self, one: "it drops" if one.configuration.precision == "int8" else "",
    )  # fmt: skip
    real = races.Races.told

    def told(self, name, order, *rest):
        return (order, {}) if name == "layers kept" else real(self, name, order, *rest)

    monkeypatch.setattr(races.Races, "told", told)
    plant(lambda name: 0.5 if "int8" in name else 1.0)
    found = Tuning(LENET, replace(MIXED, max_accuracy_drop=0.01), QUICK, shared_store)()
    assert lost != []
    out = [one for one in found.candidates if one.configuration.kept == ("features.3/Conv",)]
    assert [one.reason for one in out] == ["it drops"]


def test_without_time_for_it_no_mix_is_predicted(shared_store, plant, mixed):
    plant(lambda name: 0.7 if "int8" in name else 1.0)
    Tuning(LENET, replace(MIXED, budget_s=20.0), QUICK, shared_store)()
    assert mixed == []


def test_what_a_mix_keeps_is_in_the_journal(shared_store, mixed):
    job = Tuning(LENET, replace(MIXED, budget_s=601.0), QUICK, shared_store)
    int8 = Configuration(LENET, "int8", "onnxruntime", 1)
    assert job._mix(int8) == ("features.0/Conv",)
    again = Tuning(LENET, job.question, QUICK, shared_store)
    assert again._mix(int8) == ("features.0/Conv",)
    assert len(mixed) == 1
    again.forget()
    assert Tuning(LENET, job.question, QUICK, shared_store).journal.kept is None


# --- A metric of the user's own ---


@pytest.fixture
def data(tmp_path) -> str:
    """Forty images of noise with ten labels."""
    generator = np.random.default_rng(0)
    images = generator.random((40, 1, 32, 32), dtype=np.float32)
    split = np.repeat([0, 2], 20)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(40) % 10, split=split)
    return f"npz:{tmp_path / 'own.npz'}"


@pytest.fixture
def judged(data, tmp_path, monkeypatch) -> ProfileOptions:
    """Options with data and a metric, which is what a network puts out first."""
    (tmp_path / "own_metric.py").write_text(
        "def first(outputs, labels):\n    return next(iter(outputs.values()))[:, 0]\n"
    )
    monkeypatch.chdir(tmp_path)
    return replace(QUICK, data=data, metric="own_metric:first")


def test_an_engine_is_refused_for_what_it_loses_of_a_metric_of_the_users_own(judged, shared_store):
    job = Tuning(
        LENET, replace(SMALL, precisions=("fp32",), max_metric_drop=0.5), judged, shared_store
    )
    _, (one, *_) = job._built()
    assert job.fitness.reason(one) == ""
    value = job.profiler.metric_in_fp32(LENET)
    job.profiler._metrics = dict.fromkeys(job.profiler._metrics, value + 1.0)
    job.fitness._verdicts.clear()
    reason = job.fitness.reason(one)
    assert "its own_metric:first is" in reason
    assert "of fp32 by more than 0.5" in reason
    assert "own_metric:first is below that of fp32 by 0.5 at the most" in job.fitness.text
    job.forget()


def test_a_metric_that_can_not_be_computed_is_refused_before_anything_is_measured(
    judged, shared_store, tmp_path, monkeypatch
):
    """It put every engine out but the default, after the whole budget."""
    (tmp_path / "bad_metric.py").write_text("def of(outputs, labels):\n    raise KeyError('box')\n")
    monkeypatch.setattr(races.Races, "raced", None)
    job = Tuning(
        LENET,
        replace(SMALL, max_metric_drop=0.5),
        replace(judged, metric="bad_metric:of"),
        shared_store,
    )
    with pytest.raises(DeploykitError, match="bad_metric:of raised KeyError: 'box'"):
        job()


def test_a_metrics_drop_without_the_metric_is_refused(shared_store):
    with pytest.raises(UsageError, match="give its function"):
        Tuning(LENET, replace(SMALL, max_metric_drop=0.5), QUICK, shared_store)()


# --- What is written ---


def test_files_that_inputs_are_fed_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = (("ids", "ids.npy"), ("mask", "range(0,1)"))
    source = ModelFile(tmp_path / "net.onnx", InputChoice(values=values))
    found = tomllib.loads(answer(candidate(source)).toml)
    assert found["input"] == [f"ids={tmp_path / 'ids.npy'}", "mask=range(0,1)"]


# --- Several networks ---


def test_answers_of_several_networks_stay_in_journals_until_all_are_found(
    shared_store, monkeypatch
):
    made: list[Tuning] = []

    class Broken(Tuning):
        def __call__(self) -> tuned.Tuned:
            made.append(self)
            if len(made) == 2:
                raise KeyboardInterrupt
            self.journal.write(Entry(engine="/e", reason="it drifts"))
            if not self.keeps_journal:
                self.forget()
            return answer(None, [candidate()])

    monkeypatch.setattr(frontier, "Tuning", Broken)
    sources = [LENET, replace(LENET, seed=1)]
    with pytest.raises(KeyboardInterrupt):
        list(frontier.tune_each(sources, SMALL, QUICK, shared_store))
    assert made[0].journal.path.exists()
    made.append(made[0])  # so that nobody breaks off
    list(frontier.tune_each(sources, SMALL, QUICK, shared_store))
    assert not made[0].journal.path.exists()


# --- Training ---


def test_a_network_without_weights_is_trained_once_and_kept_in_the_store(data, shared_store):
    pytest.importorskip("torch")
    training = Training(data, epochs=1)
    said: list[str] = []
    spec = training.of(LENET, shared_store, said.append, said.append)
    assert isinstance(spec, ModelSpec)
    assert spec.weights.startswith(str(shared_store.root / "trained"))
    assert said[0] == "lenet5: train on npz:own.npz"
    assert "lenet5: epoch 1 of 1" in said[-1]
    said.clear()
    assert training.of(LENET, shared_store, said.append, said.append) == spec
    assert said == []
    own = replace(LENET, weights="own.safetensors")
    assert training.of(own, shared_store, said.append, said.append) == own


def test_changed_code_of_the_network_or_of_training_trains_anew(data, shared_store, monkeypatch):
    training, dataset = Training(data, epochs=1), open_dataset(data)
    before = training._path(LENET, dataset, shared_store)
    assert training._path(LENET, dataset, shared_store) == before
    monkeypatch.setattr("deploykit.workflow.trained.code_digest", lambda *names: "changed")
    assert training._path(LENET, dataset, shared_store) != before


def test_changed_code_of_a_network_of_ones_own_trains_anew(
    data, shared_store, tmp_path, monkeypatch
):
    """It was answered with the weights of what the function had made before."""
    pytest.importorskip("torch")
    file = tmp_path / "networks_to_tune.py"
    code = (
        "from torch import nn\n\n\n"
        "def net(num_classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(1024, num_classes))\n"
    )
    file.write_text(code)
    monkeypatch.chdir(tmp_path)
    training, dataset = Training(data, epochs=1), open_dataset(data)
    spec = ModelSpec("networks_to_tune:net", resolution_px=32)
    try:
        before = training._path(spec, dataset, shared_store)
        assert training._path(spec, dataset, shared_store) == before
        file.write_text(code.replace("nn.Flatten()", "nn.Flatten(), nn.ReLU()"))
        assert training._path(spec, dataset, shared_store) != before
    finally:
        sys.modules.pop("networks_to_tune", None)


def test_weights_that_come_with_the_package_are_not_trained_again(shared_store):
    found = Training("digits").of(LENET, shared_store, print, print)
    assert found == replace(LENET, weights="trained:digits")


def test_weights_of_another_size_of_input_do_not_stand_in_for_those_of_the_size_asked_for():
    """A tuning chose by the accuracy of weights at a size that they were not trained at."""
    clothes = ModelSpec("mobilenet", alpha=0.25, weights="trained:fashion-mnist")
    assert trained._is_shipped(clothes)
    assert trained._is_shipped(replace(clothes, resolution_px=64))
    assert not trained._is_shipped(replace(clothes, resolution_px=96))


def test_top1_in_fp32_is_of_the_batch_that_a_graph_takes_whatever_is_named(
    shared_store, monkeypatch
):
    asked: list[int] = []

    def rows(self, wanted):
        asked.extend(one.batch for one in wanted)
        return iter([Row({"status": "ok", "top1": 0.1, "top1_low": 0.08})])

    monkeypatch.setattr(Profiler, "why_unjudged", lambda self, source: None)
    monkeypatch.setattr(Profiler, "only_batch", lambda self, one: 1)
    monkeypatch.setattr(Profiler, "rows", rows)
    eight = replace(SMALL, batches=(8,))
    (refused,) = frontier.tune_each([LENET], eight, QUICK, shared_store, min_top1=0.9)
    assert isinstance(refused, frontier.Refused)
    assert asked == [1]


def test_a_network_with_random_weights_that_is_too_bad_says_how_to_have_better_ones(
    shared_store, monkeypatch
):
    monkeypatch.setattr(Profiler, "why_unjudged", lambda self, source: None)
    row = {"status": "ok", "top1": 0.1, "top1_low": 0.08}
    monkeypatch.setattr(Profiler, "rows", lambda self, wanted: iter([Row(row)]))
    (refused,) = frontier.tune_each([LENET], SMALL, QUICK, shared_store, min_top1=0.9)
    assert isinstance(refused, frontier.Refused)
    assert refused.why.endswith("its weights are random: take --weights trained, or --train")
