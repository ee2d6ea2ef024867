from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploykit.claims import evaluate_claim, evaluate_claims, list_claims, parse_claims, read_claims
from deploykit.claims.check import find_check
from deploykit.claims.checks.counted import Relation
from deploykit.errors import UsageError

ONE = """
[[claim]]
id = "a"
statement = "s"
source = "s"
about = "x"
kind = "counted"
stated = 1
unit = "ratio"
check = "ratio"
arguments = { top = "vgg16", bottom = "vgg11" }
expected = "confirmed"
parts = "holds"
"""


#: Words of statements that are hedges, by the margin that is theirs.
WORDS = {
    "about": {"about"},
    "nearly": {"nearly"},
    "slightly less": {"slightly", "little"},
    "slightly more": {"slightly", "little"},
    "hardly more": {"hardly"},
    "much less": {"much", "far", "greatly", "very", "too"},
    "much more": {"much", "far", "greatly", "very", "too"},
}


def test_a_margin_is_that_of_a_word_of_the_statement():
    """Figures without a hedge had the margin of 'about' or 'nearly', and 'hardly' had three others."""
    words = {
        claim.id: set(re.findall(r"[a-z]+", claim.statement.lower())) for claim in list_claims()
    }
    hedged = [claim for claim in list_claims() if claim.hedge in WORDS]
    assert len(hedged) > 25
    assert [one.id for one in hedged if not WORDS[one.hedge] & words[one.id]] == []
    hardly = {one.id for one in list_claims() if "hardly" in words[one.id]}
    assert hardly == {one.id for one in list_claims() if one.hedge == "hardly more"}


def related(claim):
    """The relations of an entry, as text."""
    return claim.arguments.get("relations", {}).items()


def test_no_relation_has_a_margin_of_its_own():
    """Four had that of 'about', or of the digits, written out in them, so that the table no longer reached them."""
    of_their_own = [c.id for c in list_claims() for _, text in related(c) if "abs(" in text]
    assert set(of_their_own) == {"mobilenet-8-to-9-times"}  # whose statement gives a range


def test_a_relation_is_of_networks_and_not_of_printed_figures_alone():
    """The difference of two that were printed counted as computed."""
    for claim in list_claims():
        for name, text in related(claim):
            relation = Relation.parse(text)
            assert relation.left.networks or relation.right.networks, (claim.id, name)


def test_listing_claims_imports_nothing_heavy():
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
def test_no_check_takes_an_argument_that_it_does_not_name(claim):
    kinds = find_check(claim.check).kinds
    assert set(claim.arguments) <= set(kinds)
    with pytest.raises(UsageError, match=rf"^claim {claim.id}: unknown argument of {claim.check}"):
        dataclasses.replace(claim, arguments={**claim.arguments, "surplus": 1})


@pytest.mark.parametrize("claim", list_claims(), ids=lambda claim: claim.id)
def test_a_number_that_a_claim_states_is_read_by_its_check(claim):
    """Of 19 claims the check held against constants of its own, and of 22 against the same number written twice."""
    if isinstance(claim.stated, str):
        return
    assert "stated" in find_check(claim.check).kinds
    # Of several things in one entry at least one is held against the claim's own number.
    for name, own in (("figures", "stated"), ("replacements", "ratio")):
        several = claim.arguments.get(name, ())
        each = several.values() if isinstance(several, dict) else several
        assert not each or any(own not in one for one in each)


@pytest.mark.parametrize("claim", list_claims(), ids=lambda claim: claim.id)
def test_only_claims_called_measured_look_at_measurements(claim):
    if find_check(claim.check).takes_rows:
        assert "measured" in claim.kind


def test_what_is_trained_is_trained_from_several_seeds():
    """What is rounded are the shipped weights, which images decide, and rows of a profile are trained before."""
    others = {"rounding_loses", "rows_keep_accuracy"}
    trained = [c for c in list_claims() if "trained" in c.kind and c.check not in others]
    assert len(trained) > 20
    for claim in trained:
        given = claim.arguments
        assert given.get("seeds", given.get("ensembles", 0)) >= 3, claim.id


