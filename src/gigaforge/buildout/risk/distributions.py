"""Shapes of what may happen: quantile functions, with a support that is checked before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from gigaforge.buildout.problem import Array
from gigaforge.errors import InputError
from gigaforge.scenario.uncertainty import Uncertain

__all__ = ["Distribution", "distribution"]

_Z90 = 1.2815515655446004  # normal quantile at 90 %


@dataclass(frozen=True)
class Distribution:
    """A quantile function and what a planner expects before knowing better.

    Attributes
    ----------
    quantile : callable
        Probabilities [fraction] to values, elementwise.
    median : float
        The value at one half.

    """

    quantile: Callable[[Array], Array]

    @property
    def median(self) -> float:
        """What planners count on until they know better."""
        return float(self.quantile(np.array([0.5]))[0])


def distribution(v: Uncertain, *, interval: tuple[float, float] | None = None, where: str = "risk") -> Distribution:
    """The distribution that a variable states.

    Parameters
    ----------
    v : Uncertain
        Shape and parameters.
    interval : (low, high)
        80 % interval of the performance model, for the shape "calibration" [factors].
    where : str
        File, for messages.

    Raises
    ------
    InputError
        A parameter missing or not of this shape, or no support: nothing could be drawn.

    """
    made = _SHAPES[v.shape](v, where, interval)
    low, high = made.quantile(np.array([1e-3, 1 - 1e-3]))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise _wrong(v, where, "has no finite values")
    if low < -1e-9:
        raise _wrong(v, where, f"reaches {low:.3g}; factors and delays start at 0: give low: 0 or a narrower shape")
    return Distribution(lambda u: np.maximum(made.quantile(np.clip(u, 1e-12, 1 - 1e-12)), 0.0))


def _wrong(v: Uncertain, where: str, problem: str) -> InputError:
    unit = " (in quarters)" if v.what.endswith(".delay") else ""
    return InputError(
        f"{v.what}: {'an' if v.shape == 'empirical' else 'a'} {v.shape} distribution {problem}{unit}",
        f"{where}: risk.variables",
    )


def _given(v: Uncertain, where: str, *names: str) -> list[float]:
    allowed = {*names, "what", "shape", "pattern", "known", "common", "because"}
    strange = sorted(v.model_fields_set - allowed)
    if strange:
        raise _wrong(v, where, f"takes {', '.join(names)}; {strange[0]!r} is not one of them")
    out = []
    for name in names:
        value = getattr(v, name)
        if value is None:
            raise _wrong(v, where, f"needs {', '.join(names)}; {name!r} is missing")
        out.append(float(value))
    return out


def _normal(v: Uncertain, where: str, _: object) -> Distribution:
    bounds = [n for n in ("low", "high") if getattr(v, n) is not None]
    mean, sd, *_rest = _given(v, where, "mean", "sd", *bounds)
    if sd <= 0:
        raise _wrong(v, where, f"has no support with sd {sd:g}; above 0 is expected")
    low, high = (-math.inf if v.low is None else v.low), (math.inf if v.high is None else v.high)
    if low >= high:
        raise _wrong(v, where, f"has no support: low {low:g} is not below high {high:g}")
    a, b = special.ndtr((low - mean) / sd), special.ndtr((high - mean) / sd)
    if b - a < 1e-9:
        raise _wrong(v, where, f"has no support between low {low:g} and high {high:g}, around {mean:g} ± {sd:g}")
    return Distribution(lambda u: np.asarray(mean + sd * special.ndtri(a + u * (b - a))))


def _lognormal(v: Uncertain, where: str, _: object) -> Distribution:
    median, p90 = _given(v, where, "median", "p90")
    if not 0 < median < p90:
        raise _wrong(v, where, f"has no support with median {median:g} and p90 {p90:g}; 0 < median < p90 is expected")
    return _between(median, math.log(p90 / median) / _Z90)


def _between(median: float, sigma: float) -> Distribution:
    return Distribution(lambda u: np.asarray(median * np.exp(sigma * special.ndtri(u))))


def _calibration(v: Uncertain, where: str, interval: object) -> Distribution:
    """The performance model's own 80 % interval, log-normal around one."""
    _given(v, where)
    if not isinstance(interval, tuple):
        raise _wrong(v, where, "is of performance alone (performance, performance.serving, ...)")
    low, high = interval
    if not 0 < low < high:
        raise _wrong(v, where, "needs operating points with an interval; these have none")
    return _between(math.sqrt(low * high), math.log(high / low) / (2 * _Z90))


def _triangular(v: Uncertain, where: str, _: object) -> Distribution:
    low, mode, high = _given(v, where, "low", "mode", "high")
    if not (low < high and low <= mode <= high):
        raise _wrong(v, where, f"has no support with low {low:g}, mode {mode:g}, high {high:g}")
    shape = stats.triang((mode - low) / (high - low), loc=low, scale=high - low)
    return Distribution(lambda u: np.asarray(shape.ppf(u)))


def _uniform(v: Uncertain, where: str, _: object) -> Distribution:
    low, high = _given(v, where, "low", "high")
    if low >= high:
        raise _wrong(v, where, f"has no support: low {low:g} is not below high {high:g}")
    return Distribution(lambda u: low + (high - low) * u)


def _discrete(v: Uncertain, where: str, _: object) -> Distribution:
    values, weights = np.array(v.values), np.array(v.weights or [1.0] * len(v.values))
    if not len(values):
        raise _wrong(v, where, "has no support: values is empty")
    if len(weights) != len(values) or (weights < 0).any() or weights.sum() <= 0:
        raise _wrong(v, where, f"needs one weight for each of its {len(values)} values, none below 0 and one above")
    order = np.argsort(values)
    ends = np.cumsum(weights[order]) / weights.sum()
    return Distribution(lambda u: values[order][np.minimum(np.searchsorted(ends, u), len(values) - 1)])


def _empirical(v: Uncertain, where: str, _: object) -> Distribution:
    """Quantiles of what was observed, straight lines between."""
    if len(set(v.values)) < 2:
        raise _wrong(v, where, "has no support: at least two different values are needed")
    values = np.sort(np.array(v.values))
    return Distribution(lambda u: np.interp(u, (np.arange(len(values)) + 0.5) / len(values), values))


_SHAPES: dict[str, Callable[[Uncertain, str, tuple[float, float] | None], Distribution]] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "triangular": _triangular,
    "uniform": _uniform,
    "discrete": _discrete,
    "empirical": _empirical,
    "calibration": _calibration,
}
