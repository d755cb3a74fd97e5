"""Deployments for a given arrival rate: how many workers, and the batch at which each keeps up with its share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gigaforge.perf.inference.evaluate import Engine, requests_of, run
from gigaforge.perf.inference.operate import operate
from gigaforge.perf.inference.pools import PREFILL_LOAD, decode_rate, paired, prefill_workers
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.inference.space import Space, with_batches
from gigaforge.perf.inference.traffic import Traffic

__all__ = ["at_rate", "pools_at_rate", "replicas_at_rate"]

Floats = NDArray[np.float64]
_SPARE = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Replicas over the fewest that keep up: more of them at smaller batches answer faster."""
_HALVINGS = 18


def replicas_at_rate(engine: Engine, traffic: Traffic, space: Space, total: float) -> ServingConfigurations:
    """Aggregated deployments that serve the rate on at most so many accelerators (perhaps none)."""
    rate = float(traffic.rate or 0.0)
    grid = with_batches(space, total)
    tried = run(engine, traffic, grid)
    reached = np.where(tried.feasible, tried.requests_per_s_per_gpu * grid.accelerators, 0.0)
    rows, replicas, batch = _enough(grid, reached, rate, total, grid.accelerators, np.zeros(len(grid)))
    chosen = replace(grid.take(rows), replicas=replicas, batch=batch)
    return at_rate(engine, traffic, chosen, rate)


def pools_at_rate(engine: Engine, traffic: Traffic, space: Space, total: float) -> ServingConfigurations | None:
    """Deployments with pools of their own for prefill, as large as the rate needs."""
    rate = float(traffic.rate or 0.0)
    single = space.take(np.flatnonzero(space.pipeline_parallel == 1))
    workers = prefill_workers(engine, traffic, single)
    if workers is None:
        return None
    grid = with_batches(single, total)
    reached = np.where(run(engine, traffic, grid).feasible, decode_rate(engine, traffic, grid), 0.0)
    out = []
    for j, seconds in enumerate(workers.seconds):
        prefills = np.ceil(rate * seconds / PREFILL_LOAD)
        taken = np.full(len(grid), prefills * workers.space.accelerators[j])
        rows, replicas, batch = _enough(grid, reached, rate, total, grid.accelerators, taken)
        if len(rows):
            decode = replace(grid.take(rows), batch=batch)
            kind = np.full(len(rows), j)
            out.append(paired(decode, workers, kind, replicas, np.full(len(rows), prefills)))
    if not out:
        return None
    names = vars(out[0])
    every = ServingConfigurations(**{k: np.concatenate([getattr(c, k) for c in out]) for k in names})
    return at_rate(engine, traffic, every, rate)


def _enough(
    grid: ServingConfigurations, reached: Floats, rate: float, total: float, size: Floats, taken: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """For each layout, the batch that yields most, and the numbers of replicas that keep up and find room."""
    layout = np.stack([grid.accelerators, grid.attention_data_parallel, grid.expert_parallel, grid.pipeline_parallel])
    _, owner = np.unique(layout, axis=1, return_inverse=True)
    order = np.lexsort((-reached, owner.ravel()))
    _, first = np.unique(owner.ravel()[order], return_index=True)
    best = order[first]
    best = best[reached[best] > 0]
    fewest = np.ceil(rate / reached[best])
    rows = np.repeat(best, len(_SPARE))
    replicas = np.ceil(np.outer(fewest, _SPARE)).ravel()
    keep = replicas * size[rows] + taken[rows] <= total
    rows, replicas = rows[keep], replicas[keep]
    _, unique = np.unique(np.stack([rows, replicas]), axis=1, return_index=True)
    return rows[unique], replicas[unique], grid.batch[rows[unique]]


def at_rate(engine: Engine, traffic: Traffic, c: ServingConfigurations, rate: float) -> ServingConfigurations:
    """The same deployments at the batch that keeps up with the rate: requests in flight, by Little's law, rise with it.

    `c.batch` holds the largest batch of each; a deployment that cannot keep up even there is left out.
    """
    each = rate / c.replicas
    requests = requests_of(traffic)
    high, low = c.batch.copy(), np.full(len(c), 1e-6)
    enough = np.asarray(operate(engine.machine, requests, c).requests_per_s) >= each * (1.0 - 1e-9)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        above = np.asarray(operate(engine.machine, requests, replace(c, batch=middle)).requests_per_s) >= each
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return replace(c, batch=high).take(np.flatnonzero(enough))
