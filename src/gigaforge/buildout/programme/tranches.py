"""Tranches inside the programme: released when their terms are met, never one before the one ahead of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.programme.builder import GW, USD, Builder, lagged
from gigaforge.buildout.programme.terms import delivered_so_far
from gigaforge.buildout.programme.training import wait_for_run

__all__ = ["state_tranches"]


def state_tranches(b: Builder) -> Any:
    """Add tranches to the programme; returns released money to date by quarter, None where there are none.

    Equal tranches that wait for power and dates alone are one whole number per quarter, which the solver closes several
    times faster than a yes or no for each; others take a yes or no for each.
    """
    p, investment = b.p, b.p.scenario.investment
    if not p.tranche_count or investment is None:
        return None
    counted = lagged(b.deployed, investment.acceptance_lag)
    simple = not investment.schedule and all(c.not_before is not None for c in investment.conditions)
    return _counted(b, counted) if simple else _each(b, counted)


def _counted(b: Builder, counted: Any) -> Any:
    p = b.p
    upper = np.full(len(p.quarters), float(p.tranche_count))
    for condition in p.scenario.investment.conditions if p.scenario.investment else []:
        if condition.not_before is not None:
            upper[: max(condition.not_before - p.quarters[0], 0)] = np.minimum(
                upper[: max(condition.not_before - p.quarters[0], 0)], condition.tranche - 1
            )
    tranches = b.variable("tranches", "quarter", integer=True, upper=b.data(upper, "quarter"))
    b.rule("", "tranches stay", tranches >= lagged(tranches, 1))
    b.rule("investment.per", "release", tranches * (p.tranche_w / GW) <= counted)
    _stop(b, tranches)
    return tranches * (p.tranche_usd / USD)


def _stop(b: Builder, released: Any, label: str = "") -> None:
    """Nothing is released after the long stop."""
    stop = b.p.scenario.investment.long_stop if b.p.scenario.investment else None
    if stop is None or stop >= b.p.quarters[-1]:
        return
    last = max(stop - b.p.quarters[0], 0)
    for t in range(last + 1, len(b.p.quarters)):
        b.rule(
            "", f"long stop {label}{t}", released.isel(quarter=t, drop=True) <= released.isel(quarter=last, drop=True)
        )


def _each(b: Builder, counted: Any) -> Any:
    """A yes or no for each tranche and quarter."""
    p, investment = b.p, b.p.scenario.investment
    assert investment is not None
    names = range(1, p.tranche_count + 1)
    b.extend("tranche", list(names))
    tranche = b.variable("tranche", "tranche", "quarter", integer=True, upper=1.0)
    b.rule("", "tranches stay", tranche >= lagged(tranche, 1))
    for n in names:
        mine, threshold = tranche.sel(tranche=n, drop=True), float(p.tranche_thresholds_w[n - 1]) / GW
        b.rule("investment.schedule", f"release {n}", mine * threshold <= counted)
        if n > 1:
            b.rule("", f"tranche order {n}", mine <= tranche.sel(tranche=n - 1, drop=True))
        _stop(b, mine, f"{n} ")
        for index, condition in enumerate(investment.conditions):
            if condition.tranche <= n:
                _wait(b, mine, condition, f"{index} {n}")
    amounts = b.data(p.tranche_amounts_usd / USD, "tranche")
    return (tranche * amounts).sum("tranche")


def _wait(b: Builder, mine: Any, condition: Any, label: str) -> None:
    """One condition on one tranche."""
    p = b.p
    if condition.not_before is not None:
        for t in range(min(max(condition.not_before - p.quarters[0], 0), len(p.quarters))):
            b.rule("investment.conditions", f"not before {label} {t}", mine.isel(quarter=t, drop=True) <= 0)
    elif condition.purchases is not None:
        b.rule(
            "investment.conditions",
            f"purchases {label}",
            mine * (condition.purchases / USD) <= delivered_so_far(b),
        )
    elif condition.run is not None:
        wait_for_run(b, mine, condition.run, label)
