"""`gigaforge risk`: what may happen to a plan, and what matters."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from
from gigaforge.errors import InputError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

__all__ = ["Pace", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("risk")(risk)


def risk(
    scenario: Annotated[Path, typer.Argument(help="Scenario file, e.g. scenarios/alliance-10gw.yaml")],
    samples: Annotated[int, typer.Option("--samples", help="Futures; a power of two covers them best")] = 256,
    risks: Annotated[
        Path | None, typer.Option("--risks", help="Uncertain figures, instead of the scenario's section `risk`")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write [default: risks/NAME]", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes [default: one a core]", show_default=False)
    ] = None,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Dask scheduler, e.g. tcp://10.0.0.1:8786")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws")] = 1,
    two_stage: Annotated[
        int, typer.Option("--two-stage", help="Also plan what to order now that is good in so many futures (0: not)")
    ] = 0,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Live a scenario through many futures and say what may come, when, and what it hangs on.

    Each future is re-planned once a year by a planner who cannot see ahead. Finished futures are kept in the folder: an
    interrupted run goes on where it stopped. Writes risk.json, samples.parquet and risk.html.

    Example: gigaforge risk scenarios/alliance-10gw.yaml --samples 256
    """
    from gigaforge.scenario import check_against, load_scenario

    chosen = load_scenario(scenario)
    figures = catalog_from(catalog)
    check_against(chosen, figures, str(scenario))
    folder = out or Path("risks") / chosen.name
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file; choose a folder with --out", str(folder))

    from rich.console import Console

    from gigaforge.buildout.risk.study import load_risk
    from gigaforge.buildout.risk.study import risk as study
    from gigaforge.report.html import write_page
    from gigaforge.report.risk_figures import risk_page

    uncertain = load_risk(risks) if risks else None
    try:
        with _progress(Console(stderr=True)) as watch:
            result = study(chosen, figures, samples=samples, seed=seed, uncertain=uncertain, workers=workers,
                           scheduler=scheduler, folder=folder, where=str(risks or scenario), futures=two_stage,
                           watch=watch)  # fmt: skip
            watch("writing the report", 0, 0)
            result.samples.to_parquet(folder / "samples.parquet", index=False)
            (folder / "risk.json").write_text(json.dumps(result.summary, indent=1) + "\n", encoding="utf-8")
            write_page(risk_page(result.summary, result.samples), folder / "risk.html")
    except KeyboardInterrupt:
        raise StoppedError(
            f"interrupted; finished futures are kept in {folder}: the same command goes on from there"
        ) from None
    if as_json:
        sys.stdout.write(json.dumps(result.summary) + "\n")
    else:
        _print(Console(), result.summary, folder)


class Pace:
    """How far the present step is, how long all has taken, and how long the step is likely to take still.

    The time left is that of what was done in this run of the command: futures kept from an earlier one cost nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.started = self.begun = self.at = clock()
        self.what, self.first, self.done, self.total = "starting", 0, 0, 0

    def step(self, what: str, done: int, total: int) -> None:
        """Note what has been done; another `what` is another step."""
        self.at = self.clock()
        if what != self.what:
            self.what, self.begun, self.first = what, self.at, done
        self.done, self.total = done, total

    @property
    def left_s(self) -> float | None:
        """Seconds to the step's end; None where nothing tells."""
        new = self.done - self.first
        if not self.total or new <= 0 or self.done >= self.total:
            return None
        left = (self.at - self.begun) * (self.total - self.done) / new
        return max(left - (self.clock() - self.at), 0.0)

    def words(self) -> str:
        """As the bar shows it: "1:10 taken, 0:35 left"."""
        taken, left = f"{_clock(self.clock() - self.started)} taken", self.left_s
        return taken if left is None else f"{taken}, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar with the time taken and left on a terminal, a line at each tenth elsewhere."""
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    if console.is_terminal:
        pace = Pace()

        class Times(ProgressColumn):
            def render(self, _: Task) -> Text:
                return Text(pace.words())

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[count]}"),
            Times(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=None, count="")

            def show(what: str, done: int, total: int) -> None:
                nonlocal task
                if (what, total) != (pace.what, pace.total):  # a task keeps its total: each step is a task of its own
                    bar.remove_task(task)
                    task = bar.add_task(what, total=total or None, count="")
                pace.step(what, done, total)
                bar.update(task, completed=done, count=f"{done:,}/{total:,}" if total else "")

            yield show
        return
    last = [("", -1)]

    def line(what: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if (what, tenth) != last[0]:
            last[0] = (what, tenth)
            console.print(f"{what} {done:,} of {total:,}" if total else what, highlight=False)

    yield line


def _print(console: Console, s: dict[str, Any], folder: Path) -> None:
    from rich.table import Table

    from gigaforge.report.risk_figures import optimism_sentence
    from gigaforge.units import format_quantity

    def money(usd: float) -> str:
        return format_quantity(usd, "money")

    npv = s["npv_usd"]
    console.print(f"[bold]{s['title']}[/]: {s['samples']:,} futures in {s['wall_s']:.0f} s", highlight=False)
    console.print(
        f"net present value {money(npv['p50'])} ({money(npv['p10'])} to {money(npv['p90'])}); one in twenty falls "
        f"{money(npv['value_at_risk_95'])} or more below the median",
        highlight=False,
    )  # fmt: skip
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for name in ("promise", "by", "kept in", "p10", "p50", "p90"):
        table.add_column(name, justify="left" if name == "promise" else "right")
    for m in s["milestones"]:
        dates = [m[k] or "later" for k in ("p10", "p50", "p90")]
        table.add_row(format_quantity(m["power_w"], "power"), m["by"], f"{100 * m['probability']:.0f} %", *dates)
    for t in s["tranches"]:
        dates = [t[k] or "later" for k in ("p10", "p50", "p90")]
        table.add_row(f"tranche {t['index']}", "", f"{100 * t['probability']:.0f} %", *dates)
    console.print(table)
    for label, found in s["sensitivity"].items():
        top = [
            f"{name} {100 * v['shapley']:.0f} %"
            for name, v in list(found["figures"].items())[:5]
            if v["shapley"] > 0.005
        ]
        if top:
            what = "net present value" if label == "npv_usd" else f"power by {label.rsplit(maxsplit=1)[-1]}"
            console.print(f"what matters for {what}: {', '.join(top)}", highlight=False)
    if "optimism" in s:
        console.print(optimism_sentence(s["optimism"]), highlight=False)
    for sentence in s.get("two_stage", {}).get("sentences", []):
        console.print(sentence, highlight=False)
    console.print(f"[dim]samples and risk.html in {folder}[/]")
