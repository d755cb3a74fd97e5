"""Plan, operate the planned fleet, plan again with what it really delivered: until both agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gigaforge.buildout.folder import write_plan_folder
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import Stage, plan
from gigaforge.buildout.solver import SolverOptions
from gigaforge.catalog import Catalog, load_catalog
from gigaforge.codesign.models.resolve import resolve_models
from gigaforge.codesign.operating_points import operating_points
from gigaforge.operations import fleet_factors, simulate_plan
from gigaforge.operations.loop import until_agreed
from gigaforge.scenario import Scenario, check_against

__all__ = ["plan_and_operate"]

_TOLERANCE = 0.01  # plans within the solver's gap differ by about as much
_FIRST_BELIEF = {"availability": 0.99, "training_goodput": 0.9}


def plan_and_operate(
    scenario: Scenario,
    catalog: Catalog | None = None,
    *,
    options: SolverOptions | None = None,
    rounds: int = 4,
    seed: int = 1,
    watch: Callable[[Stage], None] | None = None,
) -> Plan:
    """Plan a scenario with the availability and goodput that a simulation of the plan itself gives.

    Parameters
    ----------
    scenario, catalog, options, watch
        As `gigaforge.buildout.planner.plan`; what the scenario states of availability and goodput is the first belief.
    rounds : int
        At most so many plans and simulations.
    seed : int
        Of the simulation, the same in every round.

    Returns
    -------
    Plan
        The last one; ``summary["fleet_check"]`` has each round's beliefs and findings and whether they agree.

    """
    tell = watch or (lambda _: None)
    catalog = catalog or load_catalog()
    check_against(scenario, catalog, scenario.name)
    resolved = resolve_models(scenario, catalog)
    scenario, catalog = resolved.scenario, resolved.catalog
    tell(Stage("finding operating points"))
    points = operating_points(scenario, catalog)
    given = {k: v for k in _FIRST_BELIEF if (v := getattr(scenario.operations, k)) is not None}

    def solve(factors: Mapping[str, Mapping[str, float]]) -> Plan:
        operations = scenario.operations.model_copy(update=dict(factors["fleet"]))
        believed = scenario.model_copy(update={"operations": operations})
        return plan(believed, catalog, options=options, points=points, watch=watch)

    def operate(result: Plan) -> tuple[Any, dict[str, dict[str, float]]]:
        tell(Stage("operating the planned fleet"))
        with tempfile.TemporaryDirectory() as folder:
            outcome = simulate_plan(write_plan_folder(result, Path(folder) / "plan"), seed=seed)
        return outcome, {"fleet": fleet_factors(outcome)}

    agreement = until_agreed(solve, operate, {"fleet": _FIRST_BELIEF | given}, tolerance=_TOLERANCE, rounds=rounds)
    check: dict[str, float | str] = {
        "basis": "the planned fleet simulated, and planned again until both agree",
        **agreement.rounds[-1].simulated["fleet"],
        "agreement": "reached" if agreement.agreed else f"not reached in {rounds} rounds",
    }
    for number, turn in enumerate(agreement.rounds, 1):
        words = [
            f"{name.replace('_', ' ')} {value:.3f} believed, {turn.simulated['fleet'][name]:.3f} found"
            for name, value in turn.believed["fleet"].items()
            if name in turn.simulated["fleet"]
        ]
        check[f"round {number}"] = "; ".join(words)
    last: Plan = agreement.plan
    return replace(last, summary=last.summary | {"fleet_check": check})
