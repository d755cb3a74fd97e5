"""The same strategies on a grid of hardware: every combination of some figures, each searched in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training.job import TrainingJob
from gigaforge.perf.training.parameters import TrainingParameters
from gigaforge.perf.training.search import TrainingResults, search
from gigaforge.perf.training.space import SearchSpace
from gigaforge.perf.transformer import Transformer

__all__ = ["HardwarePoint", "search_hardware"]


@dataclass(frozen=True)
class HardwarePoint:
    """One machine of the grid, the figures that make it, and its best strategies."""

    figures: Mapping[str, float]
    hardware: Hardware
    results: TrainingResults


def search_hardware(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    axes: Mapping[str, Sequence[float]],
    *,
    space: SearchSpace | None = None,
    keep: int = 1,
    parameters: TrainingParameters | None = None,
) -> Iterator[HardwarePoint]:
    """Search every combination of hardware figures, one after the other: memory does not grow with the grid.

    Parameters
    ----------
    transformer, hardware, job, space, keep, parameters
        As of `search`; `hardware` gives the figures that no axis varies.
    axes : mapping of str to sequence of float
        Values, in SI, of any numeric attribute of `Hardware`; ``"flop_s"`` scales every peak by a factor.

    Raises
    ------
    InputError
        An axis is no figure of `Hardware`, or a value is not above zero.

    """
    known = {f.name for f in fields(Hardware)} - {"name", "chip", "generation", "peak_flop_s", "accelerators"}
    for name, values in axes.items():
        if name != "flop_s" and name not in known:
            raise InputError(f"{name!r} is none of flop_s, {', '.join(sorted(known))}", "axes")
        if not values or not all(v > 0 for v in values):
            raise InputError(f"{list(values)} must be above zero, and at least one", f"axes {name}")
    return _points(transformer, hardware, job, axes, space, keep, parameters)


def _points(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    axes: Mapping[str, Sequence[float]],
    space: SearchSpace | None,
    keep: int,
    parameters: TrainingParameters | None,
) -> Iterator[HardwarePoint]:
    for combination in product(*axes.values()):
        figures = dict(zip(axes, combination, strict=True))
        changed: dict[str, Any] = {k: v for k, v in figures.items() if k != "flop_s"}
        factor = figures.get("flop_s", 1.0)
        peaks = {k: v * factor for k, v in hardware.peak_flop_s.items()}
        machine = replace(hardware, peak_flop_s=peaks, **changed)
        found = search(transformer, machine, job, space=space, keep=keep, parameters=parameters)
        yield HardwarePoint(figures, machine, found)
