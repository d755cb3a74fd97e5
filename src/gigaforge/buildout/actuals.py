"""What has really happened so far: read, checked against itself and the scenario, and laid under the programme.

An actuals table has the columns of ``deployment.parquet`` plus ``accepted_w`` (cumulative power accepted, on the
commitment's basis), for quarters that are over, without gaps from the first quarter of the horizon.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Mask, Past, Premises, Problem, owners_of
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["past_from", "read_actuals", "register_actuals", "with_past"]

_KEYS: Final = ("quarter", "site", "system")
_COUNTS: Final = ("racks_added", "racks_retired", "racks_online", "racks_delivered")
_POWERS: Final = ("it_power_w", "facility_power_w", "nameplate_w", "deployed_w", "accepted_w")
_POWER_TOLERANCE: Final = 1e-3  # relative: tables are rounded for people
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
        near = difflib.get_close_matches(column, known, 1)
        meant = f"is {near[0]!r} meant? " if near else ""
        raise InputError(
            f"has a column {column!r}, which means nothing here; {meant}Rename it or take it out; known: {', '.join(known)}",
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
    stated = _Stated(problem, array, count, at)
    contradiction = next(_contradictions(stated), None)
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


class _Stated:
    """The table as arrays, and what follows from it."""

    def __init__(self, problem: Premises, array: Callable[..., Array], count: int, at: NDArray[np.object_]) -> None:
        self.problem, self.count, self.at = problem, count, at
        self.added, self.retired = array("racks_added"), array("racks_retired")
        self.online_stated = array("racks_online", np.nan)
        self.facility_stated = array("facility_power_w", np.nan)
        self.accepted_stated = array("accepted_w", np.nan)
        self.delivered_stated = array("racks_delivered", np.nan)
        # Where a platform's deliveries are stated they are all stated; else each rack came in the quarter it was added.
        told = np.isin(problem.line_of, problem.line_of[np.isfinite(self.delivered_stated).any(axis=(0, 2))])
        self.delivered = np.where(told[None, :, None], np.nan_to_num(self.delivered_stated), self.added)
        self.online = np.cumsum(self.added - self.retired, axis=2)
        self.installed_w = np.cumsum(self.added, axis=2) * problem.deployed_w_per_rack[..., None]

    @property
    def accepted_w(self) -> Array:
        """Cumulative accepted power [W]: all that is installed where a row does not state it; without a row, as before."""
        out = np.where(np.isnan(self.accepted_stated), self.installed_w, self.accepted_stated)
        for t in range(1, self.count):
            out[..., t] = np.where(self.at[..., t] == "", out[..., t - 1], out[..., t])
        return out


def _contradictions(a: _Stated) -> Iterator[str]:
    """Pairs of statements that cannot both hold, the plainest first."""
    yield from _online(a)
    yield from _delivered(a)
    yield from _hosted(a)
    yield from _accepted(a)
    yield from _energised(a)


def _name(a: _Stated, s: int, k: int, t: int) -> str:
    where = f" ({a.at[s, k, t]})" if a.at[s, k, t] else ""
    return f"{a.problem.quarters[t]} {a.problem.sites[s]} {a.problem.systems[k]}{where}"


def _lines(a: _Stated, mask: Mask, most: int = 6) -> str:
    """Where the rows are that a sum comes from: "lines 2, 5 and 9". `mask` has shape (S, K, P)."""
    found = [str(x) for x in a.at[mask] if x]
    kind = next((k for k in ("line", "row") if all(x.startswith(f"{k} ") for x in found)), "")
    names = sorted((x.removeprefix(f"{kind} ") for x in found), key=lambda x: (len(x), x)) if kind else found
    names = [*names[:most], f"{len(names) - most} more"] if len(names) > most + 1 else names
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{kind}{'s' if len(names) > 1 else ''} {text}" if kind else text


def _so_far(a: _Stated, s: int, k: int, t: int) -> Mask:
    """Rows of a site and system up to and with a quarter."""
    mask = np.zeros(a.at.shape, dtype=bool)
    mask[s, k, : t + 1] = True
    return np.asarray(mask & (a.at != ""))


def _online(a: _Stated) -> Iterator[str]:
    for s, k, t in zip(*np.nonzero(a.online < 0), strict=True):
        have = a.online[s, k, t] + a.retired[s, k, t]
        yield (
            f"{_name(a, s, k, t)}: {a.retired[s, k, t]:,.0f} racks retired, where {have:,.0f} were online by "
            f"{_lines(a, _so_far(a, s, k, t))}"
        )
    for s, k, t in zip(*np.nonzero(np.isfinite(a.online_stated) & (a.online_stated != a.online)), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.online_stated[s, k, t]:,.0f} racks online, where all racks added so far less those "
            f"retired make {a.online[s, k, t]:,.0f} ({_lines(a, _so_far(a, s, k, t))})"
        )
    gone = np.isnan(a.online_stated) & (a.online > 0) & np.isfinite(a.online_stated).any()
    for s, k, t in zip(*np.nonzero(gone), strict=True):
        yield (
            f"{_name(a, s, k, t)}: no row, where {a.online[s, k, t]:,.0f} racks were online before "
            f"({_lines(a, _so_far(a, s, k, t))})"
        )


def _delivered(a: _Stated) -> Iterator[str]:
    p = a.problem
    owner = owners_of(p.tenures)
    for line, name in enumerate(p.lines):
        systems = p.line_of == line
        if not np.isfinite(a.delivered_stated[:, systems]).any():
            given, whose = p.supply[line, : a.count].cumsum(), f"platforms.{name}.supply of {p.scenario}"
            yield from _more(a, name, np.outer(np.ones(len(p.sites), dtype=bool), systems), given, whose)
            continue
        for who in np.unique(owner):
            mine = np.outer(owner == who, systems)
            given = a.delivered[mine].sum(axis=0).cumsum()
            at = f" at {p.sites[who - 1]}" if who else ""  # a cloud's racks are its own
            yield from _more(a, f"{name}{at}", mine, given, f"racks_delivered of the same rows{at}")


def _more(a: _Stated, name: str, mine: Mask, delivered: Array, whose: str) -> Iterator[str]:
    """More racks deployed at `mine` (S, K) than were delivered by then (P,)."""
    deployed = a.added[mine].sum(axis=0).cumsum()
    for t in np.flatnonzero(deployed > delivered + 0.5):
        rows = (a.added > 0) & mine[..., None] & (np.arange(a.count) <= t)
        yield (
            f"{a.problem.quarters[t]} {name}: {deployed[t]:,.0f} racks deployed by then ({_lines(a, rows)}), where {whose} "
            f"has only {delivered[t]:,.0f} delivered; correct whichever is wrong"
        )


def _hosted(a: _Stated) -> Iterator[str]:
    allowed = a.problem.may_stand[..., : a.count]
    for s, k, t in zip(*np.nonzero((a.added > 0) & ~allowed), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.added[s, k, t]:,.0f} racks added, where the catalogue and {a.problem.scenario} let "
            f"{a.problem.sites[s]} host no {a.problem.systems[k]} by then (power per rack, list of systems, dates)"
        )


def _accepted(a: _Stated) -> Iterator[str]:
    more = a.accepted_w > a.installed_w * (1 + _POWER_TOLERANCE) + 1.0
    for s, k, t in zip(*np.nonzero(more), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.accepted_w[s, k, t] / 1e6:,.1f} MW accepted, where the racks added so far "
            f"({_lines(a, _so_far(a, s, k, t))}) make {a.installed_w[s, k, t] / 1e6:,.1f} MW"
        )
    fallen = np.diff(a.accepted_w, axis=2) < -_POWER_TOLERANCE * a.accepted_w[..., 1:] - 1.0
    for s, k, t in zip(*np.nonzero(fallen), strict=True):
        yield (
            f"{_name(a, s, k, t + 1)}: {a.accepted_w[s, k, t + 1] / 1e6:,.1f} MW accepted so far, where it was "
            f"{a.accepted_w[s, k, t] / 1e6:,.1f} MW by {a.problem.quarters[t]} ({_lines(a, _so_far(a, s, k, t))}; where "
            "accepted_w is blank, all that is installed); it is cumulative and never falls"
        )


def _energised(a: _Stated) -> Iterator[str]:
    p = a.problem
    used = np.einsum("skt,sk->st", a.online, np.outer(p.pue_peak, p.rack_it_w))
    stated = np.nansum(a.facility_stated, axis=1)
    used = np.asarray(np.maximum(used, stated))
    energised = p.energised_w[:, : a.count]
    for s, t in zip(*np.nonzero(used > energised * (1 + _POWER_TOLERANCE) + 1.0), strict=True):
        rows = (a.at != "") & (np.arange(len(p.sites)) == s)[:, None, None] & (np.arange(a.count) <= t)
        yield (
            f"{p.quarters[t]} {p.sites[s]}: racks online ({_lines(a, rows)}) draw {used[s, t] / 1e6:,.1f} MW, where "
            f"sites.{p.sites[s]}.power of {p.scenario} has {energised[s, t] / 1e6:,.1f} MW energised"
        )


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
