"""When each tranche of the investment is due, by its terms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem

__all__ = ["counted_w", "due_tranches"]


def counted_w(p: Problem, deployed_w: Array) -> Array:
    """Power that counts for tranches: deployed, or accepted some quarters after [W]. Shape (T,)."""
    investment = p.scenario.investment
    lag = investment.acceptance_lag if investment else 0
    return np.concatenate([np.zeros(min(lag, len(deployed_w))), deployed_w[: max(len(deployed_w) - lag, 0)]])


def _earliest(p: Problem, delivered_usd: Array, run_end: dict[str, int | None]) -> NDArray[np.int_]:
    """First quarter that each tranche's conditions allow; the number of quarters where none does. Shape (N,)."""
    investment, count = p.scenario.investment, len(p.quarters)
    out = np.zeros(p.tranche_count, dtype=int)
    for condition in investment.conditions if investment else []:
        first = 0
        if condition.not_before is not None:
            first = max(condition.not_before - p.quarters[0], 0)
        elif condition.purchases is not None:
            enough = np.flatnonzero(delivered_usd >= condition.purchases * (1 - 1e-9))
            first = int(enough[0]) if len(enough) else count
        elif condition.run is not None:
            end = run_end.get(condition.run)
            first = count if end is None else end
        out[condition.tranche - 1 :] = np.maximum(out[condition.tranche - 1 :], first)
    return out


def due_tranches(
    p: Problem, deployed_w: Array, delivered_usd: Array, run_end: dict[str, int | None]
) -> NDArray[np.int_]:
    """Tranches released by the end of each quarter: power reached, conditions met, before the long stop. Shape (T,).

    Parameters
    ----------
    p : Problem
        Thresholds and terms.
    deployed_w : (T,) array
        Power on the commitment's basis [W].
    delivered_usd : (T,) array
        Value of systems delivered so far [USD].
    run_end : dict
        Training run to the quarter in which it ends, at the earliest that it is due.

    """
    count, investment = len(p.quarters), p.scenario.investment
    out = np.zeros(count, dtype=int)
    if not p.tranche_count or investment is None:
        return out
    counted, earliest = counted_w(p, deployed_w), _earliest(p, delivered_usd, run_end)
    stop = count if investment.long_stop is None else investment.long_stop - p.quarters[0] + 1
    released = 0  # a tranche never overtakes the one before it
    for number, threshold in enumerate(p.tranche_thresholds_w):
        reached = np.flatnonzero(counted >= threshold * (1 - 1e-9))
        if not len(reached):
            break
        released = max(released, int(reached[0]), int(earliest[number]))
        if released >= min(stop, count):
            break
        out[released:] = number + 1
    return out
