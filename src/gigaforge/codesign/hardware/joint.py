"""Strategies, power caps and designs searched together, exhaustively, in flat memory.

Where `evolve` asks for the best design, this asks for everything at once: each design of a grid, under each power cap, with
each strategy. Blocks of designs are evaluated one after the other and only their Pareto front of tokens per dollar against
tokens per joule is kept, so the memory does not grow with the search.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.hardware.score import Question, Scorer
from gigaforge.codesign.hardware.technology import Technology
from gigaforge.codesign.hardware.work import ServingWork, TrainingWork, Work, rows_of
from gigaforge.codesign.precisions import serving_precisions
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.executor import SerialExecutor, map_ordered
from gigaforge.perf.inference import Engine, ServingConfigurations
from gigaforge.perf.inference.evaluate import run
from gigaforge.perf.training import evaluate

__all__ = ["JointResult", "joint_search"]

Array = NDArray[np.float64]

_BATCHES: Final = 2.0 ** np.arange(0.0, 9.01, 0.5)
"""Requests per attention rank over the least that fill a layout, as the serving search steps them."""
_ROWS: Final = 16384
"""Evaluations at a time: their arrays stay in the second-level cache."""


@dataclass(frozen=True)
class JointResult:
    """The front of one work over strategies, caps and designs; arrays of shape (point,), cheapest tokens first.

    Attributes
    ----------
    tokens_per_usd, tokens_per_joule : array
        [token/USD], [token/J]
    designs : Designs
        Of each point.
    cap : array
        Power cap over the design's full draw [1].
    ways : strategies or configurations
        Of each point.
    evaluated, wall_s : int, float
        Complete evaluations (time, memory and power), time of the search.

    """

    tokens_per_usd: Array
    tokens_per_joule: Array
    designs: Designs
    cap: Array
    ways: Any
    evaluated: int
    wall_s: float


def joint_search(
    work: Work,
    designs: Designs,
    technology: Technology,
    economics: Economics,
    *,
    caps: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    ways: Any = None,
    executor: Executor | None = None,
) -> JointResult:
    """Every strategy under every cap on every design.

    Parameters
    ----------
    work : Work
        What is to be done.
    designs : Designs
        Of one NVLink domain.
    technology, economics : Technology, Economics
        What designs cost, and at which prices.
    caps : sequence of float
        Power caps over a design's full draw [1].
    ways : optional
        Strategies (training) or layouts (serving, at their least batch; every batch is then tried); default: those that
        are best somewhere around the first design.
    executor : Executor, optional
        Where to evaluate blocks; default in this process.

    Raises
    ------
    InputError
        No design, several NVLink domains, or a cap outside 0.3..1.
    NoAnswerError
        Nothing fits in memory or meets the targets anywhere.

    """
    started = time.perf_counter()
    domains = np.unique(designs.nvlink_domain)
    if not len(designs) or len(domains) != 1:
        raise InputError(
            f"{len(designs)} designs over NVLink domains {domains.tolist()}; give designs of one", "designs"
        )
    share = np.asarray(caps, dtype=float)
    if not share.size or share.min() < 0.3 or share.max() > 1:
        raise InputError(f"power caps {share.tolist()}; shares from 0.3 to 1 are expected", "caps")
    designs.check(technology)
    scorer = Scorer(Question(technology, [work], [1.0], economics))
    if ways is None:
        ways = scorer.candidates(designs.take(slice(0, 1)), 0).ways
    every = _every_batch(ways) if isinstance(work, ServingWork) else ways
    per_design = len(share) * _size(every)
    step = max(_ROWS // per_design, 1)
    starts = range(0, len(designs), step)
    blocks = [
        (work, designs.take(slice(a, a + step)), a, technology, economics, share, every) for a in starts
    ]  # fmt: skip
    best = np.empty((0, 5))
    evaluated = 0
    for front, count in map_ordered(_block, blocks, executor or SerialExecutor()):
        best = _thin(np.concatenate([best, front]))
        evaluated += count
    if not len(best):
        raise NoAnswerError(f"{work.name} runs on none of {len(designs)} designs within memory and targets")
    design, way = best[:, 2].astype(int), best[:, 4].astype(int)
    return JointResult(
        best[:, 0],
        best[:, 1],
        designs.take(design),
        best[:, 3],
        every.take(way),
        evaluated,
        time.perf_counter() - started,
    )


def _size(ways: Any) -> int:
    return int(ways.size) if hasattr(ways, "size") else len(ways)


def _every_batch(ways: ServingConfigurations) -> ServingConfigurations:
    rows = np.repeat(np.arange(len(ways)), len(_BATCHES))
    out = ways.take(rows)
    return replace(out, batch=out.batch * np.tile(_BATCHES, len(ways)))


def _block(
    work: Work,
    designs: Designs,
    first: int,
    technology: Technology,
    economics: Economics,
    caps: Array,
    ways: Any,
) -> tuple[Array, int]:
    """Front of a block of designs, counted from `first`: rows (tokens/USD, tokens/J, design, cap, way); how many were tried."""
    scorer = Scorer(Question(technology, [work], [1.0], economics))
    hardware, costs = scorer.hardware(designs, int(designs.nvlink_domain[0]))
    n, c, w = len(designs), len(caps), _size(ways)
    design, cap, way = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(c), np.arange(w), indexing="ij"))
    limit = caps[cap] * costs.full_power_w[design]
    fast = costs.possible[design]
    tokens, power = np.zeros(design.size), np.ones(design.size)
    for a in range(0, design.size, _ROWS):
        rows = slice(a, a + _ROWS)
        tokens[rows], power[rows] = _evaluate(work, hardware, design[rows], ways.take(way[rows]), limit[rows])
    rack_w = limit + costs.host_w[design] + costs.fabric_w[design]
    usd = costs.rack_usd[design] * economics.capital_per_s + rack_w * economics.watt_usd_per_s
    usd = usd + power * economics.joule_usd
    good = np.flatnonzero(fast & (tokens > 0))
    table = (tokens[good] / usd[good], tokens[good] / power[good], design[good] + first, caps[cap[good]], way[good])
    return _thin(np.stack(table, axis=1)), design.size


def _evaluate(work: Work, hardware: Any, design: NDArray[np.int64], ways: Any, limit: Array) -> tuple[Array, Array]:
    grid = rows_of(hardware, design)
    if isinstance(work, TrainingWork):
        job = work.job(hardware, int(hardware.nvlink_domain))
        result = evaluate(work.transformer, grid, job, ways, power_cap_w=limit, ranked=False)
        return np.where(result.feasible, result.tokens_per_s_per_gpu, 0.0), result.system_power_w
    engine = Engine.of(
        work.transformer, grid, precision=serving_precisions(grid, work.precision)[0], software=work.software
    )
    served = run(engine, work.phase_traffic, ways, limit)
    rate = np.where(served.meets_targets, served.requests_per_s_per_gpu, 0.0) * work.tokens_per_request
    return rate, np.asarray(served.system_power_w)


def _thin(table: Array) -> Array:
    """Rows that no other beats in the first two columns, most of the first one first."""
    table = table[np.lexsort((-table[:, 1], -table[:, 0]))]
    best = np.maximum.accumulate(table[:, 1]) if len(table) else table[:, 1]
    keep = np.ones(len(table), dtype=bool)
    keep[1:] = table[1:, 1] > best[:-1]
    return table[keep]
