"""Replay of a request log as demand: tokens by bin, and the engines that a fluid and the square-root law ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gigaforge.operations.intervals import Array
from gigaforge.operations.serving import engines_needed

__all__ = ["Engine", "RequestDemand", "replay_requests"]


@dataclass(frozen=True, slots=True)
class Engine:
    """One serving engine at its operating point.

    ``prefill_tokens_s``: prompt tokens it absorbs when nothing else runs [token/s]; ``token_s``: time of one decode
    step with a full batch [s]; ``slots``: requests in one batch.
    """

    prefill_tokens_s: float
    token_s: float
    slots: int

    def holding_s(self, input_tokens: float, output_tokens: float) -> float:
        """Mean time that a request holds its slot [s]: its tokens, and its share of prefills that stop the batch.

        Every output token of a request waits for the prefills of others admitted meanwhile; over a full batch each
        admission brings one prefill, so a request that holds a slot meets ``slots`` of them.
        """
        return output_tokens * self.token_s + self.slots * input_tokens / self.prefill_tokens_s

    def rate(self, input_tokens: float, output_tokens: float) -> float:
        """Requests completed when all slots are busy [1/s]."""
        return self.slots / self.holding_s(input_tokens, output_tokens)


@dataclass(frozen=True)
class RequestDemand:
    """A log by bin: start [s], requests [1/s], tokens [1/s], engines needed."""

    time_s: Array
    requests_per_s: Array
    tokens_per_s: Array
    engines: Array
    longest_gap_s: float

    def to_pandas(self) -> pd.DataFrame:
        """One row a bin."""
        return pd.DataFrame({
            "time_s": self.time_s, "requests_per_s": self.requests_per_s, "tokens_per_s": self.tokens_per_s, "engines": self.engines,
        })  # fmt: skip


def replay_requests(
    requests: pd.DataFrame, engine: Engine, *, bin_s: float = 300.0, patience_s: float = 1.0
) -> RequestDemand:
    """Bin a log and size the pool for it.

    Parameters
    ----------
    requests : DataFrame
        ``time_s, input_tokens, output_tokens``.
    engine : Engine
        What serves them.
    bin_s : float
        Width of a bin [s].
    patience_s : float
        Wait that still meets the target for 99 % of requests [s].

    """
    time = requests["time_s"].to_numpy()
    bins = max(1, int(np.ceil((time.max(initial=0.0) + 1e-9) / bin_s)))
    index = np.minimum((time / bin_s).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins) / bin_s
    tokens = np.bincount(index, weights=requests["output_tokens"].to_numpy(), minlength=bins) / bin_s
    mean_in, mean_out = float(requests["input_tokens"].mean()), float(requests["output_tokens"].mean())
    hold = engine.holding_s(mean_in, mean_out)
    rate = engine.rate(mean_in, mean_out)
    need = np.where(count > 0, engines_needed(np.maximum(count, 1e-9), rate, engine.slots, hold, patience_s), 0.0)
    gap = float(np.diff(time).max(initial=0.0))
    return RequestDemand(
        np.arange(bins, dtype=np.float64) * bin_s,
        np.asarray(count, dtype=np.float64),
        np.asarray(tokens, dtype=np.float64),
        np.asarray(need, dtype=np.float64),
        gap,
    )
