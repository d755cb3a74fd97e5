"""Every valid strategy of a job, in chunks: degrees that fit the machine and the model, times policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import isqrt
from typing import Any, Final, Self

import numpy as np

from gigaforge.errors import NoAnswerError
from gigaforge.perf.training.exchange import CONTEXT_MODES
from gigaforge.perf.training.job import SHARDING, TrainingJob, TrainingStrategies
from gigaforge.perf.training.step import stage_blocks
from gigaforge.perf.transformer import Transformer

__all__ = ["Grid", "SearchSpace", "grids", "pipelines"]

_LARGEST_MICRO_BATCH: Final = 64


@dataclass(frozen=True)
class SearchSpace:
    """Which values each axis may take; empty means every valid one.

    `recompute_shares` are the shares of blocks that full recompute may cover; the others index `RECOMPUTE`, `SHARDING`,
    `SCHEDULES` and `CONTEXT_MODES`. `sharding_group` are the ranks that share states (0: the whole data-parallel group).
    """

    tensor_parallel: tuple[int, ...] = ()
    pipeline_parallel: tuple[int, ...] = ()
    virtual_pipeline: tuple[int, ...] = ()
    context_parallel: tuple[int, ...] = ()
    expert_parallel: tuple[int, ...] = ()
    expert_tensor_parallel: tuple[int, ...] = ()
    data_parallel: tuple[int, ...] = ()
    micro_batch: tuple[int, ...] = ()
    sequence_parallel: tuple[int, ...] = (0, 1)
    recompute: tuple[int, ...] = (0, 1, 2)
    recompute_shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    sharding: tuple[int, ...] = (0, 1, 2, 3)
    schedule: tuple[int, ...] = (0, 1, 2, 3)
    vocab_parallel: tuple[int, ...] = (0, 1)
    context_mode: tuple[int, ...] = (0, 1, 2)
    sharding_group: tuple[int, ...] = (0,)

    @classmethod
    def usual(cls, **axes: Any) -> Self:
        """What production software does first: 1F1B and interleaved pipelines, vocabulary on the end stages, rings."""
        return cls(**{"schedule": (0,), "vocab_parallel": (0,), "context_mode": (0,), **axes})


@dataclass(frozen=True)
class Grid:
    """A block of strategies: rows of degrees (n, 1) times columns of policies (1, k), which broadcast."""

    strategies: TrainingStrategies
    rows: int
    columns: int

    def row(self, index: Any) -> TrainingStrategies:
        """Strategies at flat indices into (rows, columns)."""
        full = {
            k: np.broadcast_to(v, (self.rows, self.columns)).reshape(-1)[index]
            for k, v in self.strategies.columns().items()
        }
        return TrainingStrategies(**full)


@lru_cache(maxsize=4096)  # of few numbers, asked for by every combination of degrees
def _divisors(n: int) -> tuple[int, ...]:
    small = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return tuple(sorted({*small, *(n // d for d in small)}))


def _allowed(values: Sequence[int], allowed: tuple[int, ...]) -> list[int]:
    return [v for v in values if not allowed or v in allowed]


def _tensor_degrees(t: Transformer, job: TrainingJob, space: SearchSpace) -> list[int]:
    heads, kv = int(t.heads), int(t.kv_heads)
    fits = [d for d in _divisors(job.accelerators) if heads % d == 0 and (kv % d == 0 or d % kv == 0)]
    return _allowed(fits, space.tensor_parallel)


def pipelines(t: Transformer, space: SearchSpace, within: int) -> list[tuple[int, int]]:
    """Stages and chunks per stage into which the blocks divide (embedding and head may count as blocks)."""
    layers = int(t.layers)
    return [
        (pp, vpp)
        for pp in _allowed([p for p in _divisors(within) if p <= layers], space.pipeline_parallel)
        for vpp in _allowed(list(range(1, layers // pp + 1)) if pp > 1 else [1], space.virtual_pipeline or ())
        if _divides(layers, pp, vpp)
    ]


@lru_cache(maxsize=65536)
def _divides(layers: int, pp: int, vpp: int) -> bool:
    """Whether the blocks divide into so many stages and chunks."""
    first, middle, last = (float(x) for x in stage_blocks(layers, pp, vpp))
    whole = first + last + middle * (pp - 2) if pp > 1 else last
    return whole == layers and (vpp == 1 or layers % (pp * vpp) == 0 or (layers + 2) % (pp * vpp) == 0)


def _experts(t: Transformer, space: SearchSpace, ranks: int, tp: int) -> list[tuple[int, int]]:
    if not int(t.experts):
        fits = not space.expert_parallel or 1 in space.expert_parallel
        return [(1, 1)] if fits else []
    pairs = [
        (ep, etp)
        for etp in sorted({1, tp})
        for ep in _divisors(int(t.experts))
        if (ranks * tp) % (ep * etp) == 0 and int(t.expert_d_ff) % etp == 0
    ]
    return [
        (ep, etp)
        for ep, etp in pairs
        if (not space.expert_parallel or ep in space.expert_parallel)
        and (not space.expert_tensor_parallel or etp in space.expert_tensor_parallel)
    ]


def _context_modes(t: Transformer, space: SearchSpace, tp: int, cp: int) -> list[int]:
    """Ways to share keys and values; Ulysses needs heads for every rank. Without context parallelism there is one."""
    whole = int(t.heads) % (tp * cp) == 0
    return [m for m in space.context_mode if whole or CONTEXT_MODES[m] != "ulysses"] if cp > 1 else [0]


def _degrees(t: Transformer, job: TrainingJob, space: SearchSpace) -> Iterator[tuple[int, ...]]:
    """Rows (tp, pp, vpp, cp, ep, etp, dp, micro-batch, sequence-parallel, context mode)."""
    for tp in _tensor_degrees(t, job, space):
        for pp, vpp in pipelines(t, space, job.accelerators // tp):
            rest = job.accelerators // (tp * pp)
            for cp in _allowed([c for c in _divisors(rest) if job.seq_len % (2 * c) == 0], space.context_parallel):
                dp = rest // cp
                if job.global_batch % dp or (space.data_parallel and dp not in space.data_parallel):
                    continue
                each = job.global_batch // dp
                micros = [b for b in _divisors(each) if b <= _LARGEST_MICRO_BATCH]
                if vpp > 1:
                    micros = [b for b in micros if (each // b) % pp == 0]
                for b, (ep, etp), sp, mode in product(
                    _allowed(micros, space.micro_batch),
                    _experts(t, space, dp * cp, tp),
                    [v for v in space.sequence_parallel if v == 0 or tp > 1],
                    _context_modes(t, space, tp, cp),
                ):
                    yield tp, pp, vpp, cp, ep, etp, dp, b, sp, mode


def _policies(space: SearchSpace, pipelined: bool, interleaved: bool, replicas: bool) -> np.ndarray[Any, Any]:
    """Columns (recompute, share, sharding, schedule, vocab-parallel, sharding group) that make sense together."""
    again = [(k, s) for k in space.recompute for s in (space.recompute_shares if k == 2 else (1.0,))]
    sharding = [z for z in space.sharding if (replicas or z == 0) and not (pipelined and z >= 2)]
    if not replicas and not sharding:
        sharding = [0]
    schedules = [s for s in space.schedule if s == 0 or (pipelined and not interleaved)] or [0]
    vocabs = [v for v in space.vocab_parallel if v == 0 or pipelined] or [0]
    groups = [(z, g) for z in sharding for g in (space.sharding_group if z and replicas else (0,))]
    return np.array([(*a, z, s, v, g) for a, (z, g), s, v in product(again, groups, schedules, vocabs)], dtype=float)


def grids(t: Transformer, job: TrainingJob, space: SearchSpace, chunk: int = 16384) -> Iterator[Grid]:
    """All valid strategies of a job, at most about `chunk` at a time.

    Raises
    ------
    NoAnswerError
        There is none; the message says which rule of divisibility is in the way.

    """
    rows = np.array(list(_degrees(t, job, space)), dtype=np.int64)
    if not rows.size:
        raise NoAnswerError(
            f"no layout of {job.accelerators} accelerators fits {t.name} with a global batch of {job.global_batch}",
            _reasons(t, job, space),
        )
    pipelined, interleaved, replicas = rows[:, 1] > 1, rows[:, 2] > 1, (rows[:, 6] * rows[:, 3] * rows[:, 0]) > 1
    some = False
    for a, b, c in product((False, True), repeat=3):
        part = rows[(pipelined == a) & (interleaved == b) & (replicas == c)]
        if not len(part):
            continue
        policy = _policies(space, a, b, c)
        if not len(policy):
            continue
        some = True
        step = max(chunk // len(policy), 1)
        for start in range(0, len(part), step):
            block = part[start : start + step]
            column = [block[:, i : i + 1] for i in range(10)]
            yield Grid(
                TrainingStrategies(
                    tensor_parallel=column[0],
                    pipeline_parallel=column[1],
                    virtual_pipeline=column[2],
                    context_parallel=column[3],
                    expert_parallel=column[4],
                    expert_tensor_parallel=column[5],
                    data_parallel=column[6],
                    micro_batch=column[7],
                    sequence_parallel=column[8],
                    recompute=policy[None, :, 0].astype(np.int64),
                    recompute_share=policy[None, :, 1],
                    sharding=policy[None, :, 2].astype(np.int64),
                    sharding_group=policy[None, :, 5].astype(np.int64),
                    schedule=policy[None, :, 3].astype(np.int64),
                    vocab_parallel=policy[None, :, 4].astype(np.int64),
                    context_mode=column[9],
                ),
                rows=len(block),
                columns=len(policy),
            )
    if not some:
        words = ", ".join(SHARDING[z] for z in space.sharding)
        raise NoAnswerError(
            f"no layout of {job.accelerators} accelerators goes with sharding {words}",
            [
                "gradients and weights are sharded only without pipeline parallelism, and over more than one accelerator"
            ],
        )


def _reasons(t: Transformer, job: TrainingJob, space: SearchSpace) -> list[str]:
    """Which given degrees stand in the way, one at a time."""
    out = [
        f"{name.replace('_', ' ')} {', '.join(map(str, getattr(space, name)))}: without it there are layouts"
        for name in (
            "tensor_parallel", "pipeline_parallel", "virtual_pipeline", "context_parallel", "expert_parallel",
            "data_parallel", "micro_batch",
        )
        if getattr(space, name) and next(_degrees(t, job, replace(space, **{name: ()})), None) is not None
    ]  # fmt: skip
    facts = (
        f"{t.name} has {int(t.layers)} layers, {int(t.heads)} heads, {int(t.kv_heads)} key-value heads"
        + (f", {int(t.experts)} experts" if int(t.experts) else "")
        + f"; the degrees must divide them, multiply to {job.accelerators} and leave {job.global_batch} sequences "
        "divisible among the replicas"
    )
    return [*out, facts]
