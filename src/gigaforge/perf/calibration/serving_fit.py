"""Least squares for the serving quantities: a base and factors by group, shrunk towards their priors.

Every quantity is a product, so its logarithm is linear in the parameters and one perturbation per *quantity* (two dozen
model runs) gives the whole Jacobian by the chain rule, whatever the number of groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.perf.inference.effects import QUANTITIES, Effects
from gigaforge.perf.validation.serving_cases import Cases, metric_of
from gigaforge.perf.validation.serving_rows import Condition, Rows

__all__ = ["SCALE", "Fit", "fit"]

Floats = NDArray[np.float64]
SCALE: Final = {"tpot_ms": 0.10, "ttft_ms": 0.12, "output_tok_s": 0.07, "tok_s_per_gpu": 0.07, "total_tok_s": 0.07,
                "tok_s_per_user": 0.10}  # fmt: skip
"""Error of a logarithm beyond which a row counts less than its square."""
SPREAD: Final = {"software": 0.12, "generation": 0.10, "precision": 0.10, "model": 0.05}
"""Prior spread of a factor's logarithm, times the quantity's own relative to 0.3 (0.3 to 3.4)."""
_ITERATIONS: Final = 10
_DAMPING: Final = 0.7
_PERTURBATION: Final = 0.02


class _Column(NamedTuple):
    """One parameter: the base of a quantity (kind "") or the factor of one group."""

    quantity: str
    kind: str
    level: str
    spread: float


@dataclass(frozen=True)
class Fit:
    """Fitted parameters: the table that `Effects.of` reads, and the standard error of each logarithm."""

    quantities: dict[str, dict[str, Any]]
    errors: dict[str, float]
    rows: int
    iterations: int

    @property
    def parameters(self) -> dict[str, Any]:
        """In the shape of the shipped file."""
        return {"quantities": self.quantities}


def _columns(conditions: Sequence[Condition]) -> list[_Column]:
    out = []
    for name, quantity in QUANTITIES.items():
        out.append(_Column(name, "", "", quantity.spread))
        for kind in quantity.groups:
            spread = SPREAD[kind] * float(np.clip(quantity.spread / 0.3, 0.3, 3.4))
            levels = sorted({getattr(c.group, kind) for c in conditions})
            out.extend(_Column(name, kind, level, spread) for level in levels)
    return out


def _incidence(columns: Sequence[_Column], conditions: Sequence[Condition]) -> Floats:
    """1 where a parameter applies to a condition, shape (conditions, parameters)."""
    labels = {kind: np.array([getattr(c.group, kind) for c in conditions]) for kind in SPREAD}
    return np.stack(
        [np.ones(len(conditions)) if not c.kind else (labels[c.kind] == c.level).astype(float) for c in columns],
        axis=1,
    )


def _effects(theta: Floats, columns: Sequence[_Column], incidence: Floats) -> Effects:
    names = np.array([c.quantity for c in columns])
    values: dict[str, Any] = {}
    for name, quantity in QUANTITIES.items():
        mine = names == name
        values[name] = quantity.base * np.exp(incidence[:, mine] @ theta[mine])
    return Effects(**values)


def _robust(residual: Floats) -> tuple[Floats, Floats]:
    """Cauchy residual and its slope: a row far off counts by its logarithm only.

    Campaigns differ by levels that are not physical (a scheduler setting, a start-up phase): with squares or absolute values
    one such campaign would shift what all others share.
    """
    value = np.sign(residual) * np.sqrt(np.log1p(residual**2))
    slope = np.where(
        np.abs(residual) > 1e-6, residual / ((1.0 + residual**2) * np.where(value == 0, 1.0, value)), 1.0
    )
    return value, slope


def fit(
    cases: Cases,
    rows: Rows,
    which: Sequence[int] | NDArray[np.int64],
    *,
    iterations: int = _ITERATIONS,
    start: Fit | None = None,
) -> Fit:
    """Fit all parameters to some rows.

    Parameters
    ----------
    cases, rows
        The expanded rows.
    which : sequence of int
        Rows to fit to.
    iterations : int
        Gauss-Newton steps; each leaves about a third of the distance to the optimum.
    start : Fit, optional
        Where to start: near the optimum fewer steps are enough. Default the priors.

    """
    index = np.asarray(which)
    used = np.unique(rows.condition[index])
    columns = _columns([rows.conditions[i] for i in used])
    incidence = _incidence(columns, cases.conditions)
    prior = np.array([c.spread for c in columns])
    table = rows.table.iloc[index]
    measured = np.log(table["value"].to_numpy(dtype=float))
    scale = np.array([SCALE[m] for m in table["metric"]])
    owner = rows.condition[index]
    theta = _start(columns, start)
    local = _subset(cases, used)
    position = np.full(len(cases.conditions), -1)
    position[used] = np.arange(len(used))
    hessian = np.eye(len(columns))
    for _ in range(iterations):
        effects = _effects(theta, columns, incidence[used])
        near = _near_best(local, effects)
        base = _log_metric(near, rows, index, position, effects)
        ok = np.isfinite(base)
        residual = np.where(ok, (base - measured) / scale, 0.0)
        value, slope = _robust(residual)
        jacobian = np.zeros((len(index), len(columns)))
        for name in QUANTITIES:
            shifted = replace(effects, **{name: getattr(effects, name) * np.exp(_PERTURBATION)})
            change = (_log_metric(near, rows, index, position, shifted) - base) / _PERTURBATION / scale
            mine = [j for j, c in enumerate(columns) if c.quantity == name]
            jacobian[:, mine] = np.where(ok, slope * change, 0.0)[:, None] * incidence[owner][:, mine]
        hessian = jacobian.T @ jacobian + np.diag(1.0 / prior**2)
        step = np.linalg.solve(hessian, jacobian.T @ value + theta / prior**2)
        theta = theta - _DAMPING * np.clip(step, -0.6, 0.6)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    named = {f"{c.quantity}|{c.kind}|{c.level}": float(s) for c, s in zip(columns, errors, strict=True)}
    return Fit(_table(theta, columns), named, len(index), iterations)


def _start(columns: Sequence[_Column], known: Fit | None) -> Floats:
    """Logarithms of another fit's parameters, zero for those that it lacks."""
    if known is None:
        return np.zeros(len(columns))

    def value(c: _Column) -> float:
        entry = known.quantities[c.quantity]
        return (
            float(entry[c.kind].get(c.level, 1.0)) if c.kind else float(entry["base"]) / QUANTITIES[c.quantity].base
        )

    return np.array([np.log(value(c)) for c in columns])