def test_one_expected_verdict_may_stand_without_a_list():
    (claim,) = parse_claims(ONE)
    assert claim.expected == ("confirmed",)


def replaced_in(text, old, new):
    assert old in text
    return text.replace(old, new)


def replaced(old, new):
    return replaced_in(ONE, old, new)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ONE + ONE, "claims.toml has a twice"),
        (replaced('"confirmed"', '"true"'), "claim a: 'expected' must be among"),
        (replaced('"confirmed"', "[]"), "claim a: 'expected' must be among"),
        (replaced('"counted"', '"guessed"'), "claim a: 'kind' must be made of"),
        (replaced('"holds"', '"true"'), "claim a: 'parts' must be among holds, fails, undecided"),
        (replaced('"holds"', "{ }"), "claim a: 'parts' must be among holds"),
        (replaced('"holds"', '{ x = "true" }'), "claim a: 'parts' must be among holds"),
        (replaced('parts = "holds"\n', ""), "claim a: missing key: parts"),
        (
            ONE + 'hedge = "abuot"',
            "claim a: unknown hedge 'abuot': did you mean about",
        ),
        (ONE + 'universal = "no"', "claim a: key 'universal': expected `bool`"),
        (replaced('unit = "ratio"\n', ""), "claim a: missing key: unit"),
        (replaced("unit =", "units ="), "claim a: unknown key 'units': did you mean unit"),
        (replaced('id = "a"\n', ""), "claim number 1: missing key: id"),
        (replaced('"s"', "3"), "claim a: key 'statement': expected `str`, got `int`"),
        (
            replaced("stated = 1", "stated = true"),
            "claim a: key 'stated': expected a number, got True",
        ),
        (
            replaced('check = "ratio"', 'check = "ratios"'),
            "claim a: unknown check 'ratios': did you mean ratio",
        ),
        (
            replaced("stated = 1", 'stated = "one"'),
            "claim a: key 'stated': expected a number, got 'one'",
        ),
        (
            replaced("top =", "tip ="),
            "claim a: unknown argument of ratio 'tip': did you mean top",
        ),
        (replaced('top = "vgg16", ', ""), "claim a: missing argument of ratio: top"),
        (
            replaced("top =", "zzz ="),
            "claim a: unknown argument of ratio 'zzz': known: top, bottom, quantity, others",
        ),
        (
            replaced('{ top = "vgg16", bottom = "vgg11" }', "{ }"),
            "argument of ratio: top and bottom",
        ),
        (replaced('"vgg16"', '"vgg61"'), "claim a: unknown model 'vgg61': did you mean vgg"),
        (
            replaced('"vgg16"', "16"),
            "claim a: argument of ratio 'top': expected a network's name, or its name, alpha and rho, got 16",
        ),
        (
            replaced('"vgg16"', '{ name = "vgg16", alpha = 0.5 }'),
            "claim a: vgg16 has no width multiplier",
        ),
        (
            replaced(" }", ', quantity = "bytes" }'),
            "claim a: argument of ratio 'quantity': invalid enum value 'bytes'",
        ),
        (
            replaced(" }", ', others = [["vgg13"]] }'),
            r"claim a: argument of ratio 'others' at \[0\]: expected `array` of length 2, got 1",
        ),
        (replaced(" }", ", stated = 2 }"), "claim a: unknown argument of ratio 'stated'"),
        (
            replaced('"vgg16"', '"folder/my.onnx"'),
            "claim a: folder/my.onnx is a file, and claims count networks of the catalogue or module:factory",
        ),
        (
            replaced('"vgg16"', '"zzz"'),
            "unknown model 'zzz': .*or name a network of your own as module:factory",
        ),
        (
            replaced('"vgg16"', '"my nets:make"'),
            "expected module:factory for a network of your own",
        ),
        (
            replaced('"vgg16"', '{ name = "mobilenet", rho = inf }'),
            "expected alpha and rho to be numbers",
        ),
        (
            replaced("stated = 1", "stated = 1e9999999"),
            "key 'stated': expected a number from 1e-300",
        ),
        (replaced("stated = 1", "stated = nan"), "key 'stated': expected a finite number, got NaN"),
        (replaced('"a"', '""'), "'id' is '': give a name that a command can take"),
        (replaced('"a"', '"-a"'), "'id' is '-a': give a name"),
        (replaced('"a"', '"a\\u001b[31m"'), "'id' is .*: give a name"),
        (
            replaced('check = "ratio"', 'check = "figures"').replace(
                '{ top = "vgg16", bottom = "vgg11" }',
                '{ figures = [{ of = "1", hedge = "approximately" }] }',
            ),
            "line 11: claim a: unknown hedge 'approximately': write about",
        ),
        (
            replaced('check = "ratio"', 'check = "relations"').replace(
                '{ top = "vgg16", bottom = "vgg11" }',
                '{ relations = { x = "' + "-" * 990 + '1 > 2" } }',
            ),
            "is nested 99. levels deep|is no comparison that can be read",
        ),
        ("[[claim]\n", r"claims.toml is no TOML: .*line 1"),
        ("claim = 3", r"claims.toml: each claim is a table headed \[\[claim\]\]"),
        ("", r"claims.toml has no claims: each claim is a table headed \[\[claim\]\]"),
        ("claim = []", r"claims.toml has no claims"),
        (
            ONE + ONE.replace("[[claim]]", "[[claims]]"),
            r"claims.toml, line 15: 'claims' is no claim: each is headed \[\[claim\]\]",
        ),
        ('title = "t"' + ONE, r"claims.toml, line 1: 'title' is no claim"),
    ],
)
def test_a_claim_that_can_not_be_is_refused_in_one_line(broken, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_claims(broken)
    assert len(str(caught.value).splitlines()) == 1


def test_a_nested_table_takes_no_unknown_key_either():
    claim = next(claim for claim in list_claims() if claim.id == "resnext-fewer-params")
    pair = {**claim.arguments["pairs"][0], "eror": 3.0}
    with pytest.raises(UsageError, match=r"'pairs' at \[0\]: object contains unknown field `eror`"):
        dataclasses.replace(claim, arguments={**claim.arguments, "pairs": [pair]})


def test_an_id_that_is_there_twice_is_named_with_its_second_line():
    text = ONE + replaced('"a"', '"b"') + ONE
    with pytest.raises(UsageError, match="has a twice, again in line 29: give each claim an id"):
        parse_claims(text)


def test_a_file_of_claims_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"can't read .*none\.toml"):
        read_claims(tmp_path / "none.toml")
    (tmp_path / "mine.toml").write_text(ONE + ONE)
    with pytest.raises(UsageError, match=r"mine\.toml has a twice"):
        read_claims(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('unit = "ratio"\n', "units = 3\n", 9),
        ('top = "vgg16"', 'top = "vgg61"', 11),
        ('expected = "confirmed"', 'expected = "true"', 12),
        ('parts = "holds"\n', "", 2),  # the header, where there is no line of its own
        ('bottom = "vgg11"', 'bottom = "vgg11", base = 3', 11),
    ],
)
def test_a_wrong_field_is_named_with_its_line(old, new, line):
    with pytest.raises(UsageError, match=rf"^mine.toml, line {line}: claim a: "):
        parse_claims(replaced(old, new), "mine.toml")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('unit = "ratio"', "unit = 3", 10),
        ('top = "vgg16"', 'top = "vgg61"', 12),
        ('"vgg11" }', '"vgg11" }\nhedge = "less than"', 13),
    ],
)
def test_a_sentence_that_has_the_word_is_not_where_the_field_is(old, new, line):
    said = 'statement = "its unit is less than that of vgg61"\n# vgg61'
    with pytest.raises(UsageError, match=rf"^mine.toml, line {line}: claim a: "):
        parse_claims(replaced(old, new).replace('statement = "s"', said), "mine.toml")


