"""``gigaforge validate``: predictions against measured runs, every row accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, catalog_from
from gigaforge.units import percent

__all__ = ["register"]

File = Annotated[Path | None, typer.Argument(help="Measured runs (CSV or Parquet); default: the shipped ones.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write every row: id, metric, measured, predicted, low, high, note.")
]
Figure = Annotated[Path | None, typer.Option("--figure", help="Write a parity plot: .html, .png or .svg.")]
Parameters = Annotated[Path | None, typer.Option("--parameters", help="Parameter file of `gigaforge calibrate`.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    verbs = typer.Typer(help="Compare predictions with measured runs.", no_args_is_help=True)
    verbs.command("training")(training)
    verbs.command("inference")(inference)
    app.add_typer(verbs, name="validate")


def training(
    file: File = None,
    parameters: Parameters = None,
    in_sample: Annotated[bool, typer.Option(help="Use the full fit even for rows that it saw.")] = False,
    out: Out = None,
    figure: Figure = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst rows to show.")] = 12,
    as_json: Json = False,
) -> None:
    """Training runs. Rows of a (source, model) group that the fit knows are predicted by a fit without that group.

    Example: gigaforge validate training my-runs.csv --out judged.csv
    """
    from gigaforge.perf.training import TrainingParameters
    from gigaforge.perf.validation.training import validate_training

    own = TrainingParameters.read(parameters) if parameters else None
    result = validate_training(file, own, in_sample=in_sample)
    summary = result.summary()
    _save(result.table, out)
    problem = result.problem
    if figure and not problem:
        from gigaforge.report.performance_figures import parity_plot, write_figure

        write_figure(parity_plot(result.scored), figure)
    furthest = result.worst(worst)
    if as_json:
        # One object whatever happens: the reason travels in it.
        columns = ["id", "source", "off", "reason", "note"]
        summary["worst"] = furthest[columns].to_dict("records")
        print(json.dumps(summary | ({"error": str(problem)} if problem else {})))
        if problem:
            raise typer.Exit(problem.exit_code)
        return
    if problem:
        print(f"0 of {summary['rows']} rows predicted")
        raise problem
    _show_training(summary, result.table if file else None)
    if worst:
        _show_worst(furthest)


def inference(
    file: File = None,
    parameters: Parameters = None,
    out: Out = None,
    figure: Figure = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst rows to show.")] = 12,
    catalog: CatalogOption = None,
    as_json: Json = False,
) -> None:
    """Serving measurements. A chip that is not shipped is judged by its data sheet: --catalog DIR with it and a system of it.

    Example: gigaforge validate inference my-runs.csv --out judged.csv
    """
    from gigaforge.cli.infer import serving_parameters
    from gigaforge.perf.validation.inference import validate_inference

    books = catalog_from(catalog) if catalog else None
    result = validate_inference(file, catalog=books, parameters=serving_parameters(parameters))
    summary = result.summary()
    _save(result.table, out)
    if figure:
        from gigaforge.report.performance_figures import parity_plot, write_figure

        write_figure(parity_plot(result.scored, metric="value"), figure)
    if as_json:
        print(json.dumps(summary))
        return
    _show_totals(summary)
    _show_by_chip(summary["by_family_and_gpu"])
    if file is not None:
        left = result.table[result.table["predicted"].isna()].head(20)
        for row in left.itertuples():
            print(f"  {row.id}: {row.note}")
    for said, number in list(summary["assumed"].items())[:8]:
        print(f"  assumed in {number} rows: {said}")
    for by, groups in summary["by"].items():
        _table(by, groups)
    if worst:
        _show_worst_serving(result.worst_rows(worst))


def _save(table: Any, out: Path | None) -> None:
    if out is None:
        return
    columns = ["id", "metric", "measured", "predicted", "low", "high", "note"]
    table[columns].to_csv(out, index=False, float_format="%.6g")


_LISTED = 20
"""Rows that are named before the rest is left to --out."""


def _show_training(summary: dict[str, Any], table: Any = None) -> None:
    _show_totals(summary)
    if table is not None:
        left = table[table["predicted"].isna()]
        for row in left.head(_LISTED).itertuples():
            print(f"    {row.id}: {row.note}")
        if len(left) > _LISTED:
            print(f"    and {len(left) - _LISTED} more (--out FILE.csv lists every row)")
    for by in ("gpu_precision", "model_kind", "software", "scale", "source"):
        _table(by.replace("_", " "), summary["by"][by])
    memory = summary["memory"]
    if memory["n"]:
        print(
            f"\npeak memory: {memory['n']} rows, median error {percent(memory['median_ape'], 1)}, bias {percent(memory['bias'], 1, sign=True)}"
        )
    if "ranking" in summary:
        ranking = summary["ranking"]
        print(
            f"ranking: over {ranking['groups']} sweeps of at least four strategies, the one we choose reaches "
            f"{percent(ranking['reached'], 1)} of the best measured (worst sweep {percent(ranking['worst'])})"
        )


def _show_totals(summary: dict[str, Any]) -> None:
    count = summary.get("n", summary["predicted"])
    print(f"{summary['predicted']:,} of {summary['rows']:,} rows predicted", end="")
    left = summary.get("left_out", summary.get("cross_validated", 0))
    print(f", {left:,} of them by a fit that never saw their group" if left else "")
    doubtful = summary.get("doubtful", {}).get("n", 0)
    if doubtful:
        print(f"  {doubtful:,} predicted but not scored: the table doubts them, and no fit took them in")
    for reason, number in summary["skipped"].items():
        print(f"  {number} not predicted: {reason}")
    scored = f"the {summary['scored']:,} rows without a doubt" if doubtful else f"{count:,} rows"
    print(
        f"error over {scored}: median {percent(summary['median_ape'], 1)}, mean "
        f"{percent(summary['mean_ape'], 1)}, 90th percentile {percent(summary['p90_ape'], 1)}, bias {percent(summary['bias'], 1, sign=True)}"
    )
    print(
        f"80 % intervals: {percent(summary['coverage_80'])} of the rows inside, median high/low "
        f"{summary['interval_width']:.2f}"
    )


_FAMILIES = ("tpot", "ttft", "throughput")


def _show_by_chip(families: dict[str, dict[str, dict[str, float]]]) -> None:
    """Median error and rows by chip, a column for each kind of figure: what the model is judged by."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="median error (rows) by chip and figure", title_justify="left")
    table.add_column("gpu")
    shown = [f for f in _FAMILIES if f in families]
    for family in shown:
        table.add_column({"tpot": "TPOT", "ttft": "TTFT"}.get(family, family), justify="right")
    for gpu in sorted({g for family in shown for g in families[family]}):
        cells = [families[family].get(gpu) for family in shown]
        table.add_row(gpu, *(f"{percent(c['median_ape'], 1)} ({c['n']:,})" if c else "" for c in cells))
    Console().print(table)


