"""All operating points of a scenario: the ways to run its workloads that a plan chooses among."""

from __future__ import annotations

from gigaforge.catalog import Catalog
from gigaforge.codesign.caps import capped_hardware
from gigaforge.codesign.point import OperatingPoint, PointSet, Unable
from gigaforge.codesign.serving_points import serving_points
from gigaforge.codesign.training_points import Searches, training_points
from gigaforge.errors import GigaforgeError
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario import Scenario

__all__ = ["operating_points"]


def operating_points(scenario: Scenario, catalog: Catalog) -> PointSet:
    """Find the operating points of every workload of a scenario on every system of its platforms.

    A workload that a system cannot run (too large, too slow, a precision it lacks) has no point there; the answer says why.
    """
    out: list[OperatingPoint] = []
    unable: list[Unable] = []
    searches: Searches = {}
    for name in (s for line in scenario.platforms for s in line.systems):
        system = catalog.system(name)
        chip = catalog.accelerator(system.accelerator)
        hardware, cap_w = capped_hardware(system, chip)
        for serving in scenario.serving:
            transformer = Transformer.from_catalog(catalog.model(serving.model))
            try:
                out += serving_points(transformer, hardware, serving, scenario.quarters, cap_w)
            except GigaforgeError as problem:
                unable.append(Unable(serving.name, "serving", name, str(problem)))
        for run in scenario.training:
            transformer = Transformer.from_catalog(catalog.model(run.model))
            try:
                out += training_points(transformer, hardware, run, searches, cap_w)
            except GigaforgeError as problem:
                unable.append(Unable(run.name, "training", name, str(problem)))
    return PointSet(out, unable)
