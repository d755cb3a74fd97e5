"""Deployments for a given arrival rate: how many workers, and the batch at which each keeps up with its share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gigaforge.perf.inference.evaluate import Engine, requests_of, run
from gigaforge.perf.inference.pools import PREFILL_LOAD, PrefillWorkers, decode_rate, paired, prefill_workers
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.inference.space import Space, with_batches
from gigaforge.perf.inference.traffic import Traffic

__all__ = ["at_rate", "pools_at_rate", "replicas_at_rate"]

Floats = NDArray[np.float64]
_SPARE = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Replicas over the fewest that keep up: more of them at smaller batches answer faster."""
_HALVINGS = 18
_STEPS = 18
"""Halvings towards a target: a rate is then known to about 1e-4."""
_LEAST = 1e-6
"""Requests in flight on an engine that is all but idle."""
_WIDER = 1.5
"""Above the batch that yields most on the grid, whose steps are √2."""
_AMPLE = 1e6
"""Prefill workers beside one decode worker where prefill shall bind nothing."""


def replicas_at_rate(engine: Engine, traffic: Traffic, space: Space, total: float) -> ServingConfigurations:
    """Aggregated deployments that serve the rate on at most so many accelerators (perhaps none)."""
    rate = float(traffic.rate or 0.0)
    grid = with_batches(space, total)
    tried = run(engine, traffic, grid)
    reached = np.where(tried.feasible, tried.requests_per_s_per_gpu * grid.accelerators, 0.0)
    rows, replicas, batch = _enough(grid, reached, rate, total, grid.accelerators, np.zeros(len(grid)))
    chosen = replace(grid.take(rows), replicas=replicas, batch=batch)
    fullest, most = _fullest(engine, traffic, grid.take(_one_each(grid, reached)))
    rows, replicas, batch = _enough(fullest, most, rate, total, fullest.accelerators, np.zeros(len(fullest)))
    exact = replace(fullest.take(rows), replicas=replicas, batch=batch)
    return at_rate(engine, traffic, _all([chosen, exact]), rate)


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
    each = grid.take(_one_each(grid, reached))
    out.extend(_fewest_pools(engine, traffic, each, workers, rate, total))
    return at_rate(engine, traffic, _all(out), rate) if out else None


def _fewest_pools(
    engine: Engine,
    traffic: Traffic,
    decode: ServingConfigurations,
    workers: PrefillWorkers,
    rate: float,
    total: float,
) -> list[ServingConfigurations]:
    """Of every pair of layouts as few decode and prefill workers as meet the targets.

    A decode worker's rate is bound by its memory and TPOT, a prefill worker's by TTFT, whose queue depends on its load alone:
    so each pool is as large as the rate over what one of its workers takes.
    """
    out = []
    for j, seconds in enumerate(workers.seconds):
        ample = paired(decode, workers, np.full(len(decode), j), np.ones(len(decode)), np.full(len(decode), _AMPLE))
        full, most = _fullest(engine, replace(traffic, ttft_s=None), ample)
        if not len(full):
            continue

        def meets(share: Floats, full: ServingConfigurations = full, most: Floats = most) -> NDArray[np.bool_]:
            c = replace(full, prefill_share=share)
            kept = _rate(engine, traffic, c) >= most * (1.0 - 1e-9)
            return np.asarray(kept & run(engine, traffic, c).meets_targets)

        share, met = _bisect(meets, full.prefill_share, most * seconds / PREFILL_LOAD)
        each = most / share
        replicas, prefills = (np.ceil(rate / x * (1.0 - 1e-9)) for x in (most, each))
        size = workers.space.accelerators[j]
        keep = np.flatnonzero(met & (replicas * full.accelerators + prefills * size <= total))
        if len(keep):
            some = full.take(keep)
            out.append(paired(some, workers, np.full(len(keep), j), replicas[keep], prefills[keep]))
    return out


def _fullest(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> tuple[ServingConfigurations, Floats]:
    """Each layout at the largest batch that fits and meets the targets, and requests/s there; without those that never do."""

    def meets(batch: Floats) -> NDArray[np.bool_]:
        return run(engine, traffic, replace(c, batch=batch)).meets_targets

    if not len(c):
        return c, np.zeros(0)
    batch, met = _bisect(meets, np.full(len(c), _LEAST), _WIDER * c.batch)
    full = replace(c, batch=batch).take(np.flatnonzero(met))
    return full, _rate(engine, traffic, full) if len(full) else np.zeros(0)


def _bisect(
    meets: Callable[[Floats], NDArray[np.bool_]], sure: Floats, wanted: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Furthest from `sure` towards `wanted` that still meets, and whether `sure` itself does."""
    met, whole = meets(sure), meets(wanted)
    good, bad = np.where(whole, wanted, sure), wanted
    for _ in range(_STEPS):
        middle = np.sqrt(good * bad)
        fine = meets(middle)
        good, bad = np.where(fine, middle, good), np.where(fine, bad, middle)
    return good, met | whole


def _rate(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> Floats:
    return np.asarray(engine.operate(requests_of(traffic), c).requests_per_s)


def _all(parts: list[ServingConfigurations]) -> ServingConfigurations:
    return ServingConfigurations(**{k: np.concatenate([getattr(c, k) for c in parts]) for k in vars(parts[0])})


def _enough(
    grid: ServingConfigurations, reached: Floats, rate: float, total: float, size: Floats, taken: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """For each layout, the batch that yields most, and the numbers of replicas that keep up and find room."""
    best = _one_each(grid, reached)
    fewest = np.ceil(rate / reached[best] * (1.0 - 1e-9))
    rows = np.repeat(best, len(_SPARE))
    replicas = np.ceil(np.outer(fewest, _SPARE)).ravel()
    keep = replicas * size[rows] + taken[rows] <= total
    rows, replicas = rows[keep], replicas[keep]
    _, unique = np.unique(np.stack([rows, replicas]), axis=1, return_index=True)
    return rows[unique], replicas[unique], grid.batch[rows[unique]]


def _one_each(grid: ServingConfigurations, reached: Floats) -> NDArray[np.int64]:
    """Of each layout the row that yields most, where it yields anything."""
    layout = np.stack([grid.accelerators, grid.attention_data_parallel, grid.expert_parallel, grid.pipeline_parallel])
    _, owner = np.unique(layout, axis=1, return_inverse=True)
    order = np.lexsort((-reached, owner.ravel()))
    _, first = np.unique(owner.ravel()[order], return_index=True)
    best: NDArray[np.int64] = order[first]
    return best[reached[best] > 0]


def at_rate(engine: Engine, traffic: Traffic, c: ServingConfigurations, rate: float) -> ServingConfigurations:
    """The same deployments at the batch that keeps up with the rate: requests in flight, by Little's law, rise with it.

    `c.batch` holds the largest batch of each; a deployment that cannot keep up even there is left out.
    """
    each = rate / c.replicas
    requests = requests_of(traffic)
    high, low = c.batch.copy(), np.full(len(c), 1e-6)
    enough = np.asarray(engine.operate(requests, c).requests_per_s) >= each * (1.0 - 1e-9)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        above = np.asarray(engine.operate(requests, replace(c, batch=middle)).requests_per_s) >= each
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return replace(c, batch=high).take(np.flatnonzero(enough))
