"""Before a party signs: what it would refer to, held against the party's own copy of the events.

A server could give somebody another record to sign than the one that they read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger.event import Draft, Event
from gigaforge.ledger.keys import fingerprint, replaced_at
from gigaforge.ledger.state import State
from gigaforge.ledger.verification import verify_copy

__all__ = ["held_against"]

_REFERS: Final[Mapping[str, tuple[str, str]]] = {
    "approval": ("subject", "hash"), "correction": ("corrects", "hash"), "release": ("claim", "hash"), "checkpoint": ("count", "head"),
}  # fmt: skip
"""Where each kind says to which event it refers, by number and by hash."""


def held_against(copy: Path, ledger: str, draft: Draft, public: str | None = None) -> tuple[State, Event | None]:
    """What the copy knows about a draft: its state, and the event that the draft refers to.

    Parameters
    ----------
    copy : Path
        Of the events, as `gigaforge ledger export` or ``GET /export`` writes them; it is verified in full.
    ledger, draft : str, Draft
        From `read_to_sign`.
    public : str, optional
        The key that is to sign.

    Raises
    ------
    InputError
        No copy, one of another ledger, one that ends before what is referred to, or the key is not the party's.
    NoAnswerError
        The copy does not hold by itself, or holds another event there than the one to sign.

    """
    result = verify_copy(copy)
    if not result.whole:
        raise NoAnswerError(
            f"{copy} does not hold:", [f"{f.where}: {f.problem}" for f in result.findings if not f.stands]
        )
    if result.state.ledger != ledger:
        raise InputError(f"is a copy of ledger {result.state.ledger}, not of {ledger}", str(copy))
    keys = result.state.parties.get(draft.actor.party, {}).get("keys", [])
    if public is not None and replaced_at(keys, public) != 0:
        raise InputError(f"{fingerprint(public)} is not the current key of {draft.actor.party!r} in {copy}", "--key")
    if draft.kind not in _REFERS:
        return result.state, None
    number, name = (draft.data[field] for field in _REFERS[draft.kind])
    if number > result.events:
        raise InputError(
            f"ends with event {result.events}, and this refers to event {number}; export it anew", str(copy)
        )
    event = Event.read(number, copy.read_bytes().split(b"\n")[number - 1])
    if event.hash != name:
        raise NoAnswerError(
            f"event {number} of {copy} is {event.hash[:16]}, and you are asked to sign for {name[:16]}: it is not the record that "
            "you have; do not sign"
        )
    return result.state, event
