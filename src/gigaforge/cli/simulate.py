"""``gigaforge simulate``: operate a planned fleet, compare policies, validate, replay traces."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from
from gigaforge.errors import InputError, StoppedError
from gigaforge.quarters import Quarter

if TYPE_CHECKING:
    from gigaforge.catalog import Catalog
    from gigaforge.operations import Fleet, SimulationResult
    from gigaforge.operations.validation import Row

__all__ = ["register"]

_PAIRS: Final = 5  # runs of a comparison where none are asked for


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    plan: Annotated[
        Path | None, typer.Argument(help="Plan folder, or a fleet YAML (gigaforge init --fleet writes one).")
    ] = None,
    years: Annotated[float | None, typer.Option(help="Horizon; default the whole plan.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    first: Annotated[str, typer.Option("--from", help="First quarter, e.g. 2029-Q1.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for 5-minute tables and a report; continues a stopped run.")
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Write every failure to --out.")] = False,
    replications: Annotated[
        int | None,
        typer.Option(help="Runs with consecutive seeds, for intervals; default 1, with --compare 5 pairs."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default one a core.")] = None,
    scheduler: Annotated[str, typer.Option(help="Address of a Dask scheduler.")] = "",
    compare: Annotated[
        str,
        typer.Option(help="A second fleet YAML or plan, or a policy: mode=elastic,spares=8 or autoscale=forecast."),
    ] = "",
    validate: Annotated[bool, typer.Option("--validate", help="Reproduce published outcomes.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Job or request trace to replay.")] = None,
    trace_format: Annotated[
        str, typer.Option("--format", help="philly, alibaba, azure, burstgpt, mooncake; default by columns.")
    ] = "",
    racks: Annotated[int, typer.Option(help="With --replay of jobs: racks of the cluster.")] = 64,
    domain: Annotated[int, typer.Option(help="With --replay of jobs: accelerators of a rack.")] = 8,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Operate a fleet: failures, repair, training, serving, power and cooling.

    With --out it writes 5-minute tables (Parquet) and a report, simulation.html. A run that is stopped continues.

    Example: gigaforge simulate plans/alliance-10gw --out year --years 1

    Example: gigaforge simulate plans/alliance-10gw --compare mode=elastic --replications 10

    Example: gigaforge simulate --replay jobs.csv --racks 64 --domain 8
    """
    from gigaforge.cli import simulate_print as show
    from gigaforge.operations import run as runs

    if validate:
        _validate(as_json, out)
        return
    if replay is not None:
        _replay(replay, trace_format, racks, domain, seed, as_json, out)
        return
    if plan is None:
        raise InputError("give a plan folder or a fleet YAML (or --validate, or --replay TRACE)", "simulate")
    _check_options(first, years, replications, 2 if compare else 1)
    if events and out is None:
        raise InputError("writes failures.parquet into --out; give a folder", "--events")
    if workers is not None and workers < 1:
        raise InputError(f"{workers}; at least 1 is needed", "--workers")
    figures = catalog_from(catalog) if catalog else None
    fleet = runs.load_fleet(plan, years=years, first=first, catalog=figures)
    if compare:
        other = _other(fleet, compare, years, first, figures)
        pairs = _PAIRS if replications is None else replications
        done = runs.compare(fleet, other, replications=pairs, seed=seed, workers=workers, scheduler=scheduler)
        show.comparison(done, _compared(fleet, other, compare), as_json)
        return
    if replications is not None and replications > 1:
        show.replications(
            runs.replicate(fleet, replications, seed=seed, workers=workers, scheduler=scheduler), as_json
        )
        return
    result = _run(fleet, seed, out, events, as_json)
    if out is not None:
        _save(result, out)
    if as_json:
        print(json.dumps(result.summary()))
    else:
        show.result(result)


def _run(fleet: Fleet, seed: int, out: Path | None, events: bool, quiet: bool) -> SimulationResult:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from gigaforge.operations import run as runs

    console = Console(stderr=True)
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("quarters"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=fleet.windows)
        try:
            return runs.simulate(
                fleet, seed, out=out, events=events, progress=lambda done, _: bar.update(task, completed=done)
            )
        except KeyboardInterrupt:
            kept = (
                f"{out} keeps the quarters that are done, the same command continues"
                if out
                else "nothing was written"
            )
            raise StoppedError(f"interrupted; {kept}") from None


