"""`gigaforge catalog`: what the catalogue knows, and where from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Show the sourced figures: list, show, compare, diff, sources.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("list")(list_entries)
    group.command("show")(show)
    group.command("compare")(compare)
    group.command("diff")(diff)
    group.command("sources")(sources)
    app.add_typer(group, name="catalog")


def list_entries(
    kind: Annotated[
        str | None,
        typer.Argument(help="accelerators, systems, networks, models, sites, partners, facts, shapes or sources"),
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what there is, all kinds or one.

    Example: gigaforge catalog list systems
    """
    from gigaforge.catalog.describe import entry_record, find_kind
    from gigaforge.catalog.load import KINDS
    from gigaforge.cli import catalog_view

    chosen = find_kind(kind) if kind else None
    if chosen == "sources":
        sources(catalog, as_json)
        return
    known = catalog_from(catalog)
    if as_json:
        kinds = [chosen] if chosen else list(KINDS)
        _print_json({k: [entry_record(known, k, e) for e in getattr(known, k).values()] for k in kinds})
    elif chosen:
        catalog_view.print_kind(known, chosen)
    else:
        catalog_view.print_overview(known)


def show(
    name: Annotated[str, typer.Argument(help="Name of an entry, e.g. gb300-nvl72 (or systems/tpu-v7)")],
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every figure of an entry with its range, its source or why it is assumed.

    Example: gigaforge catalog show vera-rubin-nvl72-max-q
    """
    from gigaforge.catalog.describe import entry_record, find_entries
    from gigaforge.cli import catalog_view

    known = catalog_from(catalog)
    found = find_entries(known, name)
    if as_json:
        _print_json({"name": name, "entries": [entry_record(known, kind, entry) for kind, entry in found]})
    else:
        catalog_view.print_entries(known, found)


def compare(
    names: Annotated[list[str], typer.Argument(help="Two or more entries of one kind")],
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put entries side by side, with ratios to the first.

    Example: gigaforge catalog compare gb200-nvl72 gb300-nvl72 vera-rubin-nvl72-max-q
    """
    from gigaforge.catalog.describe import compare_rows
    from gigaforge.cli import catalog_view

    kind, entries, rows = compare_rows(catalog_from(catalog), names)
    if as_json:
        table = [
            {
                "label": label,
                "texts": [row.text if row else None for row in line],
                "values": [row.number if row else None for row in line],
            }
            for label, line in rows
        ]
        _print_json({"kind": kind, "names": [entry.name for entry in entries], "rows": table})
    else:
        catalog_view.print_comparison(kind, entries, rows)


def diff(
    folder: Annotated[Path, typer.Argument(help="Folder of your own figures")],
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a folder of your own figures changes.

    Example: gigaforge catalog diff my-figures
    """
    from gigaforge.catalog.describe import diff_entries
    from gigaforge.cli import catalog_view

    changes = diff_entries(catalog_from(catalog), catalog_from([*(catalog or []), folder]))
    if as_json:
        _print_json({"folder": str(folder), "changes": changes})
    else:
        catalog_view.print_changes(folder, changes)


def sources(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """List the sources, with how many figures lean on each.

    Example: gigaforge catalog sources
    """
    from gigaforge.catalog.describe import source_uses
    from gigaforge.cli import catalog_view

    uses = source_uses(catalog_from(catalog))
    if as_json:
        _print_json({"sources": uses})
    else:
        catalog_view.print_sources(uses)


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
