"""Co-design: operating points and build-out found together, and what that gains over one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gigaforge.buildout.best_plan import plan_over_all
from gigaforge.buildout.candidate_table import candidate_table
from gigaforge.buildout.chased import DOLLAR, JOULE, RACK, by_quarter, chased, chosen_points
from gigaforge.buildout.coordinate import Coordination, Round, coordinate
from gigaforge.buildout.gain import counted_as_held, gain_parts, other_ways
from gigaforge.buildout.marginals import marginals
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import Stage, plan_problem
from gigaforge.buildout.pricing import Index, restrict
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD
from gigaforge.buildout.redesign import redesign
from gigaforge.buildout.slopes import Slopes
from gigaforge.buildout.solver import SolverOptions
from gigaforge.catalog import Catalog, load_catalog
from gigaforge.codesign.candidates import Candidates, find_candidates
from gigaforge.codesign.frontiers import platform_frontiers
from gigaforge.codesign.models.resolve import resolve_models
from gigaforge.errors import InputError
from gigaforge.executor import open_executor
from gigaforge.scenario import Scenario, check_against
from gigaforge.units import format_quantity, percent

__all__ = ["MOST_CAPS", "CoDesign", "cooptimise"]


MOST_CAPS = 32
_TIME_LIMIT_S = 900.0
"""Of each plan: programmes with all candidates take minutes where other work shares the cores."""


@dataclass(frozen=True)
class CoDesign:
    """The co-optimised plan, and how it was found.

    Attributes
    ----------
    summary : dict
        What `gigaforge codesign --json` prints.
    plan : Plan
        Co-optimised; its summary carries the same under ``"codesign"``, and its table ``"candidates"`` all operating points
        (`gigaforge.buildout.candidate_table.candidate_table`).
    sequential : Plan
        Fastest points first, then the plan.
    problem : Problem
        With all candidates.
    candidates : Candidates
        What the search found.
    coordination : Coordination
        The exchange of prices and points.
    slopes : Slopes
        The relaxed plan at the end of it, in the solver: what small changes add is asked of it.
    catalog : Catalog
        With the models that the scenario asked for.

    """

    summary: dict[str, Any]
    plan: Plan
    sequential: Plan
    problem: Problem
    candidates: Candidates
    coordination: Coordination
    slopes: Slopes
    catalog: Catalog


def cooptimise(
    scenario: Scenario,
    catalog: Catalog | None = None,
    *,
    options: SolverOptions | None = None,
    caps: int = 8,
    tolerance: float = 1e-3,
    loop: bool = False,
    workers: int | None = None,
    watch: Callable[[Stage], None] | None = None,
) -> CoDesign:
    """Find operating points and build-out together.

    Parameters
    ----------
    scenario : Scenario
        From `gigaforge.load_scenario`.
    catalog : Catalog
        Default: the shipped one.
    options : SolverOptions
        Gap and time limit of each of the two plans; default 0.5 % and 15 minutes.
    caps : int
        Power caps per system that the search may set.
    tolerance : float
        Gap between the relaxed plan and the bound over all candidates at which the exchange of prices ends [fraction].
    loop : bool
        Also design again at every quarter in which the roadmap moves (`gigaforge.buildout.redesign`).
    workers : int
        Processes that search operating points; default one for each core. They need no ``if __name__ == "__main__"``.
    watch : callable
        Told of each stage.

    Raises
    ------
    InputError
        No caps or too many; the scenario names what the catalogue does not have; nothing to run; a workload that no system can run.
    NoAnswerError
        No plan satisfies the scenario.

    """
    if not 1 <= caps <= MOST_CAPS:
        raise InputError(f"{caps}; 1 to {MOST_CAPS} power caps per system can be chosen among", "caps")
    tell = watch or (lambda _: None)
    catalog = catalog or load_catalog()
    options = options or SolverOptions(time_limit_s=_TIME_LIMIT_S)
    started = time.perf_counter()
    check_against(scenario, catalog, scenario.name)
    resolved = resolve_models(scenario, catalog)
    scenario, catalog = resolved.scenario, resolved.catalog
    if not scenario.serving and not scenario.training:
        raise InputError("has neither serving nor training: there is nothing to co-design", scenario.name)
    if scenario.objective not in ("npv", "cost"):
        raise InputError(
            f"objective {scenario.objective!r} has no prices in dollars; take npv or cost with --objective",
            scenario.name,
        )
    tell(Stage("searching strategies and power caps"))
    with open_executor(workers) as executor:
        candidates = find_candidates(
            scenario, catalog, caps=caps, executor=executor, tell=lambda n: tell(Stage(f"searching strategies and power caps: {n}"))
        )  # fmt: skip
    problem = problem_from(scenario, catalog, candidates.points)
    points, jobs = _fastest(problem, candidates)
    exchange = coordinate(
        problem, points, jobs, tolerance=tolerance, options=options, watch=lambda r: tell(Stage(_words(r)))
    )
    tell(Stage("planning the sequential way"))
    sequential = plan_problem(restrict(problem, points, jobs, alone=True), catalog, options=options, watch=watch)
    tell(Stage("planning with all candidates"))
    plan = plan_over_all(problem, catalog, options=options, watch=watch)
    work = plan.tables["allocation"].groupby("point")["racks"].sum()
    plan.tables["candidates"] = candidate_table(problem, catalog, {str(k): float(v) for k, v in work.items()})
    tell(Stage("asking what would change the plan"))
    summary = _summary(candidates, exchange, sequential, plan)
    found, slopes = marginals(exchange.problem, options)
    summary["sensitivity"] = found.to_dict()
    summary["chased_by_site"] = chased(exchange.problem, exchange.relaxation, problem)
    summary["chased"] = by_quarter(summary["chased_by_site"])
    tell(Stage("asking where the gain comes from"))
    summary["gain_parts"] = gain_parts(plan, sequential)
    summary["other_ways"] = other_ways(problem, exchange, options)
    summary["counted"] = counted_as_held(exchange, options)
    summary["chosen"] = chosen_points(plan, _limits(candidates))
    summary["reasons"] = _reasons(plan, sequential, summary)
    if loop:
        events = redesign(
            problem,
            points,
            jobs,
            options=options,
            tolerance=tolerance,
            watch=lambda what: tell(Stage(f"design again, {what}")),
        )
        summary["events"] = [asdict(e) for e in events]
    summary["frontiers"] = platform_frontiers(catalog, caps=caps)
    summary["wall_s"] = time.perf_counter() - started
    plan.summary["codesign"] = summary
    if resolved.choices:
        plan.summary["model_choices"] = {run: choice.to_dict() for run, choice in resolved.choices.items()}
    return CoDesign(summary, plan, sequential, problem, candidates, exchange, slopes, catalog)


def _fastest(problem: Problem, candidates: Candidates) -> tuple[Index, Index]:
    """Where the sequential way's points stand among all."""
    names = {p.id for p in candidates.fastest}
    return (
        np.array([i for i, p in enumerate(problem.points) if p.id in names], dtype=int),
        np.array([j for j, p in enumerate(problem.training_points) if p.id in names], dtype=int),
    )


