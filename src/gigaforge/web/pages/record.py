"""Racks as people read them, in tables that lead to their history, and the evidence behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from gigaforge.ledger.event import Event
from gigaforge.ledger.racks import Rack
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.quarters import Quarter
from gigaforge.report.report_tables import Cell, Link, Table

__all__ = ["racks_table", "shown_evidence", "standing_table"]

_STATUS: Final = ("delivered", "installed", "energised", "accepted", "doubtful", "failed", "retired")
_TEXT_TYPES: Final = ("text/", "application/json", "application/yaml")
_SHOWN_BYTES: Final = 200_000


def standing_table(state: State, terms: Terms | None) -> Table:
    """Racks by site and system, and how far each is."""
    rows: list[list[Cell]] = []
    totals = dict.fromkeys(_STATUS, 0)
    for site in sorted(state.standing):
        for system, by_status in sorted(state.standing[site].items()):
            counts = [by_status.get(status, 0) for status in _STATUS]
            if not any(counts):
                continue
            for status, count in zip(_STATUS, counts, strict=True):
                totals[status] += count
            links: list[Cell] = [
                Link(f"{c:,}", f"/racks?site={site}&system={system}&status={s}") if c else "–"
                for s, c in zip(_STATUS, counts, strict=True)
            ]
            rows.append([_site(terms, site), _system(terms, system), *links])
    if len(rows) > 1:
        rows.append(["All", "", *(f"{totals[s]:,}" if totals[s] else "–" for s in _STATUS)])
    heads = ["Site", "System", *(s.capitalize() for s in _STATUS)]
    return Table("Racks by how far they are", heads, rows, wide=(0, 1), total=len(rows) > 2)


def _site(terms: Terms | None, name: str) -> str:
    return ((terms.sites[name].label if terms and name in terms.sites else "") or name).split(" (")[0]


def _system(terms: Terms | None, name: str) -> str:
    return (terms.systems[name].label if terms and name in terms.systems else "") or name


def racks_table(racks: list[Rack], events: Mapping[int, Event], terms: Terms | None) -> Table:
    """Racks, each leading to its history and to the evidence of the last thing that happened to it."""
    rows: list[list[Cell]] = [
        [Link(r.rack, f"/racks/{quote(r.rack)}"), r.status, _site(terms, r.site), _system(terms, r.system), _quarter(r.delivered), _quarter(r.online), _quarter(r.accepted),
         f"{r.counted_w / 1e3:,.0f}" if r.counted_w else "–", Link(f"event {r.claim}", f"/events/{r.claim}") if r.claim else "–",
         _proof(events.get(r.last))]
        for r in racks
    ]  # fmt: skip
    heads = [
        "Rack",
        "Status",
        "Site",
        "System",
        "Delivered",
        "Online",
        "Accepted",
        "Counts [kW]",
        "Carries claim",
        "Evidence",
    ]
    return Table("Racks", heads, rows, wide=(0, 1, 2, 3, 9))


def _proof(event: Event | None) -> Cell:
    """The first evidence file of an event, else the event."""
    if event is None:
        return "–"
    files = event.parts.get("evidence", [])
    if files:
        return Link(str(files[0]["name"]), f"/events/{event.seq}/evidence/{files[0]['sha256']}")
    return Link(f"event {event.seq}", f"/events/{event.seq}")


def _quarter(index: int) -> str:
    return str(Quarter(index)) if index >= 0 else "–"


def shown_evidence(content: bytes, media_type: str) -> str | None:
    """Evidence as text, where it is some and not too long; else None."""
    if len(content) > _SHOWN_BYTES or not media_type.startswith(_TEXT_TYPES):
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
