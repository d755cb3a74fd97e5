"""How demand moves: hour by hour over a week, and minute by minute around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.operations.intervals import Array
from gigaforge.operations.noise import remembered

__all__ = ["SHAPES", "DemandShape", "demand_factor", "weekly_shape"]

SHAPES: Final = ("conversation", "coding", "flat")
_WEEK_H: Final = 168


@dataclass(frozen=True, slots=True)
class DemandShape:
    """How a serving workload's demand varies around its mean.

    Attributes
    ----------
    weekly : str
        One of `SHAPES`: the Azure LLM inference trace of May 2024 by hour (conversation, coding), or flat.
    spread_h : float
        Users live in several time zones: the week's shape is averaged over so many hours. [h]
    noise, noise_s : float
        Standard deviation and memory of the variation around it (lognormal, first-order). [ln], [s]
    bursts_per_day, burst_size, burst_s : float
        News and outages elsewhere: how often, how much on top, how long it takes to fade. [1/day], [fraction], [s]

    """

    weekly: str = "conversation"
    spread_h: float = 6.0
    noise: float = 0.03
    noise_s: float = 1800.0
    bursts_per_day: float = 0.1
    burst_size: float = 0.25
    burst_s: float = 1800.0


@cache
def weekly_shape(kind: str) -> Array:
    """Demand by hour of the week from Monday 00:00, mean 1, shape (168,).

    References
    ----------
    .. [1] Azure LLM inference trace 2024 (DynamoLLM, HPCA 2025), hourly counts digitised from the notebook plots;
       https://github.com/Azure/AzurePublicDataset/blob/master/AzureLLMInferenceDataset2024.md

    """
    if kind not in SHAPES:
        raise InputError(f"{kind!r} is not a weekly shape; known: {', '.join(SHAPES)}", "demand.shape")
    if kind == "flat":
        return np.ones(_WEEK_H)
    table = np.loadtxt(Path(__file__).parent / "data" / "weekly_traffic.csv", delimiter=",", skiprows=1)
    values = table[:, 1 + SHAPES.index(kind)]
    return np.asarray(values / values.mean())


def _smooth(shape: Array, hours: float) -> Array:
    """Average over the time zones of the users: a circular window of so many hours."""
    if hours <= 0.0:
        return shape
    fine = np.repeat(shape, 4)
    half = max(round(hours * 2), 1)
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    wrapped = np.concatenate((fine[-half:], fine, fine[:half]))
    return np.asarray(np.convolve(wrapped, kernel, mode="valid").reshape(-1, 4).mean(axis=1))


def demand_factor(rng: np.random.Generator, shape: DemandShape, start_s: float, bins: int, step_s: float) -> Array:
    """Demand over its mean for each bin of a window.

    Parameters
    ----------
    rng : Generator
        For noise and bursts.
    shape : DemandShape
        Week, noise, bursts.
    start_s : float
        Start of the window since a Monday 00:00 UTC [s].
    bins, step_s : int, float
        Grid.

    Returns
    -------
    (bin,) array
        Mean about 1; exactly what the window draws, not renormalised.

    """
    hour = (start_s + (np.arange(bins) + 0.5) * step_s) / 3600.0
    week = _smooth(weekly_shape(shape.weekly), shape.spread_h)
    grid = np.arange(_WEEK_H + 1) + 0.0
    level = np.interp((hour - 0.5) % _WEEK_H, grid, np.append(week, week[0]))
    return np.asarray(level * _noise(rng, shape, bins, step_s) * _bursts(rng, shape, bins, step_s))


def _noise(rng: np.random.Generator, shape: DemandShape, bins: int, step_s: float) -> Array:
    if shape.noise <= 0.0:
        return np.ones(bins)
    memory = float(np.exp(-step_s / shape.noise_s))
    kicks = rng.standard_normal(bins) * shape.noise * np.sqrt(1.0 - memory**2)
    kicks[0] = rng.standard_normal() * shape.noise
    return np.asarray(np.exp(remembered(kicks, memory) - 0.5 * shape.noise**2))


def _bursts(rng: np.random.Generator, shape: DemandShape, bins: int, step_s: float) -> Array:
    count = rng.poisson(shape.bursts_per_day * bins * step_s / 86400.0)
    kicks = np.zeros(bins)
    np.add.at(kicks, rng.integers(0, bins, count), rng.exponential(shape.burst_size, count))
    memory = float(np.exp(-step_s / shape.burst_s))
    return np.asarray(1.0 + remembered(kicks, memory))
