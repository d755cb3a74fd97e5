"""`gigaforge compare`: scenarios or plans side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, SetOption, catalog_from, search_limits
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gigaforge.buildout.compare import Comparison
    from gigaforge.catalog import Catalog
    from gigaforge.codesign.point import OperatingPoint
    from gigaforge.scenario import Scenario

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    what: Annotated[
        list[Path], typer.Argument(help="Two or more scenario files or plan folders; the first is the yardstick")
    ],
    settings: SetOption = None,
    gap: Annotated[str, typer.Option("--gap", help="Stop this close to the bound, e.g. '0.5 %'")] = "0.5 %",
    time_limit: Annotated[
        str, typer.Option("--time-limit", help="Stop searching after this, e.g. '2 min', for each scenario")
    ] = "5 min",
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep each plan as a folder in this folder", show_default=False)
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plan several scenarios, or read plans, and lay them side by side in figures and words.

    One scenario with --set is compared with itself as it stands.

    Example: gigaforge compare scenarios/alliance-10gw.yaml scenarios/terms/*.yaml
    """
    options = dict(zip(("gap", "time_limit_s"), search_limits(gap, time_limit), strict=True))
    if len(what) < 2 and not settings:
        raise InputError("one plan alone cannot be compared; name another, or change it with --set", str(what[0]))
    figures = catalog_from(catalog)
    from gigaforge.buildout.compare import compare as lay_side_by_side

    summaries = _summaries(what, settings or [], figures, options, out)
    names = [str(s["name"]) for s in summaries]
    if len(names) == len(what):  # plans of one scenario changed are told apart by their folders
        names = [p.resolve().name if p.is_dir() else n for p, n in zip(what, names, strict=True)]
    result = lay_side_by_side(summaries, names)
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict()) + "\n")
    else:
        _show(result)


def _summaries(
    what: list[Path], settings: list[str], figures: Catalog, options: dict[str, float], out: Path | None
) -> list[dict[str, Any]]:
    """A summary of each plan; scenarios are read and checked before the first is planned."""
    from gigaforge.buildout.folder import read_plan_folder
    from gigaforge.scenario import check_against, load_scenario

    asked: list[Scenario | dict[str, Any]] = []
    for path in what:
        if path.is_dir():
            if settings:
                raise InputError("--set changes scenarios; a plan folder stands as it is", str(path))
            asked.append(read_plan_folder(path)[0])
            continue
        variants: list[Sequence[str]] = [(), settings] if len(what) == 1 and settings else [settings]
        for variant in variants:
            scenario = load_scenario(path, variant, figures)
            if variant and len(what) == 1:
                scenario = scenario.model_copy(
                    update={
                        "name": f"{scenario.name}-what-if",
                        "title": f"{scenario.title}, what if {', '.join(variant)}",
                    }
                )
            check_against(scenario, figures, str(path))
            asked.append(scenario)
    points: dict[str, Sequence[OperatingPoint]] = {}
    return [a if isinstance(a, dict) else _planned(a, figures, options, out, points) for a in asked]


def _planned(
    scenario: Scenario,
    figures: Catalog,
    options: dict[str, float],
    out: Path | None,
    known: dict[str, Sequence[OperatingPoint]],
) -> dict[str, Any]:
    """Plan one scenario; those that ask for the same work of the same systems share their operating points."""
    from rich.console import Console

    from gigaforge.buildout.folder import write_plan_folder
    from gigaforge.buildout.planner import plan
    from gigaforge.buildout.solver import SolverOptions
    from gigaforge.codesign.operating_points import operating_points
    from gigaforge.report.html import write_report

    Console(stderr=True).print(f"planning {scenario.name}", highlight=False)
    asks = {"horizon", "platforms", "training", "serving"}
    key = scenario.model_dump_json(include=asks)
    if key not in known:
        known[key] = operating_points(scenario, figures)
    result = plan(
        scenario,
        figures,
        options=SolverOptions(gap=options["gap"], time_limit_s=options["time_limit_s"]),
        points=known[key],
    )
    if out is not None:
        made = (result.summary, result.tables)
        write_plan_folder(result, out / scenario.name, {"report.html": lambda path: write_report(made, path)})
    return result.summary


def _show(result: Comparison) -> None:
    import textwrap

    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("", min_width=24)
    room = max((console.width - 44) // len(result.names) - 2, 10)  # beside the names of the measures
    for name in result.names:
        table.add_column(escape("\n".join(textwrap.wrap(name, room))), justify="right", overflow="fold")
    for row in result.rows:
        table.add_row(row.name, *row.texts())
    console.print(table)
    for sentence in result.sentences:
        console.print(escape(sentence), highlight=False)
