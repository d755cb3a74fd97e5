"""What happens when a fleet runs: failures and repair, training and serving, power and cooling, over years.

For planners: `expected_availability`, `expected_goodput` and `best_policy` are closed forms that cost microseconds;
`simulate_plan` runs the plan; `feedback` turns its result into the same quantities, for the next round.
"""

from __future__ import annotations

from gigaforge.operations.build import fleet_of
from gigaforge.operations.closed_form import (
    GoodputEstimate,
    best_policy,
    best_spares,
    expected_availability,
    expected_goodput,
    mttf_s,
)
from gigaforge.operations.fleet import Fleet
from gigaforge.operations.modes import FailureTable, default_failures
from gigaforge.operations.policy import CheckpointPolicy, RestartStages, Tier, TrainingPolicy
from gigaforge.operations.result import SimulationResult, feedback, fleet_factors
from gigaforge.operations.run import (
    Comparison,
    Replications,
    compare,
    load_fleet,
    replicate,
    simulate,
    simulate_fleet,
    simulate_plan,
)
from gigaforge.operations.spec import FleetSpec, load_fleet_spec

__all__ = [
    "CheckpointPolicy",
    "Comparison",
    "FailureTable",
    "Fleet",
    "FleetSpec",
    "GoodputEstimate",
    "Replications",
    "RestartStages",
    "SimulationResult",
    "Tier",
    "TrainingPolicy",
    "best_policy",
    "best_spares",
    "compare",
    "default_failures",
    "expected_availability",
    "expected_goodput",
    "feedback",
    "fleet_factors",
    "fleet_of",
    "load_fleet",
    "load_fleet_spec",
    "mttf_s",
    "replicate",
    "simulate",
    "simulate_fleet",
    "simulate_plan",
]
