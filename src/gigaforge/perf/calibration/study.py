"""Calibrate the training model and say how sure: weights, folds, chips left out, intervals, uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from gigaforge.perf.calibration.folds import group_folds, merge_alike
from gigaforge.perf.calibration.training import Runs, fit, uncertainty
from gigaforge.perf.training.parameters import TrainingParameters
from gigaforge.perf.validation.common import errors
from gigaforge.perf.validation.runs import Run

__all__ = ["FOLDS", "Study", "calibrate", "fit_without", "folds_of", "prepare", "weights_of"]

Floats = npt.NDArray[np.float64]
FOLDS: Final = 10
_ALIKE: Final = (
    "model_name", "seq_len", "gpu", "n_gpus", "tp", "pp", "cp", "micro_batch", "global_batch_sequences", "precision",
)  # fmt: skip
_TIER: Final = {"A": 1.0, "B": 0.2, "C": 0.0}
"""Weight of a row by how much of it is printed; a user's own rows, without a tier, count as A."""
_MEMORY_WEIGHT: Final = 0.3
_UNHEALTHY_MFU: Final = 15.0
"""Sweeps print runs on networks gone wrong: identical layouts differ up to fifty-fold below this MFU. [%]"""


@dataclass(frozen=True)
class Study:
    """A calibration and its evidence: left-out predictions of every row (seconds, bytes), and what was measured."""

    parameters: TrainingParameters
    fold: npt.NDArray[np.int64]
    left_out_step_s: Floats
    left_out_memory: Floats
    left_out_chip_step_s: Floats
    in_sample_step_s: Floats
    tier_a: npt.NDArray[np.bool_]


def prepare(runs: Sequence[Run]) -> Runs:
    """Stack the runs; where recompute is not printed, take the least that fits in memory at the default constants."""
    stacked = Runs.of(runs)
    known = np.array([r.recompute_known for r in runs])
    gentle = np.array([float(r.transformer.moe_layers) > 0 for r in runs])
    always = np.array([r.key.software == "jax" for r in runs])
    return stacked.with_recompute(np.zeros(len(stacked.names)), known, gentle, always)


def weights_of(runs: Sequence[Run]) -> tuple[Floats, Floats]:
    """Weight of each row's time and memory in the fit."""
    tier = np.array([_TIER.get(str(r.row.get("tier", "A")), 1.0) for r in runs])
    mfu = np.array([float(r.row.get("mfu_reported") or np.nan) for r in runs])
    sick = (tier < 1.0) & (mfu < _UNHEALTHY_MFU)
    memory = np.array([r.measured_memory > 0 for r in runs])
    return np.where(sick, 0.0, tier), np.where(memory, _MEMORY_WEIGHT, 0.0)


def folds_of(runs: Sequence[Run], weights: Floats) -> npt.NDArray[np.int64]:
    """Fold of each row: (source, model) groups stay whole, and so do rows alike in all that is printed."""
    alike = [tuple(str(r.row.get(c)) for c in _ALIKE) for r in runs]
    return group_folds(merge_alike([r.group for r in runs], alike), FOLDS, weights + 1e-3)


def calibrate(runs: Sequence[Run], progress: Callable[[str], None] = lambda _: None) -> Study:
    """Fit all runs, then again without each fold and without each chip.

    Parameters
    ----------
    runs : sequence of Run
        From `read_runs`.
    progress : callable
        Gets a line of text at each stage.

    """
    stacked = prepare(runs)
    weights, memory = weights_of(runs)
    progress(f"fitting {int((weights > 0).sum())} runs, {len(stacked.names) - 1} deviations")
    theta = fit(stacked, weights, memory)
    here = stacked.predict(theta)
    fold = folds_of(runs, weights)
    step, total = np.zeros(len(runs)), np.zeros(len(runs))
    thetas = []
    for k in range(FOLDS):
        progress(f"fold {k + 1} of {FOLDS}")
        out = fold == k
        part = fit_without(out, stacked, weights, memory, theta, max_nfev=10)
        thetas.append(part)
        p = stacked.predict(part)
        step[out], total[out] = p.times.step_time_s[out], p.memory.total[out]
    chip = _without_chips(runs, stacked, weights, memory, theta, progress)
    tier_a = np.array([str(r.row.get("tier", "A")) not in {"B", "C"} for r in runs])
    parameters = _parameters(runs, stacked, theta, thetas, fold, weights, memory, step, chip, tier_a)
    fitted = {
        "runs": len(runs),
        "tier_a": int(tier_a.sum()),
        "in_sample": _errors(here.times.step_time_s, stacked.measured_step_s, tier_a),
        "cross_validated": _errors(step, stacked.measured_step_s, tier_a),
        "without_chip": _errors(chip, stacked.measured_step_s, tier_a),
        "without_each_chip": {
            name: _errors(chip, stacked.measured_step_s, tier_a & np.array([r.key.chip == name for r in runs]))
            for name in sorted({r.key.chip for r, a in zip(runs, tier_a, strict=True) if a})
        },
    }
    parameters = replace(parameters, fitted=fitted)
    return Study(parameters, fold, step, total, chip, here.times.step_time_s, tier_a)


