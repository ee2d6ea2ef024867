"""Change networks, graphs, rows, trainings and figures under each claim, and see whether its verdict moves.

    python -m studies.mutations                           # all claims
    python -m studies.mutations vgg-140m --csv -          # these, and nothing is kept
    python -m studies.mutations --time 150                # begins no claim after 150 s

A claim that comes out the same whatever is changed looks at nothing. Changes are made from the claim's entry: the
networks that it names are changed (kernels, groups, layers more and fewer) or swapped for others, blocks and graphs
that its check makes come out wrong, rows and what came of trainings are made up for it, as stated and against it,
and each figure of its arguments, stated or printed, is made another. Each
claim is a row of the table as it comes; one whose verdict moved is not tried again until its entry or the code of
its check changes, so that a run that was broken off goes on. Printed is the share of claims whose verdict moved, by
what it took, and those of which only a part moved or nothing. Ends with 1 if there are any of the last.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploykit.claims import Claim, list_claims
from deploykit.claims.check import find_check
from deploykit.code_digest import code_digest
from deploykit.errors import DeploykitError
from deploykit.report.csv import CsvReport, read_cells
from studies.mutations.claims import move

#: What is kept of each claim: "verdict", "part" or "nothing" moved, by which kind of change, and which one; and the
#: digest of its entry and of the code of its check.
COLUMNS = ("claim", "kind", "verdict", "moved", "by", "change", "seconds", "digest")


def digest_of(claim: Claim) -> str:
    """Of a claim's entry and of the code of its check, twelve digits."""
    entry = repr(
        sorted(
            (field.name, repr(getattr(claim, field.name)))
            for field in dataclasses.fields(claim)
            if field.compare  # the check is another object in every process
        )
    )
    code = code_digest(find_check(claim.check).function.__module__)
    return hashlib.sha256(f"{entry}{code}".encode()).hexdigest()[:12]


def tried(claim: Claim) -> dict[str, Any]:
    """The row of a claim: what moved it."""
    start_s = time.perf_counter()
    found = move(claim)
    return {
        "claim": claim.id,
        "kind": claim.kind,
        "verdict": " or ".join(claim.expected),
        "moved": found.what if found else "nothing",
        "by": found.by if found else None,
        "change": found.change if found else None,
        "seconds": round(time.perf_counter() - start_s, 1),
        "digest": digest_of(claim),
    }


def try_all(
    claims: Sequence[Claim], path: str, time_s: float, say: Callable[[str], None]
) -> list[Mapping[str, Any]]:
    """The rows of these claims: those of the table at `path` whose verdict moved, and the others as they are tried.

    Args:
        claims: in the order of the rows; the table keeps rows of all other claims that there are.
        path: of the table, "-" for none.
        time_s: no claim is begun later.
        say: is told of each claim that is tried.
    """
    kept = path != "-"
    stored = {r["claim"]: r for r in read_cells(path)} if kept and Path(path).is_file() else {}
    report = CsvReport(path, COLUMNS) if kept else None
    order = [claim.id for claim in list_claims()]
    rows: dict[str, Mapping[str, Any]] = {
        name: row for name, row in stored.items() if name in order
    }
    start_s = time.perf_counter()
    for claim in claims:
        row = rows.get(claim.id)
        if row is not None and (row["moved"], row["digest"]) == ("verdict", digest_of(claim)):
            continue
        rows.pop(claim.id, None)
        if time.perf_counter() - start_s > time_s:
            continue
        row = rows[claim.id] = tried(claim)
        change = f"{row['moved']} moved by a {row['by']}: {row['change']}"
        say(f"{claim.id}: {change if row['by'] else 'did not move'}")
        if report is not None:
            report.replace(sorted(rows.values(), key=lambda one: order.index(one["claim"])))
    return [rows[claim.id] for claim in claims if claim.id in rows]


def main(arguments: Sequence[str]) -> int:
    """Try the claims of these ids, all where there are none, and print what moved them."""
    parser = argparse.ArgumentParser(prog="python -m studies.mutations")
    parser.add_argument("ids", nargs="*", metavar="CLAIM")
    parser.add_argument(
        "--csv", default="reports/claims_mutations.csv", help="the table; - for none"
    )
    parser.add_argument("--time", type=float, default=7200.0, help="begin no claim after, in s")
    options = parser.parse_args(arguments)
    claims = [claim for claim in list_claims() if not options.ids or claim.id in options.ids]
    try:
        rows = try_all(claims, options.csv, options.time, functools.partial(print, flush=True))
    except DeploykitError as error:
        print(f"deploykit: {error}", file=sys.stderr)
        return error.exit_code
    by = Counter(f"{row['moved']} by a {row['by']}" for row in rows if row["by"])
    share = sum(row["moved"] == "verdict" for row in rows)
    print(
        f"The verdicts of {share} of {len(claims)} claims moved ({100 * share / len(claims):.1f}%): "
        f"{', '.join(f'{n} {what}' for what, n in by.most_common())}."
    )
    names = {
        what: [row["claim"] for row in rows if row["moved"] == what] for what in ("part", "nothing")
    }
    left = len(claims) - len(rows)
    for title, listed in (
        ("Of these only a part moved", names["part"]),
        ("These did not move", names["nothing"]),
    ):
        if listed:
            print(f"{title}: {', '.join(listed)}.")
    if left:
        print(f"{left} are left: the same command goes on with them.")
    return int(bool(names["nothing"] or left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
