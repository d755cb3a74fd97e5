"""Hostile files and requests end in one clear error; benchmarks/ledger_hostile.py sends ten thousand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gigaforge.errors import InputError
from gigaforge.ledger import Ledger
from tests.ledger import attacks


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "err.csv"
    path.write_text("rack,why\nA-001,unknown\n")
    with pytest.raises(InputError, match=r"err\.csv: is not a ledger, or a damaged one: file is not a database"):
        Ledger.open(str(path))


@pytest.mark.parametrize("kind", sorted(attacks.ATTACKS))
def test_whatever_is_sent_ends_in_a_clear_error_or_is_right(kind: str, tmp_path: Path) -> None:
    with attacks.ATTACKS[kind](tmp_path) as attack:
        rng = random.Random(11)
        outcomes = [attack(rng) for _ in range(60)]
    assert "error" in outcomes
