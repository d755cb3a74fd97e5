"""What happened, as the planner and the calibration read it: actuals by quarter, and measured runs.

Importing this module lets ``read_actuals("ledger:...")`` read a ledger.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from gigaforge.buildout.actuals import register_actuals
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger.book import Ledger
from gigaforge.ledger.fold import quarter_of
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.quarters import Quarter

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["actuals", "actuals_rows", "current_quarter", "measured_runs", "named_rows", "read_measured"]

COLUMNS: Final = ("quarter", "site", "system", "racks_added", "racks_retired", "racks_online", "racks_delivered",
                  "it_power_w", "facility_power_w", "deployed_w", "accepted_w")  # fmt: skip
_TIMEOUT_S: Final = 60.0
_NAMED: Final = 3
"""Racks and events named in one message."""


def actuals(where: str, through: str | None = None) -> pd.DataFrame:
    """What stood at the end of every quarter that is over.

    Parameters
    ----------
    where : str
        A ledger (file or database address), or the https:// address of its server, with the token in GIGAFORGE_TOKEN; after
        ``ledger:`` or not. ``#2026-Q4`` at its end says `through`.
    through : str, optional
        Last quarter, at most the one that today is in; default the last one that is over today.

    Returns
    -------
    DataFrame
        The columns of ``deployment.parquet`` plus ``accepted_w``: cumulative accepted power on the commitment's basis. [W]

    Raises
    ------
    InputError
        No ledger there, or `through` is no quarter or has not begun.
    NoAnswerError
        Nothing had come on line by then.

    """
    import pandas as pd  # noqa: PLC0415 (0.2 s)

    where, _, named = where.removeprefix("ledger:").partition("#")
    through = through or named or None
    if where.startswith(("https://", "http://")):
        told = _fetch(where, "actuals", {"through": through} if through else {})
        rows, names = told["actuals"], told.get("row_names")
    else:
        with Ledger.open(where) as ledger:
            rows, names = named_rows(ledger, through)
    if not rows:
        raise NoAnswerError(f"{where}: no rack came on line in a quarter that is over; plan without --actuals")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["row_names"] = names
    return table


def named_rows(ledger: Ledger, through: str | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """`actuals_rows`, and what to call each: by its racks and events where it lies before the first quarter of the terms.

    No plan takes such a row, so whoever asked for one must learn what to correct.
    """
    state = ledger.state()
    rows, terms = actuals_rows(state, through), state.in_force()
    names = [f"row {number}" for number in range(1, len(rows) + 1)]
    first = Quarter.parse(terms.first_quarter) if terms is not None and terms.first_quarter else None
    for number, row in enumerate(rows):
        quarter = Quarter.parse(row["quarter"])
        if first is not None and quarter < first and (row["racks_added"] or row["racks_delivered"]):
            names[number] = _named(ledger, row["site"], row["system"], quarter)
    return rows, names


def _named(ledger: Ledger, site: str, system: str, quarter: Quarter) -> str:
    """Racks that came to a site in a quarter, and the events that say so."""
    racks = ledger.racks(site=site, system=system, quarter=quarter.index)
    dated = (step for rack in racks for step in rack.history)
    steps = {seq for seq, *_, day in dated if quarter_of(date.fromordinal(day).isoformat()) == quarter.index}
    return f"{_some('rack', [rack.rack for rack in racks])}, {_some('event', list(map(str, sorted(steps))))}"


def _some(what: str, names: list[str]) -> str:
    more = len(names) - _NAMED
    words = ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    return f"{what}{'' if len(names) == 1 else 's'} {words}"


def current_quarter() -> Quarter:
    """The quarter of today, in UTC."""
    return Quarter(quarter_of(datetime.now(UTC).date().isoformat()))


def actuals_rows(state: State, through: str | None = None) -> list[dict[str, Any]]:
    """Rows of `actuals`, quarter by quarter from the first planned one; empty before anything came on line."""
    terms = state.in_force()
    if terms is None:
        return []
    try:
        last = Quarter.parse(through) if through else Quarter(current_quarter().index - 1)
    except ValueError as problem:
        raise InputError(str(problem), "through") from None
    if last > current_quarter():  # a plan would take it for a quarter in which nothing was built
        raise InputError(
            f"{last} has not begun, so nothing happened in it; the last quarter that is over is "
            f"{Quarter(current_quarter().index - 1)}", "through",
        )  # fmt: skip
    known = [  # what was taken back leaves an empty cell
        Quarter.parse(name)
        for name, sites in state.cells.items()
        if any(cell for systems in sites.values() for cell in systems.values())
    ]
    if not known:
        return []
    first = min([*known, Quarter.parse(terms.first_quarter)] if terms.first_quarter else known)
    places = sorted(
        {
            (site, system)
            for quarter, sites in state.cells.items()
            if Quarter.parse(quarter) <= last
            for site, systems in sites.items()
            for system, cell in systems.items()
            if cell.get("online") or cell.get("delivered")
        }
    )
    rows = []
    for site, system in places:
        rows += _place(state, terms, site, system, first, last)
    return sorted(rows, key=lambda r: (r["quarter"], r["site"], r["system"]))


def _place(state: State, terms: Terms, site: str, system: str, first: Quarter, last: Quarter) -> list[dict[str, Any]]:
    online = installed = accepted_w = 0
    rack_w = terms.systems[system].rack_w if system in terms.systems else 0
    pue = terms.sites[site].pue if site in terms.sites else 1.0
    counted_w = terms.sites[site].counted_w.get(system, 0) if site in terms.sites else 0
    rows = []
    for index in range(first.index, last.index + 1):
        cell = state.cells.get(str(Quarter(index)), {}).get(site, {}).get(system, {})
        added, retired = cell.get("online", 0), cell.get("retired", 0)
        online, installed = online + added - retired, installed + added
        accepted_w += cell.get("accepted_w", 0)
        rows.append(
            {
                "quarter": str(Quarter(index)), "site": site, "system": system, "racks_added": added,
                "racks_retired": retired, "racks_online": online,
                "racks_delivered": cell.get("delivered", 0), "it_power_w": online * rack_w,
                "facility_power_w": online * rack_w * pue, "deployed_w": installed * counted_w, "accepted_w": accepted_w,
            }
        )  # fmt: skip
    return rows


def measured_runs(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Acceptance tests as measured rows for `gigaforge calibrate`: ``training`` and ``inference``.

    One row for each system, site and quarter: the median of its tests, whatever their verdict, so that thousands of racks of
    one kind do not outweigh every published run; and every row that an event's ``measurements`` hold.
    """
    state = ledger.state()
    terms = state.in_force()
    samples: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    rows: dict[str, list[dict[str, Any]]] = {"training": [], "inference": []}
    places: dict[str, tuple[str, str]] = {}
    for event in ledger.all_events():
        if event.kind == "delivery":
            places |= dict.fromkeys(event.data["racks"], (event.data["system"], event.data["site"]))
        if event.kind != "acceptance" or str(event.seq) in state.voided:
            continue
        system, site = places[event.data["racks"][0]]
        samples[system, site, str(Quarter(quarter_of(event.happened_on)))].append(float(event.data["throughput"]))
        for number, row in enumerate(event.data.get("measurements") or [], 1):
            kind = str(row.get("kind", "training"))
            if kind in rows:
                content = {n: v for n, v in row.items() if n != "kind"}
                rows[kind].append(
                    {"id": f"ledger-{event.seq}-{number}", "source": f"ledger {state.ledger[:8]}", **content}
                )
    for (system, site, quarter), values in sorted(samples.items()):
        test = terms.systems[system].acceptance if terms and system in terms.systems else None
        if test is not None and test.run:
            rows["training"].append(
                {
                    "id": f"ledger-{site}-{system}-{quarter}", "source": f"ledger {state.ledger[:8]}", **test.run,
                    "tokens_per_s_per_gpu": statistics.median(values), "notes": f"median of {len(values)} acceptance tests",
                }
            )  # fmt: skip
    return rows


