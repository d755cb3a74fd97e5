"""The best plan of whole racks over all candidates, with a bound that no plan with any of them exceeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gigaforge.buildout.envelope import envelope
from gigaforge.buildout.plan import Plan, decisions_from
from gigaforge.buildout.planner import Stage, plan_problem
from gigaforge.buildout.pricing import restrict
from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme import Programme, build
from gigaforge.buildout.search import search
from gigaforge.buildout.search.completed import completed, whole_numbers
from gigaforge.buildout.solver import Progress, Solution, SolverOptions, relative_gap
from gigaforge.catalog import Catalog

__all__ = ["plan_over_all"]


def plan_over_all(
    problem: Problem,
    catalog: Catalog,
    *,
    options: SolverOptions | None = None,
    watch: Callable[[Stage], None] | None = None,
) -> Plan:
    """Plan with every candidate; parameters and errors as `gigaforge.buildout.planner.plan_problem`.

    The search plans with the candidates' envelope. The plan is then stated with the candidates themselves, those at work in it,
    its racks, runs and tranches kept.

    Returns
    -------
    Plan
        Its ``bound`` and ``mip_gap`` hold for plans with any candidates.

    """
    tell, options = watch or (lambda _: None), options or SolverOptions()
    tell(Stage("stating the programme"))
    merged = envelope(problem)
    programme = build(merged.problem)

    def progress(so_far: Progress) -> None:
        tell(Stage("searching for the best plan", so_far))

    found = search(programme.model, options, progress=progress)
    if found.status == "infeasible":
        return plan_problem(merged.problem, catalog, options=options, watch=watch)  # which says why
    decided = decisions_from(programme, found)
    block = float(problem.scenario.block)
    at_work = merged.at_work(decided.serving_racks / block, decided.training_racks / block)
    whole = whole_numbers(programme.model, found)

    def settle(stated: Programme) -> Solution:
        settled = completed(stated.model, whole, found, options)
        if settled is not None:
            return settled
        again = search(stated.model, options, progress=progress)
        return replace(again, bound=found.bound, gap=relative_gap(again.objective, found.bound))

    return plan_problem(restrict(problem, *at_work), catalog, options=options, watch=watch, settle=settle)
