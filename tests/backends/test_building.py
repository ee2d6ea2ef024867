from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from deploykit.backends import building, get
from deploykit.backends.base import BackendBase
from deploykit.backends.building import (
    build_engine,
    code_of,
    engine_fields,
    macs_by_type,
    precision_of_types,
    precision_share,
)
from deploykit.errors import MissingDependency, PrecisionMismatch
from deploykit.spec import BuildOptions, Reason, TensorSpec
from deploykit.store import Store
from deploykit.workflow.rows import wider_types_note


class Fake(BackendBase):
    """A builder that computes in what it is told to, whatever the graph says."""

    name, target, filename = "fake", "cpu", "engine.bin"
    build_options = ("batch_opt", "batch_max", "compute_capability")
    emulated: Mapping[str, str] = {"fp16": "fp32"}

    def __init__(self, compute_types, reason=None, version="1.0"):
        self.compute_types, self.reason, self._version, self.builds = (
            compute_types,
            reason,
            version,
            0,
        )

    def available(self):
        return self.reason

    def device(self):
        raise NotImplementedError

    def open(self, engine, threads, run_pass):
        raise NotImplementedError

    def version(self):
        return self._version

    def build(self, model, options, path):
        self.builds += 1
        path.write_bytes(b"engine")
        return {"compute_types": self.compute_types}


@pytest.mark.parametrize(
    ("types", "name"),
    [
        ({"fp32": ["a"]}, "fp32"),
        ({"fp32": ["a"], "int8": ["b", "c"]}, "int8+fp32"),
        ({"int8": ["a"], "fp32": ["b"]}, "fp32+int8"),
        ({"int8": ["a"], "unknown": ["b", "c"]}, "int8"),
        ({"unknown": ["a"]}, "unknown"),
        ({}, "none"),
    ],
)
def test_the_types_of_an_engine_have_one_name(types, name):
    assert precision_of_types(types) == name


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt-rtx"])
def test_a_graph_that_claims_int8_but_computes_fp32_is_an_error(tiny, tmp_path, backend):
    model = dataclasses.replace(tiny, precision="int8")
    store = Store(tmp_path)
    with pytest.raises(PrecisionMismatch, match="as fp32 instead of int8: 3 of 3") as error:
        build_engine(model, get(backend), BuildOptions(), store)
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_fp16_graph_that_computes_fp32_is_an_error_where_that_is_no_emulation(tiny, tmp_path):
    model = dataclasses.replace(tiny, precision="fp16")
    with pytest.raises(PrecisionMismatch, match="instead of fp16"):
        build_engine(model, get("tensorrt-rtx"), BuildOptions(), Store(tmp_path))


def build(tiny, tmp_path, types, precision="int8", recipe=None, strict=False):
    model = dataclasses.replace(tiny, precision=precision, recipe=recipe or {})
    return build_engine(model, Fake(types), BuildOptions(), Store(tmp_path), strict=strict)[0]


def test_what_a_runtime_leaves_in_a_wider_type_is_listed_and_strictly_refused(tiny, tmp_path):
    types = {"int8": ["a", "c"], "fp32": ["b"]}
    engine = build(tiny, tmp_path, types)
    assert engine.precision_actual == "int8+fp32"
    assert engine.manifest["left"] == ["b"]
    note = wider_types_note(engine)
    assert note is not None
    assert (note.kind, "b has no int8 form" in note.text) == ("kept", True)
    with pytest.raises(PrecisionMismatch, match=r"computes b in a wider type; .*--strict"):
        build(tiny, tmp_path, types, strict=True)  # found in the store, and still refused
    with pytest.raises(PrecisionMismatch, match="computes b in a wider type"):
        build(tiny, tmp_path / "other", types, strict=True)


@pytest.mark.parametrize(
    ("precision", "types"),
    [
        ("fp32", {"fp32": ["a", "c"], "int8": ["b"]}),
        ("fp32", {"fp32": ["a", "c"], "fp16": ["b"]}),
        ("fp16", {"fp16": ["a", "c"], "bf16": ["b"]}),
        ("int8", {"int8": ["a", "c"], "int4": ["b"]}),
    ],
)
def test_one_layer_in_a_narrower_type_is_an_error(tiny, tmp_path, precision, types):
    with pytest.raises(PrecisionMismatch, match=r"1 of 3 .* the first is b"):
        build(tiny, tmp_path, types, precision)


