"""Calibrate the serving model: fit, cross-validate, measure the intervals, write the shipped files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    InputError
        The file cannot be read, or holds too few rows to fit.

    """
    tell = progress or (lambda _: None)
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
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    fold = group_folds(np.array([number[x] for x in labels]), min(folds, len(number)), np.ones(len(which)))
    tell(f"{len(number)} groups in {fold.max() + 1} folds")
    fits, predicted = _left_out(cases, rows, which, fold, best, workers, tell)
    log_ratio = np.log(table["value"].to_numpy(dtype=float)[which] / predicted)
    family = family_of(list(table["metric"].iloc[which]))
    software = np.array([x[2] for x in labels])
    accuracy: dict[str, Any] = {"group_left_out": _accuracy(log_ratio, family)}
    intervals: dict[str, Any] = {"known": quantile_table(log_ratio, family, software)}
    chips, models = sorted({x[1] for x in labels}), sorted({x[0] for x in labels})
    if chips_left_out and len(models) > 2:
        part = group_folds(
            np.array([models.index(x[0]) for x in labels]), min(folds, len(models)), np.ones(len(which))
        )
        tell(f"leaving out {len(models)} models in {part.max() + 1} folds")
        _, unmet = _left_out(cases, rows, which, part, best, workers, tell)
        accuracy["model_left_out"] = _accuracy(np.log(table["value"].to_numpy(dtype=float)[which] / unmet), family)
    if chips_left_out and len(chips) > 2:
        chip = np.array([chips.index(x[1]) for x in labels])
        tell(f"leaving out {len(chips)} chips in turn")
        _, far = _left_out(cases, rows, which, chip, best, workers, tell)
        ratio = np.log(table["value"].to_numpy(dtype=float)[which] / far)
        intervals["unknown"] = quantile_table(ratio, family, software)
        accuracy["chip_left_out"] = _accuracy(ratio, family)
        accuracy["chip_left_out_by_chip"] = {
            name: _accuracy(ratio[chip == i], family[chip == i]) for i, name in enumerate(chips)
        }
        era = np.array([rows.conditions[i].group.generation.split()[0] for i in rows.condition[which]])
        eras = sorted(set(era))
        if len(eras) > 2:
            tell(f"leaving out {len(eras)} generations in turn")
            part = np.searchsorted(eras, era)
            _, unseen = _left_out(cases, rows, which, part, best, workers, tell)
            ratio = np.log(table["value"].to_numpy(dtype=float)[which] / unseen)
            intervals["new_generation"] = quantile_table(ratio, family, software)
            accuracy["generation_left_out"] = {
                name: _accuracy(ratio[era == name], family[era == name]) for name in eras
            }
    intervals["chips"] = chips
    intervals["generations"] = sorted({c.group.generation for c in rows.conditions})
    fold_tables = [
        {
            "quantities": rounded(f.quantities),
            "intervals": quantile_table(log_ratio[fold != i], family[fold != i], software[fold != i]),
        }
        for i, f in enumerate(fits)
    ]
    ids = table["id"].iloc[which].astype(str)
    return Calibration(
        parameters={
            "about": {**_about(len(which)), "accuracy": accuracy},
            "quantities": rounded(best.quantities),
            "intervals": intervals,
        },
        folds={"folds": fold_tables, "rows": dict(zip(ids, (int(x) for x in fold), strict=True))},
        errors=best.errors,
        rows=len(table),
        used=len(which),
    )


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


def _about(rows: int) -> dict[str, Any]:
    return {
        "what": "Serving quantities: base times factors by software, generation, precision and model (1 where absent)",
        "fitted_to": f"{rows} published measurements without a doubt, perf/data/serving_measurements.parquet (each row names"
        " its source)",
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