def _subset(cases: Cases, used: NDArray[np.int64]) -> Cases:
    keep = np.isin(cases.condition, used)
    return cases.take(np.flatnonzero(keep))


def _near_best(cases: Cases, effects: Effects) -> Cases:
    """Only candidates with the layout that is best now: the gradient sees every batch of it."""
    score, _ = cases.run(effects)
    c = cases.configurations
    rank = np.searchsorted(np.unique(cases.condition), cases.condition)
    top = cases.chosen(score)
    same = np.ones(len(score), dtype=bool)
    for name in ("accelerators", "attention_data_parallel", "expert_parallel", "pipeline_parallel"):
        same &= getattr(c, name) == getattr(c, name)[top][rank]
    ratio = c.batch / c.batch[top][rank]
    same &= (ratio > 0.3) & (ratio < 3.4)
    return cases.take(np.flatnonzero(same))


def _log_metric(cases: Cases, rows: Rows, index: Any, position: NDArray[np.int64], effects: Effects) -> Floats:
    _, best = cases.run(effects)
    return np.log(metric_of(rows, index, best, position))


def _table(theta: Floats, columns: Sequence[_Column]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for value, c in zip(theta, columns, strict=True):
        entry = out.setdefault(c.quantity, {"base": 1.0})
        factor = float(np.exp(value))
        if not c.kind:
            entry["base"] = QUANTITIES[c.quantity].base * factor
        else:
            entry.setdefault(c.kind, {})[c.level] = factor
    return out


def rounded(quantities: Mapping[str, Any]) -> dict[str, Any]:
    """Four digits: more would pretend."""
    out: dict[str, Any] = {}
    for name, entry in quantities.items():
        out[name] = {
            k: (float(f"{v:.4g}") if not isinstance(v, dict) else {a: float(f"{b:.4g}") for a, b in v.items()})
            for k, v in entry.items()
        }
    return out
