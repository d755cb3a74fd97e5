"""People's units at the edges: what is read, what is printed, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigaforge.units import DIMENSIONS, format_at_most, format_quantity, parse_quantity, power_unit


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("10 GW", "power", 10e9),
        ("190 kW", "power", 190e3),
        ("$100B", "money", 100e9),
        ("100 billion USD", "money", 100e9),
        ("$7.8M", "money", 7.8e6),
        ("288 GB", "data", 288e9),
        ("1 GiB", "data", 2.0**30),
        ("22 TB/s", "bandwidth", 22e12),
        ("400 Gbit/s", "bandwidth", 50e9),
        ("3.6 PFLOP/s", "flop_rate", 3.6e15),
        ("2 TFLOPS", "flop_rate", 2e12),
        ("30 ms", "duration", 0.03),
        ("18 months", "duration", 18 * 365.25 * 86400 / 12),
        ("$60/MWh", "energy_price", 60 / 3.6e9),
        ("$130/kW-month", "money_per_power_time", 130 / 1e3 / (365.25 * 86400 / 12)),
        ("$12.5M/MW", "money_per_power", 12.5),
        ("$2.65/GPU-hour", "money_per_time", 2.65 / 3600),
        ("$10/Mtoken", "money_per_token", 1e-5),
        ("15T tokens", "tokens", 15e12),
        ("18 billion messages", "count", 18e9),
        ("700M", "count", 700e6),
        (1.66, "count", 1.66),
        ("56.3 %", "fraction", 0.563),
        (0.85, "fraction", 0.85),
    ],
)
def test_reads(text: object, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "says"),
    [
        ("10", "power", "has no unit; expected power, for example '10 GW'"),
        (10, "power", "has no unit"),
        ("10 gw", "power", "did you mean 'GW'"),
        ("10 GB", "power", "is data; expected power"),
        ("$5", "power", "is money"),
        ("ten GW", "power", "not a number with a unit"),
        ("3 pflop/s", "flop_rate", "did you mean 'PFLOP/s'"),
        (True, "count", "not a quantity"),
        (None, "power", "not a quantity"),
        ([1], "power", "not a quantity"),
        (float("nan"), "count", "not a finite number"),
        ("1e400 W", "power", "not a finite number"),
        ("", "power", "not a number"),
    ],
)
def test_refuses_with_a_reason(text: object, dimension: str, says: str) -> None:
    with pytest.raises(ValueError, match="expected") as problem:
        parse_quantity(text, dimension)
    assert says in str(problem.value)


@given(st.floats(1e-3, 1e17), st.sampled_from(["power", "data", "bandwidth", "flop_rate", "money", "energy"]))
def test_what_is_printed_reads_back(value: float, dimension: str) -> None:
    text = format_quantity(value, dimension, digits=6)
    assert parse_quantity(text, dimension) == pytest.approx(
        value, rel=1e-4, abs=5e-7 if dimension != "money" else 1e-2
    )


@given(st.text(max_size=40), st.sampled_from(sorted(DIMENSIONS)))
def test_any_text_is_a_finite_number_or_a_clear_error(text: str, dimension: str) -> None:
    try:
        assert math.isfinite(parse_quantity(text, dimension))
    except ValueError as problem:
        assert "expected" in str(problem)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [(10e9, "power", "10 GW"), (100e9, "money", "$100B"), (-2.5e9, "money", "-$2.5B"), (0.0, "power", "0 W"),
     (0.951, "fraction", "95.1 %"), (999.9e6, "power", "1 GW"), (0.03, "duration", "30 ms"), (15e12, "tokens", "15T tokens")],
)  # fmt: skip
def test_prints(value: float, dimension: str, text: str) -> None:
    assert format_quantity(value, dimension) == text


@pytest.mark.parametrize(
    ("top", "name", "cells"),
    [(10e9, "GW", {7.998e9: "7.99", 10e9: "10.00", 3e6: "<0.01", 0.0: "–"}),
     (1e9, "GW", {1e9: "1.00"}),
     (300e6, "MW", {201.98e6: "201", 300e6: "300", 0.4e6: "<1", 0.0: "–"}),
     (60e6, "MW", {33.68e6: "33.6", 2e4: "<0.1"}),
     (500e3, "kW", {190e3: "190"})],
)  # fmt: skip
def test_a_table_gives_power_in_one_unit_and_never_more_than_there_is(
    top: float, name: str, cells: dict[float, str]
) -> None:
    unit = power_unit(top)
    assert unit.name == name
    assert {w: unit.text(w) for w in cells} == cells


@given(st.floats(1e3, 1e11))
def test_a_figure_and_a_sentence_say_the_same_power(watts: float) -> None:
    for unit in (power_unit(10e9), power_unit(1e8)):
        assert parse_quantity(format_at_most(watts, "power"), "power") == pytest.approx(unit.down(watts) * unit.watts)
        assert unit.down(watts) * unit.watts <= watts * (1 + 1e-8)
