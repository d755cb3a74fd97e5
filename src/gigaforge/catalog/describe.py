"""The catalogue as plain records: what the command line, the page and the report show of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final

from pydantic import BaseModel

from gigaforge.catalog.figure import Figure, figures_in, si_text
from gigaforge.catalog.load import KINDS, Catalog
from gigaforge.catalog.parameters import parameter_count
from gigaforge.catalog.schema import Accelerator, Fact, Model, Site, System
from gigaforge.errors import InputError, did_you_mean
from gigaforge.units import format_quantity

__all__ = [
    "Row",
    "compare_rows",
    "diff_entries",
    "entry_record",
    "figure_record",
    "find_entries",
    "find_kind",
    "rows_of",
    "source_record",
    "source_uses",
]

# Field -> what people call it, where replacing "_" by a space does not say it.
_LABELS: Final = {
    "bf16": "bf16, dense",
    "fp8": "fp8, dense",
    "fp4": "fp4, dense",
    "hbm_capacity": "memory",
    "hbm_bandwidth": "memory bandwidth",
    "scale_up_bandwidth": "scale-up, one way",
    "scale_out_bandwidth": "scale-out, one way",
    "overhead_power": "network and storage power",
    "nvlink_domain": "scale-up domain",
    "d_ff": "feed-forward width",
    "expert_d_ff": "expert width",
    "pue_mean": "PUE, mean",
    "pue_peak": "PUE, peak",
    "latency_us": "latency [µs]",
    "life_years": "life [years]",
}
_HIDDEN: Final = {"name", "label", "note", "assumption", "source", "factors", "measure", "value", "low", "high"}


@dataclass(frozen=True)
class Row:
    """One line about an entry.

    Attributes
    ----------
    field : str
        Path in the entry ("energised.0.power"), empty for what is derived.
    label : str
        In people's words.
    text : str
        The value as printed.
    number : float or None
        SI value, for ratios; None for words and dates.
    figure : Figure or None
        With range and source, where the row is a figure.

    """

    field: str
    label: str
    text: str
    number: float | None = None
    figure: Figure | None = dataclass_field(default=None, compare=False)


def find_kind(word: str) -> str:
    """Read a kind, in the singular too; `InputError` names the nearest known one."""
    known = [*KINDS, "sources"]
    for kind in known:
        if word.lower() in (kind, kind.removesuffix("s")):
            return kind
    hint = did_you_mean(word.lower(), known)
    raise InputError(f"unknown kind {word!r}{hint} (known: {', '.join(known)})")


def find_entries(catalog: Catalog, name: str) -> list[tuple[str, Any]]:
    """Every entry of that name (an accelerator and a system may share one; "systems/tpu-v7" picks).

    Raises
    ------
    InputError
        Nothing has the name; the message gives the nearest known ones.

    """
    kinds: list[str] = list(KINDS)
    if "/" in name:
        word, name = name.split("/", 1)
        kinds = [find_kind(word)]
    found = [(kind, getattr(catalog, kind)[name]) for kind in kinds if name in getattr(catalog, kind)]
    if found:
        return found
    names = {entry for kind in kinds for entry in getattr(catalog, kind)}
    hint = did_you_mean(name.lower(), names, 3)
    raise InputError(f"nothing in the catalogue is called {name!r}{hint} (`gigaforge catalog list` shows all)")


def rows_of(entry: BaseModel) -> Iterator[Row]:
    """All fields of an entry that say something, then what follows from them."""
    if isinstance(entry, Fact):
        yield Row("value", "value", format_quantity(entry.value, entry.dimension), entry.value, entry)
        yield from (Row("date", "date", entry.date) for _ in [0] if entry.date)
        return
    for name, info in type(entry).model_fields.items():
        value = getattr(entry, name)
        if name in _HIDDEN or value in (None, "", [], False) or (value == 0 and info.default == 0):
            continue
        yield from _field_rows(name, value)
    yield from _derived(entry)


def _field_rows(name: str, value: Any) -> Iterator[Row]:
    label = _LABELS.get(name, name.replace("_", " "))
    if isinstance(value, Figure):
        yield Row(name, label, format_quantity(value.value, value.dimension), value.value, value)
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            for path, figure in figures_in(item):
                text = format_quantity(figure.value, figure.dimension)
                yield Row(f"{name}.{index}.{path}", f"{label} {item.quarter}", text, figure.value, figure)
    elif isinstance(value, bool):
        yield Row(name, label, "yes")
    elif isinstance(value, int | float):
        yield Row(name, label, f"{value:,}" if isinstance(value, int) else f"{value:g}", float(value))
    elif isinstance(value, list):
        yield Row(name, label, ", ".join(str(item) for item in value))
    else:
        yield Row(name, label, str(value))


def _derived(entry: BaseModel) -> Iterator[Row]:
    if isinstance(entry, Model):
        count = parameter_count(entry)
        yield Row("", "parameters, counted", format_quantity(count.total, "count", 4), float(count.total))
        if entry.family == "moe":
            text = format_quantity(count.active, "count", 3)
            yield Row("", "active, counted", text, float(count.active))
    if isinstance(entry, System) and entry.power:
        overhead = entry.overhead_power.value if entry.overhead_power else 0.0
        each = (entry.power.value + overhead) / entry.accelerators
        yield Row("", "IT power per accelerator", format_quantity(each, "power"), each)
        if entry.price:
            price = entry.price.value + (entry.network_price.value if entry.network_price else 0.0)
            per_watt = price / (entry.power.value + overhead)
            yield Row("", "price per W of IT power", format_quantity(per_watt, "money_per_power"), per_watt)
    if isinstance(entry, Site):
        full = entry.energised[-1].power.value / entry.pue_peak.value
        yield Row("", "IT power at peak PUE", format_quantity(full, "power"), full)


def _system_rows(catalog: Catalog, system: System) -> Iterator[Row]:
    """What a whole system does: its accelerator's figures times their number."""
    accelerator: Accelerator = catalog.accelerators[system.accelerator]
    for name in ("bf16", "fp8", "fp4", "hbm_capacity", "hbm_bandwidth"):
        figure: Figure | None = getattr(accelerator, name)
        if figure is not None:
            total = figure.value * system.accelerators
            yield Row(name, f"{_LABELS[name]}, whole", format_quantity(total, figure.dimension), total)


