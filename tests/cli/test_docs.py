"""The documentation says what the code does: links lead somewhere, commands parse, made pages are current."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from deploykit import zoo
from deploykit.cli import COMMANDS, cli
from deploykit.columns import NAMES
from deploykit.report.states import WORDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))
FENCE = re.compile(r"```(sh|console|bash)\n(.*?)```", re.S)


def commands(path):
    """Every line of a page that runs deploykit, without prompt, folder and comment."""
    found = []
    for kind, block in FENCE.findall(path.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if kind == "console" and not line.startswith("$ "):
                continue
            words = line.removeprefix("$ ").removeprefix(".venv/bin/")
            if words.startswith("deploykit "):
                found.append(words)
    return found


LINES = [
    (path.name, line) for path in PAGES if path.name != "options.md" for line in commands(path)
]


def parse(line):
    """Let the command that a line names read its words, without running it."""
    words = shlex.split(line, comments=True)
    for redirect in (">", ">>", "|", "2>"):
        words = words[: words.index(redirect)] if redirect in words else words
    name, *arguments = words[1:]
    if name.startswith("-"):
        return
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"no command {name}"
    options = {text for p in command.params for text in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "-h",
    }
    given = {word.partition("=")[0] for word in arguments if word.startswith("-") and word != "-"}
    assert given <= options, f"{name} has no {given - options}"


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_that_is_shown_exists_with_its_options(page, line):
    parse(line)


def test_a_line_with_an_option_that_is_not_there_is_seen():
    with pytest.raises(AssertionError, match="--no-such"):
        parse("deploykit profile lenet5 --no-such 3 # comment")


#: Commands that take no time and print the same on every machine.
SURE = ("list", "claims", "count")


def shown(path):
    """What pages show of commands that print the same everywhere: the command, and its output."""
    for kind, block in FENCE.findall(path.read_text(encoding="utf-8")):
        for part in block.split("$ ")[1:] if kind == "console" else ():
            line, _, output = part.partition("\n")
            if line.split()[1] in SURE:
                yield line, output


@pytest.mark.parametrize(("line", "output"), [one for path in PAGES for one in shown(path)])
def test_what_a_page_shows_is_what_comes_out(run, monkeypatch, line, output):
    monkeypatch.setenv("COLUMNS", "100")
    ended = run(*shlex.split(line)[1:])
    assert ended.code == 0, ended.err
    assert " ".join(output.split()) in " ".join(ended.out.split())


def test_the_page_on_measuring_names_every_doubt_and_columns_that_there_are():
    text = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == set(WORDS)
    # Of one unit or another, as a name in code is called by.
    assert set(re.findall(r"`([a-z0-9_]+_(?:s|ms|mib))`", text)) <= set(NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_within_the_repository_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    gone = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert gone == []


@pytest.mark.parametrize("name", MADE["PAGES"])
def test_the_pages_that_are_made_from_the_code_are_current(name):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == MADE["PAGES"][name](), "python scripts/make_docs.py"


@pytest.mark.parametrize("name", MADE["WITH_TABLE"])
def test_the_tables_are_those_of_the_reports(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert page == MADE["current"](name), "python scripts/make_docs.py"


def test_the_page_of_latencies_sorts_marks_doubt_and_says_what_is_not_measured():
    row = {
        "alpha": "1", "rho": "1", "parameters": "5", "macs": "7", "precision": "fp32", "backend": "onnxruntime",
        "latency_low_ms": "1.9", "latency_high_ms": "2.2", "latency_device": "X", "latency_threads": "2",
    }  # fmt: skip
    slow = row | {"model": "mlp", "latency_p50_ms": "2", "latency_state": "ok"}
    quick = row | {
        "model": "vgg16",
        "latency_p50_ms": "1.95",
        "latency_state": "doubtful: busy machine (1 of 3)",
    }
    failed = row | {
        "model": "mlp",
        "precision": "int8",
        "latency_state": "failed: no memory (3 of 3)",
    }
    lost = row | {"model": "lenet5", "precision": "", "backend": "", "parameters": "", "macs": ""}
    page = MADE["latencies"]([slow, quick, failed, lost])
    lines = [line for line in page.splitlines() if line.startswith("| ")][2:]
    blank = "not measured"
    assert lines[0] == f"| vgg16 | 5 | 7 | 1.95? [1.90, 2.20] | {blank} | {blank} | {blank} |"
    assert lines[1] == f"| mlp | 5 | 7 | 2.00 [1.90, 2.20] | failed | {blank} | {blank} |"
    assert len(lines) == len(zoo.architectures())
    assert "0 of" in page
    assert "On X, 2 threads." in page


def test_the_readme_is_short_and_marks_what_is_doubted():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert "†" in text or "unstable" not in (ROOT / "reports" / "profile.csv").read_text()


def test_every_page_can_be_reached_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []


def test_every_command_has_its_options_on_the_page():
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## deploykit {name}\n" not in page] == []
