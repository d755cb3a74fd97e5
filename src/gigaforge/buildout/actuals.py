"""What has really happened so far: read, checked against itself and the scenario, and laid under the programme.

An actuals table has the columns of ``deployment.parquet`` plus ``accepted_w`` (cumulative power accepted, on the
commitment's basis), for quarters that are over, without gaps from the first quarter of the horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from gigaforge.buildout.contradictions import Stated, contradictions
from gigaforge.buildout.problem import Array, Mask, Past, Premises, Problem, owners_of
from gigaforge.errors import InputError, did_you_mean
from gigaforge.quarters import Quarter

__all__ = ["past_from", "read_actuals", "register_actuals", "with_past"]

_KEYS: Final = ("quarter", "site", "system")
_COUNTS: Final = ("racks_added", "racks_retired", "racks_online", "racks_delivered")
_POWERS: Final = ("it_power_w", "facility_power_w", "nameplate_w", "deployed_w", "accepted_w")
_READERS: dict[str, Callable[[str], pd.DataFrame]] = {}


def register_actuals(scheme: str, reader: Callable[[str], pd.DataFrame]) -> None:
    """Let ``read_actuals("SCHEME:rest")`` call ``reader("rest")``: how a higher floor offers its own source."""
    _READERS[scheme] = reader


def read_actuals(source: Path | str | pd.DataFrame) -> pd.DataFrame:
    """Read a table of actuals.

    Parameters
    ----------
    source : path, str or DataFrame
        A CSV or Parquet file; a folder of them (one file a quarter, or a ``deployment.parquet``); ``scheme:rest`` of a
        registered reader; or the table itself.

    Raises
    ------
    InputError
        Nothing there, not a table, or a column missing.

    """
    if isinstance(source, pd.DataFrame):
        return _columns(source, _rows(source), "actuals")
    scheme, colon, rest = str(source).partition(":")
    if colon and len(scheme) > 1 and not Path(source).exists():
        if scheme not in _READERS:
            raise InputError(f"{scheme!r} is not a known source of actuals; give a CSV or Parquet file", "--actuals")
        table = _READERS[scheme](rest)
        return _columns(table, _rows(table), str(source))
    path = Path(source)
    if not path.exists():
        raise InputError("no such file or folder; a CSV or Parquet table is expected", str(path))
    if path.is_dir():
        whole = path / "deployment.parquet"
        files = [whole] if whole.exists() else sorted([*path.glob("*.csv"), *path.glob("*.parquet")])
        if not files:
            raise InputError("holds no CSV or Parquet file", str(path))
        parts = [_columns(*_read(f), str(f), f"{f.name} ") for f in files]
        together = pd.concat(parts, ignore_index=True)
        together.attrs["source"] = str(path)
        return together
    return _columns(*_read(path), str(path))


def _read(path: Path) -> tuple[pd.DataFrame, Sequence[str]]:
    """A table, and what to call each of its rows."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            return table, _rows(table)
        table = pd.read_csv(path, skip_blank_lines=False)
    except UnicodeDecodeError:
        raise InputError(
            "is not a CSV table: it is no text (UTF-8); a Parquet file ends in .parquet", str(path)
        ) from None
    except (OSError, ValueError, pd.errors.ParserError) as problem:
        raise InputError(f"is not a CSV or Parquet table: {str(problem).splitlines()[0]}", str(path)) from None
    table = table.dropna(how="all")
    return table, [f"line {i + 2}" for i in table.index]  # the first holds the heads


def _rows(table: pd.DataFrame) -> Sequence[str]:
    """What to call the rows: as their source does (`row_names` of the table's `attrs`), or by number."""
    named = table.attrs.get("row_names")
    if isinstance(named, list) and len(named) == len(table):
        return [str(name) for name in named]
    return [f"row {i + 1}" for i in range(len(table))]


def _columns(table: pd.DataFrame, names: Sequence[str], where: str, folder: str = "") -> pd.DataFrame:
    """The columns that count, with what may be left out filled in, and `stated`: what to call each row in messages."""
    missing = [c for c in (*_KEYS, "racks_added") if c not in table.columns]
    if missing:
        raise InputError(
            f"has no column {missing[0]!r}; needed: {', '.join(_KEYS)}, racks_added (and racks_retired, accepted_w)",
            where,
        )
    _refuse_strange(table, where)
    if table.empty:
        raise InputError("holds no row; leave --actuals out where nothing has happened yet", where)
    known = [c for c in (*_KEYS, *_COUNTS, *_POWERS) if c in table.columns]
    out = table[known].copy()
    out["stated"] = [folder + name for name in names]
    out.attrs["source"] = where
    if "racks_retired" not in out.columns:
        out["racks_retired"] = 0
    for column in (c for c in out.columns if c not in (*_KEYS, "stated")):
        blank = out[column].isna()  # what may be left out may be left blank
        numbers = pd.to_numeric(out[column], errors="coerce").astype(float)
        bad = ~np.isfinite(numbers) | (numbers < 0)
        if column in _COUNTS:
            bad |= numbers % 1 != 0
        if column != "racks_added":
            bad &= ~blank
        if bad.any():
            row = out[bad].iloc[0]
            kind = "a whole number from 0" if column in _COUNTS else "a number of watts from 0"
            found = "blank" if blank[bad].iloc[0] else row[column]
            raise InputError(f"{_at(row)}: {column} is {found}; {kind} is expected", where)
        out[column] = numbers.fillna(0.0) if column == "racks_retired" else numbers
    return out


