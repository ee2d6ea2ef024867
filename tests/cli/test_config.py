"""`--config`: what `deploykit tune -o` writes is what profile and build do; the command line wins."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from answers import LENET, answer, candidate

from deploykit.bench.scenario import Scenario
from deploykit.errors import DeploykitError, UsageError
from deploykit.spec import InputChoice, ModelFile, ModelSpec
from deploykit.workflow.choices import CalibrationChoice, KeepChoice
from deploykit.workflow.configuration import enumerate_configurations
from deploykit.workflow.plan import DEFAULT_MODELS
from deploykit.workflow.profile import Profiler


@pytest.fixture
def asked(run, monkeypatch):
    """What a profile would measure, with its options, given a file's text and more arguments."""
    seen = []

    def rows(self, configurations):
        seen.append((list(configurations), self.options))
        raise DeploykitError("that will do")

    monkeypatch.setattr(Profiler, "rows", rows)

    def of(text, *arguments):
        Path("tune.toml").write_text(text, encoding="utf-8")
        ended = run("profile", "--config", "tune.toml", *arguments)
        assert "that will do" in ended.err, ended.err
        return seen[-1]

    return of


def told(*options):
    """A candidate whose runtime is told something."""
    one = candidate(latency_p50_ms=1.0)
    one.configuration = replace(one.configuration, options=options)
    return one


@pytest.mark.parametrize(
    "one",
    [
        told(("ort.allow_spinning", "0"), ("ort.execution_mode", "parallel")),
        candidate(latency_p50_ms=1.0),
        candidate(precision="int8", backend="openvino", scenario=Scenario(2), latency_p50_ms=1.0),
        candidate(batch=8, scenario=Scenario(1, 2, 50.5), latency_p50_ms=1.0),
        candidate(ModelSpec("mobilenet", 1 / 3, Fraction(6, 7), 10, seed=3), latency_p50_ms=1.0),
        candidate(ModelSpec("mobilenet", resolution_px=96), latency_p50_ms=1.0),
        candidate(replace(LENET, weights="trained:digits"), latency_p50_ms=1.0),
    ],
    ids=lambda one: f"{one.configuration.source.label} {one.name}",
)
def test_profile_measures_the_configuration_that_tune_wrote(asked, one):
    found, options = asked(answer(one).toml)
    assert found == [one.configuration]
    assert options.calibration == CalibrationChoice()


def test_a_file_of_ones_own_keeps_its_path_and_what_was_said_of_its_inputs(
    asked, light_squeezenet, tmp_path, monkeypatch
):
    inputs = InputChoice((("x", (None, 3, 8, 8)),), (("n", 2),), (("x", "range(0,255)"),), "NCHW")
    odd = tmp_path / 'odd "näme".onnx'
    odd.write_bytes(light_squeezenet.read_bytes())
    monkeypatch.chdir(tmp_path)
    one = candidate(ModelFile(Path(odd.name), inputs), latency_p50_ms=1.0)
    (found,), _ = asked(answer(one).toml)
    assert found.source == ModelFile(odd, inputs)


def test_calibration_and_kept_layers_come_along(asked):
    choice = CalibrationChoice(
        "digits", "mse", 64, synthetic=True, strict=True, keep=KeepChoice(("/conv*",), ("Gemm",), 2),
        int8="plain",
    )  # fmt: skip
    one = candidate(precision="int8", latency_p50_ms=1.0)
    found, options = asked(answer(one, calibration=choice).toml)
    assert found == [one.configuration]
    assert options.calibration == choice
    assert options.data == "digits"


def test_the_metric_that_judged_comes_along_as_it_keeps_images_out_of_calibration(asked):
    one = candidate(precision="int8", latency_p50_ms=1.0)
    choice = CalibrationChoice("digits", judged=True)
    _, options = asked(answer(one, calibration=choice, metric="math:dist").toml)
    assert (options.metric, options.calibration) == ("math:dist", choice)


@pytest.mark.parametrize("named", ["tune.toml", "pyproject.toml"])
@pytest.mark.parametrize("command", ["build", "run"])
def test_what_computes_no_metric_calibrates_as_profile_does_beside_it(
    run, monkeypatch, command, named
):
    """They built another int8 engine than was tuned, calibrated on the test images, too."""
    seen = []

    def build_network(*_, choice, **rest):
        seen.append(choice)
        raise DeploykitError("that will do")

    class Job:
        def __init__(self, folder, store, options, *rest, **more):
            seen.append(options.calibration)
            raise DeploykitError("that will do")

    monkeypatch.setattr("deploykit.workflow.build.build_network", build_network)
    monkeypatch.setattr("deploykit.workflow.run.Run", Job)
    one, choice = candidate(precision="int8", latency_p50_ms=1.0), CalibrationChoice("digits")
    for metric in ("math:dist", None):
        text = answer(one, calibration=choice, metric=metric).toml
        table = "" if named == "tune.toml" else "[tool.deploykit]\n"
        Path(named).write_text(table + text, encoding="utf-8")
        ended = run(command, *(() if table else ("--config", named)))
        assert "that will do" in ended.err, ended.err
    assert seen == [replace(choice, judged=True), choice]


