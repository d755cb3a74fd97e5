"""`gigaforge diff`: two plans, or a plan and what happened, side by side."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import JsonOption, actuals_from
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from gigaforge.buildout.diff import PlanDiff

__all__ = ["print_diff", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff")(diff)


def diff(
    plan: Annotated[Path, typer.Argument(help="Plan folder")],
    other: Annotated[Path | None, typer.Argument(help="Another plan folder")] = None,
    actuals: Annotated[
        str | None, typer.Option("--actuals", help="Or what happened: a CSV or Parquet file or folder")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What differs between two plans, or between a plan and what happened, in words and figures.

    Example: gigaforge diff plans/alliance-10gw plans/replanned
    """
    from rich.console import Console

    from gigaforge.buildout.diff import diff_actuals, diff_plans
    from gigaforge.buildout.folder import read_plan_folder

    if (other is None) == (actuals is None):
        raise InputError("give a second plan folder or --actuals, one of the two", "diff")
    first = read_plan_folder(plan)
    if other is not None:
        result = diff_plans(first, read_plan_folder(other), _called(plan, other))
    else:
        assert actuals is not None
        result = diff_actuals(first, actuals_from(actuals), (plan.resolve().name, "what happened"))
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict()) + "\n")
    else:
        print_diff(result, Console())


def print_diff(result: PlanDiff, console: Console) -> None:
    """Sentences first, then deployed power by quarter where it differs; good at 80 columns and wider."""
    from rich.markup import escape
    from rich.table import Table

    from gigaforge.units import power_unit

    told = Table.grid(padding=(0, 1))
    told.add_column(no_wrap=True)
    told.add_column(overflow="fold")
    for sentence in result.sentences:
        told.add_row("-", escape(sentence))
    console.print(told, highlight=False)
    changed = result.power[result.power["change_w"].abs() > 1e5]
    if changed.empty:
        return
    unit = power_unit(float(changed[["first_w", "second_w"]].to_numpy().max()))
    if changed["change_w"].abs().max() < 100 * unit.watts / 10**unit.digits:  # as many digits as the sentences have
        unit = replace(unit, digits=unit.digits + 1)
    title = f"deployed power [{unit.name}]"
    table = Table(box=None, header_style="dim", padding=(0, 2), title=title, title_justify="left")
    for name in ("quarter", *result.names, "change"):
        fixed = name in ("quarter", "change")
        table.add_column(
            escape(name), justify="left" if name == "quarter" else "right", no_wrap=fixed, overflow="fold"
        )
    row: Any
    for row in changed.itertuples():
        table.add_row(
            row.quarter, unit.text(row.first_w), unit.text(row.second_w), unit.text(row.change_w, signed=True)
        )
    console.print(table)


def _called(first: Path, second: Path) -> tuple[str, str]:
    """What to call two folders: their own names, or as they were given where those are the same."""
    names = first.resolve().name, second.resolve().name
    return names if names[0] != names[1] else (str(first), str(second))
