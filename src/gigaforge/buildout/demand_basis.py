"""What is known of demand and what is projected: dated facts of the catalogue beside the scenario's series."""

from __future__ import annotations

import math
from typing import Any

from gigaforge.catalog import Catalog, Fact
from gigaforge.scenario import Scenario, interpolate
from gigaforge.scenario.schema import Serving

__all__ = ["demand_basis"]


def demand_basis(scenario: Scenario, catalog: Catalog) -> list[dict[str, Any]]:
    """For each workload with a history: its dated facts, where the projection begins, and how fast each grows.

    Returns
    -------
    list of dict
        ``workload, history`` (``date, value, source``), ``projected_from, growth_history, growth_projected`` (per year,
        of weekly users; the history's over its last year at least), ``projection`` (year to users at its end).

    """
    links = {key: source.url for key, source in catalog.sources.items()}
    return [_basis(scenario, s, [catalog.fact(n) for n in s.history], links) for s in scenario.serving if s.history]


def _years(date: str) -> float:
    """A date as a year with its fraction; a month or a year alone counts its middle."""
    year, *rest = (int(p) for p in date.split("-"))
    month = rest[0] - 1 if rest else 6
    return year + month / 12 + ((rest[1] - 1) / 365.25 if len(rest) > 1 else 0.5 / 12 if rest else 0.0)


def _basis(scenario: Scenario, serving: Serving, facts: list[Fact], links: dict[str, str]) -> dict[str, Any]:
    known = sorted(((_years(f.date), f) for f in facts), key=lambda pair: pair[0])
    quarters = scenario.quarters
    users = interpolate(serving.weekly_users, quarters)
    last_year, last = known[-1]
    earlier = [(y, f) for y, f in known if y <= last_year - 0.95]
    growth = None
    if earlier:
        then_year, then = earlier[-1]
        growth = math.exp(math.log(last.value / then.value) / (last_year - then_year)) - 1
    span = (len(quarters) - 1) / 4
    first = next((q for q in quarters if serving.known_until is None or q > serving.known_until), None)
    return {
        "workload": serving.name,
        "history": [
            {"date": f.date, "value": f.value, "source": [links.get(k, k) for k in f.source]} for _, f in known
        ],
        "projected_from": str(first) if first else None,
        "growth_history": growth,
        "growth_projected": float((users[-1] / users[0]) ** (1 / span) - 1) if span else 0.0,
        "projection": {str(q.year): float(u) for q, u in zip(quarters, users, strict=True)},
    }
