"""Validate the training model: predict every measured row, none by constants that saw its group, and account for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from gigaforge.errors import NoAnswerError
from gigaforge.perf.calibration.study import prepare, weights_of
from gigaforge.perf.calibration.training import Runs
from gigaforge.perf.training.parameters import TrainingParameters, shipped
from gigaforge.perf.validation.common import by_group, scores
from gigaforge.perf.validation.reasons import reasons
from gigaforge.perf.validation.runs import Run, read_runs
from gigaforge.units import percent

__all__ = ["TrainingValidation", "shipped_runs", "validate_training"]

GROUPS: Final = ["metric", "source", "gpu", "precision", "gpu_precision", "model_kind", "software", "scale", "tier"]
_TOKENS, _MEMORY = "tokens_per_s_per_gpu", "peak_memory_gb"
_COLUMNS: Final = ["id", "metric", "measured", "predicted", "low", "high", "note", *GROUPS[1:]]
_KEYS: Final = ["source", "model", "batch", "gpus", "seq", "gpu", "precision"]
_EDGES: Final = (8, 64, 512, 4096)
_SCALES: Final = ("1-8", "9-64", "65-512", "513-4096", "4097+")
_SWEEPS: Final = [*_KEYS, "runs", "reached"]
_REASONS: Final = 10
"""How many reasons an error lists before it only counts."""
_SWEEP: Final = 4
"""Strategies of one model, batch and GPU count that make a ranking."""


@dataclass(frozen=True)
class TrainingValidation:
    """Predictions beside measurements.

    Parameters
    ----------
    table : DataFrame
        ``id, metric, measured, predicted, low, high, note`` and the groups; one row for each measured throughput and
        each measured memory; blank prediction where `note` says why.
    skipped : mapping
        Reason to number of rows.
    left_out : int
        Rows predicted by constants that were fitted without their group.
    regret : DataFrame
        Per sweep of strategies: what the strategy that we would choose reaches of the best measured. [unitless]
    runs, parameters
        What was predicted, and by which calibration.

    """

    table: pd.DataFrame
    skipped: Mapping[str, int]
    left_out: int
    regret: pd.DataFrame
    runs: Sequence[Run] = ()
    parameters: TrainingParameters | None = None

    @property
    def scored(self) -> pd.DataFrame:
        """Throughput rows of tier A (all rows where no tier is given)."""
        t = self.table[(self.table["metric"] == _TOKENS) & self.table["predicted"].notna()]
        best = t[t["tier"] == "A"]
        return best if len(best) else t

    @property
    def problem(self) -> NoAnswerError | None:
        """Why there is nothing to compare, if no row can be predicted."""
        if self.table["predicted"].notna().any():
            return None
        lines = [f"{n} of {len(self.table)} rows: {why}" for why, n in self.skipped.items()]
        more = [f"and {len(lines) - _REASONS} more"] if len(lines) > _REASONS else []
        return NoAnswerError("no row can be predicted", [*lines[:_REASONS], *more])

    def summary(self) -> dict[str, Any]:
        """As `gigaforge validate training --json` prints it."""
        done = self.table[self.table["predicted"].notna()]
        tokens = done[done["metric"] == _TOKENS]
        memory = done[done["metric"] == _MEMORY]
        out: dict[str, Any] = {
            "rows": int((self.table["metric"] == _TOKENS).sum()),
            "predicted": len(tokens),
            "skipped": dict(self.skipped),
            "left_out": self.left_out,
            "scored": "tier A" if (tokens["tier"] == "A").any() else "all",
            **scores(self.scored),
        }
        out["memory"] = scores(memory)
        out["all_tiers"] = scores(tokens)
        if len(self.regret):
            out["ranking"] = {
                "groups": len(self.regret),
                "reached": float(self.regret["reached"].mean()),
                "worst": float(self.regret["reached"].min()),
            }
        out["by"] = by_group(self.scored, GROUPS)
        # By number of accelerators, not by the alphabet.
        out["by"]["scale"] = {k: out["by"]["scale"][k] for k in _SCALES if k in out["by"]["scale"]}
        out["by"]["metric"][_MEMORY] = {
            k: v for k, v in scores(memory).items() if k in {"n", "median_ape", "mean_ape", "p90_ape"}
        }
        return out

    def worst(self, count: int = 15) -> pd.DataFrame:
        """The rows that are furthest off (`off`, predicted over measured - 1) with the `reason`, and what was assumed."""
        t = self.scored
        ratio = t["predicted"] / t["measured"]
        far = t.assign(off=ratio - 1.0, size=np.abs(np.log(ratio))).sort_values("size", ascending=False).head(count)
        by_name = {r.identifier: r for r in self.runs}
        rows = [by_name[name] for name in far["id"]]
        return far.assign(reason=reasons(rows, self.runs, self.parameters or shipped()))


def shipped_runs() -> tuple[list[Run], dict[str, str]]:
    """The published runs that come with Gigaforge."""
    with as_file(files("gigaforge.perf") / "data" / "training_runs.parquet") as path:
        return read_runs(path)


def validate_training(
    path: Path | None = None, parameters: TrainingParameters | None = None, *, in_sample: bool = False
) -> TrainingValidation:
    """Predict each row of a file (default: the shipped runs).

    A row whose (source, model) group the calibration knows is predicted by constants fitted without that group, unless
    `in_sample`.

    Raises
    ------
    InputError
        The file cannot be read or lacks a needed column.

    """
    runs, skipped = shipped_runs() if path is None else read_runs(path)
    why = dict(Counter(skipped.values()))
    if not runs:
        blank = [{"id": k, "metric": _TOKENS, "note": v} for k, v in skipped.items()]
        table = pd.DataFrame(blank).reindex(columns=_COLUMNS)
        numbers = dict.fromkeys(("measured", "predicted", "low", "high"), float)
        return TrainingValidation(table.astype(numbers), why, 0, pd.DataFrame(columns=_SWEEPS))
    chosen = parameters or shipped()
    stacked = prepare(runs)
    step, memory = np.zeros(len(runs)), np.zeros(len(runs))
    deviations = [None if in_sample else chosen.left_out(r.group) for r in runs]
    for one in {id(d): d for d in deviations}.values():
        rows = np.array([d is one for d in deviations])
        theta = _theta(stacked, one if one is not None else chosen.deviations)
        p = stacked.predict(theta)
        step[rows], memory[rows] = p.times.step_time_s[rows], p.memory.total[rows]
    table = _table(runs, stacked, step, memory, chosen, skipped)
    left_out = sum(d is not None for d in deviations)
    return TrainingValidation(table, why, left_out, _regret(runs, stacked, step), runs, chosen)


def _theta(stacked: Runs, deviations: Mapping[str, float]) -> npt.NDArray[np.float64]:
    return np.array([deviations.get(name, 0.0) for name in stacked.names])


def _table(
    runs: Sequence[Run],
    stacked: Runs,
    step: npt.NDArray[np.float64],
    memory: npt.NDArray[np.float64],
    parameters: TrainingParameters,
    skipped: Mapping[str, str],
) -> pd.DataFrame:
    rows = []
    for i, run in enumerate(runs):
        low, high = parameters.interval(run.key, float(run.transformer.moe_layers) > 0)
        predicted = run.measured_tokens * run.measured_step_s / float(step[i])
        note = "; ".join([*run.assumed, *_recompute_note(run, stacked, i), *_memory_note(stacked, memory, i)])
        common = {"id": run.identifier, **_groups(run)}
        rows.append({
            **common, "metric": _TOKENS, "measured": run.measured_tokens, "predicted": predicted,
            "low": predicted * low, "high": predicted * high, "note": note,
        })  # fmt: skip
        if run.measured_memory > 0:
            gb = float(memory[i]) / 2**30
            rows.append({
                **common, "metric": _MEMORY, "measured": run.measured_memory / 2**30, "predicted": gb,
                "low": gb * _MEMORY_LOW, "high": gb * _MEMORY_HIGH, "note": note,
            })  # fmt: skip
    for identifier, why in skipped.items():
        rows.append({"id": identifier, "metric": _TOKENS, "note": why})
    return pd.DataFrame(rows).reindex(columns=_COLUMNS)


_MEMORY_LOW, _MEMORY_HIGH = 0.85, 1.18
"""80 % of the left-out rows with printed memory lay within (measured in docs/training-accuracy.md)."""


def _memory_note(stacked: Runs, memory: npt.NDArray[np.float64], i: int) -> list[str]:
    over = float(memory[i] - stacked.machine.hbm_bytes[i])  # type: ignore[index]
    return [f"predicted memory is {over / 1e9:.0f} GB over"] if over > _CLEARLY * memory[i] else []


_CLEARLY: Final = 0.25
"""Beyond the error of predicted memory: most published rows lie within a quarter."""


def _recompute_note(run: Run, stacked: Runs, i: int) -> list[str]:
    if run.recompute_known:
        return []
    kind, share = int(stacked.strategies.recompute[i]), float(stacked.strategies.recompute_share[i])
    words = ("none", "selective", f"{percent(share)} of the blocks")[kind]
    return [f"recompute not printed: {words}, by what fits in memory and the recipe's habit"]


def _groups(run: Run) -> dict[str, str]:
    gpus = float(run.row.get("n_gpus") or 0)
    tier = run.row.get("tier")
    return {
        "source": run.group[0],
        "gpu": run.key.chip,
        "precision": run.key.precision,
        "gpu_precision": f"{run.key.chip} {run.key.precision}",
        "model_kind": "moe" if float(run.transformer.moe_layers) > 0 else "dense",
        "software": run.key.software,
        "scale": _SCALES[int(np.searchsorted(_EDGES, gpus))],
        "tier": tier if isinstance(tier, str) else "A",
    }


def _regret(runs: Sequence[Run], stacked: Runs, step: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Where a source sweeps strategies on one model, batch and GPU count: measured best over the one we choose."""
    columns = {
        k: v for k, v in stacked.strategies.columns().items() if k not in {"recompute_share", "sharding_group"}
    }
    t = pd.DataFrame({
        "source": [r.group[0] for r in runs], "model": [r.group[1] for r in runs], "batch": stacked.global_batch,
        "gpus": [r.row.get("n_gpus") for r in runs], "seq": stacked.seq_len, "gpu": [str(r.row.get("gpu")) for r in runs],
        "precision": [r.key.precision for r in runs], "tier": [_groups(r)["tier"] for r in runs],
        "strategy": ["/".join(str(v[i]) for v in columns.values()) for i in range(len(runs))],
        "measured": stacked.measured_step_s, "predicted": step,
    })  # fmt: skip
    # Runs on a network gone wrong say nothing about strategies: identical layouts differ up to fifty-fold there.
    healthy = (t["tier"] != "C") & (weights_of(runs)[0] > 0)
    rows = []
    for key, group in t[healthy].groupby(_KEYS, dropna=False):
        if group["strategy"].nunique() < _SWEEP:
            continue
        ours = float(group["measured"].to_numpy()[int(np.argmin(group["predicted"].to_numpy()))])
        rows.append(
            {**dict(zip(_KEYS, key, strict=True)), "runs": len(group), "reached": group["measured"].min() / ours}
        )
    return pd.DataFrame(rows, columns=_SWEEPS)
