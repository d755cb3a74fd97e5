"""Whether a printed layout can hold its model at all, and the nearest reading of it that can."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.memory import Parts, memory
from gigaforge.perf.inference.rates import PrecisionPlan, Rates
from gigaforge.perf.inference.shapes import Layout, Shapes
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.serving_names import Unpredictable

__all__ = ["attention_ranks", "check_room"]


def attention_ranks(
    shape: Transformer, machine: Hardware, plan: PrecisionPlan, accelerators: float, ranks: float, stages: float
) -> float:
    """Attention ranks of a worker as printed, or one where so many copies of the attention weights leave no room.

    A run that was measured did fit. Tables of separate pools print the product of tensor and data parallelism as if all of
    it were data parallel; where that cannot hold the weights but tensor-parallel attention can, it was the latter.
    """
    if ranks <= 1.0 or _room(shape, machine, plan, accelerators, ranks, stages) > 0.0:
        return ranks
    return 1.0 if _room(shape, machine, plan, accelerators, 1.0, stages) > 0.0 else ranks


def check_room(
    shape: Transformer,
    machine: Hardware,
    plan: PrecisionPlan,
    layout: tuple[float, float, float, float, float] | None,
    accelerators: float,
) -> None:
    """Refuse a row whose weights its accelerators cannot hold.

    Parameters
    ----------
    shape, machine, plan
        Model, chip, precisions.
    layout : tuple or None
        Accelerators, attention ranks, expert parallel, stages and number of replicas; None where any layout may be meant.
    accelerators : float
        In all.

    Raises
    ------
    Unpredictable
        With the figures of both.

    """
    size, ranks, expert, stages = (accelerators, 1.0, 1.0, 1.0) if layout is None else layout[:4]
    shapes, parts, rates = _reduced(_Same(shape), _Same(machine), plan)
    if rates is None:
        return
    hbm = float(np.asarray(machine.hbm_bytes))
    held = float(
        np.asarray(memory(parts, shapes, rates, Layout(size, ranks, expert, stages), hbm, 1.0).weights_bytes)
    )
    if held >= hbm:
        raise Unpredictable(
            f"the weights do not fit: {held * size / 1e9:,.0f} GB in {plan.experts} on {size:g} x {hbm / 1e9:,.0f} GB"
        )


def _room(
    shape: Transformer, machine: Hardware, plan: PrecisionPlan, accelerators: float, ranks: float, stages: float
) -> float:
    """Cache room of one accelerator; negative where the weights do not fit. [byte]"""
    shapes, parts, rates = _reduced(_Same(shape), _Same(machine), plan)
    if rates is None:
        return 1.0
    layout = Layout(accelerators, ranks, accelerators, stages)
    return float(np.asarray(memory(parts, shapes, rates, layout, machine.hbm_bytes, 1.0).kv_capacity_bytes))


class _Same:
    """Hashes by identity what is not hashable."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


@lru_cache(maxsize=1024)
def _reduced(shape: _Same, machine: _Same, plan: PrecisionPlan) -> tuple[Shapes, Parts, Rates | None]:
    try:
        rates = Rates.of(machine.value, plan)
    except InputError:
        rates = None
    return Shapes.of(shape.value), Parts.of(shape.value), rates
