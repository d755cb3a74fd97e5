"""Step functions over time are exact, whatever the intervals."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gigaforge.operations.intervals import above, bin_integrals, bin_mean, count_at, integral_to, union

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), min_size=1, max_size=12)


def arrays(pairs):
    start = np.array([float(a) for a, _ in pairs])
    return start, start + np.array([float(b) for _, b in pairs])


@given(spans, st.integers(0, 3))
def test_above_is_where_more_than_the_limit_are_open(pairs, limit):
    start, end = arrays(pairs)
    begin, finish = above(start, end, limit)
    at = np.arange(0.0, 60.0, 0.25) + 0.1
    level = ((start[:, None] <= at) & (at < end[:, None])).sum(axis=0)
    inside = ((begin[:, None] <= at) & (at < finish[:, None])).any(axis=0)
    assert np.array_equal(level > limit, inside)
    assert np.all(begin[1:] > finish[:-1])


@given(spans)
def test_bins_add_up_to_the_covered_time(pairs):
    start, end = arrays(pairs)
    edges = np.linspace(0.0, 60.0, 13)
    weight = np.arange(1.0, start.size + 1)
    brute = [
        (weight * np.clip(np.minimum(end, b) - np.maximum(start, a), 0, None)).sum()
        for a, b in itertools.pairwise(edges)
    ]
    assert np.allclose(bin_integrals(edges, start, end, weight), brute, atol=1e-9)
    assert np.isclose((bin_mean(edges, start, end) * 5.0).sum(), (end - start).sum())


@given(spans)
def test_union_covers_each_instant_once(pairs):
    start, end = arrays(pairs)
    begin, finish = union(start, end)
    assert np.isclose(integral_to(np.array([99.0]), begin, finish)[0], (finish - begin).sum())
    assert (finish - begin).sum() <= (end - start).sum() + 1e-9


def test_count_at_counts_those_open_just_before():
    start, end = np.array([1.0, 2.0, 5.0]), np.array([4.0, 6.0, 7.0])
    assert count_at(np.array([0.5, 1.0, 2.5, 4.0, 5.5, 9.0]), start, end).tolist() == [0, 0, 2, 2, 2, 0]


def test_no_intervals_cover_nothing():
    none = np.empty(0)
    assert above(none, none, 0)[0].size == 0
    assert bin_integrals(np.linspace(0, 1, 5), none, none).tolist() == [0.0] * 4