def _refuse_strange(table: pd.DataFrame, where: str) -> None:
    """A column that nobody reads is a name mistyped: what it says would be lost without a word."""
    known = (*_KEYS, *_COUNTS, *_POWERS)
    for column in map(str, table.columns):
        if column in known or column == "stated" or column.startswith("Unnamed: "):  # a table's own count of its rows
            continue
        hint = did_you_mean(column, known)
        raise InputError(
            f"has a column {column!r}, which means nothing here{hint} (rename it or take it out; known: {', '.join(known)})",
            where,
        )


def _at(row: Any) -> str:
    return f"{row['quarter']} {row['site']} {row['system']} ({row['stated']})"


def past_from(table: pd.DataFrame, problem: Premises) -> Past:
    """Check actuals against themselves and the scenario, and turn them into arrays.

    Parameters
    ----------
    table : DataFrame
        From `read_actuals`, or one that it would take.
    problem : Premises
        Sites, systems and supply of what is to be planned.

    Raises
    ------
    InputError
        Two statements that cannot both be true: both are named.

    """
    table = table if "stated" in table.columns else read_actuals(table)
    where = str(table.attrs.get("source", "actuals"))
    table = table.assign(t=_quarters(table, problem, where))
    for column, known in (("site", problem.sites), ("system", problem.systems)):
        strange = table[~table[column].isin(known)]
        if len(strange):
            row = strange.iloc[0]
            raise InputError(
                f"{_at(row)}: {problem.scenario} has no {column} {row[column]!r}; it has {', '.join(known)}", where
            )
    double = table[table.duplicated(["t", "site", "system"])]
    if len(double):
        again = double.iloc[0]
        first = table[(table[list(_KEYS)] == again[list(_KEYS)]).all(axis=1)].iloc[0]
        raise InputError(f"{_at(again)}: stated twice, first in {first['stated']}", where)
    count = int(table["t"].max()) + 1
    shape = (len(problem.sites), len(problem.systems), count)
    place = (
        table["site"].map(problem.sites.index).to_numpy(),
        table["system"].map(problem.systems.index).to_numpy(),
        table["t"].to_numpy(),
    )

    def array(column: str, missing: float = 0.0) -> Array:
        out = np.full(shape, missing)
        if column in table.columns:
            out[place] = table[column].to_numpy()
        return out

    at = np.full(shape, "", dtype=object)
    at[place] = table["stated"].to_numpy()
    stated = Stated(problem, array, count, at)
    contradiction = next(contradictions(stated), None)
    if contradiction is not None:
        raise InputError(contradiction, where)
    accepted = stated.accepted_w
    return Past(stated.added, stated.retired, np.maximum(stated.installed_w - accepted, 0.0), stated.delivered)


def _quarters(table: pd.DataFrame, problem: Premises, where: str) -> list[int]:
    """Position of each row's quarter in the horizon; no gap, nothing outside, something left to plan."""
    first, last = problem.quarters[0], problem.quarters[-1]
    try:
        parsed = [Quarter.parse(q) for q in table["quarter"]]
    except ValueError as wrong:
        raise InputError(str(wrong), where) from None
    outside = table[[not first <= q <= last for q in parsed]]
    if len(outside):
        by = [column for column in ("racks_added", "racks_delivered") if column in outside.columns]
        row = outside.sort_values(by, ascending=False, kind="stable").iloc[0]  # one that says something
        delivered = float(row.get("racks_delivered", 0.0))
        what, count = (
            ("delivered", delivered) if not row["racks_added"] and delivered > 0 else ("added", row["racks_added"])
        )
        early = Quarter.parse(row["quarter"]) < first
        moved = f"let the horizon begin with {min(parsed)}" if early else "move the horizon"
        raise InputError(
            f"{_at(row)}: {count:,.0f} rack{'' if count == 1 else 's'} {what} in {row['quarter']}, which is outside the "
            f"scenario's horizon, {first} to {last}; correct what was recorded, or {moved}",
            where,
        )
    seen = {q - first for q in parsed}
    gap = next((t for t in range(max(seen)) if t not in seen), None)
    if gap is not None:
        raise InputError(
            f"has rows for {max(parsed)} and none for {first + gap}, which was over before; every quarter from {first} "
            "on is expected (rows with 0 racks where nothing happened)",
            where,
        )
    if max(parsed) == last:
        raise InputError(f"reach to {last}, the end of the horizon: nothing is left to plan", where)
    return [q - first for q in parsed]


def with_past(problem: Problem, past: Past, may_stand: Mask) -> Problem:
    """The same problem with the past fixed: supply of quarters that are over is what was really delivered.

    What of it stands in stock may be installed wherever it `may_stand` (shape (S, K, T)), also after its platform's last
    delivery.
    """
    supply = problem.supply.copy()
    energised = problem.energised_w.copy()
    for line in range(len(problem.lines)):
        supply[line, : past.quarters] = past.bought[:, problem.line_of == line].sum(axis=(0, 1))
    online = np.cumsum(past.added - past.retired, axis=2)
    used = np.einsum("skt,sk->st", online, np.outer(problem.pue_peak, problem.rack_it_w))
    energised[:, : past.quarters] = np.maximum(energised[:, : past.quarters], used)
    can, kept, owner = problem.can_host.copy(), past.bought - past.added, owners_of(problem.tenures)
    for who in np.unique(owner):
        for line in range(len(problem.lines)):
            mine = np.outer(owner == who, problem.line_of == line)
            if kept[mine].sum() > 0:
                can[mine, past.quarters :] = may_stand[mine, past.quarters :]
    return replace(problem, supply=supply, energised_w=energised, can_host=can, past=past)
