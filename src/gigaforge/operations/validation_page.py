"""The validation page: every case with its source, inputs, published and simulated outcome, as Markdown."""

from __future__ import annotations

import csv
import textwrap
from collections import Counter
from pathlib import Path
from typing import Final

from gigaforge.operations.validation import Row, validate

__all__ = ["FITTED", "ON_ROLES", "published_facts", "uses_of", "validation_page"]

FITTED: Final = (
    ("failure rates by cause", "per accelerator, `failure_modes.yaml`", "Llama 3 405B's table of 419 interruptions (it is that table)"),
    ("automatic detection, warm-up", "30 s, 30 s", "ByteRobust's 97 %"),
    ("restart when nobody is on call", "2.9 h mean", "HLAT's manual 77.83 %"),
    ("accelerators struck by one error burst", "6 on average", "Delta's 31 spares at 2.2 h recovery"),
    ("rate of degradations", "0.48 a year and accelerator", "1.7 % lost to bad workers"),
)  # fmt: skip
ON_ROLES: Final = (
    "Everything but the fitted parameters is published with the case, or an assumption that the row names. Where a cluster has a "
    'published failure rate of its own, all causes are scaled to it: that is an input. "Untouched" means that no parameter was set '
    "to the row; several of these still needed an unpublished input, marked as an assumption, and are consistency checks rather "
    "than predictions. A case that misses says why; none was left out because it misses."
)
_HEAD: Final = """# Fleet simulation against what operators published

`gigaforge simulate --validate` runs every row below; `gigaforge simulate --validate --out docs` writes this page, and the same
as `validation.html` with a figure. One shared set of failure and recovery rates serves all cases. What was fitted, and to which
case:

| parameter | value | fitted to |
|---|---|---|
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def published_facts() -> list[dict[str, str]]:
    """Every published figure that was read, with its source and its use here: outcome, input, shape or context."""
    path = Path(__file__).parent / "data" / "published.csv"
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def uses_of(facts: list[dict[str, str]]) -> str:
    """How many facts are what, in a sentence."""
    uses = Counter(fact["use"] for fact in facts)
    return (
        f"{len(facts)} figures were read. {uses['outcome']} are outcomes that a case above reproduces or misses, "
        f"{uses['input']} are inputs of the cases or of the shared rates, {uses['shape']} describe traffic that `--replay` "
        f"reads, and {uses['context']} are no case: the last column says what is missing, mostly inputs."
    )


def validation_page(rows: list[Row] | None = None) -> str:
    """Markdown with all cases and all facts.

    Parameters
    ----------
    rows : list of Row, optional
        From `validate`; default all, simulated now.

    """
    rows = validate() if rows is None else rows
    good, untouched = [r for r in rows if r.reproduced], [r for r in rows if r.case.role == "untouched"]
    lines = [
        _HEAD + "\n".join(f"| {' | '.join(row)} |" for row in FITTED),
        f"\n{textwrap.fill(ON_ROLES, 120)}\n",
        f"{len(good)} of {len(rows)} reproduced; of {len(untouched)} untouched, {sum(r.reproduced for r in untouched)}.\n",
        "| outcome | inputs | published | simulated (95 % of runs) | within | role | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        case = r.case
        span = f"{r.simulated:.4g} {case.unit} ({r.simulated_low:.3g}-{r.simulated_high:.3g})"
        name = case.name + (f". {case.note}" if case.note else "")
        cells = (name, case.inputs, case.published, span, "yes" if r.reproduced else "**no**", case.role)
        lines.append(f"| {' | '.join(map(_cell, cells))} | [link]({case.source}) |")
    lines += [
        "\n## Every published figure and its place\n",
        uses_of(published_facts()) + "\n",
        "| quantity | value | unit | use | where |",
        "|---|---|---|---|---|",
    ]
    for fact in published_facts():
        link = f"[{fact['quantity']}]({fact['source_url']})"
        entry = [link, *(fact[key] for key in ("value", "unit", "use", "where"))]
        lines.append("| " + " | ".join(map(_cell, entry)) + " |")
    return "\n".join(lines) + "\n"
