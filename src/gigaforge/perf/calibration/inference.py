"""Calibrate the serving model: fit, cross-validate, measure the intervals, write the shipped files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog import Catalog, load_catalog
from gigaforge.errors import InputError
from gigaforge.perf.calibration.folds import group_folds
from gigaforge.perf.calibration.serving_fit import Fit, fit, rounded
from gigaforge.perf.inference.effects import QUANTITIES
from gigaforge.perf.validation.intervals import family_of, quantile_table
from gigaforge.perf.validation.serving_cases import Cases
from gigaforge.perf.validation.serving_rows import Rows, group_labels, read_serving, rows_of

__all__ = ["Calibration", "calibrate_inference", "shipped_measurements"]

Floats = NDArray[np.float64]
FOLDS: Final = 10
SHIPPED: Final = (
    "published measurements without a doubt, perf/data/serving_measurements.parquet (each row names its source)"
)
"""The rows that the product carries, as a parameter file says what it was fitted to."""
_FEW: Final = 2
"""Models, chips or generations up to which none is left out: too little would remain."""
_REFITS: Final = 5
"""Steps of a fit that starts at the optimum of all rows."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration gives.

    Attributes
    ----------
    parameters : dict
        In the shape of ``perf/data/serving.json``: quantities, intervals, about.
    folds : dict
        Parameters and intervals of each fold, and each row's fold: lets validation stay honest on the rows fitted to.
    errors : dict
        Standard error of each parameter's logarithm, by ``"quantity|kind|level"``.
    rows, used : int
        In the file; fitted to.

    """

    parameters: dict[str, Any]
    folds: dict[str, Any]
    errors: dict[str, float]
    rows: int
    used: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        sure = sorted(self.errors.items(), key=lambda item: -item[1])
        return {
            "rows": self.rows,
            "used": self.used,
            "quantities": self.parameters["quantities"],
            "intervals": self.parameters["intervals"],
            "least_certain": dict(sure[:20]),
        }

    def write(self, path: Path) -> None:
        """Write the parameter file, and the folds beside it (``<name>_folds.json``)."""
        path.write_text(json.dumps(self.parameters, indent=1) + "\n", encoding="utf-8")
        beside = path.with_name(path.stem + "_folds.json")
        beside.write_text(json.dumps(self.folds, separators=(",", ":")) + "\n", encoding="utf-8")


def shipped_measurements() -> Path:
    """The table of published measurements that the product carries."""
    return Path(str(files("gigaforge.perf") / "data" / "serving_measurements.parquet"))


def calibrate_inference(
    path: Path | str | None = None,
    *,
    catalog: Catalog | None = None,
    folds: int = FOLDS,
    chips_left_out: bool = True,
    workers: int = 1,
    origin: str = "",
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Fit the serving quantities to measured rows.

    Parameters
    ----------
    path : path, optional
        CSV or Parquet with the published columns; default the shipped table.
    catalog : Catalog, optional
        Accelerators and systems; default the shipped ones.
    folds : int
        Of the cross-validation that the intervals come from; a fold leaves out whole (model, chip, software) groups.
    chips_left_out : bool
        Also leave out whole models, then every chip, then every generation in turn: the last two give the intervals of chips
        that nobody measured.
    workers : int
        Processes.
    origin : str
        What the rows are, as the parameter file says it after their number; default the file's name.
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    InputError
        The file cannot be read, or holds too few rows to fit.

    """
    sample = _sample(path, catalog, workers, progress or (lambda _: None))
    number = {label: i for i, label in enumerate(dict.fromkeys(sample.labels))}
    fold = group_folds(
        np.array([number[x] for x in sample.labels]), min(folds, len(number)), np.ones(len(sample.labels))
    )
    sample.tell(f"{len(number)} groups in {fold.max() + 1} folds")
    fits, log_ratio = sample.left_out(fold)
    accuracy: dict[str, Any] = {"group_left_out": _accuracy(log_ratio, sample.family)}
    intervals: dict[str, Any] = {"known": quantile_table(log_ratio, sample.family, sample.software)}
    if chips_left_out:
        accuracy |= _without_models(sample, folds)
        for name, (figures, table) in _without_machines(sample).items():
            accuracy |= figures
            intervals[name] = table
    intervals["chips"] = sorted({x[1] for x in sample.labels})
    intervals["generations"] = sorted({c.group.generation for c in sample.rows.conditions})
    ids = sample.rows.table["id"].iloc[sample.which].astype(str)
    return Calibration(
        parameters={
            "about": {
                **_about(
                    len(sample.which),
                    origin or (f"measurements without a doubt of {Path(path).name}" if path else SHIPPED),
                ),
                "accuracy": accuracy,
            },
            "quantities": rounded(sample.best.quantities),
            "intervals": intervals,
        },
        folds={
            "folds": _fold_tables(sample, fits, fold, log_ratio),
            "rows": dict(zip(ids, (int(x) for x in fold), strict=True)),
        },
        errors=sample.best.errors,
        rows=len(sample.rows.table),
        used=len(sample.which),
    )


@dataclass(frozen=True)
class _Sample:
    """Rows without a doubt, what groups them, and the fit to all of them."""

    rows: Rows
    cases: Cases
    which: NDArray[np.int64]
    labels: list[tuple[str, str, str]]
    family: NDArray[np.str_]
    best: Fit
    workers: int
    tell: Callable[[str], None]

    @property
    def software(self) -> NDArray[np.str_]:
        return np.array([x[2] for x in self.labels])

    def left_out(self, part: NDArray[np.int64]) -> tuple[list[Fit], Floats]:
        """Fits without each part, and log(measured / predicted) of every row by the fit without its part."""
        fits, predicted = _left_out(self.cases, self.rows, self.which, part, self.best, self.workers, self.tell)
        return fits, np.log(self.rows.table["value"].to_numpy(dtype=float)[self.which] / predicted)