def test_the_line_of_a_field_is_its_own_and_not_that_of_its_argument():
    text = ONE.replace('check = "ratio"', 'check = "published_comparisons"').replace(
        'arguments = { top = "vgg16", bottom = "vgg11" }',
        "[claim.arguments]\nwhere = 'here'\ncomparisons = [\n"
        '  { what = "w", first = 1, first_of = "a", second = 2, second_of = "b", relation = "less" },\n'
        '  { what = "v", first = 1, frist_of = "a", second = 2, second_of = "b", relation = "less" },\n]',
    )
    top = text.replace('expected = "confirmed"\nparts = "holds"\n', "").replace(
        'unit = "ratio"\n', 'unit = "ratio"\nexpected = "cited"\nparts = "holds"\n'
    )
    with pytest.raises(UsageError, match=r"line 17: claim a: .*unknown field `frist_of`"):
        parse_claims(top)


def test_the_line_is_that_of_the_claim_and_not_of_one_before():
    text = ONE + '\n# a remark\nnote = """\n[[claim]]\n"""\n' + replaced('"a"', '"b"')
    with pytest.raises(UsageError, match=r"line 16: claim a: unknown key 'note'"):
        parse_claims(text)
    second = ONE + replaced('"a"', '"b"').replace("stated = 1", "stated = true")
    with pytest.raises(UsageError, match=r"line 21: claim b: key 'stated'"):
        parse_claims(second)


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path):
    (tmp_path / "mine.toml").write_text(ONE, encoding="utf-8-sig")
    assert [claim.id for claim in read_claims(tmp_path / "mine.toml")] == ["a"]


