"""All operating points of a scenario: the ways to run its workloads that a plan chooses among."""

from __future__ import annotations

import contextlib

from gigaforge.catalog import Catalog
from gigaforge.codesign.caps import capped_hardware
from gigaforge.codesign.point import OperatingPoint
from gigaforge.codesign.serving_points import serving_points
from gigaforge.codesign.training_points import Searches, training_points
from gigaforge.errors import GigaforgeError
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario import Scenario
from gigaforge.scenario.schema import Serving, TrainingRun

__all__ = ["operating_points"]


def operating_points(scenario: Scenario, catalog: Catalog) -> list[OperatingPoint]:
    """Find the operating points of every workload of a scenario on every system of its platforms.

    A workload that a system cannot run (too large, too slow, a precision it lacks) has no point there.
    """
    out: list[OperatingPoint] = []
    searches: Searches = {}
    for name in (s for line in scenario.platforms for s in line.systems):
        system = catalog.system(name)
        chip = catalog.accelerator(system.accelerator)
        hardware, cap_w = capped_hardware(system, chip)
        workloads: list[Serving | TrainingRun] = [*scenario.serving, *scenario.training]
        for workload in workloads:
            transformer = Transformer.from_catalog(catalog.model(workload.model))
            # A workload without an answer on this system may have one on another.
            with contextlib.suppress(GigaforgeError):
                if isinstance(workload, Serving):
                    out += serving_points(transformer, hardware, workload, scenario.quarters, cap_w)
                else:
                    out += training_points(transformer, hardware, workload, searches, cap_w)
    return out
