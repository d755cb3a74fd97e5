"""``gigaforge calibrate``: fit the model's constants to measured runs, and say how sure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, catalog_from
from gigaforge.units import percent

if TYPE_CHECKING:
    from gigaforge.catalog import Catalog
    from gigaforge.perf.calibration.inference import Calibration
    from gigaforge.perf.validation.runs import Run

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the parameter file here.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    verbs = typer.Typer(help="Fit constants to measured runs.", no_args_is_help=True)
    verbs.command("training")(training)
    verbs.command("inference")(inference)
    app.add_typer(verbs, name="calibrate")


def training(
    file: Annotated[Path | None, typer.Argument(help="Measured runs; default: only the shipped ones.")] = None,
    out: Out = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Or the acceptance tests of a ledger: ledger:FILE or ledger:ADDRESS.")
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Fit this file alone, without the shipped runs.")] = False,
    as_json: Json = False,
) -> None:
    """Training runs: physical constants per chip, precision and software family.

    Without FILE it repeats the fit of the shipped parameter file, to the digit.

    Example: gigaforge calibrate training my-runs.csv --out mine.json
    """
    from gigaforge.errors import NoAnswerError
    from gigaforge.perf.calibration.study import calibrate
    from gigaforge.perf.validation.runs import read_runs
    from gigaforge.perf.validation.training import shipped_runs

    recorded = 0
    if source is not None:
        runs, skipped = _recorded_runs(source, file)
        recorded = len(runs)
    else:
        runs, skipped = read_runs(file) if file else shipped_runs()
    if (file or source) and not only:
        seen = {r.identifier for r in runs}
        runs = [*runs, *(r for r in shipped_runs()[0] if r.identifier not in seen)]
    if not runs:
        raise NoAnswerError("no row can be predicted, so nothing can be fitted", sorted(set(skipped.values()))[:10])
    study = calibrate(runs, progress=lambda line: print(line, file=sys.stderr))
    if out:
        out.write_text(study.parameters.text(), encoding="utf-8")
    fitted = dict(study.parameters.fitted)
    if as_json:
        print(json.dumps({"rows": len(runs), "recorded": recorded, "skipped": len(skipped), "out": str(out) if out else None, **fitted,
                          "spread": dict(study.parameters.spread)}))  # fmt: skip
        return
    _show(fitted, study.parameters, len(runs), out)
    if source is not None:
        print(
            f"{recorded:,} of these runs are of {source}, which holds {len(skipped):,} more that cannot be predicted"
        )


def _recorded_runs(source: str, file: Path | None) -> tuple[list[Run], dict[str, str]]:
    """Acceptance tests of a ledger as runs."""
    from gigaforge.perf.validation.runs import UnpredictableError, run_of

    runs, skipped = [], {}
    for row in _recorded(source, file, "training"):
        try:
            runs.append(run_of(row, str(row["id"])))
        except UnpredictableError as why:
            skipped[str(row["id"])] = str(why)
    return runs, skipped


def _recorded(source: str, file: Path | None, kind: str) -> list[dict[str, Any]]:
    from gigaforge.errors import InputError
    from gigaforge.ledger.actuals import read_measured

    if file is not None:
        raise InputError("give FILE or --from, one of the two", "--from")
    if not source.startswith("ledger:"):
        raise InputError(f"{source!r} is not a ledger; write ledger:FILE or ledger:ADDRESS", "--from")
    return read_measured(source, kind)


def _show(fitted: dict[str, Any], parameters: Any, rows: int, out: Path | None) -> None:
    print(f"{rows} runs, {len(parameters.deviations)} deviations of {len(parameters.spread)} interval kinds")
    for name in ("in_sample", "cross_validated", "without_chip"):
        e = fitted[name]
        print(
            f"  {name.replace('_', ' '):16} median {percent(e['median_ape'], 1)}, mean {percent(e['mean_ape'], 1)}, "
            f"90th percentile {percent(e['p90_ape'], 1)} ({e['n']} rows of tier A)"
        )
    strongest = sorted(parameters.deviations, key=lambda n: -abs(parameters.deviations[n]))[:15]
    print("largest deviations from the defaults (log or log-odds)")
    for name in strongest:
        print(f"  {name:40} {parameters.deviations[name]:+.2f} ± {parameters.uncertainty[name]:.2f}")
    print(f"written to {out}" if out else "nothing written: give --out FILE to keep the fit")


def inference(
    file: Annotated[Path | None, typer.Argument(help="Measured serving rows; default: the shipped ones.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Also the measurements of a ledger: ledger:FILE or ledger:ADDRESS.")
    ] = None,
    out: Out = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for the cross-validation.")] = 1,
    catalog: CatalogOption = None,
    as_json: Json = False,
) -> None:
    """Serving measurements: about ten CPU-minutes for the shipped rows.

    Example: gigaforge calibrate inference my-runs.csv --out mine.json --workers 2
    """
    from gigaforge.cli.calibrate_view import show_serving
    from gigaforge.perf.calibration.inference import calibrate_inference

    def told(text: str) -> None:
        print(text, file=sys.stderr)

    books = catalog_from(catalog) if catalog else None
    recorded: list[dict[str, Any]] = []
    if source is not None:
        recorded = _recorded(source, file, "inference")
        result = _calibrate_recorded(recorded, workers, books)
    else:
        result = calibrate_inference(file, catalog=books, workers=workers, progress=told)
    if out:
        result.write(out)
    used = len({str(row["id"]) for row in recorded} & set(result.folds["rows"]))
    if as_json:
        print(json.dumps({**result.to_dict(), **({"recorded": used} if source is not None else {})}))
        return
    show_serving(result, out)
    if source is not None:
        print(f"{used:,} of the {len(recorded):,} rows of {source} are among those fitted")


def _calibrate_recorded(rows: list[dict[str, Any]], workers: int, catalog: Catalog | None) -> Calibration:
    """The shipped measurements and a ledger's, fitted together."""
    import tempfile

    import pandas as pd

    from gigaforge.perf.calibration.inference import SHIPPED, calibrate_inference, shipped_measurements

    table = pd.concat([pd.read_parquet(shipped_measurements()), pd.DataFrame(rows)], ignore_index=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measurements.parquet"
        table.to_parquet(file, index=False)
        return calibrate_inference(
            file, catalog=catalog, workers=workers, origin=f"{SHIPPED}, and measurements of a ledger",
            progress=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