def test_a_file_in_float64_is_refused_with_the_way_to_take_it(tiny):
    with pytest.raises(PrecisionMismatch, match="as it is with --precision as-is, or export it"):
        building.left_over(tiny, get("onnxruntime"), {"fp64": ["m"]}, {"fp64": 1})
    with pytest.raises(PrecisionMismatch, match="choose another precision"):
        building.left_over(tiny, get("onnxruntime"), {"fp64": ["m"]}, {"fp32": 1})


def test_layers_that_the_recipe_kept_may_differ_and_are_not_listed(tiny, tmp_path):
    types = {"int8": ["a"], "fp32": ["b", "c"]}
    engine = build(tiny, tmp_path, types, recipe={"kept": ["b", "c"]}, strict=True)
    assert engine.precision_actual == "fp32+int8"
    assert wider_types_note(engine) is None
    engine = build(tiny, tmp_path / "other", types, recipe={"kept": ["b"]})
    assert engine.manifest["left"] == ["c"]


def test_what_was_to_be_kept_and_computes_in_integers_is_an_error(tiny, tmp_path):
    types = {"int8": ["a", "b"]}
    with pytest.raises(PrecisionMismatch, match="b was to be kept in fp32 and computes in int8"):
        build(tiny, tmp_path, types, recipe={"kept": ["b"], "kept_by_rule": ["b"]})


def test_an_engine_of_which_nothing_could_be_read_back_is_an_error(tiny, tmp_path):
    with pytest.raises(PrecisionMismatch, match="as unknown instead of int8"):
        build(tiny, tmp_path, {"unknown": ["a", "b"]})


def test_emulation_by_design_is_allowed_and_said(tiny, tmp_path):
    engine = build(tiny, tmp_path, {"fp32": ["a"]}, precision="fp16")
    assert engine.precision_actual == "fp32"
    assert engine.manifest["emulated"] is True


def test_a_graph_without_convolutions_or_products_has_no_precision_to_miss(tiny, tmp_path):
    assert build(tiny, tmp_path, {}, precision="fp32").precision_actual == "none"


def test_a_second_identical_build_is_a_hit_that_builds_nothing(tiny, tmp_path):
    backend, store = Fake({"fp32": ["a"]}), Store(tmp_path)
    first, hit = build_engine(tiny, backend, BuildOptions(), store)
    assert not hit
    again, hit = build_engine(tiny, backend, BuildOptions(), store, notes={"aside": 1})
    assert hit
    assert again.key == first.key
    assert backend.builds == 1


def test_whatever_shapes_an_engine_is_in_its_key(tiny):
    backend = Fake({})
    base = engine_fields(tiny, backend, BuildOptions())
    others = [
        engine_fields(dataclasses.replace(tiny, sha256="0" * 64), backend, BuildOptions()),
        engine_fields(dataclasses.replace(tiny, precision="fp16"), backend, BuildOptions()),
        engine_fields(tiny, Fake({}, version="1.1"), BuildOptions()),
        engine_fields(tiny, get("tensorrt-rtx"), BuildOptions()),
        engine_fields(tiny, get("onnxruntime"), BuildOptions()),
        *(
            engine_fields(tiny, backend, dataclasses.replace(BuildOptions(), **change))
            for change in ({"batch_opt": 2}, {"batch_max": 9}, {"compute_capability": "8.9"})
        ),
    ]
    assert all(fields != base for fields in others)


def test_options_that_a_backend_does_not_follow_are_neither_in_the_key_nor_given_to_it(
    tiny, tmp_path
):
    given = []

    class Deaf(Fake):
        build_options = ("batch_max",)

        def build(self, model, options, path):
            given.append(options)
            return super().build(model, options, path)

    backend = Deaf({"fp32": ["a"]})
    sparse = BuildOptions(batch_max=4, sparse=True, timing_cache=False)
    assert engine_fields(tiny, backend, sparse) == engine_fields(
        tiny, backend, BuildOptions(batch_max=4)
    )
    build_engine(tiny, backend, sparse, Store(tmp_path))
    assert given == [BuildOptions(batch_max=4)]


def test_the_batch_that_a_graph_has_fixed_leaves_its_options_out_of_the_key(tiny):
    fixed = dataclasses.replace(tiny, inputs=(TensorSpec("image", (2, 3, 16, 16), "float32"),))
    backend = Fake({})
    others = BuildOptions(batch_opt=2, batch_max=2)
    assert engine_fields(fixed, backend, others) == engine_fields(fixed, backend, BuildOptions())


