"""Drafts of the events that refer to others: the hash that a person agrees to is looked up, the person need not type it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from gigaforge.errors import InputError
from gigaforge.ledger import kinds as k
from gigaforge.ledger.book import Ledger
from gigaforge.ledger.errors import RefusedError, UnknownError
from gigaforge.ledger.event import Actor, Draft, Evidence
from gigaforge.ledger.investment import Disputed, claim_words, claimed_words, nothing_claimed, terms_of, to_claim
from gigaforge.ledger.keys import fingerprint, public_of, sign
from gigaforge.ledger.signed import checkpoint_bytes, rotation_bytes
from gigaforge.ledger.state import State

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "approval", "checkpoint", "claim", "correction", "dispute", "draft", "release", "rotation", "signed",
]  # fmt: skip


def draft(
    kind: str,
    actor: Actor,
    data: Mapping[str, Any],
    *,
    happened_on: str | None = None,
    evidence: tuple[Evidence, ...] = (),
    key: str = "",
) -> Draft:
    """A draft with its data checked; `InputError` names what is wrong."""
    content = k.stored(k.check_data(kind, dict(data)))
    try:
        day = date.fromisoformat(happened_on) if happened_on else None
    except ValueError:
        raise InputError(f"{happened_on!r} is not a day; write it like 2026-10-31", "happened_on") from None
    return Draft(kind, actor, content, day, evidence, key)


def claim(ledger: Ledger, actor: Actor, tranche: int | None = None, *, note: str = "", key: str = "") -> Draft:
    """Claim the next tranche (or the one given) on the earliest accepted racks that carry none yet.

    With the key of a claim that was recorded it is that claim again.

    Raises
    ------
    RefusedError
        Too little accepted power is free; the message says how much is missing.

    """
    earlier = ledger.find_key(actor.party, key) if key else None
    if earlier is not None and earlier.kind == "claim" and tranche in (None, earlier.data["tranche"]):
        return draft("claim", actor, earlier.data, key=key)  # sent again: the same racks, not the next ones
    state = ledger.state()
    terms = terms_of(state)
    number = tranche or next(
        (n for n in range(1, terms.tranches + 1) if state.live_claim(n) is None), terms.tranches + 1
    )
    if number > terms.tranches:
        raise RefusedError("cap", f"the ceiling allows {terms.tranches} tranches; all are claimed")
    standing = state.live_claim(number)
    if standing is not None:
        raise RefusedError("claimed", claimed_words(standing))
    if why := nothing_claimed(state):
        raise RefusedError("disputed", why)
    needed = to_claim(state, terms, number)
    disputed = ledger.disputed() if state.disputes else Disputed()
    lacking = needed - (state.accepted_w - state.claimed_w - disputed.watts)
    if disputed.racks and lacking > 0:
        raise RefusedError(
            "too-little",
            f"tranche {number} lacks {claim_words(lacking, ' of accepted racks that are free')}; {disputed.words()} "
            "and carry no claim until whoever disputes them settles",
        )
    racks = ledger.claimable(needed)
    if not racks:
        raise RefusedError(
            "too-little", f"tranche {number} needs {claim_words(needed, ' of accepted racks')}; none is free"
        )
    return draft("claim", actor, {"tranche": number, "racks": racks, **({"note": note} if note else {})}, key=key)


def approval(
    ledger: Ledger, actor: Actor, subject: int, decision: str = "approve", *, note: str = "", key: str = ""
) -> Draft:
    """Approve or reject a claim or terms as they stand in the ledger."""
    data = {"subject": subject, "hash": ledger.event(subject).hash, "decision": decision}
    return draft("approval", actor, data | ({"note": note} if note else {}), key=key)


def release(ledger: Ledger, actor: Actor, claim_seq: int, reference: str, *, key: str = "") -> Draft:
    """Record that a claim's tranche was paid."""
    found = ledger.state().claims.get(str(claim_seq))
    if found is None:
        raise UnknownError(f"event {claim_seq} is not a claim")
    data = {"claim": claim_seq, "hash": found["hash"], "amount_cents": found["amount_cents"], "reference": reference}
    return draft("release", actor, data, key=key)


def correction(ledger: Ledger, actor: Actor, seq: int, reason: str, *, key: str = "") -> Draft:
    """Take an earlier event back."""
    return draft("correction", actor, {"corrects": seq, "hash": ledger.event(seq).hash, "reason": reason}, key=key)


def dispute(actor: Actor, subject: int, reason: str, state: str = "opened", *, key: str = "") -> Draft:
    """Object to an event, or settle (`state` settled) one's own party's objection."""
    return draft("dispute", actor, {"subject": subject, "state": state, "reason": reason}, key=key)


def checkpoint(ledger: Ledger, actor: Actor, key: Ed25519PrivateKey) -> tuple[Draft, dict[str, Any]]:
    """Sign the head: the event to record, and the file that the party keeps.

    Raises
    ------
    InputError
        The key is not the party's current one.

    """
    state = ledger.state()
    _must_be_current(state, actor.party, key)
    signature = sign(key, checkpoint_bytes(state.ledger, actor.party, state.seq, state.head))
    data = {"count": state.seq, "head": state.head, "key": signature["key"], "signature": signature["value"]}
    kept = {
        "ledger": state.ledger, "party": actor.party, "count": state.seq, "head": state.head, "signed_at": state.recorded_at,
        "public_key": public_of(key), "signature": signature["value"],
    }  # fmt: skip
    return draft("checkpoint", actor, data), kept


def rotation(ledger: Ledger, actor: Actor, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> Draft:
    """Replace a party's key; both sign."""
    public = public_of(new)
    message = rotation_bytes(ledger.state().ledger, actor.party, public)
    data = {
        "public_key": public,
        "old_signature": sign(old, message)["value"],
        "new_signature": sign(new, message)["value"],
    }
    return draft("key", actor, data)


def signed(ledger: Ledger, unsigned: Draft, key: Ed25519PrivateKey) -> Draft:
    """The draft with its party's signature; `InputError` where the key is not the party's current one."""
    state = ledger.state()
    _must_be_current(state, unsigned.actor.party, key)
    return replace(unsigned, signature=sign(key, unsigned.signed_bytes(state.ledger)))


def _must_be_current(state: State, name: str, key: Ed25519PrivateKey) -> None:
    party = state.parties.get(name)
    if party is not None and party["keys"][-1]["public"] != public_of(key):
        raise InputError(
            f"key {fingerprint(public_of(key))} is not the current one of {name!r}, which is "
            f"{fingerprint(party['keys'][-1]['public'])}",
            "--key",
        )
