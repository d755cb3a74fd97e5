"""The record as people read it: events in a sentence each, racks, and the evidence behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from gigaforge.ledger.event import Event
from gigaforge.ledger.racks import Rack
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.quarters import Quarter
from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.story import money, power
from gigaforge.units import format_quantity

__all__ = ["KIND_WORDS", "EventLine", "event_fields", "event_line", "racks_table", "shown_evidence", "standing_table"]

_STATUS: Final = ("delivered", "installed", "energised", "accepted", "doubtful", "failed", "retired")
KIND_WORDS: Final[Mapping[str, str]] = {
    "opened": "Ledger opened", "party": "Party joined", "key": "Key replaced", "commitment": "Terms", "order": "Order",
    "delivery": "Delivery", "installation": "Installation", "energisation": "Energisation", "acceptance": "Acceptance test",
    "meter": "Meter reading", "decommissioning": "Decommissioning", "correction": "Correction", "claim": "Tranche claim",
    "approval": "Decision", "release": "Release", "dispute": "Dispute", "checkpoint": "Checkpoint",
}  # fmt: skip
_TEXT_TYPES: Final = ("text/", "application/json", "application/yaml")
_SHOWN_BYTES: Final = 200_000


@dataclass(frozen=True)
class EventLine:
    """One event, for a list.

    Attributes
    ----------
    seq, kind, day, who, what : int or str
        `what` is a sentence.
    evidence : list of (str, str)
        Name and SHA-256 of each file that it rests on.
    tone : str
        "good", "bad" or "".

    """

    seq: int
    kind: str
    day: str
    who: str
    what: str
    evidence: list[tuple[str, str]]
    tone: str = ""


def event_line(event: Event, state: State) -> EventLine:
    """What happened, in a sentence."""
    data = event.data
    party = state.parties.get(event.actor.party, {}).get("label") or event.actor.party
    files = [(str(e["name"]), str(e["sha256"])) for e in event.parts.get("evidence", [])]
    said = _SENTENCES.get(event.kind)
    what = said(data, state) if said else KIND_WORDS.get(event.kind, event.kind)
    if str(event.seq) in state.voided:
        what += f" (taken back by event {state.voided[str(event.seq)]})"
    return EventLine(event.seq, KIND_WORDS.get(event.kind, event.kind), event.happened_on, f"{event.actor.person}, {party}", what, files,
                     _tone(event))  # fmt: skip


def _tone(event: Event) -> str:
    verdict = event.data.get("verdict") or event.data.get("decision")
    if verdict in ("pass", "approve"):
        return "good"
    return "bad" if verdict in ("fail", "doubtful", "reject") or event.kind == "dispute" else ""


def _racks(data: Mapping[str, Any]) -> str:
    count = len(data.get("racks") or [])
    return f"{count:,} rack{'' if count == 1 else 's'}"


def _label(state: State, kind: str, name: str) -> str:
    terms = state.terms or {}
    return str(terms.get(kind, {}).get(name, {}).get("label") or name).split(" (")[0]


def _delivery(data: Mapping[str, Any], state: State) -> str:
    order = f", order {data['order']}" if data.get("order") else ""
    return f"{_racks(data)} of {_label(state, 'systems', data['system'])} arrived at {_label(state, 'sites', data['site'])}{order}"


def _energisation(data: Mapping[str, Any], state: State) -> str:
    parts = [f"{power(data['power_w'])} of facility power"] if data.get("power_w") else []
    parts += [_racks(data)] if data.get("racks") else []
    return f"{' and '.join(parts)} energised at {_label(state, 'sites', data['site'])}"


def _acceptance(data: Mapping[str, Any], state: State) -> str:
    del state
    word = {"pass": "passed", "doubtful": "are in doubt", "fail": "failed"}[data["verdict"]]
    measured = f"{data['throughput']:,.0f} tokens/s per accelerator at {data['power_w'] / 1e3:,.0f} kW a rack"
    return f"{_racks(data)} {word}: {measured}"


def _order(data: Mapping[str, Any], state: State) -> str:
    price = f" for {money(data['amount_cents'] / 100)}" if data.get("amount_cents") else ""
    return f"{data['racks']:,} racks of {_label(state, 'systems', data['system'])} ordered as {data['order']}{price}"


def _meter(data: Mapping[str, Any], state: State) -> str:
    return f"{_label(state, 'sites', data['site'])} drew {format_quantity(data['energy_j'], 'energy')} from {data['since']} to {data['until']}"


def _decision(data: Mapping[str, Any], state: State) -> str:
    claim = state.claims.get(str(data["subject"]))
    of = f"tranche {claim['tranche']}" if claim else f"event {data['subject']}"
    note = f": {data['note']}" if data.get("note") else ""
    return f"{'Approved' if data['decision'] == 'approve' else 'Rejected'} {of}{note}"


def _release(data: Mapping[str, Any], state: State) -> str:
    claim = state.claims.get(str(data["claim"]), {})
    return f"{money(data['amount_cents'] / 100)} paid for tranche {claim.get('tranche', '?')} ({data['reference']})"


_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], State], str]]] = {
    "opened": lambda d, _: f"{d['title']}: {len(d['parties'])} parties",
    "party": lambda d, _: f"{d['label']} takes part as {d['role']}",
    "key": lambda _d, _s: "A new key, signed by the old one",
    "commitment": lambda d, _: f"Terms of version {d['terms']['version']}: {power(d['terms']['commitment_w'])} promised",
    "order": _order,
    "delivery": _delivery,
    "installation": lambda d, _: f"{_racks(d)} installed",
    "energisation": _energisation,
    "acceptance": _acceptance,
    "meter": _meter,
    "decommissioning": lambda d, _: f"{_racks(d)} taken out of service{': ' + d['reason'] if d.get('reason') else ''}",
    "correction": lambda d, _: f"Event {d['corrects']} taken back: {d['reason']}",
    "claim": lambda d, _: f"Tranche {d['tranche']} claimed on {_racks(d)}",
    "approval": _decision,
    "release": _release,
    "dispute": lambda d, _: f"Event {d['subject']} {'disputed' if d['state'] == 'opened' else 'settled'}: {d['reason']}",
    "checkpoint": lambda d, _: f"Signed everything up to event {d['count']}",
}  # fmt: skip


def event_fields(event: Event) -> list[tuple[str, str]]:
    """Everything an event says, name and value; lists of racks by their number and ends."""
    out = []
    for name, value in event.data.items():
        if name == "racks" and isinstance(value, list):
            text = ", ".join(value) if len(value) <= 12 else f"{len(value):,}: {', '.join(value[:6])} … {value[-1]}"
        elif isinstance(value, dict | list):
            text = json.dumps(value, indent=1, ensure_ascii=False)
        else:
            text = (
                f"{value:,}"
                if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000
                else str(value)
            )
        out.append((name.replace("_", " "), text))
    return out


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
            label = (terms.sites[site].label if terms and site in terms.sites else "") or site
            what = (terms.systems[system].label if terms and system in terms.systems else "") or system
            links: list[Cell] = [
                Link(f"{c:,}", f"/racks?site={site}&system={system}&status={s}") if c else "–"
                for s, c in zip(_STATUS, counts, strict=True)
            ]
            rows.append([label.split(" (")[0], what, *links])
    if len(rows) > 1:
        rows.append(["All", "", *(f"{totals[s]:,}" if totals[s] else "–" for s in _STATUS)])
    heads = ["Site", "System", *(s.capitalize() for s in _STATUS)]
    return Table("Racks by how far they are", heads, rows, wide=(0, 1), total=len(rows) > 2)


def racks_table(racks: list[Rack], events: Mapping[int, Event]) -> Table:
    """Racks, each leading to its history and to the evidence of the last thing that happened to it."""
    rows: list[list[Cell]] = [
        [Link(r.rack, f"/racks/{quote(r.rack)}"), r.site, r.system, r.status, _quarter(r.delivered), _quarter(r.online), _quarter(r.accepted),
         f"{r.counted_w / 1e3:,.0f}" if r.counted_w else "–", Link(f"event {r.claim}", f"/events/{r.claim}") if r.claim else "–",
         _proof(events.get(r.last))]
        for r in racks
    ]  # fmt: skip
    heads = [
        "Rack",
        "Site",
        "System",
        "Status",
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
