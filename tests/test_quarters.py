"""Quarters count, order and print like a calendar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigaforge.quarters import Quarter, quarter_range


@given(st.integers(1900, 2200), st.integers(1, 4), st.integers(-40, 40))
def test_counting(year: int, number: int, steps: int) -> None:
    quarter = Quarter.parse(f"{year}-Q{number}")
    assert Quarter.parse(str(quarter)) == quarter
    assert (quarter + steps) - quarter == steps
    assert (quarter + 4).year == year + 1
    assert quarter.end == (quarter + 1).start


@pytest.mark.parametrize("text", ["2026", "2026-Q5", "Q3 2026", 2026, None, "2026-Q", ""])
def test_refuses_other_texts(text: object) -> None:
    with pytest.raises(ValueError, match="2026-Q3"):
        Quarter.parse(text)


def test_range_includes_both_ends() -> None:
    quarters = quarter_range(Quarter.parse("2026-Q3"), Quarter.parse("2027-Q1"))
    assert [str(q) for q in quarters] == ["2026-Q3", "2026-Q4", "2027-Q1"]