def fit_without(
    out: npt.NDArray[np.bool_], stacked: Runs, weights: Floats, memory: Floats, theta: Floats, max_nfev: int
) -> Floats:
    """Constants that the rows of `out` had no part in, from half way between the priors and the fit of all rows."""
    return fit(stacked, np.where(out, 0.0, weights), np.where(out, 0.0, memory), start=0.5 * theta, max_nfev=max_nfev)


def _without_chips(
    runs: Sequence[Run],
    stacked: Runs,
    weights: Floats,
    memory: Floats,
    theta: Floats,
    progress: Callable[[str], None],
) -> Floats:
    """Step times of each chip's runs by constants that never saw the chip: its data sheet and its generation only."""
    out = np.zeros(len(runs))
    chips = np.array([r.key.chip for r in runs])
    for chip in sorted(set(chips)):
        progress(f"without {chip}")
        gone = chips == chip
        part = fit_without(gone, stacked, weights, memory, theta, max_nfev=8)
        out[gone] = stacked.predict(part).times.step_time_s[gone]
    return out


def _parameters(
    runs: Sequence[Run],
    stacked: Runs,
    theta: Floats,
    thetas: list[Floats],
    fold: npt.NDArray[np.int64],
    weights: Floats,
    memory: Floats,
    step: Floats,
    chip: Floats,
    tier_a: npt.NDArray[np.bool_],
) -> TrainingParameters:
    names = stacked.names
    deviations = {n: float(v) for n, v in zip(names, theta, strict=True) if n}
    sure = uncertainty(stacked, theta, weights, memory)
    groups = {"|".join(r.group): int(k) for r, k in zip(runs, fold, strict=True)}
    return TrainingParameters(
        deviations=deviations,
        spread=_spread(runs, stacked.measured_step_s, step, chip, tier_a),
        uncertainty={n: float(v) for n, v in zip(names, sure, strict=True) if n},
        folds=[{n: float(v) for n, v in zip(names, t, strict=True) if n} for t in thetas],
        fold_of_group=groups,
    )


def _errors(step: Floats, measured: Floats, rows: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Errors of throughput (the inverse of step time), rounded for the file."""
    table = pd.DataFrame({"predicted": 1.0 / step[rows], "measured": 1.0 / measured[rows]})
    return {k: round(v, 4) for k, v in errors(table["predicted"], table["measured"]).items()}


_COVER: Final = 0.80
_FEW: Final = 30


def _spread(
    runs: Sequence[Run], measured: Floats, step: Floats, chip: Floats, tier_a: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Half-width in log of the interval that held 80 % of left-out rows, by kind of run."""
    miss = np.abs(np.log(step / measured))
    miss_chip = np.abs(np.log(chip / measured))
    moe = np.array([float(r.transformer.moe_layers) > 0 for r in runs])
    kinds = np.array([kind_of(r.key.precision, bool(m)) for r, m in zip(runs, moe, strict=True)])
    out = {
        "dense": _quantile(miss[tier_a & ~moe]),
        "moe": _quantile(miss[tier_a & moe]),
        "new_chip": _quantile(miss_chip[tier_a]),
    }
    for kind in sorted(set(kinds)):
        rows = tier_a & (kinds == kind)
        if rows.sum() >= _FEW:
            out[str(kind)] = _quantile(miss[rows])
    # A software family that nobody measured: left-out rows that were all that their family had.
    families = np.array([r.key.software for r in runs])
    alone = np.array([len({r.group for r in runs if r.key.software == f}) == 1 for f in sorted(set(families))])
    lonely = np.isin(families, np.array(sorted(set(families)))[alone]) & tier_a
    out["new_software"] = _quantile(miss[lonely]) if lonely.sum() >= _FEW else max(out["dense"], out["moe"])
    return out


def kind_of(precision: str, moe: bool) -> str:
    """Which interval a run takes, e.g. ``"dense-bf16"``."""
    return f"{'moe' if moe else 'dense'}-{ {'mxfp8': 'fp8'}.get(precision, precision) }"


def _quantile(values: Floats) -> float:
    return float(np.quantile(values, _COVER)) if values.size else 0.3
