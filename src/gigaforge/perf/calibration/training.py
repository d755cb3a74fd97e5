"""Fit the training model's constants to measured runs: shrinkage towards parents, robust loss, honest folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from gigaforge.perf.training.constants import SPECS, Constants, combine, default_value, deviations
from gigaforge.perf.training.job import TrainingStrategies
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.training.predict import Prediction, predict
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.runs import Run

__all__ = ["Runs", "fit"]

Floats = npt.NDArray[np.float64]
_FULL = 0.95
"""Share of HBM that a recipe fills."""


@dataclass(frozen=True)
class Runs:
    """Runs stacked into arrays, with the index of every deviation that applies to them."""

    transformer: Transformer
    machine: Machine
    strategies: TrainingStrategies
    global_batch: Floats
    seq_len: Floats
    gradient_bytes: Floats
    trainable: Floats
    measured_step_s: Floats
    measured_memory: Floats
    names: tuple[str, ...]
    prior_sd: Floats
    defaults: Mapping[str, Floats]
    index: Mapping[str, Sequence[npt.NDArray[np.int64]]]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Runs:
        """Stack them; parameter 0 is a constant zero."""
        names: dict[str, int] = {"": 0}
        sds = [1.0]
        defaults: dict[str, Floats] = {}
        index: dict[str, list[npt.NDArray[np.int64]]] = {}
        for name in (*SPECS, "gemm_bf16"):
            base = "gemm" if name == "gemm_bf16" else name
            keys = [replace(r.key, precision="bf16") if name == "gemm_bf16" else r.key for r in runs]
            defaults[name] = np.array([default_value(base, k) for k in keys])
            columns: list[list[int]] = []
            for k in keys:
                at = []
                for parameter, sd in deviations(base, k):
                    if parameter not in names:
                        names[parameter] = len(names)
                        sds.append(sd)
                    at.append(names[parameter])
                columns.append(at)
            index[name] = [np.array(c) for c in zip(*columns, strict=True)]
        strategies = TrainingStrategies.of(**{k: np.array([r.strategy[k] for r in runs]) for k in runs[0].strategy})
        return cls(
            transformer=Transformer.stack([r.transformer for r in runs]),
            machine=Machine.stack([r.machine for r in runs]),
            strategies=strategies,
            global_batch=np.array([r.global_batch for r in runs]),
            seq_len=np.array([r.seq_len for r in runs]),
            gradient_bytes=np.array([r.gradient_bytes for r in runs]),
            trainable=np.array([r.trainable for r in runs]),
            measured_step_s=np.array([r.measured_step_s for r in runs]),
            measured_memory=np.array([r.measured_memory for r in runs]),
            names=tuple(names),
            prior_sd=np.array(sds),
            defaults=defaults,
            index={k: tuple(v) for k, v in index.items()},
        )

    def constants(self, theta: Floats) -> Constants:
        """Constants per run from the parameter vector."""
        values: dict[str, Any] = {}
        for name, columns in self.index.items():
            total: Any = 0.0
            for column in columns:
                total = total + theta[column]
            values[name] = combine("gemm" if name == "gemm_bf16" else name, self.defaults[name], total)
        return Constants(**values)

    def predict(self, theta: Floats) -> Prediction:
        """Time and memory of every run."""
        return predict(
            self.transformer, self.machine, self.constants(theta), self.strategies, self.global_batch, self.seq_len,
            self.gradient_bytes, self.trainable,
        )  # fmt: skip

    def with_recompute(self, theta: Floats, known: npt.NDArray[np.bool_], gentle: npt.NDArray[np.bool_]) -> Runs:
        """Where recompute is not printed: none if that fits in memory; else, what makes it fit.

        Mixtures of experts in the Megatron family recompute cheap modules (`gentle`); dense models as many whole blocks
        as needed.
        """
        need: list[Floats] = []
        for kind in (0, 2):
            strategies = {"recompute": np.full(len(known), kind), "recompute_share": np.ones(len(known))}
            p = self.with_strategies(**strategies).predict(theta)
            need.append(p.memory.total / self.machine.hbm_bytes)
        share = np.clip((need[0] - _FULL) / np.maximum(need[0] - need[1], 1e-9), 0.0, 1.0)
        chosen = np.where(share <= 0, 0, np.where(gentle, 1, 2))
        return self.with_strategies(
            recompute=np.where(known, self.strategies.recompute, chosen),
            recompute_share=np.where(known, 1.0, np.where(chosen == 2, share, 1.0)),
        )

    def with_strategies(self, **columns: Any) -> Runs:
        """The same runs with some columns of the strategies replaced."""
        return replace(self, strategies=replace(self.strategies, **columns))


def fit(
    runs: Runs, weights: Floats, memory_weights: Floats, start: Floats | None = None, max_nfev: int = 25
) -> Floats:
    """Maximum a posteriori constants: robust log ratios of step time and memory, normal priors on deviations."""
    time_use, memory_use = weights > 0, memory_weights > 0
    noise_time, noise_memory = 0.06, 0.08
    free = np.ones(len(runs.names), dtype=bool)
    free[0] = False

    def soft(r: Floats) -> Floats:
        """Residuals whose square is the soft-L1 loss of the ratio."""
        return np.sign(r) * np.sqrt(2.0 * (np.sqrt(1.0 + r * r) - 1.0))

    def residuals(x: Floats) -> Floats:
        theta = np.zeros(len(runs.names))
        theta[free] = x * runs.prior_sd[free]
        p = runs.predict(theta)
        time = np.log(p.times.step_time_s[time_use] / runs.measured_step_s[time_use]) / noise_time
        memory = np.log(p.memory.total[memory_use] / runs.measured_memory[memory_use]) / noise_memory
        return np.concatenate([
            soft(time) * np.sqrt(weights[time_use]), soft(memory) * np.sqrt(memory_weights[memory_use]), x,
        ])  # fmt: skip

    x0 = np.zeros(int(free.sum())) if start is None else start[free] / runs.prior_sd[free]
    found = least_squares(residuals, x0, method="trf", max_nfev=max_nfev, ftol=1e-4, xtol=1e-4, gtol=1e-4)
    theta = np.zeros(len(runs.names))
    theta[free] = found.x * runs.prior_sd[free]
    return theta
