"""What more of a scarce thing would be worth, in words."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from gigaforge.report.story import cents, money
from gigaforge.report.view import PlanView

__all__ = ["scarcities"]


def scarcities(plan: PlanView, count: int = 3) -> list[str]:
    """The constraints whose relief is worth most, in words, most valuable first.

    Prices of different kinds are not comparable by the unit, so the best of each kind comes first.
    """
    words: dict[str, Callable[[str, float, str], str]] = {
        "power": lambda n, v, q: f"one more megawatt at {n} from {q} on is worth {money(v)}",
        "supply": lambda n, v, q: f"one more rack of {n} is worth {money(v)} in {q}",
        "cash": lambda _, v, q: f"one more dollar of cash is worth ${v:,.2f} beyond itself in {q}",
        "demand": lambda n, v, q: f"a million more output tokens of {n} demand are worth {cents(v * 1e6)} in {q}",
    }
    ranked: list[tuple[int, float, str]] = []
    for kind, say in words.items():
        frame = plan.shadow(kind)
        tops = sorted(((*_dearest(frame[c], kind), c) for c in frame.columns), reverse=True)
        found = [(v, q, c) for v, q, c in tops if v > 1e-9]
        ranked += [(place, -v, say(plan.label(c), v, q)) for place, (v, q, c) in enumerate(found)]
    order = sorted(range(len(ranked)), key=lambda i: (ranked[i][0], i))
    return [ranked[i][2] for i in order[:count]]


def _dearest(prices: pd.Series, kind: str) -> tuple[float, str]:
    """The most that a unit is worth, and when; of power from a quarter on, since a megawatt stays once it is there."""
    if kind != "power":
        return float(prices.max()), str(prices.idxmax())
    total = float(prices.sum())
    return total, str((prices > 1e-3 * total).idxmax())
