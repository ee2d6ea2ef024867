"""Write the pages of docs/ that are made from the code and reports: columns, options, catalogue, latency, claims.

`python scripts/make_docs.py` writes them; a test compares what stands there with what would be written.
"""

from __future__ import annotations

import csv
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from deploykit import zoo
from deploykit.claims import VERDICTS, list_claims
from deploykit.claims.claim import KINDS
from deploykit.claims.expression import FUNCTIONS, QUANTITIES, SELECTORS
from deploykit.claims.margin import HEDGES, PLAIN
from deploykit.cli import COMMANDS, cli
from deploykit.figures import BLANK, significant, with_ends
from deploykit.report import views
from deploykit.report.markdown import columns_page, table
from deploykit.report.states import DOUBT, FEW_RUNS, WORDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: What the README's table of results stands between.
BEGIN, END = "<!-- made by scripts/make_docs.py -->\n", "<!-- end -->\n"
MADE = "This page is made by `python scripts/make_docs.py`.\n"


def options_page() -> str:
    """Every option of every command, in the words of its help."""
    parts = ["# Commands and their options\n\n", MADE]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        context = click.Context(command, info_name=f"deploykit {name}", show_default=True)
        about = " ".join((command.help or "").split("\n\n")[0].split())
        parts.append(f"\n## deploykit {name}\n\n{about}\n\n")
        parts.append(f"```sh\n{' '.join(command.get_usage(context).split()[1:])}\n```\n\n")
        parts.append(table(("option", "does"), _records(command, context)))
    return "".join(parts)


