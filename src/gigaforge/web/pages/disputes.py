"""Objections: who disputes an event, and what this reader may do about it."""

from __future__ import annotations

from dataclasses import dataclass

from gigaforge.ledger.access import Identity
from gigaforge.ledger.event import Event
from gigaforge.ledger.state import State
from gigaforge.web.pages.tranches import Act, command_of

__all__ = ["Objection", "dispute_act", "objections"]

_OBJECT = "Until your party settles it, nothing that rests on this event can be claimed or paid."


@dataclass(frozen=True)
class Objection:
    """An open dispute.

    Attributes
    ----------
    seq, subject : int
        Its own event, and the event that it is about.
    who, reason : str
    act : Act, optional
        How this reader can end it: only the party that objected may.

    """

    seq: int
    subject: int
    who: str
    reason: str
    act: Act | None = None


def objections(event: Event, state: State, who: Identity) -> list[Objection]:
    """Open disputes about an event, or the dispute that the event itself opened."""
    out = []
    for number, found in state.disputes.items():
        if event.seq not in (found["subject"], int(number)):
            continue
        by = found["by"]
        label = str(state.parties.get(by["party"], {}).get("label") or by["party"])
        act = None
        if by["party"] == who.actor.party and who.may("approve"):
            question = f"End your party's dispute of event {found['subject']}?"
            act = Act(
                "settle",
                "Settle the dispute",
                question,
                "How it was settled",
                command=_signed(state, who, f"settle {found['subject']}"),
            )
        out.append(Objection(int(number), found["subject"], f"{by['person']}, {label}", found["reason"], act))
    return out


def dispute_act(event: Event, state: State, who: Identity) -> Act | None:
    """Objecting to an event, where this reader may and their party does not yet."""
    mine = any(d["subject"] == event.seq and d["by"]["party"] == who.actor.party for d in state.disputes.values())
    if mine or not who.may("approve") or str(event.seq) in state.voided:
        return None
    return Act("dispute", "Dispute this event", f"Dispute event {event.seq}? {_OBJECT}", "Reason", danger=True, note=_OBJECT,
               command=_signed(state, who, f"dispute {event.seq}"))  # fmt: skip


def _signed(state: State, who: Identity, words: str) -> str:
    return command_of(f'{words} --reason "..."', who) if "dispute" in state.asked_signatures() else ""
