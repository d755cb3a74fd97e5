"""How long a training step takes, what it needs and draws, and which strategy is best."""

from __future__ import annotations

from gigaforge.perf.training.constants import software_family
from gigaforge.perf.training.degrees import refuse_degrees
from gigaforge.perf.training.exchange import CONTEXT_MODES
from gigaforge.perf.training.hardware_search import HardwarePoint, search_hardware
from gigaforge.perf.training.job import RECOMPUTE, SCHEDULES, SHARDING, TrainingJob, TrainingStrategies
from gigaforge.perf.training.parameters import TrainingParameters, shipped
from gigaforge.perf.training.search import TrainingResults, evaluate, search
from gigaforge.perf.training.space import SearchSpace
from gigaforge.perf.training.step import BREAKDOWN, MEMORY

__all__ = [
    "BREAKDOWN",
    "CONTEXT_MODES",
    "MEMORY",
    "RECOMPUTE",
    "SCHEDULES",
    "SHARDING",
    "HardwarePoint",
    "SearchSpace",
    "TrainingJob",
    "TrainingParameters",
    "TrainingResults",
    "TrainingStrategies",
    "evaluate",
    "refuse_degrees",
    "search",
    "search_hardware",
    "shipped",
    "software_family",
]  # fmt: skip
