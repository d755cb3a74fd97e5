"""The record in people's words, for terminal and page alike: events in a sentence each, and everything that they say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gigaforge.ledger.attention import agreed_words
from gigaforge.ledger.event import Event
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import AcceptanceTest, Band, Terms
from gigaforge.report.story import money, power
from gigaforge.units import format_quantity

__all__ = ["KIND_WORDS", "EventLine", "data_facts", "event_facts", "event_line", "terms_facts"]

KIND_WORDS: Final[Mapping[str, str]] = {
    "opened": "Ledger opened", "party": "Party joined", "key": "Key replaced", "commitment": "Terms", "order": "Order",
    "delivery": "Delivery", "installation": "Installation", "energisation": "Energisation", "acceptance": "Acceptance test",
    "meter": "Meter reading", "decommissioning": "Decommissioning", "correction": "Correction", "claim": "Tranche claim",
    "approval": "Decision", "release": "Release", "dispute": "Dispute", "checkpoint": "Checkpoint",
}  # fmt: skip
_TESTED: Final = {"installation": "installed", "energisation": "under power"}


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
    what = what[:1].upper() + what[1:]
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
    names = data.get("racks") or []
    return f"rack {names[0]}" if len(names) == 1 else f"{len(names):,} racks"


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
    doubt = "is in doubt" if len(data["racks"]) == 1 else "are in doubt"
    word = {"pass": "passed", "doubtful": doubt, "fail": "failed"}[data["verdict"]]
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


def event_facts(event: Event, state: State, system: str = "") -> list[tuple[str, str]]:
    """Everything that an event says, name and value in people's units.

    Parameters
    ----------
    event, state : Event, State
        The event, and the state at the head.
    system : str
        Of the racks that an acceptance test is about: then what the terms predicted stands beside what was measured.

    """
    signature = event.parts.get("signature")
    signed = [("signed", f"by {event.actor.party}, with key {signature['key']}")] if signature else []
    if event.kind == "commitment":
        agreed = agreed_words(state, event.seq)
        return [
            *terms_facts(Terms.model_validate(event.data["terms"]), state),
            *([("agreement", agreed)] if agreed else []),
            *signed,
        ]
    test = _test_at(state, event.seq, system) if event.kind == "acceptance" else None
    out = []
    for name, value in event.data.items():
        said = _fact(name, value)
        if name == "hash":
            about = next((event.data[n] for n in ("subject", "claim", "corrects") if n in event.data), "")
            said = f"hash of event {about}", str(value)
        if test is not None and name == "throughput":
            said = name, f"{value:,.0f} tokens/s per accelerator; predicted {_band(test.throughput, 1.0)}"
        elif test is not None and name == "power_w":
            said = "power", f"{value / 1e3:,.0f} kW a rack; predicted {_band(test.power_w, 1e3)} kW"
        out.append(said)
    return [*out, *([("test", test.test)] if test is not None else []), *signed]


def data_facts(kind: str, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an event would say that is not in any ledger yet, name and value in people's units."""
    if kind == "commitment":
        return terms_facts(Terms.model_validate(data["terms"]), State())
    return [_fact(name, value) for name, value in data.items()]


def _fact(name: str, value: Any) -> tuple[str, str]:
    for suffix, dimension, factor in (("_w", "power", 1.0), ("_cents", "money", 100.0), ("_j", "energy", 1.0)):
        if name.endswith(suffix) and isinstance(value, int | float):
            return name.removesuffix(suffix).replace("_", " "), format_quantity(value / factor, dimension)
    if name == "racks" and isinstance(value, list):
        text = ", ".join(value) if len(value) <= 12 else f"{len(value):,}: {', '.join(value[:6])} … {value[-1]}"
    elif isinstance(value, dict | list):
        text = json.dumps(value, indent=1, ensure_ascii=False)
    else:
        text = str(value)
    return name.replace("_", " "), text


def _band(band: Band, unit: float) -> str:
    return f"{band.value / unit:,.0f} (80 % of runs: {band.low / unit:,.0f} to {band.high / unit:,.0f})"


def _test_at(state: State, seq: int, system: str) -> AcceptanceTest | None:
    """The test of a system by the terms that held when an event was recorded."""
    agreed = [
        (max(a["seq"] for a in c["approvals"]), c)
        for c in state.commitments.values() if c["status"] in ("in force", "replaced") and c["approvals"]
    ]  # fmt: skip
    before = [(since, c) for since, c in agreed if since < seq]
    if not before:
        return None
    terms = Terms.model_validate(max(before, key=lambda pair: pair[0])[1]["terms"])
    return terms.systems[system].acceptance if system in terms.systems else None


def terms_facts(terms: Terms, state: State) -> list[tuple[str, str]]:
    """Terms as somebody who must agree to them reads them."""

    def who(name: str) -> str:
        return str(state.parties.get(name, {}).get("label") or name)

    steps = "; ".join(f"{power(m.power_w)} by {m.by}" for m in terms.milestones) or "none"
    upfront = f", of which {money(terms.upfront_cents / 100)} by date" if terms.upfront_cents else ""
    signed = f"; to be signed with each party's key: {', '.join(terms.signed)}" if terms.signed else ""
    out = [
        ("version", f"{terms.version}, from scenario {terms.scenario}"),
        ("promised", f"{power(terms.commitment_w)} of {'facility' if terms.basis == 'facility' else 'IT'} power"),
        ("milestones", steps),
        ("a tranche", f"{money(terms.amount_cents / 100)} for each {power(terms.per_w)} accepted"),
        ("in all", f"at most {money(terms.ceiling_cents / 100)}, {terms.tranches} tranches{upfront}"),
        ("paid", f"by {who(terms.investor)} to {who(terms.recipient)}"),
        (
            "agreed by",
            f"{terms.approvals} people of different parties among {', '.join(map(who, terms.approvers))}{signed}",
        ),
        ("tested", f"once {_TESTED[terms.before_test]}" if terms.before_test else "whenever delivered"),
    ]
    for name, system in terms.systems.items():
        said = f"{system.rack_w / 1e3:,.0f} kW a rack of {system.accelerators} accelerators"
        if system.acceptance is None:
            said += "; no acceptance test is set, so it cannot count"
        else:
            test = system.acceptance
            said += f"; must show {_band(test.throughput, 1.0)} tokens/s per accelerator, {_band(test.power_w, 1e3)} kW, in: {test.test}"
        out.append((system.label or name, said))
    for name, site in terms.sites.items():
        counts = {terms.systems[s].label or s: f"{w / 1e3:,.0f} kW" for s, w in site.counted_w.items() if w}
        said = "; ".join(f"a {label} counts {watts}" for label, watts in counts.items()) or "nothing here counts"
        out.append((site.label or name, f"PUE {site.pue:g}; {said}"))
    return out
