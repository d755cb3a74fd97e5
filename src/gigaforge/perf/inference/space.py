"""Layouts that one replica can have, and the batches that it is tried at."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.transformer import Transformer

__all__ = ["BATCHES", "Space", "layouts", "with_batches"]

BATCHES: Final = np.unique(np.round(2.0 ** np.arange(0.0, 12.01, 0.5)))
"""Requests per attention rank: 1 to 4,096 in steps of √2."""


class Space(NamedTuple):
    """Replica layouts, one row each."""

    accelerators: Any
    attention_data_parallel: Any
    expert_parallel: Any
    pipeline_parallel: Any

    def take(self, index: Any) -> Space:
        """Rows (NumPy indexing)."""
        return Space(*(x[index] for x in self))


def layouts(transformer: Transformer, hardware: Hardware, accelerators: int, *, pipeline: bool = True) -> Space:
    """All valid layouts of one replica on at most so many accelerators.

    Tensor parallelism divides the attention heads and stays inside the NVLink domain; attention data parallelism and
    expert parallelism are for mixtures of experts, and these go beyond a domain in whole domains; so do pipeline stages.
    """
    heads, experts = int(np.asarray(transformer.heads)), int(np.asarray(transformer.experts))
    domain = min(int(hardware.nvlink_domain), accelerators)
    sizes = sorted({s for s in range(1, domain + 1) if domain % s == 0} | {2**i for i in range(12) if 2**i <= domain})
    if experts:
        # Wide expert parallelism across domains: whole domains, attention inside each.
        sizes += [domain * 2**i for i in range(1, 8) if domain * 2**i <= min(accelerators, experts)]
    rows: list[tuple[float, ...]] = []
    for size in sizes:
        for data in _divisors(size) if experts else [1]:
            tensor = size // data
            if heads % tensor or tensor > domain:
                continue
            for expert in _divisors(size) if experts else [1]:
                if expert > 1 and (expert > experts or (data > 1 and expert < data)):
                    continue
                stages = [p for p in (1, 2, 4, 8, 16) if p == 1 or (pipeline and size * p <= accelerators)]
                rows.extend((float(size * p), float(data), float(expert), float(p)) for p in stages)
    table = np.array(rows, dtype=np.float64)
    return Space(*(table[:, i] for i in range(4)))


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def with_batches(space: Space, total: float, concurrency: float | None = None) -> ServingConfigurations:
    """Every layout at every batch, in as many replicas as there is room for; or at the batch that a concurrency puts on each."""
    replicas = np.maximum(np.floor(total / space.accelerators), 1.0)
    if concurrency is not None:
        # No more replicas than requests: the others would idle.
        replicas = np.minimum(replicas, np.maximum(np.floor(concurrency), 1.0))
        return ServingConfigurations.aggregated(
            space.accelerators,
            np.maximum(concurrency / replicas, 1.0),
            space.attention_data_parallel,
            space.expert_parallel,
            space.pipeline_parallel,
            replicas,
        )
    each = [np.repeat(x, len(BATCHES)) for x in (*space, replicas)]
    batch = np.tile(BATCHES, len(replicas)) * each[1] * each[3]
    return ServingConfigurations.aggregated(each[0], batch, *each[1:])
