"""How the catalogue looks in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gigaforge.catalog.describe import Row, rows_of, source_record
from gigaforge.catalog.load import KINDS
from gigaforge.catalog.parameters import parameter_count
from gigaforge.catalog.schema import Fact, Shape
from gigaforge.units import format_quantity

if TYPE_CHECKING:
    from pathlib import Path

    from gigaforge.catalog import Catalog, Figure

__all__ = [
    "print_changes",
    "print_comparison",
    "print_entries",
    "print_kind",
    "print_overview",
    "print_sources",
]

_WIDE: Final = 100  # columns from which optional columns show
_STATUS_STYLE: Final = {"shipping": "green", "ramping": "cyan", "announced": "yellow", "announced_only": "yellow",
                        "cancelled": "red", "retired": "dim", "assumption": "yellow"}  # fmt: skip
_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def _figure(figure: Figure | None) -> str:
    return "–" if figure is None else format_quantity(figure.value, figure.dimension)


def _status(text: str) -> Text:
    return Text(text.replace("_", " "), style=_STATUS_STYLE.get(text, ""))


# Kind -> columns: (title, right-aligned, only when wide, cell of an entry).
_Column = tuple[str, bool, bool, Callable[[Any], Any]]
_COLUMNS: Final[dict[str, list[_Column]]] = {
    "accelerators": [
        ("vendor", False, True, lambda e: e.vendor),
        ("bf16", True, False, lambda e: _figure(e.bf16)),
        ("fp8", True, True, lambda e: _figure(e.fp8)),
        ("fp4", True, False, lambda e: _figure(e.fp4)),
        ("memory", True, False, lambda e: _figure(e.hbm_capacity)),
        ("bandwidth", True, False, lambda e: _figure(e.hbm_bandwidth)),
        ("power", True, True, lambda e: _figure(e.power)),
        ("status", False, False, lambda e: _status(e.status)),
    ],
    "systems": [
        ("count", True, False, lambda e: str(e.accelerators)),
        ("accelerator", False, False, lambda e: e.accelerator),
        ("domain", True, True, lambda e: str(e.nvlink_domain)),
        ("power", True, False, lambda e: _figure(e.power)),
        ("price", True, False, lambda e: _figure(e.price)),
        ("from", False, True, lambda e: str(e.available_from or "–")),
        ("status", False, False, lambda e: _status(e.status)),
    ],
    "networks": [
        ("generation", False, False, lambda e: e.generation),
        ("port", True, False, lambda e: _figure(e.port_bandwidth)),
        ("latency", True, False, lambda e: f"{e.latency_us:g} µs" if e.latency_us else "–"),
        ("ports", True, True, lambda e: str(e.switch_ports or "–")),
        ("status", False, False, lambda e: _status(e.status)),
    ],
    "models": [
        ("parameters", True, False, lambda e: format_quantity(parameter_count(e).total, "count")),
        ("active", True, False, lambda e: format_quantity(parameter_count(e).active, "count")),
        ("layers", True, False, lambda e: str(e.layers)),
        ("width", True, False, lambda e: f"{e.d_model:,}"),
        ("experts", True, True, lambda e: f"{e.experts_per_token} of {e.experts}" if e.experts else "–"),
        ("attention", False, True, lambda e: e.attention),
        ("context", True, False, lambda e: f"{e.max_context:,}"),
    ],
    "sites": [
        ("partner", False, False, lambda e: e.partner),
        ("tenure", False, False, lambda e: e.tenure),
        ("first", False, True, lambda e: f"{e.energised[0].quarter}"),
        ("full", False, False, lambda e: f"{e.energised[-1].quarter}"),
        ("power", True, False, lambda e: _figure(e.energised[-1].power)),
        ("PUE", True, True, lambda e: _figure(e.pue_mean)),
        ("energy", True, False, lambda e: _figure(e.energy_price)),
        ("rack limit", True, True, lambda e: _figure(e.rack_power_limit)),
    ],
    "partners": [
        ("label", False, False, lambda e: e.label),
        ("role", False, False, lambda e: e.role),
    ],
    "facts": [
        ("what", False, False, lambda e: e.label),
        ("value", True, False, _figure),
        ("date", False, True, lambda e: e.date),
    ],
    "shapes": [
        ("label", False, False, lambda e: e.label),
        ("peak / mean", True, False, lambda e: f"{max(e.factors):.2f}"),
    ],
}


def _table(*, title: str = "") -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, header_style="bold")


def print_overview(catalog: Catalog) -> None:
    """All kinds with their entries' names."""
    console = Console()
    table = _table()
    table.add_column("kind", style="bold cyan", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("entries", overflow="fold")
    for kind in KINDS:
        names = list(getattr(catalog, kind))
        shown = names if len(names) <= 80 else [*names[:12], f"… and {len(names) - 12} more"]
        table.add_row(kind, str(len(names)), Text("  ".join(shown)))
        table.add_row()
    table.add_row("sources", str(len(catalog.sources)), Text("titles and addresses", style="dim"))
    console.print(table)
    console.print(Text("gigaforge catalog list KIND · show NAME · compare NAME NAME", style="dim"))


def print_kind(catalog: Catalog, kind: str) -> None:
    """One kind as a table; the columns that matter less show in wide terminals."""
    console = Console()
    columns = [c for c in _COLUMNS[kind] if console.width >= _WIDE or not c[2]]
    table = _table()
    table.add_column(kind.removesuffix("s"), style="bold cyan", no_wrap=True)
    for title, right, _, _ in columns:
        table.add_column(title, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for entry in getattr(catalog, kind).values():
        table.add_row(entry.name, *(cell(entry) for *_, cell in columns))
    console.print(table)


def print_entries(catalog: Catalog, found: list[tuple[str, Any]]) -> None:
    """Entries in full: each figure with its range and basis, then the sources by number."""
    console = Console()
    for index, (kind, entry) in enumerate(found):
        if index:
            console.rule(style="dim")
        _print_entry(console, catalog, kind, entry)


def _print_entry(console: Console, catalog: Catalog, kind: str, entry: Any) -> None:
    head = Text.assemble((entry.label, "bold"), "  ", (entry.name, "cyan"), (f"  {kind.removesuffix('s')}", "dim"))
    console.print()
    console.print(head)
    if entry.note and not isinstance(entry, Fact):
        console.print(Text(entry.note, style="italic"))
    if entry.assumption and not isinstance(entry, Fact):
        console.print(Text.assemble(("assumption: ", "yellow"), entry.assumption))
    numbers: dict[str, int] = {}
    rows = list(rows_of(entry))
    _print_rows(console, rows, numbers)
    if isinstance(entry, Shape):
        _print_week(console, entry.factors)
    for key in [] if isinstance(entry, Fact) else entry.source:
        numbers.setdefault(key, len(numbers) + 1)
    for key, number in numbers.items():
        _print_source(console, catalog, key, number)


def _print_rows(console: Console, rows: list[Row], numbers: dict[str, int]) -> None:
    """Value, range and sources on a line; what the figure counts, or why it is assumed, on the lines below."""
    cells = [_cells(row, numbers) for row in rows]
    label_width = max((len(row.label) for row in rows), default=0)
    value_width = max((len(value) for value, *_ in cells), default=0)
    span_width = max((len(span) for _, span, *_ in cells), default=0)
    if rows:
        console.print()
    for row, (value, span, marks, why) in zip(rows, cells, strict=True):
        line = Text(row.label.ljust(label_width + 2))
        line.append(" " * (value_width - len(value))).append_text(value)
        line.append(f"   {span.rjust(span_width)}  ", style="dim").append_text(marks)
        line.rstrip()
        console.print(line, soft_wrap=True)
        if why:
            console.print(Padding(why, (0, 0, 0, 4)))
    console.print()


def _cells(row: Row, numbers: dict[str, int]) -> tuple[Text, str, Text, Text]:
    """Value, range, numbers of the sources (new ones get the next) and what the figure counts or why."""
    figure = row.figure
    if figure is None:
        style = _STATUS_STYLE.get(row.text, "") if row.field == "status" else ""
        value = Text(row.text.replace("_", " ") if row.field == "status" else row.text, style=style)
        return value, "", Text("" if row.field else "derived", style="dim"), Text()
    span = ""
    if figure.low < figure.high:
        span = " – ".join(format_quantity(v, figure.dimension) for v in (figure.low, figure.high))
    marks = Text("".join(f"[{numbers.setdefault(key, len(numbers) + 1)}]" for key in figure.source), style="green")
    why = Text()
    if figure.assumption:
        why = Text.assemble(("assumption: ", "yellow"), figure.assumption)
    if figure.note:
        why = Text.assemble(why, "; " if why else "", (figure.note, "dim"))
    return Text(row.text, style="bold"), span, marks, why


def _print_source(console: Console, catalog: Catalog, key: str, number: int) -> None:
    _print_reference(console, f"[{number}]", source_record(catalog, key))


def _print_reference(console: Console, mark: str, source: dict[str, Any], *, key: str = "") -> None:
    """Title and address; the address stays whole so that it can be copied."""
    url = Text(source["url"], style="blue")
    if source["title"] == source["url"]:
        console.print(Text.assemble((mark.rjust(4), "green"), " ", url), soft_wrap=True)
        return
    about = ", ".join(part for part in (source["date"], source["reliability"]) if part)
    line = Table.grid(padding=(0, 1))
    line.add_column(width=4, justify="right", style="green")
    line.add_column(overflow="fold")
    line.add_row(Text(mark), Text.assemble(source["title"], (f"  ({about})" if about else "", "dim")))
    console.print(line)
    console.print(Text.assemble("     ", (f"{key}  " if key else "", "cyan"), url), soft_wrap=True)


def _print_week(console: Console, factors: list[float]) -> None:
    top = max(factors)
    for day in range(7):
        hours = factors[24 * day : 24 * day + 24]
        bars = "".join(_BLOCKS[min(int(f / top * len(_BLOCKS)), len(_BLOCKS) - 1)] for f in hours)
        name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day]
        console.print(Text.assemble((f"{name}  ", "dim"), (bars, "cyan"), (f"  {sum(hours) / 24:.2f}", "dim")))
    console.print(Text("     0h          12h       24h UTC", style="dim"))


def print_comparison(kind: str, entries: list[Any], rows: Iterable[tuple[str, list[Row | None]]]) -> None:
    """Entries side by side; under each number its ratio to the first."""
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column(kind.removesuffix("s"), overflow="fold", ratio=1)
    for index, entry in enumerate(entries):
        table.add_column(Text(_broken(entry.name), style="bold cyan"), justify="right", no_wrap=True)
        if index:
            table.add_column("", justify="right", no_wrap=True)
    for label, line in rows:
        if label.startswith("energised"):  # steps of different quarters do not line up
            continue
        base = line[0].number if line[0] else None
        cells: list[Text] = [_value(line[0])]
        for row in line[1:]:
            cells += [_value(row), _ratio(row, base)]
        table.add_row(Text(label), *cells)
    console.print(table)


def _broken(name: str, width: int = 14) -> str:
    """Break a long name after a hyphen."""
    lines = [""]
    for part in name.replace("-", "- ").split():
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _value(row: Row | None) -> Text:
    if row is None:
        return Text("–", style="dim")
    return _status(row.text) if row.field == "status" else Text(row.text)


def _ratio(row: Row | None, base: float | None) -> Text:
    if row is None or row.number is None or not base:
        return Text()
    ratio = row.number / base
    style = "dim" if abs(ratio - 1) < 5e-3 else "green" if ratio > 1 else "yellow"
    return Text(f"×{ratio:.2f}" if ratio < 100 else f"×{ratio:.0f}", style=style)


def print_changes(folder: Path, changes: list[dict[str, Any]]) -> None:
    """What an overlay changes, entry by entry."""
    console = Console()
    if not changes:
        console.print(f"{folder} changes nothing")
        return
    table = _table()
    table.add_column("entry", style="bold cyan", overflow="fold")
    table.add_column("field", overflow="fold")
    table.add_column("before", overflow="fold")
    table.add_column("after", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    for change in changes:
        ratio = "" if change["ratio"] is None else f"×{change['ratio']:.2f}"
        after = Text(change["after"], style="green" if change["after"] == "new" and not change["field"] else "")
        table.add_row(f"{change['kind']}/{change['name']}", change["field"], change["before"], after, ratio)
    console.print(table)
    entries = len({(change["kind"], change["name"]) for change in changes})
    console.print(Text(f"{len(changes)} changes in {entries} entries", style="dim"))


def print_sources(uses: list[dict[str, Any]]) -> None:
    """All sources, most used first, with how many figures lean on each."""
    console = Console()
    for source in uses:
        _print_reference(console, str(source["uses"]), source, key=source["key"])
    console.print(Text("Number of figures and entries that lean on a source, its key and its address.", style="dim"))
