from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from deploykit.claims import list_claims, parse_claims
from deploykit.claims.registry import find_check
from deploykit.errors import UnknownName

ONE = """
[[claim]]
id = "a"
statement = "s"
source = "s"
about = "x"
kind = "static"
stated = 1
unit = "ratio"
check = "parameters_ratio"
parameters = { top = "vgg16", bottom = "vgg11" }
tolerance = 0.1
tolerance_reason = "r"
expected = "confirmed"
"""


def test_listing_claims_needs_the_standard_library_only():
    code = (
        "import sys; from deploykit.claims import list_claims; from deploykit.report import junit; "
        "assert list_claims(); "
        "print(*{'torch', 'onnx', 'onnxruntime', 'numpy', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("claim", list_claims(), ids=lambda claim: claim.id)
def test_each_claim_names_a_check_that_takes_its_parameters(claim):
    inspect.signature(find_check(claim.check)).bind(claim, (), **claim.parameters)


def test_an_unknown_check_is_named_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean parameters_ratio"):
        find_check("parameter_ratio")


def test_one_expected_verdict_may_stand_without_a_list():
    (claim,) = parse_claims(ONE)
    assert claim.expected == ("confirmed",)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ONE + ONE, "a twice"),
        (ONE.replace('"confirmed"', '"true"'), "expected must be among"),
        (ONE.replace('"static"', '"guessed"'), "kind must be made of"),
        (ONE.replace('tolerance_reason = "r"', 'tolerance_reason = ""'), "tolerance_reason"),
    ],
)
def test_a_claim_that_can_not_be_is_refused(broken, message):
    with pytest.raises(ValueError, match=message):
        parse_claims(broken)
