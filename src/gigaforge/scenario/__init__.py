"""What a user writes: the scenario file and its meaning."""

from __future__ import annotations

from gigaforge.scenario.load import check_against, load_scenario, parse_scenario, scenario_json_schema, with_objective
from gigaforge.scenario.schema import Scenario, interpolate, step

__all__ = [
    "Scenario",
    "check_against",
    "interpolate",
    "load_scenario",
    "parse_scenario",
    "scenario_json_schema",
    "step",
    "with_objective",
]
