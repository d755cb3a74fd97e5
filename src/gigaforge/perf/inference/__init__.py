"""Serving: latency, throughput, memory and power of a model on a system under a traffic."""

from __future__ import annotations

from gigaforge.perf.inference.evaluate import Engine, evaluate
from gigaforge.perf.inference.results import ServingConfigurations, ServingResults
from gigaforge.perf.inference.search import search
from gigaforge.perf.inference.traffic import DATASETS, Dataset, Speculation, Traffic

__all__ = [
    "DATASETS",
    "Dataset",
    "Engine",
    "ServingConfigurations",
    "ServingResults",
    "Speculation",
    "Traffic",
    "evaluate",
    "search",
]
