"""Fit the training model's constants to measured runs: shrinkage towards parents, robust loss, honest folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gigaforge.perf.training.constants import SPECS, Constants, combine, default_value, deviations, grouped_dispatch
from gigaforge.perf.training.job import TrainingStrategies
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.training.predict import Prediction, predict
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.runs import Run

__all__ = ["Runs", "fit", "uncertainty"]

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
    unfused: Floats
    document_len: Floats
    grouped_dispatch: Floats
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
            unfused=np.array([r.unfused for r in runs]),
            document_len=np.array([r.document_len for r in runs]),
            grouped_dispatch=np.array([grouped_dispatch(r.key.software) for r in runs]),
            measured_step_s=np.array([r.measured_step_s for r in runs]),
            measured_memory=np.array([r.measured_memory for r in runs]),
            names=tuple(names),
            prior_sd=np.array(sds),
            defaults=defaults,
            index={k: tuple(v) for k, v in index.items()},
        )

    def constants(self, theta: Floats, shift: Mapping[str, float] | None = None) -> Constants:
        """Constants per run from the parameter vector, some shifted by a deviation more."""
        values: dict[str, Any] = {}
        for name, columns in self.index.items():
            total: Any = (shift or {}).get(name, 0.0)
            for column in columns:
                total = total + theta[column]
            values[name] = combine("gemm" if name == "gemm_bf16" else name, self.defaults[name], total)
        return Constants(**values)

    def predict(self, theta: Floats, shift: Mapping[str, float] | None = None) -> Prediction:
        """Time and memory of every run."""
        return predict(
            self.transformer, self.machine, self.constants(theta, shift), self.strategies, self.global_batch, self.seq_len,
            self.gradient_bytes, self.trainable, self.unfused, self.document_len, self.grouped_dispatch,
        )  # fmt: skip

    def with_recompute(
        self,
        theta: Floats,
        known: npt.NDArray[np.bool_],
        gentle: npt.NDArray[np.bool_],
        always: npt.NDArray[np.bool_],
    ) -> Runs:
        """Where recompute is not printed: the least that fits in memory.

        Mixtures of experts in the Megatron family recompute cheap modules (`gentle`) and, if that does not do, whole
        blocks; dense models as many whole blocks as needed. JAX recipes (`always`) keep matrix products and recompute the
        rest even where all would fit.
        """
        none, some, full = (self._need(theta, kind) for kind in range(3))
        share = np.clip((none - _FULL) / np.maximum(none - full, 1e-9), 0.0, 1.0)
        chosen = np.where(none <= _FULL, np.where(always, 1, 0), np.where(gentle & (some <= _FULL), 1, 2))
        return self.with_strategies(
            recompute=np.where(known, self.strategies.recompute, chosen),
            recompute_share=np.where(known, 1.0, np.where(chosen == 2, share, 1.0)),
        )

    def _need(self, theta: Floats, kind: int) -> Floats:
        """Share of HBM under one choice of recompute."""
        size = len(self.seq_len)
        p = self.with_strategies(recompute=np.full(size, kind), recompute_share=np.ones(size)).predict(theta)
        need: Floats = p.memory.total / self.machine.hbm_bytes
        return need

    def with_strategies(self, **columns: Any) -> Runs:
        """The same runs with some columns of the strategies replaced."""
        return replace(self, strategies=replace(self.strategies, **columns))


_NOISE_TIME, _NOISE_MEMORY = 0.05, 0.08
"""Scatter of the log ratio beyond which a row counts less than by its square."""


def fit(
    runs: Runs, weights: Floats, memory_weights: Floats, start: Floats | None = None, max_nfev: int = 25
) -> Floats:
    """Maximum a posteriori constants: robust log ratios of step time and memory, normal priors on deviations.

    Gauss-Newton with damping. A deviation acts on a row only through the sum of its constant's deviations, so one
    model evaluation per *constant* gives the whole Jacobian, however many deviations there are.
    """
    size = len(runs.names)
    x = np.zeros(size) if start is None else start / runs.prior_sd
    residual, slope = _residuals(runs, x * runs.prior_sd, weights, memory_weights)
    cost = float(residual @ residual + x @ x)
    damping = 1e-3
    for _ in range(max_nfev):
        jacobian = _jacobian(runs, x * runs.prior_sd, slope)
        normal = jacobian.T @ jacobian + np.eye(size)
        gradient = jacobian.T @ residual + x
        for _ in range(8):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
            trial = x + np.clip(step, -2.0, 2.0)
            trial[0] = 0.0
            new, new_slope = _residuals(runs, trial * runs.prior_sd, weights, memory_weights)
            new_cost = float(new @ new + trial @ trial)
            if new_cost < cost:
                break
            damping *= 5.0
        else:
            break
        gain = cost - new_cost
        x, residual, slope, cost = trial, new, new_slope, new_cost
        damping = max(damping / 5.0, 1e-6)
        if gain < 2e-4 * cost:
            break
    return x * runs.prior_sd


def uncertainty(runs: Runs, theta: Floats, weights: Floats, memory_weights: Floats) -> Floats:
    """Standard deviation of each deviation at the fit (Laplace: curvature of the loss and the prior)."""
    _, slope = _residuals(runs, theta, weights, memory_weights)
    jacobian = _jacobian(runs, theta, slope)
    normal = jacobian.T @ jacobian + np.eye(len(runs.names))
    return np.sqrt(np.diag(np.linalg.inv(normal))) * runs.prior_sd


def _log_ratios(runs: Runs, theta: Floats, shift: Mapping[str, float] | None = None) -> Floats:
    """Log of predicted over measured: step times, then memory (zero where not measured)."""
    p = runs.predict(theta, shift)
    time = np.log(p.times.step_time_s / runs.measured_step_s) / _NOISE_TIME
    memory = np.log(p.memory.total / np.where(runs.measured_memory > 0, runs.measured_memory, 1.0)) / _NOISE_MEMORY
    return np.concatenate([time, np.where(runs.measured_memory > 0, memory, 0.0)])


def _residuals(runs: Runs, theta: Floats, weights: Floats, memory_weights: Floats) -> tuple[Floats, Floats]:
    """Residuals whose square is the Cauchy loss, and their slope: rows far off lose their pull."""
    r = _log_ratios(runs, theta)
    weight = np.sqrt(np.concatenate([weights, memory_weights]))
    soft = np.sign(r) * np.sqrt(np.log1p(r * r))
    near = np.abs(r) < 1e-6
    slope = np.where(near, 1.0, r / ((1.0 + r * r) * np.where(near, 1.0, soft)))
    return soft * weight, slope * weight


def _jacobian(runs: Runs, theta: Floats, slope: Floats) -> Floats:
    base = _log_ratios(runs, theta)
    n = len(runs.seq_len)
    out = np.zeros((2 * n, len(runs.names)))
    rows = np.arange(n)
    for name, columns in runs.index.items():
        change = (_log_ratios(runs, theta, {name: _STEP}) - base) / _STEP * slope
        for column in columns:
            # A row has one deviation per level, so plain indexed addition never meets an index twice.
            out[rows, column] += change[:n] * runs.prior_sd[column]
            out[rows + n, column] += change[n:] * runs.prior_sd[column]
    out[:, 0] = 0.0
    return out


_STEP = 1e-4
"""Finite difference of a log deviation."""
