"""Queues: first come first served with several servers, exact on given arrivals, and the closed forms beside it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, pdtr, pdtrik

from gigaforge.operations.intervals import Array

__all__ = ["delay_probability", "erlang_c", "fifo_starts", "mean_wait_s", "spares_needed", "wait_exceeds"]


def fifo_starts(arrival: Array, service: Array, free: Sequence[float]) -> tuple[Array, list[float]]:
    """When each customer's service starts, first come first served.

    Parameters
    ----------
    arrival : (customer,) array
        Sorted [s].
    service : (customer,) array
        [s]
    free : sequence of float
        When each server becomes free [s]; its length is the number of servers.

    Returns
    -------
    start : (customer,) array
        [s]
    free : list of float
        When each server is free after the last customer.

    """
    if arrival.size == 0:
        return arrival.copy(), list(free)
    ends = arrival + service
    busy = np.sort(np.concatenate((ends, np.asarray(free))))
    left = np.searchsorted(busy, arrival, side="left")  # a tie counts as busy: the slow path settles it
    if np.all(np.arange(arrival.size) + len(free) - left < len(free)):
        # Nobody ever waits: as many servers as are needed are free at each arrival.
        return arrival.copy(), list(busy[-len(free) :])
    heap = list(free)
    heapq.heapify(heap)
    start = np.empty(arrival.size)
    replace = heapq.heapreplace
    for i, (at, length) in enumerate(zip(arrival.tolist(), service.tolist(), strict=True)):
        first = heap[0]
        begin = max(first, at)
        start[i] = begin
        replace(heap, begin + length)
    return start, sorted(heap)


def erlang_c(servers: int, load: float) -> float:
    """Probability that a customer of an M/M/c queue waits [1]_.

    Parameters
    ----------
    servers : int
        At least 1.
    load : float
        Arrival rate times mean service time [servers].

    References
    ----------
    .. [1] A. K. Erlang (1917); the recursion through Erlang B as in R. B. Cooper, Introduction to Queueing Theory,
       2nd edition, 1981, eq. 3.4 and 4.8.

    """
    if load >= servers:
        return 1.0
    blocking = 1.0
    for k in range(1, servers + 1):
        blocking = load * blocking / (k + load * blocking)
    return blocking / (1.0 - load / servers * (1.0 - blocking))


def mean_wait_s(servers: int, arrival_rate: float, service_s: float) -> float:
    """Mean wait in an M/M/c queue [s]; infinite when the load is not below the servers."""
    load = arrival_rate * service_s
    if load >= servers:
        return math.inf
    return erlang_c(servers, load) * service_s / (servers - load)


def delay_probability(servers: Array, utilisation: Array) -> Array:
    """Probability of waiting with many servers, vectorised: the square-root law of Halfin and Whitt [1]_.

    Parameters
    ----------
    servers : array
        [count]
    utilisation : array
        [fraction] of the servers busy; 1 and more gives 1.

    References
    ----------
    .. [1] S. Halfin, W. Whitt, Heavy-traffic limits for queues with many exponential servers, Operations Research
       29 (1981) 567, eq. 2.3.

    """
    slack = np.clip(np.clip(1.0 - utilisation, 0.0, None) * np.sqrt(np.maximum(servers, 1e-9)), 0.0, 37.0)
    density = np.exp(-0.5 * slack**2) / math.sqrt(2.0 * math.pi)
    return np.asarray(1.0 / (1.0 + slack * ndtr(slack) / density))


def wait_exceeds(servers: Array, utilisation: Array, service_s: Array | float, patience_s: Array | float) -> Array:
    """Probability that a wait is longer than the patience; M/M/c with many servers [fraction]."""
    drain = np.clip(1.0 - utilisation, 0.0, None) * servers * (patience_s / service_s)
    return delay_probability(servers, utilisation) * np.exp(-np.minimum(drain, 700.0))


def spares_needed(mean_down: float, availability: float) -> int:
    """Smallest number of spares that covers the units down at once, with this probability.

    Units fail independently and return after any distribution of time, so the number down is Poisson (the
    M/G/infinity queue) with mean failure rate times mean time down.
    """
    if mean_down <= 1e-9 or pdtr(0, mean_down) >= availability:
        return 0
    # Between whole numbers, so near one it may be one too many.
    spares: int = math.ceil(pdtrik(availability, mean_down))
    return spares - int(pdtr(spares - 1, mean_down) >= availability)
