"""What serving software adds to kernel times: few physical quantities, each a base times a factor per group.

Every quantity is ``base · software · generation · precision · model`` (those that apply); a group that was never
measured has the factor 1 (a generation: that of the one before it), so an unknown chip, model or software still gets a prediction. The values are fitted by
`gigaforge.perf.calibration.inference` and shipped in ``perf/data/serving.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.parameters import GENERATIONS, load_parameters

__all__ = ["QUANTITIES", "Effects", "Group", "Quantity"]


class Quantity(NamedTuple):
    """Prior of one quantity: its base, the spread of its logarithm, and by which groups it may differ."""

    base: float
    spread: float
    groups: tuple[str, ...]
    meaning: str


QUANTITIES: Final[dict[str, Quantity]] = {
    "prefill": Quantity(1.15, 0.15, ("software", "generation", "precision", "model"), "linear layers and attention of a prefill over kernel time"),
    "decode": Quantity(1.05, 0.08, ("software", "generation", "precision"), "linear layers of a decode step over kernel time"),
    "attention": Quantity(1.05, 0.15, ("software", "generation"), "decode attention over kernel time"),
    "latent": Quantity(1.1, 0.2, ("software", "generation"), "latent decode attention (MLA) over kernel time"),
    "experts_prefill": Quantity(1.1, 0.2, ("software", "generation", "precision", "model"), "experts of a prefill over kernel time"),
    "experts_decode": Quantity(1.05, 0.15, ("software", "generation", "precision", "model"), "experts of a decode step over kernel time"),
    "diversity": Quantity(0.7, 0.3, ("software",), "independent choices of experts among a step's tokens"),
    "imbalance": Quantity(1.25, 0.1, ("software",), "fullest expert rank over the mean"),
    "wire": Quantity(1.3, 0.2, ("generation",), "link time over bytes at line rate"),
    "kernel_s": Quantity(2e-6, 0.5, ("software", "generation"), "gap and launch per kernel [s]"),
    "moe_s": Quantity(1.5e-5, 0.5, ("software", "generation"), "routing, permutation and launch of one layer's experts [s]"),
    "message_s": Quantity(6e-6, 0.5, ("software", "generation"), "latency of a small collective [s]"),
    "step_s": Quantity(3e-4, 1.0, ("software",), "scheduler, sampling and host work of one decode step [s]"),
    "sequence_s": Quantity(5e-6, 1.0, ("software",), "host work per running sequence and step [s]"),
    "eager_s": Quantity(1.5e-5, 1.0, ("software",), "host launch per kernel of a prefill, which runs without CUDA graphs [s]"),
    "prefill_step_s": Quantity(2e-3, 0.7, ("software",), "host work of one prefill pass [s]"),
    "ttft_s": Quantity(0.03, 1.0, ("software",), "front end, tokenizer and first network trip [s]"),
    "admit": Quantity(1.5, 0.5, ("software",), "steps between a request's arrival and its prefill, and from its end to the first token"),
    "rank_wait": Quantity(4.0, 1.0, ("software",), "steps that a request waits for its turn under attention data parallelism"),
    "handoff_s": Quantity(0.05, 1.0, ("software",), "routing and hand-over between prefill and decode pools [s]"),
    "ragged": Quantity(1.25, 0.3, ("software",), "prefill passes of data-parallel attention over evenly filled ones: the fullest rank binds"),
    "first": Quantity(1.2, 0.3, ("software",), "own prefill within TTFT over a prefill alone"),
    "solo": Quantity(0.3, 1.0, ("software",), "exponent between full shared prefill passes (0) and one request a pass (1)"),
    "burst": Quantity(0.05, 0.15, ("software",), "share of a closed loop's other requests whose prefill one waits for"),
    "interference": Quantity(0.95, 0.1, ("software",), "share of prefill time that decode feels"),
}  # fmt: skip
"""Priors; calibration is regularised towards them."""


class Group(NamedTuple):
    """To which groups a case belongs."""

    software: str
    generation: str
    precision: str
    model: str = ""


@dataclass(frozen=True)
class Effects:
    """The quantities of `QUANTITIES`, as floats or arrays with one row per case."""

    prefill: Array
    decode: Array
    attention: Array
    latent: Array
    experts_prefill: Array
    experts_decode: Array
    diversity: Array
    imbalance: Array
    wire: Array
    kernel_s: Array
    moe_s: Array
    message_s: Array
    step_s: Array
    sequence_s: Array
    eager_s: Array
    prefill_step_s: Array
    ttft_s: Array
    admit: Array
    rank_wait: Array
    handoff_s: Array
    ragged: Array
    first: Array
    solo: Array
    burst: Array
    interference: Array

    @classmethod
    def of(cls, group: Group, parameters: Mapping[str, Any] | None = None) -> Self:
        """Values for one group from a parameter file (default: the shipped one); priors where it lacks a quantity."""
        table = (load_parameters("serving") if parameters is None else parameters)["quantities"]
        return cls(
            **{name: _value(table.get(name, {"base": prior.base}), group) for name, prior in QUANTITIES.items()}
        )

    @classmethod
    def stack(cls, groups: Sequence[Group], parameters: Mapping[str, Any] | None = None) -> Self:
        """Values for many cases, shape (cases,)."""
        unique = {g: cls.of(g, parameters) for g in set(groups)}
        numbers: dict[str, Any] = {
            f.name: np.array([getattr(unique[g], f.name) for g in groups], dtype=np.float64) for f in fields(cls)
        }
        return cls(**numbers)

    def take(self, index: Any) -> Self:
        """Rows (NumPy indexing); single values stay as they are."""
        numbers: dict[str, Any] = {}
        for f in fields(self):
            value = np.asarray(getattr(self, f.name))
            numbers[f.name] = value[index] if value.ndim else value
        return type(self)(**numbers)


def _value(entry: Mapping[str, Any], group: Group) -> float:
    value = float(entry["base"])
    for kind in ("software", "precision", "model"):
        value *= float(entry.get(kind, {}).get(getattr(group, kind), 1.0))
    return value * _generation(entry.get("generation", {}), group.generation)


def _generation(factors: Mapping[str, float], generation: str) -> float:
    """A generation that was never measured takes the factor of the one before it."""
    for name in (generation, *GENERATIONS.get(generation, ())):
        if name in factors:
            return float(factors[name])
    return 1.0
