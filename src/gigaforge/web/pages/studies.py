"""Long questions that the page asks, each a job in a process of its own: what if, what may go wrong, plan anew from the record, operate the
fleet.

A job gets and returns plain values, so that it reads the same in another process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigaforge.errors import InputError
from gigaforge.units import percent

if TYPE_CHECKING:
    from gigaforge.buildout.plan import Plan
    from gigaforge.buildout.planner import Stage
    from gigaforge.scenario import Scenario
    from gigaforge.web.jobs import Report

__all__ = ["check", "operate", "replan", "risk", "what_if"]

_GAP = 0.01
_TIME_LIMIT_S = 240.0
_MOST_SETTINGS = 100


def check(request: dict[str, Any]) -> None:
    """Refuse a request whose scenario cannot be read, before it waits for its turn; `InputError` says why."""
    from gigaforge.scenario import check_against  # noqa: PLC0415

    if len(request["settings"]) > _MOST_SETTINGS:
        raise InputError(f"{len(request['settings'])} changes; at most {_MOST_SETTINGS} at once")
    for line in request["settings"]:
        if line.partition("=")[0].split(".")[0].strip() == "base":
            raise InputError(f"{line!r}: the scenario that this one is laid over cannot be changed here")
    scenario, catalog = _scenario(request)
    check_against(scenario, catalog, request["scenario"])


def what_if(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Plan the scenario with some figures changed, and say what changes against the plan shown.

    Parameters
    ----------
    request : dict
        ``scenario`` (path), ``settings`` (list of ``path=value``), ``objective`` (or ""), ``plan`` (folder shown, or ""),
        ``catalog`` (list of paths).
    report : callable
        Told of each stage.

    """
    scenario, catalog = _scenario(request)
    result = _plan(scenario, catalog, report)
    return _told(result, request, "what if")


def replan(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Plan the rest after what the ledger says has happened; ``request`` as for `what_if`, with ``ledger``."""
    from gigaforge.buildout.actuals import read_actuals  # noqa: PLC0415
    from gigaforge.buildout.folder import read_plan_folder  # noqa: PLC0415
    from gigaforge.ledger.actuals import actuals  # noqa: PLC0415

    report({"stage": "reading the ledger"})
    past = read_actuals(actuals(request["ledger"], request["until"]))
    scenario, catalog = _scenario(request)
    standing = read_plan_folder(request["plan"]) if request["plan"] else None
    result = _plan(scenario, catalog, report, actuals=past, standing=standing)
    return _told(result, request, "the new plan")


def risk(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Live the scenario through ``samples`` futures; ``request`` otherwise as for `what_if`."""
    from gigaforge.web.work import study_risk  # noqa: PLC0415

    scenario, catalog = _scenario(request)
    result = study_risk(scenario, catalog, request["samples"], report)
    return {"summary": dict(result.summary), "samples": result.samples.to_dict("list")}


def operate(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Simulate the planned fleet: ``plan`` (folder), ``years`` (or None for all), ``first`` (quarter or ""), ``seed``."""
    from gigaforge.operations import run as runs  # noqa: PLC0415
    from gigaforge.report.operations_figures import simulation_figures  # noqa: PLC0415
    from gigaforge.web.pages.pictures import draw_chart  # noqa: PLC0415

    fleet = runs.load_fleet(request["plan"], years=request["years"], first=request["first"])

    def told(done: int, _: object) -> None:
        report({"stage": f"quarter {done} of {fleet.windows}", "share": done / fleet.windows})

    result = runs.simulate(fleet, request["seed"], progress=told)
    report({"stage": "drawing"})
    charts = [draw_chart(figure.chart) for figure in simulation_figures(result).values()]
    return {"summary": result.summary(), "charts": charts}


def _scenario(request: dict[str, Any]) -> tuple[Scenario, Any]:
    from gigaforge.catalog import load_catalog  # noqa: PLC0415
    from gigaforge.scenario import load_scenario, with_objective  # noqa: PLC0415

    catalog = load_catalog(*(Path(c) for c in request["catalog"]))
    scenario = load_scenario(Path(request["scenario"]), settings=request["settings"], catalog=catalog, asked="change")
    return (with_objective(scenario, request["objective"]) if request["objective"] else scenario), catalog


def _plan(scenario: Scenario, catalog: Any, report: Report, **more: Any) -> Plan:
    from gigaforge.buildout.planner import plan  # noqa: PLC0415
    from gigaforge.buildout.solver import SolverOptions  # noqa: PLC0415

    def watch(stage: Stage) -> None:
        step: dict[str, Any] = {"stage": stage.name}
        if stage.solver and abs(stage.solver.best) < 1e29:
            step["stage"] += f": gap {percent(stage.solver.gap, 2)} after {stage.solver.seconds:.0f} s"
        report(step)

    options = SolverOptions(gap=_GAP, time_limit_s=_TIME_LIMIT_S, threads=1)
    return plan(scenario, catalog, options=options, watch=watch, **more)


def _told(result: Plan, request: dict[str, Any], name: str) -> dict[str, Any]:
    """What the page shows of a plan, beside the one it knows."""
    from gigaforge.buildout.diff import diff_plans  # noqa: PLC0415
    from gigaforge.buildout.folder import read_plan_folder  # noqa: PLC0415
    from gigaforge.report.story import headline, headlines  # noqa: PLC0415
    from gigaforge.report.view import PlanView  # noqa: PLC0415

    view = PlanView(result.summary, result.tables)
    out: dict[str, Any] = {
        "headline": headline(view),
        "tiles": [[t.name, t.value, t.note] for t in headlines(view)],
        "deployed_w": dict(zip(view.quarters, map(float, view.series("deployed_w")), strict=True)),
        "commitment_w": float(view.commitment_w),
        "settings": request["settings"],
        "warnings": list(result.summary.get("warnings") or []),
    }
    if request["plan"]:
        diff = diff_plans(read_plan_folder(request["plan"]), (result.summary, result.tables), ("the plan", name))
        out["sentences"] = list(diff.sentences)
        out["headlines"] = diff.headlines.to_dict("records")
    return out