def test_the_code_that_builds_and_reads_back_is_in_the_key(tiny, monkeypatch):
    base = engine_fields(tiny, get("onnxruntime"), BuildOptions())
    digested: list[tuple[str, ...]] = []

    def digest(*names: str) -> str:
        digested.append(names)
        return "other"

    monkeypatch.setattr("deploykit.backends.building.code_digest", digest)
    assert engine_fields(tiny, get("onnxruntime"), BuildOptions()) != base
    assert digested == [("deploykit.backends.building", "deploykit.backends.onnxruntime")]


def test_another_packages_backend_is_known_by_its_version(monkeypatch):
    monkeypatch.setattr(Fake, "__module__", "numpy.board")
    assert code_of(Fake({})) == f"numpy {np.__version__}"
    monkeypatch.setattr(Fake, "__module__", "board")
    assert code_of(Fake({})) == "board of no version"


def test_a_builder_that_is_not_here_is_named_with_what_installs_it(tiny, tmp_path):
    backend = Fake({}, Reason("fake is not installed", 'pip install "fake"'))
    with pytest.raises(MissingDependency, match='fake is not installed; pip install "fake"'):
        build_engine(tiny, backend, BuildOptions(), Store(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_all_that_a_reader_needs(tiny, tmp_path):
    engine, _ = build_engine(
        tiny, get("onnxruntime"), BuildOptions(), Store(tmp_path), notes={"calibration": None}
    )
    manifest = engine.manifest
    assert manifest["precision"] == manifest["precision_actual"] == "fp32"
    assert manifest["onnx_sha256"] == tiny.sha256
    assert manifest["builder"] == "onnxruntime"
    assert manifest["target"] == "cpu"
    assert manifest["bytes"] == engine.path.stat().st_size
    assert manifest["build_s"] >= 0
    (image,) = manifest["inputs"]
    assert (image["name"], image["dtype"]) == ("image", "float32")
    assert image["shape"] == ["batch", 3, 16, 16]
    assert "calibration" in manifest


def test_the_share_is_one_of_work_where_that_is_known():
    types = {"int8": ["a", "b"], "fp32": ["c"], "unknown": ["d"]}
    macs = macs_by_type(types, {"a": 10, "b": 20, "c": 970})
    assert macs == {"int8": 30, "fp32": 970}
    assert precision_share(types, "int8", macs) == 0.03
    assert macs_by_type(types, {"a": 10, "b": None, "c": 970}) is None
    assert macs_by_type({"int8": ["a", "a"]}, {"a": 10}) is None
    assert precision_share(types, "int8", None) == pytest.approx(2 / 3)


def test_the_share_in_a_precision_leaves_out_what_no_layer_names():
    types = {"int8": ["a", "b", "c"], "fp32": ["d"], "unknown": ["e"]}
    assert precision_share(types, "int8") == 0.75
    assert precision_share(types, "fp8") == 0.0
    assert precision_share({"unknown": ["a"]}, "int8") is None
    assert precision_share({}, "int8") is None


def test_a_file_that_is_taken_as_it_is_may_compute_in_anything(tiny, tmp_path):
    model = dataclasses.replace(tiny, precision="as-is")
    types = {"int8": ["a"], "fp32": ["b"]}
    engine, _ = build_engine(model, Fake(types), BuildOptions(), Store(tmp_path), strict=True)
    assert engine.precision_actual == "fp32+int8"
    assert list(engine.manifest["left"]) == []
    assert precision_share(engine.manifest["compute_types"], "as-is") is None


def test_importing_the_runtime_is_no_part_of_the_build(tiny, tmp_path, monkeypatch):
    """PyTorch's import took longer than building a LeNet-5, and was counted."""
    now_s = [0.0]
    monkeypatch.setattr(building.time, "perf_counter", lambda: now_s[0])

    class Slow(Fake):
        imported = False

        def prepare(self):
            now_s[0] += 0.0 if self.imported else 100.0
            self.imported = True

        def build(self, model, options, path):
            self.prepare()  # what it builds with is imported at the latest here
            now_s[0] += 2.0
            return super().build(model, options, path)

    backend = Slow({"fp32": ["stem/Conv", "head/Gemm"]})
    engine, _ = build_engine(tiny, backend, BuildOptions(), Store(tmp_path))
    assert engine.manifest["build_s"] == 2.0


def test_rules_that_match_no_product_let_none_differ(tiny, tmp_path):
    types = {"fp32": ["a", "b", "c"]}
    recipe = {"kept": [], "kept_by_rule": [f"relu{number}" for number in range(50)]}
    with pytest.raises(PrecisionMismatch, match="as fp32 instead of int8"):
        build(tiny, tmp_path, types, recipe=recipe)