def test_a_file_that_is_no_text_in_utf8_is_told_with_the_line(tmp_path):
    path = tmp_path / "mine.toml"
    for text, encoding in ((ONE.replace('"s"', '"caf\u00e9"', 1), "cp1252"), (ONE, "utf-16")):
        path.write_bytes(text.encode(encoding))
        line = 4 if encoding == "cp1252" else 1
        said = rf"mine\.toml, line {line}: it is not text in UTF-8, as TOML has to be: save it so$"
        with pytest.raises(UsageError, match=said):
            read_claims(path)


def test_what_can_not_be_read_is_told_without_the_number_of_the_error(tmp_path):
    for name, said in (
        ("none.toml", "No such file or directory"),
        (".", "it is a directory, not a file"),
    ):
        with pytest.raises(
            UsageError, match=rf"^can't read {tmp_path / name}: {said}; name a file of claims"
        ):
            read_claims(tmp_path / name)


def test_lines_may_end_as_windows_ends_them_and_come_through_a_pipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(ONE.replace("\n", "\r\n").encode("utf-8-sig"))
    assert [claim.id for claim in read_claims(path)] == ["a"]
    path.write_bytes(ONE.replace("unit =", "units =").replace("\n", "\r\n").encode())
    with pytest.raises(UsageError, match=r"mine\.toml, line 9: claim a: unknown key 'units'"):
        read_claims(path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(ONE.encode())
        cat.stdin.close()
        (claim,) = read_claims(Path(f"/dev/fd/{cat.stdout.fileno()}"))
    assert claim.id == "a"


def test_lines_are_counted_as_toml_counts_them():
    text = ONE.replace('"s"', '"one\u2028two\x85three"', 1).replace("unit =", "units =")
    with pytest.raises(UsageError, match=r"line 9: claim a: unknown key 'units'"):
        parse_claims(text)


def test_commands_for_a_claim_of_ones_own_name_its_file(tmp_path):
    """They named the claim alone, which is none of the project's: the command was refused."""
    path = tmp_path / "my claims.toml"
    path.write_text(ONE + 'measure = { networks = ["vgg11"] }')
    (claim,) = read_claims(path)
    assert claim.settled_by == f"deploykit claims a --claims '{path}' --measure"
    with pytest.raises(UsageError, match=r"claims --claims .*my claims\.toml' --list"):
        evaluate_claims(["z"], claims=[claim])
    with pytest.raises(UsageError, match="unknown key 'file'"):
        parse_claims(ONE + 'file = "x"')
    (claim,) = parse_claims(replaced('"a"', '"a b"') + 'measure = { networks = ["vgg11"] }')
    assert claim.settled_by == "deploykit claims 'a b' --measure"


def test_a_number_in_quotes_is_a_number_where_the_check_takes_one():
    (claim,) = parse_claims(replaced("stated = 1", 'stated = "140_000_000"'))
    assert claim.stated == 140_000_000
    text = replaced("stated = 1", 'stated = "61"').replace('check = "ratio"', 'check = "figures"')
    (claim,) = parse_claims(
        text.replace(
            '{ top = "vgg16", bottom = "vgg11" }', '{ figures = [{ of = "1", stated = 1 }] }'
        )
    )
    assert claim.stated == "61"


@pytest.mark.parametrize(
    "of",
    [
        "sides(lenet5_at(side=9), conv)",
        "macs(conv(inputs=4, outputs=4, kernel=3, groups=3))",
        "macs(lenet5_at(side=9))",
        "channels(lenet5, conv)",
        "1 / nodes(lenet5, Concat)",
        "min(channels(lenet5, 'nowhere'))",
        "1e999",
        "log(0)",
        "max(parameters(lenet5))",
    ],
)
def test_what_can_not_be_counted_is_refused_in_one_line(of):
    text = ONE.replace('check = "ratio"', 'check = "counted"')
    (claim,) = parse_claims(
        replaced_in(text, '{ top = "vgg16", bottom = "vgg11" }', f'{{ of = "{of}" }}')
    )
    error = evaluate_claim(claim).error
    assert isinstance(error, UsageError)
    assert str(error).startswith("claim a: ")
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        ('precisions = ["fp31"]', 16, "unknown precision 'fp31': did you mean fp32"),
        ('precisions = ["fp8"]', 14, "no fp8 on this backend: onnxruntime has "),
        ('backends = ["onnxrt"]', 16, "unknown backend 'onnxrt': did you mean onnxruntime"),
        ('passes = ["backward"]', 16, "unknown pass 'backward': did you mean "),
        ("batches = [1, 0]", 16, "'batches' has 0: give at least 1"),
        ("threads = [1, 0]", 16, "'threads' has 0: give at least 1"),
        ("optimization_levels = [0, 6]", 16, "'optimization_levels' has 6: give 0 to 5"),
        (
            'backends = ["openvino"]\noptimization_levels = [0, 3]',
            17,
            "'optimization_levels' are followed by none of openvino: leave them out",
        ),
        ("precisions = []", 16, "'precisions' is an empty list"),
    ],
)
def test_what_can_not_be_measured_is_named_with_its_line(wrong, line, said):
    """It was left out, so that the claim was undecided whatever was measured."""
    text = ONE + f'[claim.measure]\nnetworks = ["vgg11"]\n{wrong}\n'
    with pytest.raises(UsageError, match=rf"^claims.toml, line {line}: claim a: {said}"):
        parse_claims(text)


def test_what_the_projects_claims_measure_can_be_measured():
    for claim in list_claims():
        if claim.measure is not None:
            claim.measure.check()


def test_what_is_measured_for_a_claim_is_read_as_well():
    text = ONE + 'measure = { networks = ["vgg11", "m:f"], batches = [1, 8] }'
    (claim,) = parse_claims(text)
    assert claim.measure is not None
    assert [network.name for network in claim.measure.networks][:1] == ["vgg11"]
    assert claim.settled_by == "deploykit claims a --measure"
    with pytest.raises(UsageError, match="unknown field `batch`"):
        parse_claims(text.replace("batches", "batch"))
