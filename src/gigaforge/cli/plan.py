"""`gigaforge plan`: the main job."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, SetOption, actuals_from, catalog_from, search_limits
from gigaforge.errors import InputError
from gigaforge.units import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gigaforge.buildout.planner import Stage

__all__ = ["progress", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    scenario: Annotated[Path, typer.Argument(help="Scenario file, e.g. scenarios/alliance-10gw.yaml")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Plan folder to write [default: plans/NAME]", show_default=False)
    ] = None,
    gap: Annotated[str, typer.Option("--gap", help="Stop this close to the bound, e.g. '0.5 %'")] = "0.5 %",
    time_limit: Annotated[
        str, typer.Option("--time-limit", help="Stop searching after this, e.g. '2 min'")
    ] = "5 min",
    objective: Annotated[
        str | None, typer.Option("--objective", help="npv, tokens, cost or earliest, instead of the scenario's")
    ] = None,
    operate: Annotated[
        bool, typer.Option("--operate", help="Simulate the planned fleet and plan again until both agree.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Solver threads (0: let it choose)")] = 0,
    settings: SetOption = None,
    actuals: Annotated[
        str | None,
        typer.Option(
            "--actuals",
            help="What happened in quarters that are over: a CSV or Parquet file or folder, or ledger:FILE",
        ),
    ] = None,
    standing: Annotated[
        Path | None, typer.Option("--standing", help="Plan folder that stands: the search starts from it")
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plan a build-out: what to install where and when, with whose money.

    Writes a plan folder (plan.json, Parquet tables, report.html) and prints a summary. Ctrl-C during the search keeps
    the best plan so far.

    With --actuals, what happened is fixed and the rest planned; --standing starts from the plan that stands and ends
    with what changes.

    Example: gigaforge plan scenarios/single-site.yaml --out plans/one --gap "1 %"
    """
    from gigaforge.scenario import check_against, load_scenario, scenario_files, with_objective

    gap_share, time_limit_s = search_limits(gap, time_limit)
    figures = catalog_from(catalog)
    chosen = load_scenario(scenario, settings or (), figures)
    if objective is not None:
        chosen = with_objective(chosen, objective)
    check_against(chosen, figures, str(scenario))
    target = out or Path("plans") / chosen.name
    happened = None if actuals is None else actuals_from(actuals)
    if happened is not None:
        from gigaforge.buildout.actuals import past_from
        from gigaforge.buildout.problem import premises_of

        past_from(happened, premises_of(chosen, figures, str(scenario)))

    # What is wrong with the input has been said by now; the solver and its libraries take a second to load.
    from rich.console import Console

    from gigaforge.buildout.folder import check_destination, read_plan_folder, write_plan_folder
    from gigaforge.buildout.planner import Stage
    from gigaforge.buildout.planner import plan as make_plan
    from gigaforge.buildout.provenance import input_hashes
    from gigaforge.buildout.replan import check_standing
    from gigaforge.buildout.solver import SolverOptions
    from gigaforge.cli.plan_summary import print_summary
    from gigaforge.report.html import write_report

    check_destination(target)
    before = None if standing is None else read_plan_folder(standing)
    if before is not None:
        check_standing(chosen, before, str(standing))
    if operate and (actuals or standing):
        raise InputError("cannot be combined with --actuals or --standing", "--operate")
    options = SolverOptions(gap=gap_share, time_limit_s=time_limit_s, threads=threads)
    with progress(Console(stderr=True)) as watch:
        if operate:
            from gigaforge.buildout.operated import plan_and_operate

            result = plan_and_operate(chosen, figures, options=options, watch=watch)
        else:
            result = make_plan(chosen, figures, options=options, actuals=happened, standing=before, watch=watch)
        result.summary["inputs"] = input_hashes([*scenario_files(scenario), *(catalog or [])])
        result.summary["settings"] = settings or []
        watch(Stage("writing the report"))
        write_plan_folder(
            result, target, {"report.html": lambda path: write_report((result.summary, result.tables), path)}
        )
    if as_json:
        sys.stdout.write(json.dumps(result.summary) + "\n")
        return
    print_summary(result.summary, result.tables, Console(), folder=target)
    if before is not None:
        from gigaforge.buildout.diff import diff_plans
        from gigaforge.cli.diff import print_diff

        print_diff(diff_plans(before, (result.summary, result.tables), ("the standing plan", "this plan")), Console())


@contextmanager
def progress(console: object) -> Iterator[Callable[[Stage], None]]:
    """A line on stderr that says what is being done; plain lines where stderr is no terminal."""
    from rich.console import Console

    assert isinstance(console, Console)
    last = [""]

    def words(stage: Stage) -> str:
        text = stage.name
        if stage.solver and abs(stage.solver.best) < 1e29:
            text += f": best {stage.solver.best:,.2f}, bound {stage.solver.bound:,.2f}, gap {percent(stage.solver.gap, 2)}"
        return text + (f" ({stage.solver.seconds:.0f} s)" if stage.solver else "")

    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda stage: status.update(words(stage))
        return

    def line(stage: Stage) -> None:
        if stage.name != last[0]:
            console.print(stage.name, highlight=False)
            last[0] = stage.name

    yield line
