"""`gigaforge diff`: two plans, or a plan and what happened, side by side."""

from __future__ import annotations

import json
import sys
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
        result = diff_plans(first, read_plan_folder(other), (str(plan), str(other)))
    else:
        assert actuals is not None
        result = diff_actuals(first, actuals_from(actuals), (str(plan), "what happened"))
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict()) + "\n")
    else:
        print_diff(result, Console())


def print_diff(result: PlanDiff, console: Console) -> None:
    """Sentences first, then deployed power by quarter where it differs."""
    from rich.table import Table

    for sentence in result.sentences:
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)
    changed = result.power[result.power["change_w"].abs() > 1e5]
    if changed.empty:
        return
    table = Table(box=None, header_style="dim", padding=(0, 2), title="deployed power [GW]", title_justify="left")
    for name in ("quarter", *result.names, "change"):
        table.add_column(name, justify="left" if name == "quarter" else "right")
    row: Any
    for row in changed.itertuples():
        table.add_row(
            row.quarter, f"{row.first_w / 1e9:.2f}", f"{row.second_w / 1e9:.2f}", f"{row.change_w / 1e9:+.2f}"
        )
    console.print(table)
