"""What a plan decides, as arrays: everything else in a plan follows from these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem

__all__ = ["Decisions", "accepted_w"]


@dataclass(frozen=True)
class Decisions:
    """The programme's decisions as arrays in SI units; racks are whole numbers.

    Shapes: S sites, K systems, P serving points, J training points, W workloads, T quarters.
    """

    added: Array  # (S, K, T) racks
    retired: Array  # (S, K, T)
    online: Array  # (S, K, T)
    serving_racks: Array  # (S, P, T)
    training_racks: Array  # (J, S, T)
    served: Array  # (W, T) output tokens
    built_w: Array  # (S, T) facility power paid for
    debt_usd: Array  # (T,)
    tranches: NDArray[np.int_]  # (T,) released so far
    bought: (
        Array  # (S, K, T) racks delivered and paid for: those added, but for what comes out of stock or goes into it
    )

    def deployed_w(self, problem: Problem) -> Array:
        """Cumulative accepted power on the commitment's own basis [W]. Shape (T,)."""
        return np.asarray(accepted_w(problem, self).sum(axis=(0, 1)))

    def held_w(self, problem: Problem) -> Array:
        """IT power that sites hold: nameplate of what is online, less what caps leave free [W]. Shape (S, K, T)."""
        p = problem
        held = self.online * p.rack_it_w[None, :, None]
        by_system = held.transpose(1, 0, 2)  # a view
        spare = p.rack_it_w[p.point_system] - p.point_held_w
        np.subtract.at(by_system, p.point_system, self.serving_racks.transpose(1, 0, 2) * spare[:, None, None])
        spare = p.rack_it_w[p.train_system] - p.train_held_w
        np.subtract.at(by_system, p.train_system, self.training_racks * spare[:, None, None])
        return held


def accepted_w(problem: Problem, decisions: Decisions) -> Array:
    """Cumulative power accepted on the commitment's own basis [W]; a backlog counts from now on. Shape (S, K, T)."""
    out = np.cumsum(decisions.added, axis=2) * problem.deployed_w_per_rack[..., None]
    if problem.past is not None:
        out[..., : problem.past.quarters] -= problem.past.not_accepted_w
    return np.asarray(out)
