"""Options that several verbs share, and readers for people's units on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from gigaforge.catalog import Catalog

__all__ = ["CatalogOption", "JsonOption", "SetOption", "actuals_from", "catalog_from", "quantity", "search_limits"]

CatalogOption = Annotated[
    list[Path] | None,
    typer.Option("--catalog", help="Folder of your own figures, laid over the shipped catalogue; may be repeated."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one figure: sites.abilene.power.2027-Q2='600 MW'; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


def catalog_from(folders: list[Path] | None) -> Catalog:
    """Load the catalogue with the user's folders laid over it."""
    from gigaforge.catalog import load_catalog

    return load_catalog(*(folders or []))


def quantity(text: str, dimension: str, option: str) -> float:
    """Read an option such as ``--ttft "2 s"``; `InputError` names the option."""
    from gigaforge.units import parse_quantity

    try:
        return parse_quantity(text, dimension)
    except ValueError as problem:
        raise InputError(str(problem), option) from None


def search_limits(gap: str, time_limit: str) -> tuple[float, float]:
    """Read ``--gap`` and ``--time-limit``: a share and seconds; `InputError` names the option."""
    share, seconds = quantity(gap, "fraction", "--gap"), quantity(time_limit, "duration", "--time-limit")
    if not 0 <= share < 1:
        raise InputError(f"{gap!r} is not between 0 and 100 %", "--gap")
    if seconds <= 0:
        raise InputError(f"{time_limit!r} is not above zero; for example '2 min'", "--time-limit")
    return share, seconds


def actuals_from(source: str) -> pd.DataFrame:
    """Read ``--actuals``: a table, or what a ledger recorded (``ledger:FILE`` or ``ledger:ADDRESS``)."""
    import importlib

    from gigaforge.buildout.actuals import read_actuals

    if source.startswith("ledger:"):
        importlib.import_module("gigaforge.ledger.actuals")  # tells the planner how to read one
    return read_actuals(source)