def _words(r: Round) -> str:
    return (
        f"prices and points: {r.points} points, relaxed plan ${r.value:,.2f}B, at most ${r.bound:,.2f}B (gap {percent(r.gap, 2)}), "
        f"{r.added} points come back"
    )


def _summary(candidates: Candidates, exchange: Coordination, sequential: Plan, plan: Plan) -> dict[str, Any]:
    """What the verb prints, in dollars."""
    ours, theirs = plan.summary["objective_value"], sequential.summary["objective_value"]
    gap = max(plan.summary["mip_gap"], sequential.summary["mip_gap"])
    bound = min(plan.summary["bound"], exchange.bound * USD)
    return {
        "evaluated": candidates.evaluated,
        "candidates": len(candidates.points),
        "search_s": candidates.wall_s,
        "sequential_value": theirs,
        "sequential_bound": sequential.summary["bound"],
        "cooptimised_value": ours,
        "bound": bound,
        "relaxed_bound": exchange.bound * USD,
        "gain": (ours - theirs) / abs(theirs) if theirs else None,
        "solver_gap": gap,
        "price_gap": exchange.rounds[-1].gap,
        "bound_gap": (bound - ours) / max(abs(ours), 1e-9),
        "rounds": [
            {
                "points": r.points,
                "added": r.added,
                "value": r.value * USD,
                "bound": r.bound * USD,
                "gap": r.gap,
                "wall_s": r.seconds,
            }
            for r in exchange.rounds
        ],
        "best": {
            "npv_usd": plan.summary["npv_usd"],
            "mip_gap": plan.summary["mip_gap"],
            "points": _points_used(plan),
        },
    }