def _sample(path: Path | str | None, catalog: Catalog | None, workers: int, tell: Callable[[str], None]) -> _Sample:
    table = read_serving(path or shipped_measurements())
    rows = rows_of(table, catalog or load_catalog())
    clean = table["doubt"].fillna("").astype(str).str.strip() == ""
    which = np.flatnonzero((rows.condition >= 0) & clean.to_numpy())
    if len(which) < 4 * len(QUANTITIES):
        raise InputError(
            f"{len(which)} rows can be fitted; at least {4 * len(QUANTITIES)} are needed", str(path or "shipped rows")
        )
    cases = Cases.of(rows)
    tell(f"fitting {len(which):,} rows, {len(cases.condition):,} configurations")
    best = fit(cases, rows, which)
    labels = group_labels(rows, which)
    return _Sample(rows, cases, which, labels, family_of(list(table["metric"].iloc[which])), best, workers, tell)


def _without_models(sample: _Sample, folds: int) -> dict[str, Any]:
    """Accuracy on models that no fit saw."""
    models, code = np.unique([x[0] for x in sample.labels], return_inverse=True)
    if len(models) <= _FEW:
        return {}
    part = group_folds(code, min(folds, len(models)), np.ones(len(code)))
    sample.tell(f"leaving out {len(models)} models in {part.max() + 1} folds")
    _, ratio = sample.left_out(part)
    return {"model_left_out": _accuracy(ratio, sample.family)}


def _without_machines(sample: _Sample) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Accuracy and intervals on chips, then generations, that no fit saw."""
    out: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    chip = np.array([x[1] for x in sample.labels])
    era = np.array(
        [sample.rows.conditions[i].group.generation.split()[0] for i in sample.rows.condition[sample.which]]
    )
    for kind, said, interval, label in (
        ("chip", "chips", "unknown", chip),
        ("generation", "generations", "new_generation", era),
    ):
        names, part = np.unique(label, return_inverse=True)
        if len(names) <= _FEW:
            break
        sample.tell(f"leaving out {len(names)} {said} in turn")
        _, ratio = sample.left_out(part)
        each = {str(n): _accuracy(ratio[part == i], sample.family[part == i]) for i, n in enumerate(names)}
        accuracy: dict[str, Any] = {"generation_left_out": each}
        if kind == "chip":
            accuracy = {"chip_left_out": _accuracy(ratio, sample.family), "chip_left_out_by_chip": each}
        out[interval] = (accuracy, quantile_table(ratio, sample.family, sample.software))
    return out


def _fold_tables(
    sample: _Sample, fits: Sequence[Fit], fold: NDArray[np.int64], log_ratio: Floats
) -> list[dict[str, Any]]:
    """Parameters of each fold, and intervals from the rows of all others."""
    return [
        {
            "quantities": rounded(f.quantities),
            "intervals": quantile_table(log_ratio[fold != i], sample.family[fold != i], sample.software[fold != i]),
        }
        for i, f in enumerate(fits)
    ]


def _accuracy(log_ratio: Floats, family: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """Absolute error of predictions by metric family: rows, median, mean, 90th percentile."""
    out = {}
    for kind in sorted(set(family)):
        ape = np.abs(np.exp(-log_ratio[family == kind]) - 1.0)
        figures = (np.median(ape), np.mean(ape), np.quantile(ape, 0.9))
        out[kind] = {
            "n": len(ape),
            **dict(zip(("median_ape", "mean_ape", "p90_ape"), (round(float(x), 4) for x in figures), strict=True)),
        }
    return out


def _about(rows: int, origin: str) -> dict[str, Any]:
    return {
        "what": "Serving quantities: base times factors by software, generation, precision and model (1 where absent)",
        "fitted_to": f"{rows} {origin}",
        "by": "gigaforge calibrate inference",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "meaning": {name: q.meaning for name, q in QUANTITIES.items()},
        "intervals": "80 %: factors on a prediction, from rows whose group (known), chip (unknown) or generation was left out",
    }


def _left_out(
    cases: Cases,
    rows: Rows,
    which: NDArray[np.int64],
    part: NDArray[np.int64],
    start: Fit,
    workers: int,
    tell: Callable[[str], None],
) -> tuple[list[Fit], Floats]:
    """Fit without each part in turn, and predict that part.

    Each fit starts at the one to all rows: `_REFITS` steps forget all but a few thousandths of what it knew of the part.
    """
    parts = sorted(set(part.tolist()))
    predicted = np.full(len(which), np.nan)
    fits: list[Fit] = []
    jobs = [(cases, rows, which, part, i, start) for i in parts]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            results = list(pool.map(_one_out, jobs))
    else:
        results = []
        for job in jobs:
            results.append(_one_out(job))
            tell(f"part {len(results)} of {len(parts)}")
    for i, (f, values) in zip(parts, results, strict=True):
        fits.append(f)
        predicted[part == i] = values
    return fits, predicted


def _one_out(job: tuple[Cases, Rows, NDArray[np.int64], NDArray[np.int64], int, Fit]) -> tuple[Fit, Floats]:
    cases, rows, which, part, i, start = job
    f = fit(cases, rows, which[part != i], iterations=_REFITS, start=start)
    return f, cases.predict(rows, which[part == i], cases.effects(f.parameters))


def fold_parameters(folds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parameter files of the folds."""
    return [{"quantities": f["quantities"], "intervals": f["intervals"]} for f in folds["folds"]]
