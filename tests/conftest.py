"""Hypothesis explores anew on a developer's machine; CI repeats the same examples."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

_LONG = (
    "test_the_shipped_parameters_are_what_calibrate_finds",
    "test_specialised_designs",
    "test_the_loop_designs_again",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: not item.name.startswith(_LONG))
