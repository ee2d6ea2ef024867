"""What a call may ask for: modules, arrays, several at once; and the refusals, which are those of the commands."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import deploykit
from deploykit.api.arguments import engine_of, in_python, spoken, told
from deploykit.bench import contain
from deploykit.cli import COMMANDS, cli
from deploykit.columns import SCHEMA_VERSION
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    InvalidModel,
    OutputFailed,
    UnknownName,
    UsageError,
)
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import Store
from deploykit.workflow.choices import EngineChoice


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "engines")


def of_command(arguments, capsys):
    """What a command ends with, as its one line says it."""
    from deploykit.cli import invoke

    code = invoke(arguments)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    return code, line.removeprefix("deploykit: ")


REFUSALS = [
    ("profile", ["--precision", "int9"], {"precisions": ["int9"]}),
    ("profile", ["--precision", "bf16"], {"precisions": "bf16"}),
    ("profile", ["--backend", "onnx"], {"backends": "onnx"}),
    ("profile", ["--batch", "0"], {"batches": 0}),
    ("profile", ["--batch", "1,x"], {"batches": "1,x"}),
    ("profile", ["--repeats", "0"], {"repeats": 0}),
    ("profile", ["--seconds", "0"], {"seconds": 0}),
    ("profile", ["--percentile", "10"], {"percentile": 10}),
    ("profile", ["--quick", "--seconds", "2"], {"quick": True, "seconds": 2}),
    ("profile", ["--timeout", "2", "--seconds", "3"], {"timeout_s": 2, "seconds": 3}),
    ("profile", ["--rate", "fast"], {"rate": "fast"}),
    ("profile", ["--boundary", "host"], {"boundary": "host"}),
    ("profile", ["--cuda-graph"], {"cuda_graph": True}),
    ("profile", ["--pass", "forward_backward"], {"run_pass": "forward_backward"}),
    ("profile", ["--option", "ort.spinning=1"], {"options": {"ort.spinning": 1}}),
    ("profile", ["--option", "ov.streams=2"], {"options": {"ov.streams": 2}}),
    ("profile", ["--iterations", "5", "--streams", "2"], {"iterations": 5, "streams": 2}),
    ("profile", ["--keep", "a"], {"keep": "a"}),
    ("profile", ["--calibration-images", "5"], {"calibration_images": 5}),
    ("profile", ["--calibration-method", "max"], {"calibration_method": "max"}),
    ("profile", ["--precision", "int8", "--int8", "fast"], {"precisions": "int8", "int8": "fast"}),
    ("profile", ["--data", "digit"], {"data": "digit"}),
    ("profile", ["--data", "npz:gone.npz"], {"data": "npz:gone.npz"}),
    ("profile", ["--metric", "m:f"], {"metric": "m:f"}),
    ("profile", ["--mean", "0.5"], {"mean": 0.5}),
    ("profile", ["--data", "npz:a.npz", "--mean", "0.5,x"], {"data": "npz:a.npz", "mean": "0.5,x"}),
    ("layers", ["--data", "digits", "--std", "0.5"], {"data": "digits", "std": [0.5]}),
    ("tune", ["--data", "npz:a.npz", "--resize", "0"], {"data": "npz:a.npz", "resize": 0}),
    (
        "build",
        ["--data", "npz:a.npz", "--crop", "9", "--resize", "8"],
        {"data": "npz:a.npz", "crop": 9, "resize": 8},
    ),
    (
        "run",
        ["--data", "npz:a.npz", "--channel-order", "RBG"],
        {"data": "npz:a.npz", "channel_order": "RBG"},
    ),
    ("profile", ["--against", "int8", "--repeats", "3"], {"against": "int8", "repeats": 3}),
    ("profile", ["--against", "int8", "--seconds", "3"], {"against": "int8", "seconds": 3}),
    (
        "tune",
        ["--precision", "fp32", "--calibration-images", "5"],
        {"precisions": "fp32", "calibration_images": 5},
    ),
    (
        "tune",
        ["--backend", "torch", "--int8", "plain"],
        {"backends": "torch", "int8": "plain"},
    ),
    ("run", ["--threads", "0"], {"threads": 0}),
    ("run", ["--batch", "0"], {"batches": 0}),
    ("run", ["--option", "ort.spinning=1"], {"options": {"ort.spinning": 1}}),
    ("run", ["--claims", "gone.toml"], {"claims": "gone.toml"}),
    ("run", ["--precision", "int9"], {"precisions": "int9"}),
    ("run", ["--boundary", "device"], {"boundary": "device"}),
    ("run", ["--calibration-method", "max"], {"calibration_method": "max"}),
    ("run", ["--int8", "fast"], {"int8": "fast"}),
    ("run", ["--precision", "fp32", "--keep", "a"], {"precisions": "fp32", "keep": "a"}),
    (
        "run",
        ["--precision", "fp32", "--calibration-images", "5"],
        {"precisions": "fp32", "calibration_images": 5},
    ),
    (
        "run",
        ["--backend", "torch", "--precision", "fp16"],
        {"backends": "torch", "precisions": "fp16"},
    ),
    ("count", ["--resolution", "0"], {"resolution": 0}),
    ("profile", ["--constraint", "top1<=1"], {"constraint": "top1<=1"}),
    ("profile", ["--constraint", "low"], {"constraint": "low"}),
    ("profile", ["--alpha", "0.5"], {"alpha": 0.5}),
    ("profile", ["--alpha", "2"], {"alpha": "2"}),
    ("profile", ["--rho", "1/2"], {"rho": "1/2"}),
    ("profile", ["--weights", "gone.pt"], {"weights": "gone.pt"}),
    ("profile", ["--shape", "x=1x3"], {"shapes": {"x": (1, 3)}}),
    ("build", ["--precision", "int9"], {"precision": "int9"}),
    ("build", ["--target", "gpu"], {"target": "gpu"}),
    ("build", ["--backend", "ort"], {"backend": "ort"}),
    ("build", ["--sparse"], {"engine": BuildOptions(sparse=True)}),
    ("export", ["--num-classes", "0"], {"num_classes": 0}),
    ("export", ["--seed", "-1"], {"seed": -1}),
    ("export", ["--layout", "HWC"], {"layout": "HWC"}),
    ("layers", ["--by", "size"], {"by": "size"}),
    ("layers", ["--backend", "openvino"], {"backend": "openvino"}),
    ("layers", ["--threads", "0"], {"threads": 0}),
    ("tune", ["--objective", "speed"], {"objective": "speed"}),
    ("tune", ["--constraint", "speed<=1"], {"constraints": "speed<=1"}),
    ("tune", ["--precision", "int9"], {"precisions": "int9"}),
    ("tune", ["--train"], {"train": True}),
    ("tune", ["--epochs", "3"], {"epochs": 3}),
    ("tune", ["--metric", "m:f"], {"metric": "m:f"}),
    ("train", ["--data", "digits", "--epochs", "0"], {"data": "digits", "epochs": 0}),
    ("train", ["--data", "digits", "--device", "tpu"], {"data": "digits", "device": "tpu"}),
    ("check_claims", [], {}),
]


#: What does the work of each command.
FUNCTIONS = {
    "list": ["list_models"],
    "layers": ["layers", "layers_to_keep", "best_mix"],
    "report": ["write_report"],
    "claims": ["check_claims"],
    "store": ["stored"],
}
#: Options that a call has no use for, with the reason.
BY_ITSELF = {
    "csv json markdown html junit step-summary output plot png svg": "what is returned can be written",
    "config device verbose log quiet dry-run": "a program says it itself",
    "top": "frame.head",
    "list": "the frame of all",
    "precisions": "of `list`: deploykit.backends.precisions",
    "operators": "Counts.by_operator",
    "no-samples": "samples=None",
    "no-roofline": "roofline=False",
    "mix": "best_mix",
    "profile": "rows",
    "time-limit": "limit_s",
    "older-than": "entries are taken out by the command alone",
    "preset": "iterations, warmup_iterations and run_pass",
}
#: Fields of what `engine` takes, by their options.
ENGINE = {
    "min-batch": "batch_min", "opt-batch": "batch_opt", "max-batch": "batch_max",
    "min-shape": "shapes", "opt-shape": "shapes", "max-shape": "shapes",
    "workspace": "workspace_mib", "no-timing-cache": "timing_cache",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_an_argument_of_its_function(name):
    functions = [getattr(deploykit, one) for one in FUNCTIONS.get(name, [name])]
    taken = {one for function in functions for one in inspect.signature(function).parameters}
    engine = set(BuildOptions.__dataclass_fields__)
    without = {option for options in BY_ITSELF for option in options.split()}
    if name == "count":
        without |= {"seed", "input"}  # the command refuses them, too
    missing = []
    for parameter in cli.get_command(click.Context(cli), name).params:
        options = {text[2:] for text in parameter.opts if text.startswith("--")}
        if not isinstance(parameter, click.Option) or options & without:
            continue
        plain = {option.replace("-", "_") for option in options}
        said = {in_python(f"--{option}", taken) for option in options} | plain
        built_for = {ENGINE.get(option, option.replace("-", "_")) for option in options}
        if not said & taken and not ("engine" in taken and built_for & engine):
            missing += options
    assert missing == []


def test_images_are_prepared_as_an_argument_says(store, tmp_path):
    from deploykit.api.arguments import image_options
    from deploykit.api.networks import data_text
    from deploykit.data.options import split_options

    images = np.zeros((10, 8, 8, 3), np.uint8)
    said = image_options((0.5, 0.25, 0.125), np.float32(0.5), 16, 8, "BGR")
    text = data_text((images, np.arange(10) % 2), store, said)
    plain, options = split_options(text)
    assert plain == data_text((images, np.arange(10) % 2), store)
    assert (options.mean, options.std) == ((0.5, 0.25, 0.125), (0.5,))
    assert (options.resize_px, options.crop_px, options.channel_order) == (16, 8, "BGR")


@pytest.mark.parametrize(
    ("command", "options", "arguments"),
    REFUSALS,
    ids=[f"{command} {' '.join(options)}" for command, options, _ in REFUSALS],
)
def test_what_the_command_refuses_is_refused_in_its_words(
    command, options, arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPLOYKIT_STORE", str(tmp_path / "engines"))
    model = "no-claim" if command == "check_claims" else "lenet5"
    code, line = of_command([command.removeprefix("check_"), model, *options], capsys)
    function = getattr(deploykit, command)
    with pytest.raises(DeploykitError) as refused:
        function(model, **arguments)
    assert refused.value.exit_code == code == 2

    if not line.lower().startswith("invalid value"):  # click's own words of a choice
        assert str(refused.value) == in_python(line, inspect.signature(function).parameters)


def test_nothing_is_made_for_what_is_refused(store):
    with pytest.raises(UnknownName, match="int9"):
        deploykit.profile("lenet5", precisions=["fp32", "int9"], store=store)
    assert not store.root.exists()


def test_a_message_names_arguments_where_they_have_other_names():
    taken = ("precisions", "run_pass", "keep_op", "batches")
    said = in_python("--precision, --pass and --keep-op but not --backend; --batch 3", taken)
    assert said == "precisions, run_pass and keep_op but not --backend; batches 3"


def test_the_time_of_a_build_is_bounded_for_one_call_and_its_message_names_the_argument():
    limits_s = []

    @spoken
    def make(build_timeout_s=None):
        limits_s.append(contain._limit_s)
        raise BuildFailed("building a net was not done after 2 s; raise --build-timeout")

    for given in ({"build_timeout_s": 2}, {"build_timeout_s": "0.5"}, {}):
        with pytest.raises(BuildFailed, match=r"; raise build_timeout_s$"):
            make(**given)
    assert limits_s == [2.0, 0.5, None]
    assert contain._limit_s is None


def test_the_least_accuracy_is_a_share_or_a_percentage_as_the_command_takes_it(store, monkeypatch):
    seen = []

    def tune_each(*_, min_top1, **__):
        seen.append(min_top1)
        return iter([])

    monkeypatch.setattr("deploykit.api.deciding.tune_each", tune_each)
    for given in (0.9, "0.90", "90%", None):
        deploykit.tune("lenet5", min_top1=given, budget_s=10, store=store)
    assert seen == [0.9, 0.9, 0.9, None]
    for wrong in ("90", 90, "x"):
        with pytest.raises(UsageError, match="min_top1 takes a share"):
            deploykit.tune("lenet5", min_top1=wrong, budget_s=10, store=store)


def test_what_can_not_be_written_beside_samples_is_found_before_anything_is_measured(
    store, tmp_path, monkeypatch
):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "env.json").write_text("{")
    monkeypatch.setattr("deploykit.workflow.profile.Profiler.rows", None)
    with pytest.raises(OutputFailed, match=r"env\.json can't be read .*: delete it"):
        deploykit.profile("lenet5", samples=kept, store=store)


def test_samples_of_a_frame_are_looked_for_from_the_current_folder(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    Path("kept/here.npz").touch()
    cells = {"schema": SCHEMA_VERSION, "status": "ok", "model": "lenet5"}
    places = ("kept/here.npz", "kept/gone.npz", None)
    frame = pd.DataFrame([cells | {"samples": place} for place in places])
    weak = deploykit.check(frame)
    lost = weak[weak["name"] == "samples"]
    assert lost["seen"].tolist() == [f"{tmp_path / 'kept/gone.npz'} is missing"]


def test_pictures_are_written_as_the_command_writes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Path(__file__).parents[2] / "reports" / "profile.csv"
    deploykit.write_report(report, path="page.html", svg="pictures")
    assert Path("page.html").is_file()
    pictures = sorted(Path("pictures").iterdir())
    assert pictures
    assert all(one.suffix == ".svg" and "<svg" in one.read_text() for one in pictures)


def test_the_largest_batch_is_what_an_engine_is_tuned_for_as_with_the_command():
    built_for = engine_of(BuildOptions(batch_max=8, sparse=True))
    assert built_for.at_batch(1) == BuildOptions(1, 8, 8, sparse=True)
    assert built_for.given() == {"batch_max": "--max-batch", "sparse": "--sparse"}
    assert engine_of(BuildOptions(batch_opt=2, batch_max=8)).at_batch(1) == BuildOptions(1, 2, 8)
    assert engine_of(BuildOptions()).at_batch(4) == BuildOptions(4, 4, 4)
    with pytest.raises(UsageError, match="--min-batch 8 is above --max-batch 4"):
        engine_of(BuildOptions(batch_min=8, batch_max=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_max": 0}, "--max-batch takes a whole number from 1"),
        ({"batch_opt": 10**9}, "--opt-batch takes a whole number from 1"),
        ({"optimization_level": 6}, "--optimization-level takes a whole number from 0 to 5"),
        ({"workspace_mib": -1}, "--workspace takes a whole number from 1"),
        ({"hardware_compatibility": "ampere"}, r"unknown hardware compatibility .*ampere\+"),
        ({"compile_mode": "max"}, "unknown compile mode 'max'"),
    ],
)
def test_an_engine_is_built_for_what_the_command_could_ask_for(options, message):
    for engine in (BuildOptions(**options), EngineChoice(options=BuildOptions(**options))):
        if "batch" in message and isinstance(engine, EngineChoice):
            engine = EngineChoice(**options)
        with pytest.raises(UsageError, match=message):
            engine_of(engine)


def test_options_of_runtimes_are_one_value_or_several():
    assert told({"a": 0, "b": ["x", "y"]}) == (("a", ("0",)), ("b", ("x", "y")))
    with pytest.raises(UsageError, match="needs at least one value"):
        told({"a": []})


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "no network is named"),
        (3, "3 is no network"),
        (["lenet5", 3], "3 is no network"),
        ("gone.onnx", "no such file: gone.onnx"),
    ],
)
def test_what_is_no_network_is_said_so(models, message, store):
    with pytest.raises(UsageError, match=message):
        deploykit.profile(models, store=store)


def test_a_spec_says_itself_what_it_is(store):
    with pytest.raises(UsageError, match=r"leave alpha, rho, weights and their like out"):
        deploykit.profile(ModelSpec("mobilenet"), alpha=0.5, store=store)
    with pytest.raises(UsageError, match="alpha 2 is out of range"):
        deploykit.profile(ModelSpec("mobilenet", alpha=2), store=store)
    with pytest.raises(UsageError, match="one network, not 2"):
        deploykit.export("mobilenet", alpha=(1, 0.5), store=store)
    with pytest.raises(UsageError, match=r"of a torch\.nn\.Module: leave them out"):
        deploykit.export("lenet5", input_shape=(1, 32, 32), store=store)


class TestModule:
    @pytest.fixture(scope="class")
    @staticmethod
    def module():
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
        )

    @pytest.fixture(scope="class")
    @staticmethod
    def data():
        generator = np.random.default_rng(0)
        images = generator.normal(size=(90, 1, 8, 8))
        labels = np.arange(90) % 3
        images += labels[:, None, None, None]
        return images, labels

    def test_it_is_exported_and_verified(self, module, store, tmp_path):
        with pytest.raises(UsageError, match=r"the input of sequential is not known: give input_"):
            deploykit.export(module, store=store)
        with pytest.raises(UsageError, match=r"is \(1, 8\): make it"):
            deploykit.export(module, input_shape=(1, 8), store=store)
        place = tmp_path / "mine.onnx"
        model = deploykit.export(module, place, input_shape=(1, 8, 8), name="mine", store=store)
        assert place.is_file()
        assert model.spec.name == "mine"
        assert model.recipe["verified"]["max_rel_error"] < 1e-4

    def test_it_is_measured_and_judged_on_arrays(self, module, data, store):
        frame = deploykit.profile(
            module,
            input_shape=(1, 8, 8),
            precisions=["fp32", "int8"],
            data=data,
            iterations=20,
            warmup_iterations=2,
            roofline=False,
            store=store,
        )
        assert frame["status"].tolist() == ["ok", "ok"], frame["reason"].tolist()
        assert frame["model"].unique().tolist() == ["sequential"]
        assert frame["weights"].unique().tolist() == ["file"]
        assert frame["top1"].notna().all()
        assert frame["calibration"].tolist()[1].startswith("minmax, 72 images of npz:")

    def test_its_weights_are_not_taken_for_random_ones(self, module, store):
        with pytest.raises(UsageError, match="int8 needs images to calibrate sequential"):
            deploykit.quantize(module, input_shape=(1, 8, 8), store=store)

    def test_an_engine_of_it_computes_what_it_computes(self, module, store):
        import torch

        engine = deploykit.build(module, input_shape=(1, 8, 8), store=store)
        images = np.random.default_rng(1).normal(size=(5, 1, 8, 8))
        with torch.inference_mode():
            expected = module.eval()(torch.from_numpy(images).float()).numpy()
        with deploykit.load(engine.path.parent, threads=1) as loaded:
            assert repr(loaded) == "<onnxruntime engine in fp32: input batchx1x8x8 float32>"
            assert np.allclose(loaded.run(images)["logits"], expected, atol=1e-5)
            assert np.allclose(loaded.run({"input": images})["logits"], expected, atol=1e-5)
            for wrong, message in (
                (images[0], r"takes batchx1x8x8 float32, not 1x8x8: the batch is missing"),
                (images[:, :, :4], r"not 5x1x4x8: give arrays of that shape"),
                (images.astype(complex), r"not complex128: convert it"),
                ({"x": images}, r"no array for input and no input x: the inputs are input"),
            ):
                with pytest.raises(UsageError, match=message):
                    loaded.run(wrong)

    def test_an_engine_that_is_not_there_is_said_so(self, store, tmp_path):
        with pytest.raises(InvalidModel, match="no such engine"):
            deploykit.load(tmp_path / "gone")
        with pytest.raises(InvalidModel, match=r"no manifest\.json beside it"):
            deploykit.load(tmp_path)
        with pytest.raises(UsageError, match="engine takes an Engine"):
            deploykit.load(3)


def test_arrays_are_written_once_under_what_is_in_them(store):
    from deploykit.api.networks import data_text
    from deploykit.data import open_dataset

    images = np.zeros((10, 8, 8, 3), np.uint8)
    labels = np.arange(10) % 2
    first = data_text((images, labels), store)
    assert data_text({"images": images, "labels": labels}, store) == first
    assert data_text((images, labels[::-1]), store) != first
    assert len(open_dataset(first).test) == 2
    assert data_text(images, store).startswith("npz:")
    assert data_text(store.root, store) == f"imagefolder:{store.root}"
    with pytest.raises(UsageError, match="images is no array of numbers"):
        data_text([object()], store)


def test_a_metric_has_to_lie_where_other_processes_find_it(store):
    with pytest.raises(UsageError, match="metric is called in other processes"):
        deploykit.profile("lenet5", metric=lambda outputs, labels: 0.0, data="digits", store=store)


def test_keeping_layers_is_refused_where_all_are_kept(store):
    with pytest.raises(UsageError, match="give another one, such as int8"):
        deploykit.layers_to_keep("lenet5", precision="fp32", min_snr_db=10, store=store)
    with pytest.raises(
        UsageError, match=r"give one of max_accuracy_drop, min_snr_db and max_metric"
    ):
        deploykit.layers_to_keep("lenet5", store=store)


def test_layers_to_keep_are_searched_for_in_the_network_that_is_meant(store, tmp_path, monkeypatch):
    seen = []
    module = "deploykit.api.by_layer"
    monkeypatch.setattr(f"{module}.obtain_network", lambda source, store: seen.append(source))
    monkeypatch.setattr(
        f"{module}.search_layers_to_keep", lambda *_, limit_s, **__: seen.append(limit_s)
    )
    made = {"seed": 7, "num_classes": 10, "resolution": 160}
    deploykit.layers_to_keep("mobilenet", min_snr_db=10, limit_s=60, store=store, **made)
    file = tmp_path / "m.onnx"
    file.touch()
    said = {"shapes": {"x": (1, 8, 8, 3)}, "inputs": {"x": "range(0,255)"}, "layout": "NHWC"}
    deploykit.layers_to_keep(file, min_snr_db=10, limit_s=None, store=store, **said)
    spec, left_s, source, unlimited = seen
    assert (spec.seed, spec.num_classes, spec.resolution_px) == (7, 10, 160)
    assert 0 < left_s <= 60
    assert (source.inputs.layout, source.inputs.shapes) == ("NHWC", (("x", (1, 8, 8, 3)),))
    assert source.inputs.values == (("x", "range(0,255)"),)
    assert unlimited is None
    with pytest.raises(UsageError, match="nothing is converted with precision as-is"):
        deploykit.layers_to_keep(file, precision="as-is", min_snr_db=10, store=store)
    with pytest.raises(UsageError, match="nothing is calibrated with precision fp16"):
        deploykit.layers_to_keep(
            file, precision="fp16", min_snr_db=10, calibration_images=5, store=store
        )


class Small(torch.nn.Module):
    """A module that takes three channels."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.layer(x)


