"""Hostile files and requests end in one clear error; benchmarks/ledger_hostile.py sends ten thousand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.ledger import attacks


@pytest.mark.parametrize("kind", sorted(attacks.ATTACKS))
def test_whatever_is_sent_ends_in_a_clear_error_or_is_right(kind: str, tmp_path: Path) -> None:
    with attacks.ATTACKS[kind](tmp_path) as attack:
        rng = random.Random(11)
        outcomes = [attack(rng) for _ in range(60)]
    assert "error" in outcomes
