"""``gigaforge ledger fields``: what each kind of event takes."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gigaforge.cli.ledger_options import out_json
from gigaforge.cli.options import JsonOption
from gigaforge.errors import InputError

__all__ = ["RECORDED", "fields"]

RECORDED: Final = (
    "order",
    "delivery",
    "installation",
    "energisation",
    "acceptance",
    "meter",
    "decommissioning",
    "party",
)
"""Kinds that `gigaforge ledger record` writes; the others have commands of their own."""


def fields(
    kind: Annotated[str | None, typer.Argument(help="One kind of event [default: all].", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """List the fields of the kinds of events that `record` takes: which are needed, and how to write them.

    Example: gigaforge ledger fields meter
    """
    if kind is not None and kind not in RECORDED:
        raise InputError(f"{kind!r} is not a kind that `record` takes; known: {', '.join(RECORDED)}", "KIND")
    told = {name: _fields(name) for name in ([kind] if kind else RECORDED)}
    if as_json:
        out_json(told)
        return
    for name, rows in told.items():
        print(name)
        for row in rows:
            print(f"  {row['field'] + ('' if row['needed'] else ' (optional)'):26} {row['write']}")


def _fields(kind: str) -> list[dict[str, Any]]:
    from gigaforge.ledger.kinds import KINDS

    return [
        {"field": name, "needed": field.is_required(), "write": _HOW.get((kind, name)) or _HOW["", name]}
        for name, field in KINDS[kind].model_fields.items()
        if name not in ("verdict", "file_row")  # the ledger writes these itself
    ]


_HOW: Final = {
    ("", "racks"): "serials, e.g. A-1,A-2",
    ("order", "racks"): "how many, e.g. 400",
    ("", "order"): "the order's number, e.g. PO-17",
    ("", "supplier"): "a party, e.g. nvidia",
    ("", "system"): "a system of the terms, e.g. gb300-nvl72",
    ("", "site"): "a site of the terms, e.g. abilene",
    ("", "quarter"): "when it is due, e.g. 2027-Q1",
    ("", "amount_cents"): "what it costs, e.g. $1.2B",
    ("", "power_w"): "facility power that the site can draw from now on, e.g. 200 MW",
    ("acceptance", "power_w"): "mean IT power of one rack in the test, e.g. 148 kW",
    ("", "throughput"): "tokens/s per accelerator, measured, e.g. 29000",
    (
        "",
        "measurements",
    ): "JSON list of rows as `gigaforge validate` reads them, each with kind training or inference",
    ("", "since"): "first day of the reading, e.g. 2026-10-01",
    ("", "until"): "day after the last, e.g. 2026-11-01",
    ("", "energy_j"): "energy drawn, e.g. 120 GWh",
    ("", "it_energy_j"): "of it by IT, e.g. 100 GWh",
    ("", "peak_w"): "highest draw, e.g. 190 MW",
    ("", "reason"): "why",
    ("", "name"): "lower case, e.g. oracle",
    ("", "label"): "as people call it, e.g. Oracle",
    ("", "role"): "investor, operator, supplier, developer, cloud, lender or auditor",
    ("", "public_key"): "as `gigaforge ledger keys new` printed it",
}
"""How to write a field on the command line, for one kind or for all."""
