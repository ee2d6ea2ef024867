from __future__ import annotations

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, defs, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as pybind

from deploykit.graph import nodes, operators
from deploykit.graph.count import count_graph
from deploykit.graph.element_types import FLOATS, ElementType, element_bits
from deploykit.graph.operators import (
    OPERATORS,
    PRODUCTS,
    Arithmetic,
    Kind,
    Trait,
    has_no_macs,
    is_contributed,
    operator_of,
)

#: ONNX Runtime keeps some of its own operators in ONNX's domain, and exporters plugins of TensorRT.
STANDARD = [
    op
    for op in OPERATORS
    if "" in op.domains
    and "TRT" not in op.domains
    and not is_contributed(helper.make_node(op.name, [], []))
]


def test_no_operator_is_listed_twice() -> None:
    listed = [op.name for op in (*operators._PRODUCTS, *operators._OTHERS)]
    assert len(listed) == len(set(listed)) == len(OPERATORS)


@pytest.mark.parametrize("operator", STANDARD, ids=lambda op: op.name)
def test_standard_operators_are_onnx_own_and_their_inputs_exist(
    operator: operators.Operator,
) -> None:
    schema = defs.get_schema(operator.name)
    places = [*operator.parameters, operator.weight or 0, operator.bias or 0]
    assert max(places) < max(schema.max_input, 1)


@pytest.mark.parametrize("operator", STANDARD, ids=lambda op: op.name)
def test_positions_carry_the_names_that_onnx_gives_them(operator: operators.Operator) -> None:
    names = [formal.name.lower() for formal in defs.get_schema(operator.name).inputs]
    if operator.weight is not None:
        assert names[operator.weight] in {"w", "weight", "b"}, names
    if operator.bias is not None:
        assert names[operator.bias] in {"b", "bias", "c"}, names


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda op: op.name)
def test_what_multiplies_is_never_said_to_have_no_macs(operator: operators.Operator) -> None:
    for domain in operator.domains:
        node = helper.make_node(operator.name, ["x"], ["y"], domain=domain)
        assert has_no_macs(node) != (operator.multiplies or operator.kind is Kind.CONTROL_FLOW)
    assert operator.multiplies or (operator.macs is None and operator.arithmetic is None)
    assert not has_no_macs(helper.make_node(operator.name, ["x"], ["y"], domain="somebody.else"))


def test_onnx_own_domain_has_two_names() -> None:
    assert has_no_macs(helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx"))


def test_stand_ins_take_inputs_that_their_standard_operator_has() -> None:
    for operator in OPERATORS:
        if operator.stands_for is not None:
            name, places = operator.stands_for
            assert len(places) <= defs.get_schema(name).max_input


def test_products_have_weights_rules_and_float_arithmetic() -> None:
    assert PRODUCTS == ("Conv", "ConvTranspose", "Gemm", "MatMul")
    for name in PRODUCTS:
        operator = operator_of(helper.make_node(name, [], []))
        assert operator is not None
        assert operator.weight == 1
        assert operator.macs is not None
        assert operator.arithmetic is Arithmetic.FLOAT


def test_what_rearranges_is_seen_through_evaluated_and_selects() -> None:
    views = operators.names(Trait.REARRANGES)
    assert views == {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"}
    for trait in (Trait.SEEN_THROUGH, Trait.EVALUATED, Trait.SELECTS, Trait.CARRIES_WEIGHT):
        assert views < operators.names(trait)
    assert operators.names(Trait.MONOTONE) < operators.names(Trait.SELECTS)


@pytest.mark.parametrize("member", list(ElementType), ids=lambda member: member.name)
def test_element_types_have_onnx_numbers(member: ElementType) -> None:
    assert TensorProto.DataType.Value(member.name) == member


def test_sizes_of_element_types() -> None:
    sizes = {kind: element_bits(kind) for kind in FLOATS}
    assert sizes == {
        TensorProto.FLOAT: 32,
        TensorProto.FLOAT16: 16,
        TensorProto.BFLOAT16: 16,
        TensorProto.DOUBLE: 64,
    }
    assert element_bits(TensorProto.UINT4) == 4
    assert element_bits(TensorProto.UINT2) == 2
    assert element_bits(TensorProto.STRING) == 0


@pytest.mark.parametrize("name", ["TENSOR", "GRAPH", "TENSORS", "GRAPHS"])
def test_attribute_types_have_onnx_numbers(name: str) -> None:
    assert getattr(nodes, name) == AttributeProto.AttributeType.Value(name)


@pytest.mark.parametrize("name", ["MatMul", "Conv", "BatchNormalization", "Reshape"])
def test_an_operator_of_another_vendor_is_not_that_of_onnx(name: str) -> None:
    assert operator_of(helper.make_node(name, [], [], domain="somebody.else")) is None
    assert operator_of(helper.make_node(name, [], [], domain="com.microsoft")) is None


def test_engines_of_onnx_runtime_keep_operators_in_domains_of_layouts() -> None:
    for domain in ("com.microsoft.nchwc", "com.ms.internal.nhwc"):
        found = operator_of(helper.make_node("Conv", [], [], domain=domain))
        assert found is operator_of(helper.make_node("Conv", [], []))


def test_onnx_runtime_has_every_contributed_operator_in_the_domain_that_is_stated() -> None:
    listed = {(s.name, s.domain) for s in pybind.get_all_operator_schema()}
    names = {name for name, domain in listed if domain in ("", "com.microsoft")}
    for operator in OPERATORS:
        for domain in ("", "com.microsoft"):
            if operator.name in names and domain in operator.domains:
                assert (operator.name, domain) in listed


@pytest.mark.parametrize("domain", ["somebody.else", "com.microsoft"])
def test_a_product_of_another_domain_is_uncounted_and_has_no_parameters(domain: str) -> None:
    weight = numpy_helper.from_array(np.ones((16, 8), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [weight],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    counts = count_graph(helper.make_model(graph, opset_imports=imports, ir_version=8))
    assert (counts.macs, counts.parameters) == (0, 0)
    assert counts.uncounted == {f"{domain}.MatMul": 1}
