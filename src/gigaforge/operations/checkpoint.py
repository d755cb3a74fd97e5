"""When to save: the exact renewal form for exponential failures, and the interval that is best under it.

A job that works ``interval`` seconds, saves for ``blocking`` seconds, and falls back to its last snapshot at each
failure of a Poisson process with rate ``rate``, spends on average ``(exp(rate (interval + blocking)) - 1) / rate``
seconds of running time per snapshot kept [1]_. Recoveries that any new failure restarts make the share of time in
which the job runs at all ``exp(-rate * stall)`` (an M/G/infinity queue is empty that often, whatever the
distribution of the stalls). Their product is the goodput, without approximation.

References
----------
.. [1] J. T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, Future Generation
   Computer Systems 22 (2006) 303, eq. 13; J. W. Young, CACM 17 (1974) 530 for the first-order optimum.

"""

from __future__ import annotations

import math

from scipy.special import lambertw

__all__ = ["best_interval_s", "kept_share", "renewal_goodput", "running_share", "young_interval_s"]


def running_share(rate: float, stall_s: float) -> float:
    """Share of time in which no recovery is under way: ``exp(-rate * stall)`` [fraction]."""
    return math.exp(-rate * stall_s)


def kept_share(rate: float, interval_s: float, blocking_s: float, durable_after_s: float = 0.0) -> float:
    """Share of running time whose work is kept [fraction].

    Parameters
    ----------
    rate : float
        Failures that roll the job back [1/s].
    interval_s, blocking_s : float
        Work between snapshots, and how long each stops the job [s].
    durable_after_s : float
        Time until a snapshot can be read back: a failure before it falls to the one before [s].

    """
    cycle = interval_s + blocking_s
    if rate * cycle < 1e-12:
        return interval_s / cycle
    if rate * cycle > 700.0:
        return 0.0
    return rate * interval_s * math.exp(-rate * durable_after_s) / math.expm1(rate * cycle)


def renewal_goodput(rate: float, interval_s: float, blocking_s: float, stall_s: float) -> float:
    """Exact goodput of a synchronous job under Poisson failures [fraction]."""
    return running_share(rate, stall_s) * kept_share(rate, interval_s, blocking_s)


def young_interval_s(rate: float, blocking_s: float) -> float:
    """First-order optimum ``sqrt(2 blocking / rate)`` [s]."""
    return math.sqrt(2.0 * blocking_s / rate)


def best_interval_s(rate: float, blocking_s: float, shortest_s: float = 1.0, longest_s: float = 86400.0) -> float:
    """Interval that maximises `kept_share`, exactly [s].

    Setting the derivative to zero gives ``rate * interval = 1 + W(-exp(-rate * blocking - 1))`` with the principal
    branch of the Lambert function.
    """
    if rate <= 0.0:
        return longest_s
    if rate * blocking_s < 1e-8:  # the Lambert function loses its digits at its branch point; this is its limit
        interval = young_interval_s(rate, blocking_s)
    else:
        interval = (1.0 + float(lambertw(-math.exp(-rate * blocking_s - 1.0)).real)) / rate
    return min(max(interval, shortest_s), longest_s)