def test_the_file_says_what_it_is_and_which_target_builds_it():
    text = answer(candidate(latency_p50_ms=1.25)).toml
    values = tomllib.loads(text)
    assert values["target"] == "cpu"
    assert values["batch"] == values["streams"] == 1
    assert "threads" not in values  # all cores, on whatever machine
    assert text.startswith("# lenet5: keep the default, fp32 onnxruntime, latency_p50_ms 1.25")
    assert "# device: a processor; date: 2026-01-02T03:04:05+00:00" in text


def test_no_answer_is_no_file():
    with pytest.raises(UsageError, match="lenet5 has no answer"):
        _ = answer(None, [candidate()]).toml


def test_the_command_line_wins(asked):
    text = 'model = ["lenet5"]\nprecision = ["fp32", "int8"]\nthreads = 2\nquick = true\n'
    found, options = asked(text, "alexnet", "--threads", "1")
    assert [one.source.name for one in found] == ["alexnet", "alexnet"]
    assert [one.precision for one in found] == ["fp32", "int8"]
    assert {one.scenario.threads for one in found} == {1}
    assert options.policy.min_s == 0.5


def test_a_file_counts_more_than_a_preset_that_it_names_or_that_is_given(asked):
    found, _ = asked('preset = "vgg-listing"\nbatch = 4\nmodel = "lenet5"\n')
    assert {one.batch for one in found} == {4}
    assert {one.backend for one in found} == {"torch"}
    found, _ = asked('batch = 4\nmodel = "lenet5"\n', "--preset", "vgg-listing")
    assert {one.batch for one in found} == {4}


def test_how_long_to_measure_counts_more_than_the_number_of_runs_of_a_preset(asked):
    listing = ("--preset", "vgg-listing")
    _, options = asked('model = "lenet5"\nquick = false\n', *listing)
    assert (options.policy.iterations, options.policy.warmup_iterations) == (100, 10)
    for text, arguments in (
        ('model = "lenet5"\n', (*listing, "--seconds", "7")),
        ('model = "lenet5"\nseconds = 7\n', listing),
        ('model = "lenet5"\nseconds = 7\npreset = "vgg-listing"\n', ()),
    ):
        _, options = asked(text, *arguments)
        assert (options.policy.iterations, options.policy.warmup_iterations) == (None, 10)
        assert options.policy.min_s == 7
    _, options = asked('model = "lenet5"\nseconds = 7\n', *listing, "--iterations", "20")
    assert options.policy.iterations == 20


def test_build_takes_model_and_target_and_passes_over_what_is_of_profile(run):
    one = candidate(latency_p50_ms=1.0, scenario=Scenario(1))
    Path("tune.toml").write_text(answer(one).toml, encoding="utf-8")
    ended = run("build", "--config", "tune.toml")
    assert ended.code == 0
    assert "lenet5-fp32-onnxruntime" in ended.out
    assert "note" not in ended.err


def test_build_builds_for_the_backend_of_the_answer_unless_a_target_is_given(run):
    pytest.importorskip("openvino")
    one = candidate(backend="openvino", latency_p50_ms=1.0)
    Path("tune.toml").write_text(answer(one).toml, encoding="utf-8")
    assert "lenet5-fp32-openvino" in run("build", "--config", "tune.toml").out
    ended = run("build", "--config", "tune.toml", "--target", "cpu")
    assert "lenet5-fp32-onnxruntime" in ended.out
    ended = run("build", "lenet5", "--target", "cpu", "--backend", "openvino")
    assert ended.code == 2
    assert "--backend and --target both say who builds" in ended.err


