"""What a user writes: the scenario file and its meaning."""

from __future__ import annotations

from gigaforge.scenario.compose import apply_settings, lay_over, read_scenario_data, scenario_files
from gigaforge.scenario.load import (
    check_against,
    load_scenario,
    parse_scenario,
    peak_over_mean,
    scenario_json_schema,
    with_objective,
)
from gigaforge.scenario.schema import Scenario, interpolate, output_tokens, step

__all__ = [
    "Scenario",
    "apply_settings",
    "check_against",
    "interpolate",
    "lay_over",
    "load_scenario",
    "output_tokens",
    "parse_scenario",
    "peak_over_mean",
    "read_scenario_data",
    "scenario_files",
    "scenario_json_schema",
    "step",
    "with_objective",
]
