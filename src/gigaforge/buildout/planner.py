"""The main job: a scenario and the catalogue in, a checked and explained plan out."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.actuals import past_from, with_past
from gigaforge.buildout.check import check_plan
from gigaforge.buildout.conflict import explain_conflict
from gigaforge.buildout.crosscheck import cross_checks
from gigaforge.buildout.demand_basis import demand_basis
from gigaforge.buildout.explain import milestones, sentences
from gigaforge.buildout.plan import Plan, plan_from
from gigaforge.buildout.problem import Problem, premises_of, problem_from
from gigaforge.buildout.problem.points import left_out
from gigaforge.buildout.programme import Programme, build
from gigaforge.buildout.provenance import assumptions, labels, places, sources_used
from gigaforge.buildout.reasons import reasons
from gigaforge.buildout.replan import check_standing, start_from
from gigaforge.buildout.search import search
from gigaforge.buildout.shadow_prices import shadow_prices
from gigaforge.buildout.solver import Progress, Solution, SolverOptions, relax, solve
from gigaforge.catalog import Catalog, load_catalog
from gigaforge.codesign.models import Choice
from gigaforge.codesign.models.resolve import resolve_models
from gigaforge.codesign.operating_points import operating_points
from gigaforge.codesign.point import OperatingPoint
from gigaforge.errors import GigaforgeError, NoAnswerError
from gigaforge.scenario import Scenario, check_against
from gigaforge.units import format_quantity

__all__ = ["Stage", "plan", "plan_problem"]


@dataclass(frozen=True)
class Stage:
    """What the planner is doing now, for a progress line.

    Attributes
    ----------
    name : str
        In words.
    solver : Progress
        The solver's state while it searches, else None.

    """

    name: str
    solver: Progress | None = None


def plan(
    scenario: Scenario,
    catalog: Catalog | None = None,
    *,
    options: SolverOptions | None = None,
    points: Sequence[OperatingPoint] | None = None,
    actuals: pd.DataFrame | None = None,
    standing: tuple[dict[str, Any], dict[str, pd.DataFrame]] | None = None,
    watch: Callable[[Stage], None] | None = None,
) -> Plan:
    """Plan the build-out of a scenario.

    Parameters
    ----------
    scenario : Scenario
        From `gigaforge.load_scenario`.
    catalog : Catalog
        Default: the shipped one.
    options : SolverOptions
        Gap, time limit, threads.
    points : sequence of OperatingPoint
        Ways to run the workloads; default: found by the performance model.
    actuals : DataFrame
        What happened in the quarters that are over, from `gigaforge.buildout.actuals.read_actuals`: it is fixed, and the
        rest planned.
    standing : (summary, tables)
        A plan that stands; the search starts from it.
    watch : callable
        Told of each stage.

    Returns
    -------
    Plan
        Checked by an independent recomputation of every rule; its summary says why it is as it is.

    Raises
    ------
    InputError
        The scenario names what the catalogue does not have, or a workload that no system can run.
    NoAnswerError
        No plan satisfies the scenario; the reasons are an irreducible set of its statements.

    """
    tell = watch or (lambda _: None)
    catalog = catalog or load_catalog()
    options = options or SolverOptions()
    started = time.perf_counter()
    check_against(scenario, catalog, scenario.name)
    if standing is not None:
        check_standing(scenario, standing, "the standing plan")
    past, known = None, premises_of(scenario, catalog)
    if actuals is not None:
        past = past_from(actuals, known)
    scenario, catalog, choices = _with_models(scenario, catalog, tell)
    if points is None:
        tell(Stage("finding operating points"))
        points = operating_points(scenario, catalog)
    problem = problem_from(scenario, catalog, points)
    if past is not None:
        problem = with_past(problem, past, known.may_stand)
    result = plan_problem(problem, catalog, options=options, standing=standing, watch=watch, started=started)
    if choices:
        result.summary["model_choices"] = {run: choice.to_dict() for run, choice in choices.items()}
    return result


def plan_problem(
    problem: Problem,
    catalog: Catalog,
    *,
    options: SolverOptions | None = None,
    standing: tuple[dict[str, Any], dict[str, pd.DataFrame]] | None = None,
    watch: Callable[[Stage], None] | None = None,
    started: float | None = None,
    settle: Callable[[Programme], Solution] | None = None,
) -> Plan:
    """Plan what is stated as arrays; parameters and errors as `plan`.

    Parameters
    ----------
    problem : Problem
        From `gigaforge.buildout.problem.problem_from`.
    started : float
        Clock (`time.perf_counter`) at which the work began. [s]
    settle : callable
        Solves the programme instead of the search from nothing.

    """
    tell = watch or (lambda _: None)
    options = options or SolverOptions()
    started = time.perf_counter() if started is None else started
    scenario = problem.scenario
    tell(Stage("stating the programme"))
    programme = build(problem)
    tell(Stage("solving the relaxation"))
    relaxation = relax(programme.model, options)
    if not relaxation.feasible:
        raise _infeasible(problem, tell)
    tell(Stage("searching for the best plan"))

    def progress(so_far: Progress) -> None:
        tell(Stage("searching for the best plan", so_far))

    start = start_from(programme, *standing) if standing else None
    if settle is not None:
        solution = settle(programme)
    elif start is None:
        solution = search(programme.model, options, progress=progress)
    else:
        solution = solve(programme.model, options, start=start, progress=progress)
    if solution.status == "infeasible":
        raise _infeasible(problem, tell)
    tell(Stage("checking the plan"))
    result = plan_from(programme, solution)
    checks = check_plan(result.summary, result.tables)
    broken = [f"{c.rule}: {c.broken[0]}" for c in checks if not c.passed]
    if broken:
        raise GigaforgeError("the plan found breaks its own rules (please report this): " + "; ".join(broken))
    prices = shadow_prices(programme, relaxation, options)
    balance_usd = np.asarray(result.summary["cash_usd"])
    s = result.summary
    open_usd = s["bound"] - s["objective_value"] if scenario.objective in ("npv", "cost") else 0.0
    marks = milestones(problem, result.decisions, prices, balance_usd, open_usd)
    extra = {
        "shadow_prices": prices,
        "milestones": marks,
        "reasons": reasons(programme, result.decisions, relaxation),
        "explanations": sentences(problem, result.decisions, prices, marks, balance_usd, open_usd),
        "warnings": _warnings(problem, result, prices, options),
        "checks": {"passed": len(checks), "failed": []},
        "fleet_check": _fleet_check(problem, result),
        "demand_basis": demand_basis(scenario, catalog),
        "cross_checks": cross_checks(problem, result.decisions),
        "description": scenario.description.strip(),
        "finance": {
            "discount_rate": scenario.finance.discount_rate,
            "system_life_years": scenario.finance.system_life_years,
            "facility_life_years": scenario.finance.facility_life_years,
        },
        "labels": labels(scenario, catalog),
        "places": places(scenario, catalog),
        "assumptions": assumptions(scenario, catalog),
        "sources": sources_used(scenario, catalog),
        "options": {**options.__dict__, "objective": scenario.objective, "block": scenario.block},
        "versions": _versions(),
        "actual_quarters": problem.quarters_over,
        "relaxation_value": relaxation.objective,
        "plan_s": time.perf_counter() - started,
    }
    return replace(result, summary=result.summary | extra)


def _with_models(
    scenario: Scenario, catalog: Catalog, tell: Callable[[Stage], None]
) -> tuple[Scenario, Catalog, dict[str, Choice]]:
    """Answer the runs that ask which model to train."""
    if any(run.choose for run in scenario.training):
        tell(Stage("choosing models to train"))
    resolved = resolve_models(scenario, catalog)
    return resolved.scenario, resolved.catalog, resolved.choices


def _infeasible(problem: Problem, tell: Callable[[Stage], None]) -> NoAnswerError:
    tell(Stage("finding out why there is no plan"))
    reasons = explain_conflict(problem)
    return NoAnswerError("no plan satisfies this scenario; these statements cannot hold together:", reasons)


def _warnings(problem: Problem, result: Plan, prices: dict[str, Any], options: SolverOptions) -> list[str]:
    """What a reader must know before trusting the headline."""
    out = []
    gap, s = result.summary["mip_gap"], result.summary
    if gap is not None and gap > options.gap * (1 + 1e-3):
        limit = f"its time limit of {format_quantity(options.time_limit_s, 'duration')}"
        ended = limit if s["status"] == "time_limit" else "an interrupt"
        more = (
            f", up to {format_quantity(s['bound'] - s['objective_value'], 'money')},"
            if s["objective"] == "npv"
            else ""
        )
        remedy = "; a longer --time-limit closes it further" if s["status"] == "time_limit" else ""
        out.append(
            f"The search ended at {ended}, before the gap of {100 * options.gap:g} % that was asked for: a plan may exist that "
            f"is {100 * gap:.1f} %{more} better{remedy}."
        )
    if not result.decisions.added.any():
        scarce = max(prices["cash"], default=0.0) > 0.01
        most = max(result.summary["cash_usd"], default=0.0)
        why = "nothing earns back its cost at these prices"
        if scarce:
            why = (
                "there is no cash"
                if most < 1
                else f"{format_quantity(most, 'money')} of cash does not reach for more"
            )
        out.append(f"Nothing is built: {why}.")
    out += _falling(problem)
    out += left_out(problem.unable)
    salvage = result.summary["salvage_usd"] * problem.discount_end
    if result.summary["npv_usd"] > 0 and salvage > 0.25 * result.summary["npv_usd"]:
        out.append(
            f"{format_quantity(salvage, 'money')} of the net present value is the book value of systems and buildings at "
            "the end of the horizon, discounted."
        )
    return out


def _falling(p: Problem) -> list[str]:
    """Sites whose power falls in quarters to come: each step is all that is energised from then on, not what is added."""
    over = p.quarters_over
    out = []
    for s, watts in enumerate(p.energised_w):
        falls = np.flatnonzero(np.diff(watts) < -1.0) + 1
        told = [
            f"from {format_quantity(watts[t - 1], 'power')} to {format_quantity(watts[t], 'power')} in {p.quarters[t]}"
            for t in falls[falls > over]
        ]
        if told:
            out.append(
                f"Power at {p.sites[s]} falls {', '.join(told)}, and what stands there must fit in. If that is not meant, raise the "
                f"later steps of sites.{p.sites[s]}.power too: each holds all that is energised from its quarter on."
            )
    return out


def _fleet_check(problem: Problem, result: Plan) -> dict[str, float | str]:
    """What the plan counts on from its fleet once things break; `gigaforge simulate` operates it in full."""
    p, d = problem, result.decisions
    online = d.online.sum(axis=(0, 2))
    given = p.scenario.operations.availability is not None or p.scenario.operations.training_goodput is not None
    check: dict[str, float | str] = {
        "basis": "as the scenario states" if given else "published failure and repair rates, in closed form",
    }
    if online.any():
        check["availability"] = float((p.availability * online).sum() / online.sum())
    for r, run in enumerate(p.runs):
        racks = d.training_racks.sum(axis=(1, 2)) * (p.train_run == r)
        if racks.any():
            j = int(np.argmax(racks))
            check[f"goodput of {run}"] = (
                f"{100 * p.train_goodput[j]:.1f} % in gangs of {p.training_points[j].racks_per_unit} racks"
            )
    return check


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("gigaforge", "highspy", "linopy", "numpy")}