def test_run_works_on_the_model_and_the_configuration_of_the_file(run, monkeypatch):
    seen = []

    class Job:
        def __init__(self, folder, store, options, sources, **rest):
            wanted = enumerate_configurations(sources, options)
            seen.append((folder, wanted, options.policy.min_s))
            raise DeploykitError("that will do")

    monkeypatch.setattr("deploykit.workflow.run.Run", Job)
    one = told(("ort.allow_spinning", "0"))
    one.configuration = replace(one.configuration, precision="int8", scenario=Scenario(1))
    Path("tune.toml").write_text(answer(one).toml + "quick = true\n", encoding="utf-8")
    ended = run("run", "--config", "tune.toml", "--reports", "here")
    assert "that will do" in ended.err
    assert seen == [(Path("here"), [one.configuration], 0.5)]
    # Without a file, or with a model alone, it is in every precision that is usual.
    run("run", "squeezenet1_0", "--backend", "onnxruntime")
    assert [c.precision for c in seen[-1][1]] == ["fp32", "fp16", "int8"]
    assert {c.source.name for c in seen[-1][1]} == {"squeezenet1_0"}
    run("run")
    assert {c.source for c in seen[-1][1]} == set(DEFAULT_MODELS)


def test_run_refuses_what_would_change_nothing(run):
    ended = run("run", "--alpha", "0.5")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "the default models are as they are: name a MODEL" in ended.err
    ended = run("run", "lenet5", "--backend", "onnxruntime", "--option", "ov.pinning=1")
    assert ended.code == 2
    assert "ov.pinning is told to openvino" in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend = 'opnvino'", "c.toml: backend: unknown backend 'opnvino'"),
        ("precision = 'int7'", "c.toml: precision: unknown precision 'int7'"),
        ("model = 'lenet6'", "c.toml: model: unknown"),
        ("option = ['ort.spin=0']", "c.toml: option: unknown option in --option 'ort.spin'"),
        ("threads = 0", "c.toml: threads takes whole numbers"),
        ("seed = -1", "c.toml: seed takes"),
        ("data = 'digitz'", "c.toml: data: unknown data set 'digitz'"),
        ("layout = 'CHWN'", "c.toml: layout: 'CHWN' is not one of"),
    ],
)
@pytest.mark.parametrize("command", ["profile", "run"])
def test_a_wrong_value_is_told_with_its_file_and_its_key(run, command, text, said):
    model = "" if "model" in text else "model = 'lenet5'\n"
    Path("c.toml").write_text(f"{model}{text}\n", encoding="utf-8")
    ended = run(command, "--config", "c.toml", "-q")
    assert ended.code == 2
    assert ended.err.startswith(f"deploykit: {said}"), ended.err
    assert ended.err.count("\n") == 1
    # Who writes it on the command line is told of that alone.
    option, value = text.replace("'", "").strip("[]").split(" = ")
    if option == "model":
        return
    ended = run(command, "lenet5", f"--{option}", value.strip("[]"), "-q")
    assert ended.code == 2
    assert "c.toml" not in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presicion = 'fp32'", "unknown key in c.toml 'presicion': did you mean precision"),
        (
            "presicion = 1\nzzzz = 2",
            "unknown keys in c.toml: presicion (did you mean precision?), zzzz",
        ),
        ("config = 'other.toml'", "unknown key in c.toml 'config'"),
        ("strict = 'yes'", "c.toml: strict is on or off: write true or false, not yes"),
        ("batch = true", "c.toml: batch takes a text, a number, or a list of these"),
        ("[batch]\nsize = 1", "c.toml: batch takes a text, a number, or a list of these"),
        ("batch = [[1]]", "c.toml: batch takes a text, a number, or a list of these"),
        ("batch = ", "--config c.toml is no TOML"),
        ("batch = 'x'", "c.toml: batch takes whole numbers from 1 to 65,536, not 'x'"),
        ("layout = 'CHWN'", "layout"),
    ],
)
@pytest.mark.parametrize("command", ["profile", "build"])
def test_what_is_wrong_with_a_file_is_one_line(run, command, text, said):
    if command == "build" and text == "batch = 'x'":
        return  # another command's option is not looked at
    if command == "build":
        text = text.replace("batch", "precision")
        said = said.replace("batch", "precision")
    Path("c.toml").write_text(f"model = 'lenet5'\n{text}\n", encoding="utf-8")
    ended = run(command, "--config", "c.toml", "-q")
    assert ended.code == 2
    assert said in ended.err.replace("--layout", "layout")
    assert ended.err.count("\n") == 1


def test_a_file_that_can_not_be_read_is_one_line(run):
    Path("latin.toml").write_bytes(b"model = '\xe9'")
    Path("deep.toml").write_text("a=" + "[" * 100_000)
    Path("folder").mkdir()
    for name, said in (
        ("missing.toml", "no such file"),
        ("folder", "is a directory"),
        ("latin.toml", "is no TOML"),
        ("deep.toml", "is no TOML"),
    ):
        ended = run("profile", "--config", name)
        assert ended.code == 2
        assert said in ended.err
        assert ended.err.count("\n") == 1