def _records(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # The arguments stand in the usage line.
        if record is not None and record[1] and "--help" not in record[0]:
            # A bracket after text would be read as a link, and what is in angles as HTML.
            yield f"`{record[0]}`", record[1].replace("<", "&lt;").replace("*", "\\*")


def catalogue_page() -> str:
    """Every network with its facts and where it was first described."""
    rows = [
        (
            f"`{one.name}`",
            one.family,
            str(one.year),
            f"{one.channels}x{one.resolution_px}x{one.resolution_px}",
            f"{one.parameters:,}",
            f"{one.macs:,}",
            ", ".join(n for n, has in (("alpha", one.has_alpha), ("rho", one.has_rho)) if has),
            one.paper,
        )
        for one in zoo.architectures()
    ]
    header = ("name", "family", "year", "input", "parameters", "MACs", "multipliers", "paper")
    return (
        "# The catalogue\n\n"
        f"{len(rows)} networks. MACs are multiply-accumulates of one image; one MAC is two FLOPs. Parameters\n"
        "and MACs are stored facts; a test recomputes each of them. How long each takes: [latency](latency.md).\n\n"
        + MADE
        + "\n"
        + table(header, rows, right=(4, 5))
    )


#: The measured columns of the page of latencies: precision and backend, and what they are called.
MEASURED = {
    ("fp32", "onnxruntime"): "ONNX Runtime fp32",
    ("int8", "onnxruntime"): "ONNX Runtime int8",
    ("fp32", "openvino"): "OpenVINO fp32",
    ("int8", "openvino"): "OpenVINO int8",
}
NOT_MEASURED = "not measured"


def latency_page() -> str:
    """How long each network of the catalogue takes on a processor, the quickest first, from the committed proof."""
    with (ROOT / "reports" / "catalogue.csv").open(newline="") as file:
        return latencies(list(csv.DictReader(file)))


def latencies(rows: Sequence[Mapping[str, str]]) -> str:
    """The page of latencies from the rows of catalogue.csv; networks that these lack are not measured."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], Mapping[str, str]]] = {
        (one.name, "1", "1"): {} for one in zoo.architectures()
    }
    for row in rows:
        network = found.setdefault((row["model"], row["alpha"], row["rho"]), {})
        network[row["precision"], row["backend"]] = row
    first = next(iter(MEASURED))

    def quickest_first(network: Mapping[tuple[str, str], Mapping[str, str]]) -> float:
        return float(network.get(first, {}).get("latency_p50_ms") or "inf")

    lines, measured, machines = [], 0, {}
    for (name, alpha, rho), network in sorted(
        found.items(), key=lambda one: quickest_first(one[1])
    ):
        facts = next(
            (row for row in network.values() if row["macs"]), None
        )  # failed rows have none
        counts = facts or (asdict(zoo.lookup(name)) if alpha == rho == "1" else {})
        sizes = [f"{int(counts[each]):,}" if counts else BLANK for each in ("parameters", "macs")]
        cells = [_latency(network.get(setting, {})) for setting in MEASURED]
        measured += not {NOT_MEASURED, FEW_RUNS, "failed"} & set(cells)
        for setting in MEASURED:
            row = network.get(setting, {})
            if row.get("latency_device"):
                machines[row["latency_device"], row["latency_threads"]] = None
        label = views.label({"model": name, "alpha": alpha, "rho": rho})
        lines.append((label, *sizes, *cells))
    where = "; ".join(f"{device}, {threads} threads" for device, threads in machines)
    return (
        "# Latency of the catalogue\n\n"
        f"{measured} of {len(lines)} networks are measured in all of {len(MEASURED)} configurations: one image at "
        "canonical size, random\nweights, the median in ms of three processes, with the 95% interval over them in "
        "brackets. The configurations of\na network are measured in turns. "
        + (f"On {where}. " if where else "")
        + "What is doubtful has a question mark, and why stands\nin `latency_state` of "
        "[reports/catalogue.csv](../reports/catalogue.csv). `make catalogue-latency` measures what is\n"
        "missing on the machine at hand; `deploykit report reports/catalogue_latency.csv` makes a page of the "
        "single processes\nthat sorts by any column.\n\n"
        + MADE
        + "\n"
        + table(("network", "parameters", "MACs", *MEASURED.values()), lines, right=range(1, 7))
    )


def _latency(row: Mapping[str, str]) -> str:
    """A cell of that page."""
    state = row.get("latency_state") or ""
    if not row.get("latency_p50_ms"):
        if FEW_RUNS in state:
            return FEW_RUNS
        return "failed" if state else NOT_MEASURED
    doubt = "" if state in ("ok", "emulated") else DOUBT
    median, *ends = (float(row[f"latency_{end}_ms"] or "nan") for end in ("p50", "low", "high"))
    if any(math.isnan(end) for end in ends):
        return f"{significant(median)}{DOUBT}"
    middle, low, high = with_ends(median, *ends)
    return f"{middle}{doubt} [{low}, {high}]"


#: How a user checks what other READMEs say.
OWN_CLAIMS = """## Claims of your own

`deploykit claims --claims mine.toml` checks a file like this one, and ends with 1 where a verdict or a part is not
the one expected. A field that can't be is named with its line, and ends with 2. A claim that can't be evaluated, of
a network that has nothing of what is counted, say, is undecided and says why; all others are told before the
command ends with 2.
`deploykit run my.onnx --claims mine.toml` checks them on the rows that it measures, instead of the project's.

```toml
[[claim]]
id = "lenet"
statement = "LeNet-5 has about 60 thousand parameters"
source = "a README"
about = "parameters(lenet5)"
kind = "counted"
stated = 60_000
unit = "parameters"
hedge = "about"
check = "count"
arguments = { network = "lenet5" }
expected = "confirmed"
parts = "holds"
```

`network` is a name of the catalogue, a name with multipliers, as in `{ name = "mobilenet", alpha = 0.5 }`,
or `"module:factory"` for a network of your own. `parts` is what is expected of every part, or a table of
what is expected of each; with a part called `"*"`, for all others, those named need not be there.
`universal = false` lets a statement be true in context; otherwise one part that fails refutes it.

A figure is written without its unit: `61_706`, `0.81`, `4.2e6` or `4_200_000`. The last two agree with 4.15 to 4.25
million; `4.20e6` agrees with less. `unit` is for people and scales nothing. The check `counted` holds an expression
against the figure, `figures` holds several against one each, and `relations` has comparisons such as
`macs(vgg16) > macs(alexnet)`:

```toml
[[claim]]
id = "fifty-times-smaller"
statement = "Our network is at least 50 times smaller than AlexNet"
source = "README.md"
about = "parameters of alexnet over those of our network"
kind = "counted"
stated = 50
unit = "ratio"
hedge = "at least"
check = "counted"
arguments = { of = "parameters(alexnet) / parameters('nets:make')" }
expected = "confirmed"
parts = "holds"
```

An expression asks a network for {quantities}; of all its layers, or of those that words select, as in
`macs(mobilenet, pointwise)`, `layers(vgg16, conv, '3x3')` or `channels(squeezenet1_0, 'squeeze')`: {selectors}, or,
in quotes, a kernel, a class, or a part of a layer's name. Of the whole of it there are {whole}.
`nodes(lenet5, Conv)` counts operators of ONNX by their names, `modules(lenet5, Conv2d)` modules of a class of
PyTorch's. A network of your own is quoted, and has no `year`; multipliers stand behind
a name, as in `mobilenet(alpha=0.5, rho=5/7)`. Values meet by `+ - * / **`, and go through {functions}.

A claim that is measured is an entry, too. Its `measure` says of what `--measure` makes rows, in four
rounds over all that is measured; its check holds these rows against each other, and a ratio is decided where
the 95% interval of its mean over the rounds is on one side of what is stated. What is no network of the
catalogue is a function of a few lines that returns a module, `"module:factory"`, with its `input_shape` as
an attribute:

```toml
[[claim]]
id = "half-the-width"
statement = "MobileNet of half the width is four times as fast"
source = "a README"
about = "latency of mobilenet over that of half its width"
kind = "measured"
stated = 4
unit = "ratio"
hedge = "about"
check = "rows_ratio"
measure = { networks = ["mobilenet", { name = "mobilenet", alpha = 0.5 }] }
expected = ["undecided", "confirmed", "refuted"]
parts = ["undecided", "holds", "fails"]
[claim.arguments]
of = "latency"
top = { model = "mobilenet", alpha = "1" }
bottom = { model = "mobilenet", alpha = "0.5" }
```

So is one that is trained: its check trains pairs of small networks from several seeds, and decides where
the 95% interval of their difference does not reach 0. `--train` trains for two hours at most. What was
trained, weights and losses, is kept in the store (`deploykit store list`), and is not trained again; the
same command goes on where it was broken off. A network is described by fields that
`deploykit/claims/proxies.py` lists.

```toml
[[claim]]
id = "dropout-helps"
statement = "Dropout makes a small perceptron more accurate"
source = "a README"
about = "test accuracy on the digits with and without"
kind = "trained"
stated = "more accurate"
unit = ""
check = "proxies_differ"
expected = ["undecided", "confirmed", "refuted"]
parts = ["undecided", "holds", "fails"]
[claim.arguments]
metric = "accuracy"
seeds = 5
[claim.arguments.contests."one layer of 64"]
relation = "more"
first = { kind = "linear", layers = 1, width = 64, dropout = 0.5 }
second = { kind = "linear", layers = 1, width = 64 }
```

What no check decides yet takes one more function, in a file of `deploykit/claims/checks`, of a few lines:
its parameters are the entry's arguments, by name and type, and it returns the parts with what came of each.

## What training shows

Small networks, on the digits that come with the package and on Fashion-MNIST, are proxies: what holds of
one need not hold at scale. `make claims-full` measures and trains what all claims take, writes
[reports/claims_full.csv](../reports/claims_full.csv), and draws these pictures of the trainings that are
kept. Where Fashion-MNIST can't be had (`apt install dataset-fashion-mnist`, or its four files in the cache,
as the message says), the claims that take it are undecided, and the command ends with 3.

