"""A study that stands for a plan, in a module that its own process reads at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["slow_study"]


def slow_study(request: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Tells of its stages, then changes one number."""
    for done in (0.3, 0.6, 0.9):
        report({"stage": f"solving {done:.0%}", "share": done})
        time.sleep(0.4)
    return {"headline": "Half as much", "tiles": [["Deployed", "5 GW", "not 10"]], "deployed_w": {"2027-Q1": 5e6, "2027-Q2": 6e6},
            "commitment_w": 1e7, "settings": request["settings"], "warnings": [], "sentences": ["Milam is not built."],
            "headlines": [{"figure": "npv_usd", "first": 2e9, "second": 1e9, "change": -1e9}]}  # fmt: skip
