"""One interface, whoever does the work."""

import math

import pytest

from gigaforge.errors import InputError
from gigaforge.executor import default_workers, map_ordered, open_executor


def test_order_is_kept_and_workers_change_nothing():
    items = [(float(i),) for i in range(20)]
    answers = []
    for workers in (1, 2):
        with open_executor(workers) as executor:
            answers.append(list(map_ordered(math.sqrt, items, executor)))
    assert answers[0] == answers[1] == [math.sqrt(i) for i in range(20)]


def test_failures_reach_the_caller():
    with open_executor(1) as executor, pytest.raises(ValueError, match=r"math domain|nonnegative|positive"):
        list(map_ordered(math.sqrt, [(1.0,), (-1.0,)], executor))


def test_wrong_requests_are_explained():
    with pytest.raises(InputError, match="at least 1"), open_executor(0):
        pass
    with pytest.raises(InputError, match=r"dask\.distributed"), open_executor(scheduler="tcp://localhost:1"):
        pass
    assert default_workers() >= 1
