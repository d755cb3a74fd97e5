"""A scenario small enough to live through many times in a test."""

from __future__ import annotations

from typing import Any

from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.scenario import Scenario
from gigaforge.scenario.uncertainty import Risk
from tests.buildout.small import catalog, points, scenario

VARIABLES: list[dict[str, Any]] = [
    {"what": "sites.*.delay", "shape": "triangular", "low": 0, "mode": 0, "high": "9 months"},
    {"what": "platforms.a.supply", "shape": "uniform", "low": "70 %", "high": "110 %"},
    {"what": "serving.assistant.demand", "shape": "lognormal", "median": 1, "p90": 1.2, "pattern": "walk"},
    {"what": "serving.assistant.prices", "shape": "lognormal", "median": 1, "p90": 1.2, "pattern": "ramp"},
    {"what": "platforms.*.price", "shape": "normal", "mean": 1, "sd": 0.05, "common": True},
    {"what": "operations.failures", "shape": "discrete", "values": [1, 2], "weights": [3, 1]},
]


def small() -> Scenario:
    return scenario(
        horizon={"first": "2026-Q3", "last": "2028-Q2"},
        commitment={
            "power": "1 GW",
            "milestones": [{"power": "0.2 GW", "by": "2026-Q4"}, {"power": "1 GW", "by": "2028-Q1"}],
            "late_penalty": "$20/kW-month",
        },
        sites=[{"site": "north"}, {"site": "south"}],
        platforms=[
            {"name": "a", "systems": ["rack-a"], "ships": "2026-Q3", "supply": {"2026-Q3": 400, "2027-Q1": 900}}
        ],
    )


def problem() -> Problem:
    return problem_from(small(), catalog(), points())


def risk_of(*changes: dict[str, Any], correlations: list[dict[str, Any]] | None = None) -> Risk:
    return Risk.model_validate({"variables": list(changes) or VARIABLES, "correlations": correlations or []})
