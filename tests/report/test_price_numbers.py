"""What co-design's prices say in words and numbers."""

from __future__ import annotations

import pytest

from gigaforge.report.codesign_sections import chase_words, price_numbers
from gigaforge.report.view import PlanView


def test_prices_have_their_quarters_and_units_and_no_empty_column() -> None:
    prices = {
        "power": {"abilene": [2e6, 0.0], "elsewhere": [0.0, 0.0]},
        "supply": {"vera-rubin": [0.0, 3e6]},
        "demand": {"chat": [4e-6, 5e-6]},
        "cash": [0.0, 0.0],
    }
    frame = price_numbers(PlanView({"quarters": ["2028-Q4", "2029-Q1"], "shadow_prices": prices}, {}))
    assert list(frame.index) == ["2028-Q4", "2029-Q1"]
    assert frame.index.name == "Quarter"
    assert list(frame.columns) == ["A MW at Abilene, $M", "A rack of Vera Rubin, $M", "A million tokens of Chat, $"]
    assert frame.to_numpy().ravel().tolist() == pytest.approx([2.0, 0.0, 4.0, 0.0, 3.0, 5.0])


def test_a_quarter_of_dear_power_and_high_caps_says_why() -> None:
    row = {
        "quarter": "2029-Q2",
        "chases": "tokens per joule",
        "dearer": 6.0,
        "power": 0.5,
        "energy": 0.1,
        "bill": 0.2,
    }
    why = "Racks still hold 95 % of their nameplate then"
    assert why in chase_words([{**row, "held": 0.95, "held_for_joules": 0.95}])
    assert why not in chase_words([{**row, "held": 0.95, "held_for_joules": 0.75}]), (
        "a lower cap gives more per joule"
    )
    assert "Racks still hold" not in chase_words([{**row, "held": 0.8, "held_for_joules": 0.8}])