def compare_rows(catalog: Catalog, names: list[str]) -> tuple[str, list[Any], list[tuple[str, list[Row | None]]]]:
    """Line up entries of one kind.

    Returns
    -------
    kind : str
    entries : list
    rows : list of (label, one `Row` or None for each entry)

    Raises
    ------
    InputError
        Fewer than two names, an unknown one, or names of different kinds.

    """
    if len(names) < 2:
        raise InputError("compare needs at least two names, for example: gb200-nvl72 vera-rubin-nvl72-max-q")
    found = [find_entries(catalog, name) for name in names]
    shared = [kind for kind in KINDS if all(kind in dict(matches) for matches in found)]
    if not shared:
        told = ", ".join(
            f"{name} ({matches[0][0].removesuffix('s')})" for name, matches in zip(names, found, strict=True)
        )
        raise InputError(f"only entries of one kind can be compared; found {told}")
    kind = shared[-1] if "systems" in shared else shared[0]
    entries = [dict(matches)[kind] for matches in found]
    columns = []
    for entry in entries:
        rows = list(rows_of(entry))
        if isinstance(entry, System):
            rows += _system_rows(catalog, entry)
        columns.append({row.label: row for row in rows})
    labels = list(dict.fromkeys(label for column in columns for label in column))
    return kind, entries, [(label, [column.get(label) for column in columns]) for label in labels]


def source_record(catalog: Catalog, key: str) -> dict[str, str]:
    """Title and address of a source key; a bare address is its own title."""
    if key not in catalog.sources:
        return {"key": key, "title": key, "url": key, "date": "", "reliability": ""}
    source = catalog.sources[key]
    return {"key": key, **source.model_dump()}


def source_uses(catalog: Catalog) -> list[dict[str, Any]]:
    """Every source, bare addresses too, with how many figures and entries lean on it, most used first."""
    counts: dict[str, int] = dict.fromkeys(catalog.sources, 0)
    for kind in KINDS:
        for entry in getattr(catalog, kind).values():
            own = [] if isinstance(entry, Fact) else getattr(entry, "source", [])
            for key in [*own, *(key for _, figure in figures_in(entry) for key in figure.source)]:
                counts[key] = counts.get(key, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{**source_record(catalog, key), "uses": uses} for key, uses in ranked]


def figure_record(catalog: Catalog, figure: Figure) -> dict[str, Any]:
    """One figure for machines: SI numbers, the unit, the text people read, and where it comes from."""
    unit = str(si_text(0.0, figure.dimension)).removeprefix("0.0").strip()
    return {
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "unit": unit,
        "dimension": figure.dimension,
        "text": str(figure),
        "sources": [source_record(catalog, key) for key in figure.source],
        "assumption": figure.assumption,
        "note": figure.note,
    }


def entry_record(catalog: Catalog, kind: str, entry: Any) -> dict[str, Any]:
    """One entry for machines: plain fields as they are, figures as `figure_record`."""
    if isinstance(entry, Fact):
        plain = {key: getattr(entry, key) for key in ("name", "label", "measure", "date")}
        return {"kind": kind, **plain, **figure_record(catalog, entry)}
    record = entry.model_dump(mode="json", exclude_none=True)
    for path, figure in figures_in(entry):
        *parents, last = path.split(".")
        place: Any = record
        for part in parents:
            place = place[int(part)] if part.isdigit() else place[part]
        place[last] = figure_record(catalog, figure)
    if isinstance(entry, Model):
        count = parameter_count(entry)
        record["counted_parameters"] = {"total": count.total, "active": count.active}
    record["source"] = [source_record(catalog, key) for key in getattr(entry, "source", [])]
    return {"kind": kind, **record}


def diff_entries(base: Catalog, over: Catalog) -> list[dict[str, Any]]:
    """What an overlay changes: one record for each field, with what was before and what is after."""
    changes: list[dict[str, Any]] = []
    for kind in (*KINDS, "sources"):
        before, after = getattr(base, kind), getattr(over, kind)
        for name in sorted(set(before) | set(after)):
            old, new = before.get(name), after.get(name)
            if old == new:
                continue
            if old is None:
                changes.append({"kind": kind, "name": name, "field": "", "before": "", "after": "new", "ratio": None})
                continue
            changes += [{"kind": kind, "name": name, **change} for change in _field_changes(old, new)]
    return changes


def _field_changes(old: BaseModel, new: BaseModel) -> Iterator[dict[str, Any]]:
    for name in type(new).model_fields:
        a, b = getattr(old, name), getattr(new, name)
        if a == b:
            continue
        both = isinstance(a, Figure) and isinstance(b, Figure)
        ratio = b.value / a.value if both and a.value else None
        yield {"field": name, "before": _plain(a), "after": _plain(b), "ratio": ratio}


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, BaseModel) and not isinstance(value, Figure):
        return " ".join(_plain(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return "" if value is None else str(value)