ABSURD = (10**30, -1, float("nan"), float("inf"), "1e9999999", "9" * 5000, True, object(), [], {})


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: str(value)[:9].partition(" ")[0])
@pytest.mark.parametrize(
    "name",
    "batches threads streams rate repeats seconds percentile iterations timeout_s num_classes resolution seed "
    "alpha rho calibration_images keep_drift shapes dims input_shape build_timeout_s".split(),
)
def test_every_number_has_a_range_in_python_too(name, value, store):
    given = {"shapes": {"x": [value]}, "dims": {"x": value}, "input_shape": (3, value, 8)}
    network = Small() if name == "input_shape" else "lenet5"
    with pytest.raises(UsageError) as refused:
        deploykit.profile(network, **{name: given.get(name, value)}, store=store)
    assert len(str(refused.value)) < 250
    assert not store.root.exists()


def test_an_input_that_is_no_shape_is_refused_by_count():
    for shape in (10**12, "x", (), [3] * 9, object()):
        with pytest.raises(UsageError, match=r"make it the sizes of one input without its batch"):
            deploykit.count(Small(), input_shape=shape)
    with pytest.raises(UsageError, match=r"fails on an input of shape \(1, 3, 8\)"):
        deploykit.count(Small(), input_shape=(3, 8))


class Words(torch.nn.Module):
    """A module that takes rows of whole numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.table(x))


@pytest.mark.parametrize(
    ("module", "shape", "parameters", "macs"),
    [
        (torch.nn.Linear(10, 11), (10,), 121, 110),
        (torch.nn.Linear(10, 11), [6, 10], 121, 6 * 110),
        (torch.nn.Conv1d(4, 8, 3), (4, 20), 104, 18 * 8 * 12),
        (torch.nn.Conv3d(2, 4, 3), (2, 5, 5, 5), 220, 27 * 4 * 54),
        (torch.nn.Conv3d(1, 4, 3), (1, 5, 5, 5), 112, 27 * 4 * 27),
        (torch.nn.LSTM(8, 16, batch_first=True), (7, 8), 1664, 7 * 64 * 24),
        (Words(), (5,), 427, 5 * 24),
        (Small(), (1, 3, 8, 8), 112, 36 * 4 * 27),  # an image with its batch
    ],
)
def test_modules_that_take_no_images_are_counted(module, shape, parameters, macs):
    counts = deploykit.count(module, input_shape=shape)
    assert (counts.parameters, counts.macs) == (parameters, macs)
