"""Why a prediction may be off: the part that dominates, the constant least known, and measured rows that disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gigaforge.perf.calibration.study import prepare
from gigaforge.perf.calibration.training import Runs
from gigaforge.perf.training.constants import SPECS, deviations
from gigaforge.perf.training.parameters import TrainingParameters
from gigaforge.perf.validation.runs import Run
from gigaforge.units import percent

__all__ = ["contradictions", "reasons"]

Floats = npt.NDArray[np.float64]
_SAME: Final = (
    "model_name", "gpu", "n_gpus", "precision", "seq_len", "global_batch_sequences", "micro_batch", "tp", "pp", "cp",
    "ep",
)  # fmt: skip
_APART: Final = 0.10
"""How far measurements of the same job lie apart before they contradict each other."""
_STEP: Final = 1e-3


def reasons(rows: Sequence[Run], everything: Sequence[Run], parameters: TrainingParameters) -> list[str]:
    """A sentence for each row.

    Parameters
    ----------
    rows, everything : sequence of Run
        Those to explain; all that were measured, among which contradictions are sought.
    parameters : TrainingParameters
        Constants of the prediction, and how sure they are.

    """
    if not rows:
        return []
    stacked = prepare(rows)
    by_row = [parameters.left_out(r.group) or parameters.deviations for r in rows]
    # Each row by its own fold's constants.
    parts: list[tuple[str, str]] = []
    for i, known in enumerate(by_row):
        theta = np.array([known.get(name, 0.0) for name in stacked.names])
        parts.append((_dominant(stacked, theta, i), _least_sure(stacked, theta, rows[i], i, parameters.uncertainty)))
    said = contradictions(rows, everything)
    return ["; ".join(x for x in (*pair, other) if x) for pair, other in zip(parts, said, strict=True)]


def _dominant(stacked: Runs, theta: Floats, i: int) -> str:
    """The two largest parts of the predicted step."""
    times = stacked.predict(theta).times
    shares = {k: float(v[i] / times.step_time_s[i]) for k, v in times.parts.items()}
    first = sorted(shares, key=lambda k: -shares[k])[:2]
    return "predicted time: " + ", ".join(f"{k.replace('_', ' ')} {percent(shares[k])}" for k in first)


def _least_sure(stacked: Runs, theta: Floats, run: Run, i: int, sure: Mapping[str, float]) -> str:
    """The constant whose uncertainty moves this step most (one standard deviation, priors where nothing was learned)."""
    base = float(stacked.predict(theta).times.step_time_s[i])
    best, most = "", 0.0
    for name, spec in SPECS.items():
        sd = float(np.sqrt(sum(min(sure.get(d, prior), prior) ** 2 for d, prior in deviations(name, run.key))))
        step = float(stacked.predict(theta, {name: _STEP}).times.step_time_s[i])
        effect = abs(np.log(step / base)) / _STEP * sd
        if effect > most:
            best, most = spec.what, effect
    return f"least known: {best} (+-{percent(most)} of the step)" if best else ""


def contradictions(rows: Sequence[Run], everything: Sequence[Run]) -> list[str]:
    """Where the same job was measured otherwise elsewhere: who, and how far apart; empty where nobody disagrees."""
    alike: dict[tuple[Any, ...], list[Run]] = {}
    for run in everything:
        alike.setdefault(_job(run), []).append(run)
    out = []
    for run in rows:
        others = [r for r in alike.get(_job(run), []) if r.identifier != run.identifier]
        far = [r for r in others if abs(np.log(r.measured_tokens / run.measured_tokens)) > _APART]
        if not far:
            out.append("" if others else "no other row measures this job")
            continue
        most = max(far, key=lambda r: abs(np.log(r.measured_tokens / run.measured_tokens)))
        ratio = most.measured_tokens / run.measured_tokens
        where = str(most.row.get("software") or most.group[0])[-40:]
        out.append(
            f"contradicted: the same job ran x{ratio:.2f} as fast in {most.identifier} ({where.strip()}), "
            f"{len(far)} of {len(others)} disagree"
        )
    return out


def _job(run: Run) -> tuple[Any, ...]:
    return tuple(str(run.row.get(c)) for c in _SAME)