def _table(title: str, groups: dict[str, dict[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"by {title}", title_justify="left")
    table.add_column(title)
    for head in ("rows", "median", "mean", "p90"):
        table.add_column(head, justify="right")
    for name, e in groups.items():
        table.add_row(
            name, str(e["n"]), percent(e["median_ape"], 1), percent(e["mean_ape"], 1), percent(e["p90_ape"], 1)
        )
    Console().print(table)


def _show_worst(rows: Any) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console()
    console.print(
        "\nfurthest off: predicted / measured - 1, why that may be, what had to be assumed", highlight=False
    )
    for row in rows.itertuples():
        console.print(
            f"  {percent(row.off, sign=True):>6}  {row.id}, {row.source}",
            highlight=False,
            markup=False,
            soft_wrap=False,
        )
        for line in (row.reason, f"assumed: {row.note}" if row.note else ""):
            if line:
                console.print(Padding(line, (0, 0, 0, 9)), highlight=False, markup=False, style="dim")


def _show_worst_serving(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console()
    console.print("\nfurthest off: predicted / measured - 1, and whether rows like it agree", highlight=False)
    for row in rows:
        what = f"{row['id']}, {row['model']} on {row['gpu']}, {row['metric']}: {row['predicted']:.4g} for {row['measured']:.4g}"
        console.print(f"  {percent(row['error'], sign=True):>9}  {what}", highlight=False, markup=False)
        console.print(Padding(row["reason"], (0, 0, 0, 12)), highlight=False, markup=False, style="dim")