{pictures}
## The project's claims

"""

#: What each picture shows, by its file in reports/: for people who don't see it, too.
PICTURES = {
    "claims_transfer.png": "Accuracy on five classes of Fashion-MNIST with 5, 20 and 200 training images a class, "
    "of networks that start from one of the other five classes and of networks that start from random weights",
    "claims_activation_maps.png": "Images of clothing at random places of a canvas, and over each the class "
    "activation map, whose peak is marked",
    "claims_depth.png": "Training loss of plain networks and of networks with shortcuts, by epoch and by depth",
    "claims_sigmoid_gradients.png": "Gradient of the first layer over that of the last by the number of layers, "
    "for sigmoids and for ReLUs",
    "claims_ensembles.png": "Accuracy of ensembles by the number of their members, beside that of a single "
    "network and of the best member",
}


def _pictures() -> str:
    return "".join(f"![{what}](../reports/{file})\n\n" for file, what in PICTURES.items())


def _own_claims() -> str:
    text = OWN_CLAIMS.replace("{pictures}", _pictures())
    takes = {
        name: [parameter.kind for parameter in inspect.signature(count).parameters.values()][1:]
        for name, count in QUANTITIES.items()
    }
    for name, known in (
        (
            "quantities",
            [n for n, more in takes.items() if more == [inspect.Parameter.VAR_POSITIONAL]],
        ),
        ("whole", [n for n, more in takes.items() if not more]),
        ("selectors", SELECTORS),
        ("functions", FUNCTIONS),
    ):
        text = text.replace(f"{{{name}}}", ", ".join(f"`{word}`" for word in known))
    return text


def claims_page() -> str:
    """Every claim, how it is decided and where it is from; no verdict, which is computed when it is asked for."""
    rows = [
        (f"`{one.id}`", one.statement, one.kind.replace("+", ", "), one.about, one.source)
        for one in list_claims()
    ]
    return (
        "# Claims\n\n"
        f"{len(rows)} claims about networks, as people state them. `deploykit claims ID` decides one. How:\n\n"
        + "".join(f"- *{kind}*: {meaning}.\n" for kind, meaning in KINDS.items())
        + "\nWhat comes of it:\n\n"
        + "".join(f"- **{verdict}**: {meaning}.\n" for verdict, meaning in VERDICTS.items())
        + f"\nA number agrees with the stated one within {PLAIN},\n"
        "or by the margin of the word that the statement hedges it with, which is the same in every claim:\n\n"
        + table(("word", "agrees"), [(word, hedge.meaning) for word, hedge in HEDGES.items()])
        + "\n"
        + _own_claims()
        + "No verdict stands here: they are computed when they are asked for. Those of the last reference run are\n"
        "in [reports/claims.csv](../reports/claims.csv), with what was trained and measured for them in\n"
        "[reports/claims_full.csv](../reports/claims_full.csv).\n\n"
        + MADE
        + "\n"
        + table(("id", "claim", "decided", "by", "source"), rows)
    )


def results_table() -> str:
    """The main job's latencies, from the committed report; those that are doubted are marked, with the causes."""
    with (ROOT / "reports" / "profile.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    networks: dict[str, dict[str, str]] = {}
    doubts = set()
    for row in rows:
        name = row["model"] + (f" α={row['alpha']}" if float(row["alpha"]) != 1 else "")
        low, median, high = (float(row[f"latency_p50{end}_ms"]) for end in ("_low", "", "_high"))
        middle, *ends = with_ends(median, low, high)
        cell = f"{middle} [{', '.join(ends)}]"
        if row["stability"] != "stable":
            cell += " †"
            doubts |= {
                part.partition(":")[0]
                for part in row["stability"].removeprefix("unstable: ").split(" | ")
            }
        actual = row["precision_actual"]
        kind = row["precision"] + (f" (as {actual})" if actual != row["precision"] else "")
        networks.setdefault(name, {})[kind] = cell
    kinds = list(dict.fromkeys(kind for cells in networks.values() for kind in cells))
    made = table(
        ("p50 ms [95%]", *kinds),
        [(name, *(cells.get(kind, "–") for kind in kinds)) for name, cells in networks.items()],
        right=range(1, len(kinds) + 1),
    )
    causes = ", ".join(sorted(WORDS.get(one, one) for one in doubts))
    return made + f"\n† doubted for {causes}: [measuring](docs/measuring.md).\n" * bool(causes)


def benchmarks_table() -> str:
    """What `make bench` and `make bench-noise` found last."""
    with (ROOT / "reports" / "benchmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    verdicts = {"yes": "met", "no": "missed", "": ""}
    return table(
        ("benchmark", "figure", "target", "", "on", "date"),
        [
            (
                f"{row['benchmark'].replace('_', ' ')}: {row['metric']}",
                f"{float(row['value']):.4g} {row['unit']}",
                row["target"].replace("<=", "≤").replace(">=", "≥"),
                verdicts[row["met"]],
                row["device"],
                row["timestamp"][:10],
            )
            for row in rows
        ],
        right=(1,),
    )


#: Where a page says how many claims there are.
_CLAIMS = re.compile(r"\[\d+ claims\]\(docs/claims\.md\)")
#: Each page that holds a table made from a report, and what makes it.
WITH_TABLE: dict[str, Callable[[], str]] = {
    "README.md": results_table,
    "docs/benchmarks.md": benchmarks_table,
}


def current(name: str) -> str:
    """A page of `WITH_TABLE` as it should be: with its table as the report has it now, and with as many claims."""
    before, _, rest = (ROOT / name).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = before + BEGIN + "\n" + WITH_TABLE[name]() + "\n" + END + after
    return _CLAIMS.sub(f"[{len(list_claims())} claims](docs/claims.md)", text)


#: Each page and what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "columns.md": columns_page,
    "options.md": options_page,
    "catalogue.md": catalogue_page,
    "latency.md": latency_page,
    "claims.md": claims_page,
}


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    for name in WITH_TABLE:
        (ROOT / name).write_text(current(name), encoding="utf-8")


if __name__ == "__main__":
    main()
