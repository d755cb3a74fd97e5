"""When each tranche of the investment is due, by its terms, and the same terms inside the programme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme_runs import wait_for_run
from gigaforge.buildout.programme_terms import delivered_so_far

if TYPE_CHECKING:
    from gigaforge.buildout.programme import Builder

__all__ = ["counted_w", "due_tranches", "state_tranches"]


def counted_w(p: Problem, deployed_w: Array) -> Array:
    """Power that counts for tranches: deployed, or accepted some quarters after [W]. Shape (T,)."""
    investment = p.scenario.investment
    lag = investment.acceptance_lag if investment else 0
    return np.concatenate([np.zeros(min(lag, len(deployed_w))), deployed_w[: max(len(deployed_w) - lag, 0)]])


def _earliest(p: Problem, delivered_usd: Array, run_end: dict[str, int | None]) -> NDArray[np.int_]:
    """First quarter that each tranche's conditions allow; the number of quarters where none does. Shape (N,)."""
    investment, count = p.scenario.investment, len(p.quarters)
    out = np.zeros(p.tranche_count, dtype=int)
    for condition in investment.conditions if investment else []:
        first = 0
        if condition.not_before is not None:
            first = max(condition.not_before - p.quarters[0], 0)
        elif condition.purchases is not None:
            enough = np.flatnonzero(delivered_usd >= condition.purchases * (1 - 1e-9))
            first = int(enough[0]) if len(enough) else count
        elif condition.run is not None:
            end = run_end.get(condition.run)
            first = count if end is None else end
        out[condition.tranche - 1 :] = np.maximum(out[condition.tranche - 1 :], first)
    return out


def due_tranches(
    p: Problem, deployed_w: Array, delivered_usd: Array, run_end: dict[str, int | None]
) -> NDArray[np.int_]:
    """Tranches released by the end of each quarter: power reached, conditions met, before the long stop. Shape (T,).

    Parameters
    ----------
    p : Problem
        Thresholds and terms.
    deployed_w : (T,) array
        Power on the commitment's basis [W].
    delivered_usd : (T,) array
        Value of systems delivered so far [USD].
    run_end : dict
        Training run to the quarter in which it ends, at the earliest that it is due.

    """
    count, investment = len(p.quarters), p.scenario.investment
    out = np.zeros(count, dtype=int)
    if not p.tranche_count or investment is None:
        return out
    counted, earliest = counted_w(p, deployed_w), _earliest(p, delivered_usd, run_end)
    stop = count if investment.long_stop is None else investment.long_stop - p.quarters[0] + 1
    released = 0  # a tranche never overtakes the one before it
    for number, threshold in enumerate(p.tranche_thresholds_w):
        reached = np.flatnonzero(counted >= threshold * (1 - 1e-9))
        if not len(reached):
            break
        released = max(released, int(reached[0]), int(earliest[number]))
        if released >= min(stop, count):
            break
        out[released:] = number + 1
    return out


def state_tranches(b: Builder) -> Any:
    """Add tranches to the programme; returns released money to date by quarter, None where there are none.

    Equal tranches that wait for power and dates alone are one whole number per quarter, which the solver closes several
    times faster than a yes or no for each; others take a yes or no for each.
    """
    p, investment = b.p, b.p.scenario.investment
    if not p.tranche_count or investment is None:
        return None
    counted = b.lag(b.deployed, investment.acceptance_lag)
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
    b.tranches = b.variable("tranches", "quarter", integer=True, upper=b.data(upper, "quarter"))
    b.rule("", "tranches stay", b.tranches >= b.lag(b.tranches, 1))
    b.rule("investment.per", "release", b.tranches * (p.tranche_w / b.GW) <= counted)
    _stop(b, b.tranches)
    return b.tranches * (p.tranche_usd / b.USD)


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
    b.tranche = b.variable("tranche", "tranche", "quarter", integer=True, upper=1.0)
    b.rule("", "tranches stay", b.tranche >= b.lag(b.tranche, 1))
    for n in names:
        mine, threshold = b.tranche.sel(tranche=n, drop=True), float(p.tranche_thresholds_w[n - 1]) / b.GW
        b.rule("investment.schedule", f"release {n}", mine * threshold <= counted)
        if n > 1:
            b.rule("", f"tranche order {n}", mine <= b.tranche.sel(tranche=n - 1, drop=True))
        _stop(b, mine, f"{n} ")
        for index, condition in enumerate(investment.conditions):
            if condition.tranche <= n:
                _wait(b, mine, condition, f"{index} {n}")
    amounts = b.data(p.tranche_amounts_usd / b.USD, "tranche")
    return (b.tranche * amounts).sum("tranche")


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
            mine * (condition.purchases / b.USD) <= delivered_so_far(b),
        )
    elif condition.run is not None:
        wait_for_run(b, mine, condition.run, label)
