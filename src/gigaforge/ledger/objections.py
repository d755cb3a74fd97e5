"""Objections: an event is disputed, and whatever rests on it is neither claimed nor paid until whoever objected settles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gigaforge.ledger import kinds as k
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Event
from gigaforge.ledger.racks import Rack, Register
from gigaforge.ledger.state import State

__all__ = ["about", "dispute", "held_claims", "judged", "objections", "objections_to_all", "paid_over"]

_REFERS: Final = {"approval": "subject", "release": "claim", "correction": "corrects", "dispute": "subject"}
"""Kinds that say something about an earlier event, and the field that names it: whoever disputes one disputes what it is about."""
_ON_RACKS: Final = ("delivery", "installation", "energisation", "acceptance", "decommissioning")
_UNPAID: Final = ("pending", "approved")


def dispute(state: State, event: Event, data: k.Dispute, register: Register) -> None:
    """Object to an event, or settle one's own objection."""
    if data.state == "settled":
        _settle(state, event, data, register)
        return
    subject = register.event(data.subject) if data.subject < event.seq else None
    if subject is None:
        raise RefusedError("unknown-subject", f"event {data.subject} does not exist yet")
    if any(d["subject"] == data.subject and d["by"]["party"] == event.actor.party for d in state.disputes.values()):
        raise RefusedError("disputed", f"{event.actor.party!r} disputes event {data.subject} already")
    end = _followed(subject, register)
    claims = set()
    for rack in _racks_of(end, register):
        register.put(rack.noted(event.seq, disputes=(*rack.disputes, event.seq)))
        if rack.claim:
            claims.add(rack.claim)
    if str(end.seq) in state.claims:
        claims.add(end.seq)
    for number in claims:
        state.claims[str(number)]["disputes"].append(event.seq)
    state.disputes[str(event.seq)] = {
        "subject": data.subject, "reason": data.reason, "claims": sorted(claims),
        "by": {"party": event.actor.party, "person": event.actor.person},
        **({} if end.seq == data.subject else {"about": end.seq}),
    }  # fmt: skip


def _followed(event: Event, register: Register) -> Event:
    """The event that this one is about in the end: the claim or the terms that were approved, the test that was corrected."""
    while event.kind in _REFERS:
        found = register.event(event.data[_REFERS[event.kind]])
        assert found is not None  # it was looked up when the event was recorded
        event = found
    return event


def _racks_of(subject: Event, register: Register) -> list[Rack]:
    if subject.kind not in _ON_RACKS:
        return []
    names = [k.rack_name(name) for name in subject.data.get("racks") or []]
    register.prefetch(names)
    return [rack for name in names if (rack := register.get(name)) is not None]


def _settle(state: State, event: Event, data: k.Dispute, register: Register) -> None:
    number = next(
        (
            n
            for n, d in state.disputes.items()
            if d["subject"] == data.subject and d["by"]["party"] == event.actor.party
        ),
        None,
    )
    if number is None:
        raise RefusedError("no-dispute", f"{event.actor.party!r} has no open dispute about event {data.subject}")
    subject = register.event(about(state.disputes.pop(number)))
    for found in state.claims.values():
        if int(number) in found["disputes"]:
            found["disputes"].remove(int(number))
    for rack in _racks_of(subject, register) if subject else []:
        register.put(rack.noted(event.seq, disputes=tuple(d for d in rack.disputes if d != int(number))))


# What rests on what is disputed


def about(dispute: dict[str, Any]) -> int:
    """Number of the event whose truth an open dispute questions in the end."""
    return int(dispute.get("about", dispute["subject"]))


def judged(state: State, numbers: Iterable[int]) -> list[int]:
    """Which of these open disputes stop the event at hand.

    All of them, where it is recorded now. Of what was recorded before, only those about the claim or the racks' own events:
    earlier versions heeded no others, and what they recorded stands and is told (`paid_over`).
    """
    return [n for n in numbers if state.recording or "about" not in state.disputes[str(n)]]


def objections_to_all(state: State) -> list[int]:
    """Open disputes of what every tranche rests on: the terms in force, and the parties with their keys."""
    ground = _ground(state)
    return [int(n) for n, d in state.disputes.items() if about(d) in ground]


def objections(state: State, claim: dict[str, Any]) -> list[int]:
    """Open disputes of a claim, or of anything that it rests on; of a paid one, those about itself and its racks alone."""
    ground = {*_ground(state), claim["terms"]} if claim["status"] in _UNPAID else set()
    return sorted({*claim["disputes"], *(int(n) for n, d in state.disputes.items() if about(d) in ground)})


def paid_over(state: State, claim: dict[str, Any]) -> list[int]:
    """Disputes, open still, over which a claim was paid by a version of this program that did not heed them."""
    if claim["status"] != "released":
        return []
    ground = {*_ground(state), claim["terms"]}
    found = {*claim["disputes"], *(int(n) for n, d in state.disputes.items() if about(d) in ground)}
    return sorted(n for n in found if n < claim["release"])


def held_claims(state: State, number: int) -> list[int]:
    """Claims that an open dispute is about, or that it holds back."""
    return sorted(c["seq"] for c in state.claims.values() if number in objections(state, c))


def _ground(state: State) -> set[int]:
    """Events on which every tranche rests."""
    since = {key["since"] for party in state.parties.values() for key in party["keys"]}
    return since | ({state.terms_seq} if state.terms_seq else set())
