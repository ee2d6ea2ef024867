from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.errors import DeploykitError, InvalidModel, UnknownName, UsageError
from deploykit.spec import ModelFile, ModelSpec
from deploykit.text import split_list
from deploykit.workflow.choices import Variants
from deploykit.workflow.plan import DEFAULT_MODELS, is_file, plan
from deploykit.workflow.ranges import fractions, numbers

HALF = Fraction(1, 2)


def labels(sources):
    return [s.label if isinstance(s, ModelSpec) else s.name for s in sources]


def test_the_default_models_are_those_of_the_main_job():
    assert labels(DEFAULT_MODELS) == [
        "lenet5",
        "squeezenet1_0",
        "alexnet",
        "mobilenet",
        "mobilenet-a0.5",
    ]
    assert [spec.weights for spec in DEFAULT_MODELS] == ["trained"] + ["random"] * 4


def test_grids_are_the_product_of_the_lists():
    variants = Variants(alphas=(1.0, 0.5), rhos=(Fraction(1), Fraction(6, 7)))
    assert labels(plan(["mobilenet"], variants)) == [
        "mobilenet",
        "mobilenet-r6_7",
        "mobilenet-a0.5",
        "mobilenet-a0.5-r6_7",
    ]


def test_a_multiplier_applies_to_those_that_have_it_and_leaves_the_others_at_1():
    variants = Variants(alphas=(0.5,), rhos=(HALF,))
    assert labels(plan(["lenet5", "alexnet", "mobilenet"], variants)) == [
        "lenet5",
        "alexnet-r1_2",
        "mobilenet-a0.5-r1_2",
    ]


def test_aliases_mean_the_same_network_once():
    assert labels(plan(["squeezenet", "squeezenet1_0"], Variants())) == ["squeezenet1_0"]


def test_a_file_is_a_path_and_stands_beside_names(light_squeezenet):
    sources = plan([str(light_squeezenet), "mobilenet"], Variants(alphas=(0.5,)))
    assert sources[0] == ModelFile(light_squeezenet)
    assert labels(sources)[1] == "mobilenet-a0.5"


def test_a_pattern_means_all_that_match(light_squeezenet):
    assert labels(plan(["mobilenet*"], Variants())) == ["mobilenet", "mobilenet_conv"]
    pattern = str(light_squeezenet.with_name(f"*{light_squeezenet.suffix}"))
    files = plan([pattern], Variants())
    assert ModelFile(light_squeezenet) in [ModelFile(file.path) for file in files]
    with pytest.raises(UsageError, match=r"no network matches 'zzz\*'"):
        plan(["zzz*"], Variants())
    with pytest.raises(InvalidModel, match="no file matches"):
        plan(["zzz/*.onnx"], Variants())


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / folder / "net.onnx" for folder in ("x/a", "y/a", "b")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    alone = tmp_path / "alone.onnx"
    alone.touch()
    sources = plan([str(path) for path in (*paths, alone, paths[0])], Variants())
    assert [source.stem for source in sources] == ["x/a/net", "y/a/net", "b/net", "alone"]
    assert [source.name for source in sources][-2:] == ["b/net.onnx", "alone.onnx"]
    (one,) = plan([str(paths[0])], Variants())
    assert one == ModelFile(paths[0])


def test_a_factory_gets_every_option():
    variants = Variants((0.5,), (HALF,), num_classes=7, resolution_px=32, seed=3)
    assert plan(["math:sqrt"], Variants(resolution_px=32))[0].name == "math:sqrt"
    (spec,) = plan(["math:sqrt"], variants)
    assert (spec.alpha, spec.rho, spec.num_classes, spec.seed) == (0.5, HALF, 7, 3)