def read_measured(where: str, kind: str) -> list[dict[str, Any]]:
    """Rows of one kind, of a ledger or a server; `NoAnswerError` where there are none."""
    where = where.removeprefix("ledger:")
    if where.startswith(("https://", "http://")):
        rows: list[dict[str, Any]] = _fetch(where, "measured-runs", {})[kind]
    else:
        with Ledger.open(where) as ledger:
            rows = measured_runs(ledger)[kind]
    if not rows:
        raise NoAnswerError(f"{where}: no {kind} measurement was recorded")
    return rows


def _fetch(address: str, what: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Ask a ledger's server."""
    import httpx  # noqa: PLC0415

    token = os.environ.get("GIGAFORGE_TOKEN", "")
    if address.startswith("http://") and not address.startswith(("http://127.", "http://localhost", "http://[::1]")):
        raise InputError("a token must not cross the network in the clear; use https://", address)
    try:
        answer = httpx.get(
            f"{address.rstrip('/')}/api/v1/{what}", params=parameters, timeout=_TIMEOUT_S,
            headers={"authorization": f"Bearer {token}"} if token else {},
        )  # fmt: skip
        told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
        raise InputError(f"does not answer as a ledger's server ({problem})", address) from None
    if answer.status_code != 200:
        raise InputError(f"{told.get('detail', answer.reason_phrase)} (the token goes into GIGAFORGE_TOKEN)", address)
    return told


register_actuals("ledger", actuals)
