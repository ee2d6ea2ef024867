from __future__ import annotations

import pytest
from onnx import AttributeProto, TensorProto, defs, helper

from deploykit.graph import nodes, operators
from deploykit.graph.element_types import FLOATS, ElementType, element_bits
from deploykit.graph.operators import OPERATORS, PRODUCTS, Arithmetic, Kind, Trait, has_no_macs

STANDARD = [op for op in OPERATORS.values() if "" in op.domains]


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


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda op: op.name)
def test_what_multiplies_is_never_said_to_have_no_macs(operator: operators.Operator) -> None:
    for domain in operator.domains:
        node = helper.make_node(operator.name, ["x"], ["y"], domain=domain)
        assert has_no_macs(node) != (operator.multiplies or operator.kind is Kind.CONTROL_FLOW)
    assert operator.multiplies or (operator.macs is None and operator.arithmetic is None)
    assert not has_no_macs(helper.make_node(operator.name, ["x"], ["y"], domain="somebody.else"))


def test_onnx_own_domain_has_two_names() -> None:
    assert has_no_macs(helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx"))


def test_stand_ins_take_inputs_that_their_standard_operator_has() -> None:
    for operator in OPERATORS.values():
        if operator.stands_for is not None:
            name, places = operator.stands_for
            assert len(places) <= defs.get_schema(name).max_input


def test_products_have_weights_rules_and_float_arithmetic() -> None:
    assert PRODUCTS == ("Conv", "ConvTranspose", "Gemm", "MatMul")
    for name in PRODUCTS:
        operator = OPERATORS[name]
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
