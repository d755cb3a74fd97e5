"""What a chosen model's context is worth, in words and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gigaforge.report.report_tables import Table
from gigaforge.report.story import money
from gigaforge.units import format_quantity, percent

__all__ = ["context_sentence", "context_table", "context_tables"]

_FOR_ALL: Final = 131072
"""The context compared with: what most models on offer hold [token]."""


def context_sentence(choice: Mapping[str, Any]) -> str:
    """What the context does to requests, loss and cost; empty where it was left out.

    Parameters
    ----------
    choice : mapping
        As `gigaforge.codesign.models.Choice.to_dict` gives it.

    """
    rows = {r["context"]: r for r in choice.get("contexts") or []}
    own = rows.get(choice.get("context"))
    if own is None:
        return ""
    words = f"Its context of {own['context']:,} tokens cuts {_share(own['requests_cut'])} of requests and adds {_loss(own)} to the loss"
    other = rows.get(_FOR_ALL) or rows[max(rows)]
    if other is own:
        return f"{words}."
    if abs(own["loss"] - other["loss"]) > 1e-3:
        return f"{words}; with one of {other['context']:,} the loss would be {other['loss']:.4f} instead of {own['loss']:.4f}."
    more = other["usd"] - own["usd"]
    return f"{words}; one of {other['context']:,} would cost {money(abs(more))} {'more' if more >= 0 else 'less'}."


def context_table(run: str, choice: Mapping[str, Any]) -> Table | None:
    """The chosen kind of model with each context tried; None where there is nothing to compare."""
    rows = choice.get("contexts") or []
    if len(rows) < 2:
        return None
    heads = [
        "Context",
        "Requests cut",
        "Added loss",
        "Active",
        "Training tokens",
        "Loss",
        "Training",
        "Serving",
        "Both",
    ]
    cells: list[list[Any]] = [
        [f"{r['context']:,}{' (chosen)' if r['context'] == choice['context'] else ''}", _share(r["requests_cut"]), _loss(r),
         format_quantity(r["active"], "count"), format_quantity(r["tokens"], "count"), f"{r['loss']:.4f}", money(r["train_usd"]), money(r["serve_usd"]), money(r["usd"])]
        for r in rows
    ]  # fmt: skip
    note = (
        "The chosen kind of model with each context. A longer one lengthens part of the training; a shorter one saves the serving of "
        "what it cuts. Contexts that cut more requests than asked for are shown and not chosen: loss counts what a mean token loses "
        "by the cut, not what a question about the part cut off does."
    )
    return Table(f"{run} by context", heads, cells, note=note)


def context_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Of all models that a scenario left open."""
    made = [context_table(run, c) for run, c in (summary.get("model_choices") or {}).items()]
    return [table for table in made if table is not None]


def _share(value: float) -> str:
    return percent(value, 1) if value >= 5e-4 else "hardly any" if value else "none"


def _loss(row: Mapping[str, Any]) -> str:
    added = row["context_penalty"]
    return f"{added:.4f}" if added >= 5e-5 else "less than 0.0001" if added else "nothing"
