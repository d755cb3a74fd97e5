"""What an evaluation or a search gives back: struct of arrays over configurations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from gigaforge.perf.inference.traffic import Traffic

__all__ = ["ServingConfigurations", "ServingResults"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ServingConfigurations:
    """How the accelerators are used; every field an array, shape (configurations,).

    Attributes
    ----------
    accelerators, attention_data_parallel, expert_parallel, pipeline_parallel
        Of one replica (of one decode worker when disaggregated).
    batch
        Requests in flight on one replica.
    prefill_accelerators, prefill_attention_data_parallel, prefill_expert_parallel
        Of one prefill worker; zero accelerators: aggregated.
    prefill_share
        Prefill workers per decode worker; times `replicas` a whole number in what a search returns. [unitless]
    replicas
        Replicas (decode workers) that the deployment has; requests spread evenly over them.

    """

    accelerators: Floats
    attention_data_parallel: Floats
    expert_parallel: Floats
    pipeline_parallel: Floats
    batch: Floats
    prefill_accelerators: Floats
    prefill_attention_data_parallel: Floats
    prefill_expert_parallel: Floats
    prefill_share: Floats
    replicas: Floats

    @classmethod
    def aggregated(
        cls,
        accelerators: Any,
        batch: Any,
        attention_data_parallel: Any = 1.0,
        expert_parallel: Any = 1.0,
        pipeline_parallel: Any = 1.0,
        replicas: Any = 1.0,
    ) -> Self:
        """Replicas that prefill and decode in turn."""
        size, ranks, expert, stages, requests, copies = np.broadcast_arrays(
            *(
                np.atleast_1d(np.asarray(x, dtype=np.float64))
                for x in (accelerators, attention_data_parallel, expert_parallel, pipeline_parallel, batch, replicas)
            )
        )
        zero = np.zeros(size.shape)
        return cls(size, ranks, expert, stages, requests, zero, zero + 1.0, zero + 1.0, zero, copies)

    @property
    def disaggregated(self) -> NDArray[np.bool_]:
        """Whether prefill has a pool of its own."""
        return np.asarray(self.prefill_accelerators > 0)

    @property
    def total_accelerators(self) -> Floats:
        """Accelerators in use: all replicas with their share of the prefill pool."""
        return np.asarray(self.replicas * (self.accelerators + self.prefill_share * self.prefill_accelerators))

    def take(self, index: Any) -> Self:
        """Rows (NumPy indexing)."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.accelerators)


