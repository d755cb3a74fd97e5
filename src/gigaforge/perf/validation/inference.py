"""Validate the serving model against measured rows: every row accounted for, none scored by a fit that saw its group."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.catalog import Catalog, load_catalog
from gigaforge.errors import NoAnswerError
from gigaforge.perf.calibration.inference import shipped_measurements
from gigaforge.perf.inference.effects import Effects
from gigaforge.perf.parameters import load_parameters
from gigaforge.perf.validation.intervals import FAMILY, factors
from gigaforge.perf.validation.serving_cases import Cases
from gigaforge.perf.validation.serving_rows import Rows, read_serving, rows_of

__all__ = ["InferenceReport", "validate_inference"]

Floats = NDArray[np.float64]
_BY: Final = ("metric", "source", "gpu", "precision", "model_kind", "model", "software", "scale", "doubt")


@dataclass(frozen=True)
class InferenceReport:
    """Predictions beside measurements.

    Attributes
    ----------
    table : DataFrame
        One row per measured row, in the order of the file: ``id, metric, measured, predicted, low, high, note`` and the
        groups that errors are printed by; blank prediction where `note` says why.
    skipped : dict
        Reason to number of rows that could not be predicted.
    cross_validated : int
        Rows predicted by parameters fitted without their (model, chip, software) group.

    """

    table: pd.DataFrame
    skipped: dict[str, int]
    cross_validated: int

    @property
    def scored(self) -> pd.DataFrame:
        """Predicted rows without a doubt."""
        t = self.table
        keep: pd.DataFrame = t[np.isfinite(t["predicted"]) & (t["doubt"] == "none")]
        return keep

    def summary(self) -> dict[str, Any]:
        """The shape that ``validate --json`` prints; errors over rows without a doubt, the others under ``doubtful``."""
        scored = self.scored
        if not len(scored):
            scored = self.table[np.isfinite(self.table["predicted"])]
        doubtful = self.table[np.isfinite(self.table["predicted"]) & (self.table["doubt"] != "none")]
        return {
            "rows": len(self.table),
            "predicted": int(np.isfinite(self.table["predicted"]).sum()),
            "scored": len(scored),
            "cross_validated": self.cross_validated,
            "skipped": self.skipped,
            "assumed": self.assumed(),
            "worst": self.worst_rows(),
            **_errors(scored),
            "bias": float(np.median(scored["predicted"] / scored["measured"] - 1.0)) if len(scored) else 0.0,
            **_intervals(scored),
            "intervals_by_family": {str(k): _intervals(g) for k, g in scored.groupby("family")},
            "by": {by: _by(scored if by != "doubt" else self.table, by) for by in _BY},
            "by_family_and_gpu": {
                str(k): {str(g): {"n": len(x), **_errors(x)} for g, x in part.groupby("gpu")}
                for k, part in scored.groupby("family")
            },
            "doubtful": {"n": len(doubtful), **(_errors(doubtful) if len(doubtful) else {})},
        }

    def worst(self, count: int = 20) -> pd.DataFrame:
        """Rows with the largest error."""
        scored = self.scored
        error = np.abs(np.log(scored["predicted"].to_numpy() / scored["measured"].to_numpy()))
        return scored.iloc[np.argsort(-error)[:count]]

    def worst_rows(self, count: int = 12) -> list[dict[str, Any]]:
        """The same as plain values: ``id, model, gpu, metric, measured, predicted, error, reason`` (error: predicted / measured - 1)."""
        return [
            {
                **{name: str(row[name]) for name in ("id", "model", "gpu", "metric")},
                "measured": float(row["measured"]),
                "predicted": float(row["predicted"]),
                "error": float(row["predicted"] / row["measured"] - 1.0),
                "reason": self._reason(row),
            }
            for row in self.worst(count).to_dict("records")
        ]

    def _reason(self, row: Mapping[Hashable, Any]) -> str:
        """Whether rows of the same model, GPU and software are off alike, and what had to be assumed."""
        like = self.scored
        for name in ("model", "gpu", "software", "metric"):
            like = like[like[name] == row[name]]
        like = like[like["id"] != row["id"]]
        ratio = float(row["predicted"] / row["measured"])
        assumed = f"; assumed: {row['note']}" if row["note"] else ""
        if len(like) < _FEW:
            return f"{len(like) or 'no'} other rows of this model, GPU and software to judge it by{assumed}"
        level = float(np.median(like["predicted"] / like["measured"]))
        alike = abs(np.log(ratio / level)) < np.log(_ALIKE)
        said = "are off alike" if alike else "contradict it"
        return f"the other {len(like)} rows of this model, GPU and software {said} (at the median x{level:.2g}, this one x{ratio:.2g}){assumed}"

    def assumed(self) -> dict[str, int]:
        """What had to be assumed of predicted rows, and of how many."""
        notes = self.table.loc[np.isfinite(self.table["predicted"]), "note"]
        return {str(k): int(v) for k, v in notes[notes != ""].value_counts().items()}

    def write(self, path: Path) -> None:
        """Every row as CSV."""
        columns = ["id", "metric", "measured", "predicted", "low", "high", "note"]
        rest = [c for c in self.table.columns if c not in columns]
        self.table[columns + rest].to_csv(path, index=False)


_FEW: Final = 3
"""Rows below which a group says nothing about one of its members."""
_ALIKE: Final = 1.5
"""Factor within which two rows count as off by as much."""


def _ape(table: pd.DataFrame) -> Floats:
    return np.asarray(np.abs(table["predicted"].to_numpy() / table["measured"].to_numpy() - 1.0))


def _errors(table: pd.DataFrame) -> dict[str, float]:
    if not len(table):
        return {"median_ape": 0.0, "mean_ape": 0.0, "p90_ape": 0.0}
    error = _ape(table)
    return {
        "median_ape": float(np.median(error)),
        "mean_ape": float(np.mean(error)),
        "p90_ape": float(np.quantile(error, 0.9)),
    }


def _intervals(table: pd.DataFrame) -> dict[str, float]:
    if not len(table):
        return {"coverage_80": 0.0, "interval_width": 1.0}
    inside = (table["low"] <= table["measured"]) & (table["measured"] <= table["high"])
    return {"coverage_80": float(inside.mean()), "interval_width": float((table["high"] / table["low"]).median())}


def _by(table: pd.DataFrame, by: str) -> dict[str, dict[str, float]]:
    known = table[np.isfinite(table["predicted"])]
    return {str(k): {"n": len(g), **_errors(g)} for k, g in known.groupby(by, sort=True)}


def validate_inference(
    path: Path | str | None = None,
    *,
    catalog: Catalog | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> InferenceReport:
    """Predict every row of a file of measured serving values.

    Parameters
    ----------
    path : path, optional
        CSV or Parquet; default the shipped table.
    catalog : Catalog, optional
        Accelerators and systems; default the shipped ones.
    parameters : mapping, optional
        A parameter file; default the shipped one. With the shipped one, a row of the shipped table is predicted by the fold
        that was fitted without its (model, chip, software) group, so that the errors are never in-sample.

    Raises
    ------
    InputError
        The file cannot be read or lacks a needed column.
    NoAnswerError
        No row can be predicted.

    """
    table = read_serving(path or shipped_measurements())
    rows = rows_of(table, catalog or load_catalog())
    which = np.flatnonzero(rows.condition >= 0)
    if not len(which):
        raise NoAnswerError(
            "no row can be predicted", [f"{_name(table, i)}: {why}" for i, why in list(rows.skipped.items())[:10]]
        )
    cases = Cases.of(rows)
    shipped = load_parameters("serving") if parameters is None else parameters
    _note_software(rows, which, shipped)
    predicted, low, high = _predict(cases, rows, which, shipped)
    honest = 0
    if parameters is None:
        honest = _fold_by_fold(cases, rows, which, predicted, low, high)
    lost = {int(i): "the model finds no finite value for it" for i in which[~np.isfinite(predicted)]}
    rows = replace(rows, skipped=pd.concat([rows.skipped, pd.Series(lost, dtype=object)]))
    return InferenceReport(_result(table, rows, which, predicted, low, high), _reasons(rows), honest)


def _note_software(rows: Rows, which: NDArray[np.int64], parameters: Mapping[str, Any]) -> None:
    """Say so where the software is not one that the parameters were fitted to: it is predicted as an average stack."""
    known = {name for entry in parameters["quantities"].values() for name in entry.get("software", {})}
    for i in which:
        software = rows.conditions[rows.condition[i]].group.software
        if software not in known:
            said = "software not given" if software == "unknown" else f"software {software!r} was never fitted"
            rows.notes[int(i)] = "; ".join(filter(None, (rows.notes.get(int(i), ""), f"{said}: an average stack")))


def _predict(
    cases: Cases, rows: Rows, which: NDArray[np.int64], parameters: Mapping[str, Any]
) -> tuple[Floats, Floats, Floats]:
    groups = [c.group for c in cases.conditions]
    values = cases.predict(rows, which, Effects.stack(groups, parameters))
    pairs = [_factors(parameters, rows, i) for i in which]
    low, high = (np.array(x) for x in zip(*pairs, strict=True))
    return values, values * low, values * high


def _factors(parameters: Mapping[str, Any], rows: Rows, row: int) -> tuple[float, float]:
    """Interval factors of one row; wider for chips that no parameter was fitted to."""
    c = rows.conditions[rows.condition[row]]
    table = parameters.get("intervals", {})
    if "known" in table:
        kind = "known" if rows.hardware[c.chip].chip in table.get("chips", []) else "unknown"
        if kind == "unknown" and c.group.generation not in table.get("generations", []):
            kind = "new_generation"
        table = table.get(kind, table["known"])
    return factors(table, FAMILY[rows.table["metric"].iloc[row]], c.group.software)


def _fold_by_fold(
    cases: Cases, rows: Rows, which: NDArray[np.int64], predicted: Floats, low: Floats, high: Floats
) -> int:
    """Replace the predictions of shipped rows by those of the fold that never saw their group; how many."""
    folds = load_parameters("serving_folds")
    known = folds["rows"]
    same = _shipped_values()
    fold = np.full(len(which), -1)
    for k, i in enumerate(which):
        name = str(rows.table["id"].iloc[i])
        if name in known and np.isclose(same.get(name, np.nan), float(rows.table["value"].iloc[i]), rtol=1e-6):
            fold[k] = known[name]
    for number, parameters in enumerate(folds["folds"]):
        mine = np.flatnonzero(fold == number)
        if len(mine):
            predicted[mine], low[mine], high[mine] = _predict(cases, rows, which[mine], parameters)
    return int((fold >= 0).sum())


def _shipped_values() -> dict[str, float]:
    table = pd.read_parquet(shipped_measurements(), columns=["id", "value"])
    return dict(zip(table["id"].astype(str), table["value"].astype(float), strict=True))


def _reasons(rows: Rows) -> dict[str, int]:
    return {str(k): int(v) for k, v in rows.skipped.value_counts().items()}


def _name(table: pd.DataFrame, row: Any) -> str:
    """Identifier of a row; without one, its line as a spreadsheet counts ("row 2" is the first)."""
    given = table["id"].iloc[row]
    return f"row {row + 2}" if given is None or str(given) == "nan" else str(given)


def _result(
    table: pd.DataFrame, rows: Rows, which: NDArray[np.int64], predicted: Floats, low: Floats, high: Floats
) -> pd.DataFrame:
    n = len(table)
    out = pd.DataFrame(
        {
            "id": [_name(table, i) for i in range(n)],
            "metric": table["metric"].astype(str),
            "measured": pd.to_numeric(table["value"], errors="coerce"),
        }
    )
    for name, values in (("predicted", predicted), ("low", low), ("high", high)):
        column = np.full(n, np.nan)
        column[which] = values
        out[name] = column
    notes = np.full(n, "", dtype=object)
    for i, text in rows.notes.items():
        notes[i] = text
    notes[rows.skipped.index.to_numpy(dtype=np.int64)] = rows.skipped.to_numpy()
    out["note"] = notes
    out["family"] = [FAMILY.get(str(m), "other") for m in table["metric"]]
    out["doubt"] = table["doubt"].fillna("").astype(str).str.strip().replace("", "none").to_numpy()
    out["source"] = table["source"].astype(object).fillna("own").astype(str).to_numpy()
    labels = {
        name: np.full(n, "", dtype=object)
        for name in ("gpu", "precision", "model_kind", "model", "software", "scale")
    }
    for i in which:
        c = rows.conditions[rows.condition[i]]
        moe = float(np.asarray(rows.transformers[c.model].experts)) > 0
        words = (
            rows.hardware[c.chip].chip, c.group.precision, "moe" if moe else "dense", c.model, c.group.software, _scale(c.total)
        )  # fmt: skip
        for name, value in zip(labels, words, strict=True):
            labels[name][i] = value
    return out.assign(**labels)


def _scale(accelerators: float) -> str:
    for limit, name in ((1, "1"), (4, "2-4"), (8, "5-8"), (72, "9-72")):
        if accelerators <= limit:
            return name
    return "more"
