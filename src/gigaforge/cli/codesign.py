"""`gigaforge codesign`: strategies, power caps and build-out solved together."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, SetOption, catalog_from, search_limits
from gigaforge.cli.roadmaps import add_roadmaps, check_law, limits_from, print_roadmaps
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["register"]

_BUILT_IN: Final = "n2-hbm4e"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("codesign")(codesign)


def codesign(
    scenario: Annotated[Path, typer.Argument(help="Scenario file, e.g. scenarios/alliance-10gw.yaml")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the plan and its report into this folder, first without the roadmaps."),
    ] = None,
    caps: Annotated[int, typer.Option("--caps", min=1, max=32, help="Power caps per system to choose among")] = 8,
    loop: Annotated[
        bool,
        typer.Option(
            "--loop", help="Also design again at every quarter in which a platform, a run or a price is new."
        ),
    ] = False,
    gap: Annotated[str, typer.Option("--gap", help="Stop each plan this close to its bound")] = "0.5 %",
    time_limit: Annotated[
        str, typer.Option("--time-limit", help="Stop searching each plan after this, e.g. '2 min'")
    ] = "15 min",
    objective: Annotated[
        str | None, typer.Option("--objective", help="npv or cost, instead of the scenario's")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Solver threads (0: let it choose)")] = 0,
    roadmaps: Annotated[
        bool,
        typer.Option("--roadmaps/--no-roadmaps", help="Also ask for the next accelerator and model at its prices"),
    ] = True,
    technology: Annotated[
        str | None,
        typer.Option(
            "--technology",
            help=f"What the next accelerator is built in, e.g. n3-hbm4 [default: {_BUILT_IN}]",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            help="Range of the next accelerator, e.g. 'power=..1500 W', 'hbm=200 GB..600 GB'; 'domain=72' holds it there",
        ),
    ] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="Also search designs between cost and energy")] = False,
    settings: SetOption = None,
    by: Annotated[
        str | None,
        typer.Option("--law", help="Scaling law by which the next model is chosen, e.g. leverage-2025"),
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Co-optimise how workloads run, at which power, and what is built: solved together by prices.

    The plan's prices (a megawatt, a rack, a dollar, a token) go to the search over strategies and power caps; points
    that improve the plan come back, until none does. Compared with taking the fastest points first.

    Example: gigaforge codesign scenarios/single-site.yaml --out plans/co
    """
    from gigaforge.scenario import check_against, load_scenario, scenario_files, with_objective

    gap_share, time_limit_s = search_limits(gap, time_limit)
    for option, given in (("--limit", limit), ("--pareto", pareto), ("--technology", technology)):
        if given and not roadmaps:
            raise InputError(
                "asks about the next accelerator, which --no-roadmaps leaves out; drop one of them", option
            )
    if by is not None:
        check_law(by, roadmaps=roadmaps)
    built_in = technology or _BUILT_IN
    limits = limits_from(limit, built_in)
    figures = catalog_from(catalog)
    chosen = load_scenario(scenario, settings or (), figures)
    if objective is not None:
        if objective not in ("npv", "cost"):
            raise InputError(
                f"{objective!r} has no prices in dollars to co-design by; known: npv, cost", "--objective"
            )
        chosen = with_objective(chosen, objective)
    check_against(chosen, figures, str(scenario))

    from rich.console import Console

    from gigaforge.buildout.cooptimise import cooptimise
    from gigaforge.buildout.folder import check_destination, write_plan_folder
    from gigaforge.buildout.planner import Stage
    from gigaforge.buildout.provenance import input_hashes
    from gigaforge.buildout.solver import SolverOptions
    from gigaforge.cli.plan import progress
    from gigaforge.report.html import write_report

    if out is not None:
        check_destination(out)
    options = SolverOptions(gap=gap_share, time_limit_s=time_limit_s, threads=threads)

    def keep() -> None:
        if out is not None:
            plan = result.plan
            plan.summary["inputs"] = input_hashes([*scenario_files(scenario), *(catalog or [])])
            plan.summary["settings"] = settings or []
            write_plan_folder(
                plan, out, {"report.html": lambda path: write_report((plan.summary, plan.tables), path)}
            )

    with progress(Console(stderr=True)) as watch:
        result = cooptimise(chosen, figures, options=options, caps=caps, loop=loop, watch=watch)
        answer = dict(result.summary)
        if choices := result.plan.summary.get("model_choices"):
            answer["model_choices"] = choices
        keep()  # the roadmaps take minutes more, and may be stopped
        if roadmaps:
            add_roadmaps(
                result,
                answer,
                built_in=built_in,
                limits=limits,
                pareto=pareto,
                by=by,
                tell=lambda what: watch(Stage(what)),
            )
            keep()
    if as_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        _print(answer, result.plan.summary, Console(), out)