@dataclass(frozen=True)
class ServingResults:
    """Performance of every configuration; arrays of shape (configurations,).

    Attributes
    ----------
    configurations : ServingConfigurations
        What was evaluated.
    feasible : array of bool
        Weights and the batch's cache fit.
    meets_targets : array of bool
        Feasible and within the traffic's TTFT and TPOT targets.
    ttft_s, ttft_p99_s, tpot_s, tpot_p99_s
        Latency, mean and 99th percentile; TPOT zero where an answer is one token: there is none. [s]
    tokens_per_s_per_gpu, tokens_per_s_per_user
        Output tokens, over all accelerators in use (prefill pool included); 1/TPOT (of an answer of one token, 1/TTFT). [token/s]
    requests_per_s_per_gpu
        [1/s]
    memory_bytes, weights_bytes, kv_bytes
        Per accelerator of a replica (decode worker). [byte]
    power_w, system_power_w
        Per accelerator, mean over those in use; and its share of the whole system's IT power. [W]
    joules_per_token
        IT energy per output token. [J]
    evaluated : int
        Complete evaluations behind this result.
    wall_s : float
        Time of the search alone. [s]
    low, high : dict of metric to float
        Factors of the 80 % interval, by ``"tpot"``, ``"ttft"``, ``"throughput"``.
    accelerators : int
        Of the whole system that a search filled; 0 where every row is as large as it needs to be.

    """

    configurations: ServingConfigurations
    feasible: NDArray[np.bool_]
    meets_targets: NDArray[np.bool_]
    ttft_s: Floats
    ttft_p99_s: Floats
    tpot_s: Floats
    tpot_p99_s: Floats
    tokens_per_s_per_gpu: Floats
    tokens_per_s_per_user: Floats
    requests_per_s_per_gpu: Floats
    memory_bytes: Floats
    weights_bytes: Floats
    kv_bytes: Floats
    power_w: Floats
    system_power_w: Floats
    joules_per_token: Floats
    evaluated: int = 0
    wall_s: float = 0.0
    low: dict[str, float] | None = None
    high: dict[str, float] | None = None
    accelerators: int = 0

    def __len__(self) -> int:
        return len(self.configurations)

    def take(self, index: Any) -> Self:
        """Rows (NumPy indexing)."""
        values: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            values[f.name] = (
                value.take(index)
                if isinstance(value, ServingConfigurations)
                else value[index]
                if isinstance(value, np.ndarray)
                else value
            )
        return type(self)(**values)

    def pareto(self) -> Self:
        """Feasible rows that no other beats in both tokens/s per GPU and tokens/s per user, fastest user first."""
        order = np.lexsort((-self.tokens_per_s_per_gpu, -self.tokens_per_s_per_user))
        order = order[self.feasible[order]]
        best = np.maximum.accumulate(self.tokens_per_s_per_gpu[order]) if len(order) else order
        first = np.ones(len(order), dtype=bool)
        first[1:] = self.tokens_per_s_per_gpu[order][1:] > best[:-1]
        return self.take(order[first])

    def best(self) -> Self:
        """The row with most tokens/s per GPU among those that meet the targets (none: empty); of equals the fastest to users.

        Rates are solved for to a few millionths, so rows closer than a hundred-thousandth are equal.
        """
        rows = np.flatnonzero(self.meets_targets)
        if not len(rows):
            return self.take(rows)
        most = self.tokens_per_s_per_gpu[rows]
        rows = rows[most >= (1.0 - 1e-5) * most.max()]
        return self.take(rows[[int(np.argmax(self.tokens_per_s_per_user[rows]))]])

    def whole(self) -> list[dict[str, float]]:
        """What each deployment does in all: "what does a full rack do?"

        Returns
        -------
        list of dict
            ``accelerators, tokens_per_s, tokens_per_s_low, tokens_per_s_high, requests_per_s, it_power_w,
            tokens_per_s_per_mw``; output tokens, the 80 % interval, IT power. [1/s], [W]

        """
        size = self.accelerators or self.configurations.total_accelerators
        low, high = ((bounds or {}).get("throughput", 1.0) for bounds in (self.low, self.high))
        tokens, watts = self.tokens_per_s_per_gpu * size, self.system_power_w * size
        columns = {
            "accelerators": np.broadcast_to(size, tokens.shape),
            "tokens_per_s": tokens,
            "tokens_per_s_low": tokens * low,
            "tokens_per_s_high": tokens * high,
            "requests_per_s": self.requests_per_s_per_gpu * size,
            "it_power_w": watts,
            "tokens_per_s_per_mw": tokens / watts * 1e6,
        }
        return [{k: float(v[i]) for k, v in columns.items()} for i in range(len(self))]

    def closest(self, traffic: Traffic) -> Self:
        """The row that misses the traffic's targets by least (none at all: empty)."""
        late = traffic.percentile == "mean"
        ttft, tpot = (self.ttft_s, self.tpot_s) if late else (self.ttft_p99_s, self.tpot_p99_s)
        over = np.maximum(ttft / (traffic.ttft_s or np.inf), tpot / (traffic.tpot_s or np.inf))
        return self.take([int(np.argmin(over))] if len(over) else [])

    def to_pandas(self) -> pd.DataFrame:
        """One row per configuration."""
        import pandas as pd  # noqa: PLC0415 (slow to import)

        config = {f.name: getattr(self.configurations, f.name) for f in fields(self.configurations)}
        mine = {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}
        return pd.DataFrame({**config, **mine})
