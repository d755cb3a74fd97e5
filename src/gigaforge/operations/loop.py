"""Plan, simulate, plan again: until the plan's factors and the simulated ones agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Agreement", "Round", "until_agreed"]

Factors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Round:
    """One turn: factors the plan believed, what the simulation answered, the largest difference."""

    believed: dict[str, dict[str, float]]
    simulated: dict[str, dict[str, float]]
    difference: float


@dataclass(frozen=True)
class Agreement:
    """The last plan and simulation, and every round that led there."""

    plan: Any
    result: Any
    rounds: list[Round]
    agreed: bool


def until_agreed(solve: Callable[[Factors], Any], simulate: Callable[[Any], tuple[Any, Factors]], start: Factors, *,
                 tolerance: float = 0.005, rounds: int = 5, damping: float = 1.0) -> Agreement:  # fmt: skip
    """Iterate a planner and the simulator to a fixed point.

    Parameters
    ----------
    solve : function
        Factors ``{"workload/system": {"availability": a, "goodput": g}}`` to a plan.
    simulate : function
        A plan to (result, factors), for example through `gigaforge.operations.feedback`.
    start : mapping
        First beliefs, for example from `gigaforge.operations.expected_goodput`.
    tolerance : float
        Largest difference of any factor that the plan leans on.
    rounds : int
        At most so many.
    damping : float
        Share of the way from belief to simulation that the next belief goes.

    """
    believed = {k: dict(v) for k, v in start.items()}
    history: list[Round] = []
    while True:
        plan = solve(believed)
        result, answer = simulate(plan)
        simulated = {k: dict(v) for k, v in answer.items()}
        gaps = [
            abs(value - believed[name][key]) for name, row in simulated.items() if name in believed
            for key, value in row.items() if key in believed[name]
        ]  # fmt: skip
        unknown = [name for name in simulated if name not in believed]
        difference = max(gaps, default=0.0) if not unknown else 1.0
        history.append(Round({k: dict(v) for k, v in believed.items()}, simulated, difference))
        if difference <= tolerance or len(history) >= rounds:
            return Agreement(plan, result, history, difference <= tolerance)
        for name, row in simulated.items():
            before = believed.setdefault(name, dict(row))
            for key, value in row.items():
                before[key] = before.get(key, value) + damping * (value - before.get(key, value))