def _save(result: SimulationResult, out: Path) -> None:
    from gigaforge.report.html import write_page
    from gigaforge.report.operations_page import simulation_page

    (out / "simulation.json").write_text(json.dumps(result.summary(), indent=1), encoding="utf-8")
    write_page(simulation_page(result), out / "simulation.html")


def _check_options(first: str, years: float | None, replications: int | None, fewest: int) -> None:
    """Refuse what cannot be simulated before anything is read."""
    if first:
        try:
            Quarter.parse(first)
        except ValueError as problem:
            raise InputError(str(problem), "--from") from None
    if years is not None and not 0 < years <= 100:
        raise InputError(f"{years:g} years; more than 0 and at most 100 are expected", "--years")
    if replications is not None and replications < fewest:
        why = " (pairs of a comparison: one alone has no interval)" if fewest > 1 else ""
        raise InputError(f"{replications}; at least {fewest} is needed{why}", "--replications")


def _other(fleet: Fleet, text: str, years: float | None, first: str, catalog: Catalog | None) -> Fleet:
    """A second fleet, or this one under a changed training policy."""
    from gigaforge.operations import run as runs

    if Path(text).exists():
        return runs.load_fleet(text, years=years, first=first, catalog=catalog)
    if "=" not in text:
        raise InputError(f"{text!r} is neither a fleet nor a policy such as mode=elastic,spares=8", "--compare")
    return runs.with_changes(fleet, text)


def _compared(fleet: Fleet, other: Fleet, text: str) -> tuple[str, str]:
    """What each of the two is, in words: its name, and the policies that differ."""
    from gigaforge.operations.changes import policies, policy_changes

    if Path(text).exists():
        return fleet.name, other.name if other.name != fleet.name else text
    names = policy_changes(text)
    return f"{fleet.name} as it is, {policies(fleet, names)}", f"changed to {policies(other, names)}"


def _validate(as_json: bool, out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from gigaforge.operations.validation import validate

    rows = validate()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "validation.json").write_text(json.dumps(_rows(rows), indent=1), encoding="utf-8")
        from gigaforge.operations.validation_page import validation_page
        from gigaforge.report.html import write_page
        from gigaforge.report.validation_page import validation_report

        (out / "operations-validation.md").write_text(validation_page(rows), encoding="utf-8")
        write_page(validation_report(rows), out / "validation.html")
    if as_json:
        print(json.dumps({"cases": _rows(rows), "reproduced": sum(r.reproduced for r in rows), "rows": len(rows)}))
        return
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("published outcome", "published", "simulated", "", "role"):
        table.add_column(name, no_wrap=name in ("simulated", "", "role"))
    for r in rows:
        mark = "[green]yes[/]" if r.reproduced else "[red]no[/]"
        unit = "" if r.case.unit in ("count", "ratio") else f" {r.case.unit}"
        table.add_row(r.case.name, r.case.published, f"{r.simulated:.4g}{unit}", mark, r.case.role)
    console = Console()
    console.print(table)
    untouched = [r for r in rows if r.case.role == "untouched"]
    console.print(f"{sum(r.reproduced for r in rows)} of {len(rows)} reproduced; {sum(r.reproduced for r in untouched)} of "
                  f"{len(untouched)} untouched by any fit. Sources and inputs: --json")  # fmt: skip


def _rows(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "case": r.case.name, "source": r.case.source, "inputs": r.case.inputs, "published": r.case.published, "unit": r.case.unit,
            "low": r.case.low, "high": r.case.high, "simulated": r.simulated, "simulated_low": r.simulated_low,
            "simulated_high": r.simulated_high, "reproduced": r.reproduced, "role": r.case.role, "note": r.case.note,
        }
        for r in rows
    ]  # fmt: skip


def _replay(path: Path, form: str, racks: int, domain: int, seed: int, as_json: bool, out: Path | None) -> None:
    from rich.console import Console

    from gigaforge.operations.replay import replay

    summary, table = replay(path, form, racks=racks, domain=domain, seed=seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table.to_parquet(out / "replay.parquet", index=False)
        table.reset_index(drop=True).to_feather(out / "replay.arrow")
    if as_json:
        known = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in summary.items()}
        print(json.dumps(known))
        return
    from gigaforge.cli.simulate_print import replayed

    replayed(Console(), summary)
