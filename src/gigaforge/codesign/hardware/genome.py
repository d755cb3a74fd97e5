"""Designs as points of the unit cube, in which searches move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.cost import cost
from gigaforge.codesign.hardware.design import PARAMETERS, Designs
from gigaforge.codesign.hardware.score import Question

__all__ = ["Genome"]

Array = NDArray[np.float64]


class Genome:
    """Designs as points of the unit cube: logarithms of the parameters, the power limit as a share of the full draw."""

    def __init__(self, question: Question) -> None:
        self.t = question.technology
        ranges = question.limits.within(self.t)
        low, high = ranges["nvlink_domain"]
        self.domains = np.array([d for d in self.t.domains if low <= d <= high], dtype=float)
        self.power = ranges["power_w"]
        names = [n for n in PARAMETERS if n not in ("power_w", "nvlink_domain")]
        self.low = np.log([ranges[n][0] for n in names])
        self.high = np.log([ranges[n][1] for n in names])

    size = len(PARAMETERS)

    def points(self, designs: Designs) -> Array:
        """The inverse of `designs`, moved inside the ranges. Shape (design, 7)."""
        table = designs.table()
        numbers = (np.log(table[:, :5]) - self.low) / np.maximum(self.high - self.low, 1e-12)
        full = cost(designs.change(power_w=np.inf), self.t).full_power_w
        power = (designs.power_w / full - 0.5) / 0.5
        nearest = np.argmin(np.abs(np.log(self.domains[None, :] / designs.nvlink_domain[:, None])), axis=1)
        out = np.column_stack([numbers, power, (nearest + 0.5) / len(self.domains)])
        return np.asarray(np.clip(out, 0.0, 1.0))

    def in_every_domain(self, point: Array) -> Array:
        """One design with each NVLink domain. Shape (domain, 7)."""
        out = np.repeat(point[None, :], len(self.domains), axis=0)
        out[:, 6] = (np.arange(len(self.domains)) + 0.5) / len(self.domains)
        return out

    def designs(self, points: Array) -> Designs:
        """Points, shape (design, 7), as designs."""
        numbers = np.exp(self.low + points[:, :5] * (self.high - self.low))
        domain = self.domains[np.minimum((points[:, 6] * len(self.domains)).astype(int), len(self.domains) - 1)]
        open_ended = Designs.from_table(np.column_stack([numbers, np.full(len(points), np.inf), domain]))
        full = cost(open_ended, self.t).full_power_w
        # From half its draw upwards: a slower clock still saves power there.
        power = np.clip((0.5 + 0.5 * points[:, 5]) * full, self.power[0], np.minimum(full, self.power[1]))
        return open_ended.change(power_w=np.maximum(power, self.power[0]))