@pytest.mark.parametrize(
    ("models", "variants", "message"),
    [
        (["mobilenet"], Variants(alphas=(2.0,)), "alpha 2 is out of range"),
        (["mobilenet"], Variants(alphas=(0.0,)), "alpha 0 is out of range"),
        (["mobilenet"], Variants(rhos=(Fraction(2),)), "rho 2 is out of range"),
        (["mobilenet"], Variants(rhos=(Fraction(-1),)), "rho -1 is out of range"),
        (["mobilenet", "lenet5"], Variants(alphas=(1.5,)), "alpha 1.5 is out of range"),
        (["alexnet"], Variants(alphas=(0.5,)), "alexnet has no width multiplier"),
        (["lenet5"], Variants(rhos=(HALF,)), "lenet5 has no resolution multiplier"),
        (["alexnet"], Variants(rhos=(Fraction(1, 50),)), "too small for alexnet"),
        (["lenet5"], Variants(resolution_px=64), "lenet5 takes 32 px and no other size"),
        (["lenet5"], Variants(num_classes=0), "num_classes 0 is out of range"),
        (
            ["vgg11"],
            Variants(weights="trained"),
            "no trained weights come with deploykit for vgg11",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(models, variants, message):
    with pytest.raises(UsageError, match=message) as error:
        plan(models, variants)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("variants", "option"),
    [
        (Variants(alphas=(0.5,)), "--alpha"),
        (Variants(rhos=(HALF,)), "--rho"),
        (Variants(weights="random"), "--weights"),
        (Variants(num_classes=5), "--num-classes"),
        (Variants(resolution_px=64), "--resolution"),
        (Variants(seed=1), "--seed"),
    ],
)
def test_an_option_that_a_file_cannot_have_is_refused_not_ignored(
    light_squeezenet, variants, option
):
    with pytest.raises(UsageError, match=f"leave {option} out"):
        plan([str(light_squeezenet)], variants)


def test_unknown_networks_name_the_nearest():
    with pytest.raises(UnknownName, match="did you mean mobilenet"):
        plan(["mobilnet"], Variants())


def test_a_missing_file_is_refused_before_any_work(tmp_path):
    with pytest.raises(InvalidModel, match=r"no such file: .*gone\.onnx"):
        plan(["mobilenet", str(tmp_path / "gone.onnx")], Variants())
    with pytest.raises(InvalidModel, match="is a folder"):
        plan([f"{tmp_path}/"], Variants())


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("net.onnx", True),
        ("./net", True),
        ("/a/b.bin", True),
        ("mobilenet", False),
        ("module:factory", False),
        ("package.module:make", False),
    ],
)
def test_a_file_is_told_from_a_name_by_how_it_is_written(text, is_path):
    assert is_file(text) == is_path


def test_lists_drop_blanks_and_doubles_and_keep_their_order():
    assert split_list(" b, a,,b ") == ["b", "a"]
    assert fractions("1,0.5, 6/7", "--rho") == (Fraction(1), HALF, Fraction(6, 7))
    assert numbers("1,1/2", "--alpha") == (1.0, 0.5)


@pytest.mark.parametrize("text", ["one", "1/0", "nan", "inf", "1e400", "0x10", "1,two"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UsageError, match="--alpha takes numbers"):
        numbers(text, "--alpha")


@given(st.text(max_size=20))
def test_any_text_is_a_list_of_numbers_or_one_line(text):
    said = ""
    try:
        assert all(isinstance(x, Fraction) for x in fractions(text, "--rho"))
    except UsageError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


@given(st.text(max_size=30))
def test_any_name_is_a_network_or_one_line(text):
    said = ""
    try:
        plan([text], Variants())
    except DeploykitError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


def test_a_source_is_listed_once(light_squeezenet):
    assert plan([str(light_squeezenet)] * 2, Variants()) == [ModelFile(light_squeezenet)]


@pytest.mark.parametrize(
    ("data", "weights"),
    [
        (None, "trained"),
        ("digits", "trained:digits"),
        ("fashion-mnist:/some/folder", "trained:fashion-mnist"),
        ("npz:own.npz", "trained"),
    ],
)
def test_trained_weights_are_those_for_the_data_asked_for(data, weights):
    (source,) = plan(["lenet5"], Variants(weights="trained"), data)
    assert source.weights == weights


def test_trained_weights_that_are_not_for_the_data_are_refused():
    with pytest.raises(UsageError, match=r"for mobilenet alpha 0.25 on digits: there are lenet5"):
        plan(["mobilenet"], Variants(alphas=(0.25,), weights="trained"), "digits")
