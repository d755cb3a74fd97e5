"""All candidates of a scenario: every point that some prices would choose, over strategies, batches and power caps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from gigaforge.catalog import Catalog
from gigaforge.codesign.caps import capped_hardware
from gigaforge.codesign.point import OperatingPoint, PointSet, Unable
from gigaforge.codesign.serving_space import serving_space
from gigaforge.codesign.training_space import Known, training_space
from gigaforge.errors import GigaforgeError
from gigaforge.executor import SerialExecutor, map_ordered
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario import Scenario

__all__ = ["Candidates", "find_candidates"]


@dataclass(frozen=True)
class Candidates:
    """What the search found, evaluated once and then priced as often as the plan asks.

    Attributes
    ----------
    points : PointSet
        Candidates of all workloads and systems, and why some have none.
    evaluated : int
        Complete evaluations (time, memory, power) of a strategy under a cap.
    wall_s : float
        [s]

    """

    points: PointSet
    evaluated: int
    wall_s: float

    @property
    def fastest(self) -> list[OperatingPoint]:
        """What the sequential way takes: at full power, the fastest of each workload on each system in every quarter."""
        top: dict[tuple[str, str], float] = {}
        for p in self.points:
            key = (p.workload, p.system)
            top[key] = max(top.get(key, 0.0), p.cap_w)
        full = [p for p in self.points if p.cap_w >= top[p.workload, p.system]]
        return [p for p in full if p.kind == "training" or _leads(p, full)]


def _leads(point: OperatingPoint, others: Iterable[OperatingPoint]) -> bool:
    """Whether a point is the fastest of its workload and system in some quarter."""
    rivals = [q for q in others if (q.workload, q.system) == (point.workload, point.system)]
    mine = point.tokens_per_s_by_quarter
    best = [max(q.tokens_per_s_by_quarter[t] for q in rivals) for t in range(len(mine))]
    return any(y >= b > 0 for y, b in zip(mine, best, strict=True))


def find_candidates(
    scenario: Scenario,
    catalog: Catalog,
    *,
    caps: int = 8,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Candidates:
    """Search every workload of a scenario on every system of its platforms.

    A workload that a system cannot run (too large, too slow, a precision it lacks) has no candidates there; the answer says why.

    Parameters
    ----------
    caps : int
        Power caps per system.
    executor : Executor
        Where to search the systems; default here.
    tell : callable
        Told how many systems are done.

    """
    started = time.perf_counter()
    systems = [s for line in scenario.platforms for s in line.systems]
    pool = executor or SerialExecutor()
    found: list[tuple[PointSet, int]] = []
    for one in map_ordered(_on_system, [(scenario, catalog, name, caps) for name in systems], pool):
        found.append(one)
        tell(f"{len(found)} of {len(systems)} systems")
    points = PointSet([p for some, _ in found for p in some], [u for some, _ in found for u in some.unable])
    return Candidates(points, sum(n for _, n in found), time.perf_counter() - started)


def _on_system(scenario: Scenario, catalog: Catalog, name: str, caps: int) -> tuple[PointSet, int]:
    system = catalog.system(name)
    hardware, cap_w = capped_hardware(system, catalog.accelerator(system.accelerator))
    out: list[OperatingPoint] = []
    unable: list[Unable] = []
    count, known = 0, Known()
    for serving in scenario.serving:
        transformer = Transformer.from_catalog(catalog.model(serving.model))
        try:
            space = serving_space(transformer, hardware, serving, scenario.quarters, cap_w, caps=caps)
        except GigaforgeError as problem:
            unable.append(Unable(serving.name, "serving", name, str(problem)))
            continue
        out += space.points
        count += space.evaluated
        if not space.points:
            unable.append(Unable(serving.name, "serving", name, space.why))
    for run in scenario.training:
        transformer = Transformer.from_catalog(catalog.model(run.model))
        try:
            out += training_space(transformer, hardware, run, cap_w, caps=caps, known=known)
        except GigaforgeError as problem:
            unable.append(Unable(run.name, "training", name, str(problem)))
    return PointSet(out, unable), count + known.evaluated