def _limits(candidates: Candidates) -> dict[str, float]:
    """Each system's own limit per accelerator [W]."""
    out: dict[str, float] = {}
    for p in candidates.points:
        out[p.system] = max(out.get(p.system, 0.0), p.cap_w)
    return out


_PARTS = {
    "work": "more or cheaper work (net present value)",
    "late": "milestones missed by less",
    "unserved": "fewer tokens unserved",
    "tranches": "tranches held earlier",
}


def _reasons(plan: Plan, sequential: Plan, summary: dict[str, Any]) -> list[str]:
    """Where the difference comes from, in sentences."""
    ours, theirs = plan.summary, sequential.summary
    out = _causes(summary)
    racks, before = (float(p.decisions.online.sum(axis=(0, 1)).max()) for p in (plan, sequential))
    held, full = (
        float((p.decisions.held_w(p.problem)).sum() / max(p.decisions.online.sum(), 1.0)) for p in (plan, sequential)
    )
    out.append(
        f"A rack holds {held / 1e3:,.0f} kW of IT power on average, where it would hold {full / 1e3:,.0f} kW run as fast as it can; "
        f"at most {racks:,.0f} racks stand, against {before:,.0f}."
    )
    tokens, old = sum(ours["tokens_served"]), sum(theirs["tokens_served"])
    if old:
        out.append(
            f"{round(100 * (tokens / old - 1), 1) + 0.0:+.1f} % tokens are served, for {format_quantity(ours['capex_usd'], 'money')} of capital "
            f"against {format_quantity(theirs['capex_usd'], 'money')} and running costs of "
            f"{format_quantity(ours['opex_usd'], 'money')} against {format_quantity(theirs['opex_usd'], 'money')}."
        )
    if summary["chased"]:
        worth = sum(r["usd"] for r in summary["chased"])
        power = sum(r["usd"] * (r["power"] + r["energy"]) for r in summary["chased"]) / worth
        counts = {what: sum(r["chases"] == what for r in summary["chased"]) for what in (JOULE, DOLLAR, RACK)}
        out.append(
            f"At the plan's prices {100 * power:.0f} % of the work's worth pays for power and energy. Of {len(summary['chased'])} "
            f"quarters {counts[JOULE]} chase tokens per joule (power is dearer against racks than on the bill), {counts[RACK]} tokens "
            f"per rack (racks are), {counts[DOLLAR]} tokens per dollar."
        )
    return out


def _causes(summary: dict[str, Any]) -> list[str]:
    """The gain by what it consists of, what of it is how deployed power is counted, and the gain over other ways."""
    out = []
    parts = {n: usd for n, usd in summary["gain_parts"].items() if abs(usd) > 5e5}
    if set(parts) - {"work"}:
        words = ", ".join(f"{_PARTS[n]} {format_quantity(usd, 'money')}" for n, usd in parts.items())
        out.append(f"The difference by what it counts: {words}.")
    counted = summary["counted"]
    if counted and abs(counted["as_nameplate"] - counted["as_held"]) > 0.01 * abs(counted["as_nameplate"]):
        out.append(
            "Deployed power is the nameplate accepted, whatever cap is set later, so milestones and tranches come sooner with capped "
            f"racks. If every system counted only the share of its nameplate that its racks hold on average, the relaxed plan would still gain "
            f"at least {format_quantity(counted['as_held'], 'money')} of the {format_quantity(counted['as_nameplate'], 'money')}."
        )
    cheaper = next((w for w in summary["other_ways"] if w["first"] == "most tokens per dollar"), None)
    if cheaper and cheaper["gain"] is not None:
        out.append(
            f"Over points chosen beforehand for most tokens per dollar on the bill, prices gain {format_quantity(cheaper['gain'], 'money')} "
            f"(relaxed plans); over the fastest, {format_quantity(summary['other_ways'][0]['gain'], 'money')}."
        )
    return out


def _points_used(plan: Plan) -> list[dict[str, Any]]:
    """The points that the plan runs, most rack-quarters first."""
    work = plan.tables["allocation"].groupby("point")["racks"].sum().sort_values(ascending=False)
    known = {p.id: p for p in (*plan.problem.points, *plan.problem.training_points)}
    return [
        {
            "point": p.id,
            "workload": p.workload,
            "system": p.system,
            "layout": p.layout,
            "precision": p.precision,
            "cap_w": p.cap_w,
            "rack_quarters": float(racks),
        }
        for name, racks in work.items()
        if (p := known[str(name)])
    ]
