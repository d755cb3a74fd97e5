"""Queues agree with the textbook."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigaforge.operations.queueing import (
    delay_probability,
    erlang_c,
    fifo_starts,
    mean_wait_s,
    spares_needed,
    wait_exceeds,
)


def reference(arrival, service, free):
    heap, out = list(free), []
    heapq.heapify(heap)
    for at, length in zip(arrival, service, strict=True):
        begin = max(at, heapq.heappop(heap))
        out.append(begin)
        heapq.heappush(heap, begin + length)
    return out, sorted(heap)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), min_size=1, max_size=40),
    st.lists(st.floats(-5, 20), min_size=1, max_size=6),
)
def test_first_come_first_served_is_exact_on_both_paths(jobs, free):
    arrival = np.sort(np.array([a for a, _ in jobs]))
    service = np.array([s for _, s in jobs])
    start, left = fifo_starts(arrival, service, free)
    expected, servers = reference(arrival, service, free)
    assert np.allclose(start, expected)
    assert np.allclose(np.maximum(left, arrival[-1]), np.maximum(servers, arrival[-1]))


@pytest.mark.parametrize(
    ("servers", "load", "expected"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (5, 4.0, 0.5541), (10, 8.0, 0.4092)]
)
def test_erlang_c_matches_published_tables(servers, load, expected):
    assert erlang_c(servers, load) == pytest.approx(expected, abs=5e-5)


def test_repair_crew_waits_as_an_mmc_queue(rng):
    servers, service, n = 6, 3600.0, 400_000
    rate = 0.85 * servers / service
    arrival = np.cumsum(rng.exponential(1 / rate, n))
    start, _ = fifo_starts(arrival, rng.exponential(service, n), [0.0] * servers)
    assert (start - arrival).mean() == pytest.approx(mean_wait_s(servers, rate, service), rel=0.05)
    assert (start > arrival).mean() == pytest.approx(erlang_c(servers, rate * service), rel=0.03)


def test_an_overloaded_queue_waits_forever():
    assert mean_wait_s(2, 1.0, 3.0) == math.inf
    assert erlang_c(2, 3.0) == 1.0


def test_many_server_law_approaches_erlang_c():
    for servers, use in ((400, 0.95), (2000, 0.98), (10000, 0.99)):
        assert delay_probability(np.array([servers]), np.array([use]))[0] == pytest.approx(
            erlang_c(servers, servers * use), rel=0.06
        )
    assert (
        wait_exceeds(np.array([100.0]), np.array([0.9]), 8.0, 0.0)[0]
        > wait_exceeds(np.array([100.0]), np.array([0.9]), 8.0, 2.0)[0]
    )


def test_spares_cover_the_poisson_tail():
    assert spares_needed(0.0, 0.999) == 0
    assert spares_needed(1.158, 0.999) == 6  # Delta: an error every 1.9 h, 2.2 h each, units alone