def _print(answer: dict[str, Any], summary: dict[str, Any], console: Console, folder: Path | None) -> None:
    from rich import box
    from rich.table import Table

    from gigaforge.cli.plan_summary import several
    from gigaforge.report.codesign_sections import beyond_gap
    from gigaforge.report.story import chosen_models
    from gigaforge.units import format_quantity, percent

    def usd(value: float) -> str:
        return format_quantity(value, "money")

    models, mind = chosen_models(summary)
    gain = answer["cooptimised_value"] - answer["sequential_value"]
    more = f"{100 * answer['gain']:+.1f} %" if answer["gain"] is not None else usd(gain)
    console.print()
    console.print(
        f"[bold]{usd(answer['cooptimised_value'])} together, {usd(answer['sequential_value'])} one after the other "
        f"({more})[/bold]  [dim]{summary['title']}[/dim]",
        highlight=False,
    )
    console.print(
        f"No plan with any strategy, batch, precision and cap searched is worth more than {usd(answer['bound'])}, "
        f"{100 * answer['bound_gap']:.2f} % above. One after the other, none is worth more than {usd(answer['sequential_bound'])}.",
        highlight=False,
    )
    if answer["gain"] is not None and not beyond_gap(answer):
        mind.insert(
            0,
            f"The difference is no more than twice the {percent(answer['solver_gap'], 2)} that either plan may be from its best, so it proves "
            "nothing: ask for a smaller --gap.",
        )
    for line in (*several("Models", models), *several("Mind", mind)):
        console.print(line, highlight=False)
    rounds = Table(box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("Round", "Points", "Relaxed plan", "At most", "Gap", "Come back"):
        rounds.add_column(name, justify="right")
    for number, r in enumerate(answer["rounds"], 1):
        rounds.add_row(
            str(number),
            f"{r['points']:,}",
            usd(r["value"]),
            usd(r["bound"]),
            f"{100 * r['gap']:.2f} %",
            str(r["added"]),
        )
    console.print(rounds)
    for line in answer["reasons"]:
        console.print(line, highlight=False)
    points = Table(box=box.SIMPLE_HEAD)
    points.add_column("Rack-quarters", justify="right")
    points.add_column("What runs, and how")
    for p in answer["best"]["points"][:10]:
        what = f"{p['workload']} on {p['system']} in {p['precision']}"
        points.add_row(f"{p['rack_quarters']:,.0f}", f"{what}\n[dim]{p['layout']}[/dim]")
    console.print(points)
    console.print(
        f"Searched    {answer['evaluated']:,} evaluations, {answer['candidates']:,} candidates, {answer['wall_s']:.0f} s",
        highlight=False,
    )
    print_roadmaps(answer, console)
    for line in several("Mind", summary.get("warnings") or []):
        console.print(line, highlight=False)
    if folder is not None:
        console.print(f"Report      {folder / 'report.html'}", highlight=False, soft_wrap=True)
        console.print(f"Points      {folder / 'candidates.parquet'}", highlight=False, soft_wrap=True)
