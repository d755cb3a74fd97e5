"""Signing apart from the ledger: what there is to sign is asked of the ledger, and signed where a party keeps its key.

`docs/signing.md` says which bytes are signed, with examples that any other implementation can be held against.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from gigaforge.errors import InputError
from gigaforge.ledger import actions
from gigaforge.ledger import kinds as k
from gigaforge.ledger.event import Actor, Draft, Evidence
from gigaforge.ledger.keys import fingerprint, public_of, sign
from gigaforge.ledger.signed import message_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gigaforge.ledger.book import Ledger

__all__ = ["Signed", "read_to_sign", "sign_apart", "to_sign"]

_FORMAT: Final = "gigaforge to sign 1"
_PARTIAL: Final[Mapping[str, tuple[str, ...]]] = {"checkpoint": ("count", "head"), "key": ("public_key",)}
"""Kinds whose data holds the signatures themselves, and what of it there is before anybody signs."""
_NOBODYS: Final = base64.b64encode(bytes(64)).decode("ascii")
"""Stands for a signature where data is checked that is still to be signed."""


def to_sign(ledger: Ledger, wish: Draft) -> dict[str, Any]:
    """What a party signs to record an event: ``format``, ``content``, and ``bytes`` (base64), the very bytes.

    Parameters
    ----------
    ledger : Ledger
        Read only; nothing is recorded.
    wish : Draft
        Its data may leave out what the ledger knows: the racks of a claim, the hash of what is decided, paid or corrected, the
        amount of a payment, the head of a checkpoint.

    Raises
    ------
    InputError
        The data is wrong, or what it refers to unknown.
    RefusedError
        There is nothing to claim.

    """
    draft = Draft(wish.kind, wish.actor, _completed(ledger, wish), wish.happened_on, wish.evidence, wish.key)
    content = draft.content(ledger.state().ledger)
    try:
        message = message_of(content)
    except ValueError as problem:
        raise InputError(str(problem), wish.kind) from None
    return {"format": _FORMAT, "content": content, "bytes": base64.b64encode(message).decode("ascii")}


def _completed(ledger: Ledger, wish: Draft) -> dict[str, Any]:
    data, kind = dict(wish.data), wish.kind
    if kind in _PARTIAL:
        state = ledger.state()
        known = {"count": state.seq, "head": state.head} if kind == "checkpoint" else {}
        return _partial(kind, {**known, **data})
    if kind == "claim" and "racks" not in data:
        k.check_data("claim", {"tranche": 1, **data, "racks": ["ANY"]})
        data = dict(
            actions.claim(ledger, wish.actor, data.get("tranche"), note=data.get("note", ""), key=wish.key).data
        )
    elif kind == "approval":
        data = {"hash": _hash(ledger, data.get("subject")), "decision": "approve", **data}
    elif kind == "correction":
        data = {"hash": _hash(ledger, data.get("corrects")), **data}
    elif kind == "release":
        claim = ledger.state().claims.get(str(data.get("claim")), {})
        data = {n: claim[n] for n in ("hash", "amount_cents") if n in claim} | data
    elif kind == "acceptance":
        data.pop("verdict", None)  # the ledger's own addition, which nobody signs
    return k.stored(k.check_data(kind, data))


def _hash(ledger: Ledger, seq: Any) -> str:
    """The hash of an event; of none where the number is none, so that the check of the data says so."""
    return ledger.event(seq).hash if isinstance(seq, int) and not isinstance(seq, bool) else ""


def _partial(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Data of a kind as far as it stands before it is signed, each field checked as the whole would be."""
    names = _PARTIAL[kind]
    extra = next((name for name in data if name not in names), None)
    if extra is not None:
        raise InputError(f"is not given before it is signed; give {' and '.join(names)}", f"{kind}.{extra}")
    later = (
        {"key": "0" * 16, "signature": _NOBODYS}
        if kind == "checkpoint"
        else {"old_signature": _NOBODYS, "new_signature": _NOBODYS}
    )
    whole = k.stored(k.check_data(kind, {**later, **data}))
    return {name: whole[name] for name in names}


@dataclass(frozen=True)
class Signed:
    """What signing gave.

    Attributes
    ----------
    body : dict
        What `POST /api/v1/events` takes.
    kept : dict, optional
        Of a checkpoint: the file that the party keeps, as `gigaforge ledger verify --checkpoint` reads it.

    """

    body: dict[str, Any]
    kept: dict[str, Any] | None = None


def read_to_sign(file: bytes, where: str) -> tuple[str, Draft]:
    """The ledger and the event of a file that `to_sign` made; `InputError` where it is another, or says two things.

    What is signed is what the content says: bytes beside it that say something else are refused.
    """
    try:
        return _read_file(json.loads(file))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        said = f"lacks {problem}" if isinstance(problem, KeyError) else str(problem)
        raise InputError(f"is not what `POST /api/v1/drafts` gives to sign ({said})", where) from None


def _read_file(told: Any) -> tuple[str, Draft]:
    if not isinstance(told, dict) or told.get("format") != _FORMAT or set(told) - {"format", "content", "bytes"}:
        raise ValueError(f"its format is not {_FORMAT!r}")
    ledger, draft = _read_content(told["content"])
    if "bytes" in told and told["bytes"] != base64.b64encode(message_of(draft.content(ledger))).decode("ascii"):
        raise ValueError("its bytes are not those of its content; do not sign them")
    return ledger, draft


def _read_content(content: dict[str, Any]) -> tuple[str, Draft]:
    kind, data, ledger, day = content["kind"], content["data"], content["ledger"], content.get("happened_on")
    if kind in _PARTIAL:
        _partial(kind, data)
    else:
        k.check_data(kind, data)
    draft = Draft(
        kind, Actor(content["actor"]["party"], content["actor"]["person"]), data,
        None if day is None else date.fromisoformat(day), tuple(Evidence(**one) for one in content.get("evidence", ())),
        content.get("key", ""),
    )  # fmt: skip
    if not isinstance(ledger, str) or kind == "opened" or draft.content(ledger) != content:
        raise ValueError("its content is not that of an event to record")
    return ledger, draft


def sign_apart(ledger: str, draft: Draft, key: Ed25519PrivateKey, new_key: Ed25519PrivateKey | None = None) -> Signed:
    """Sign what `read_to_sign` read, without the ledger; whether the key is the current one, the ledger will say.

    Parameters
    ----------
    ledger, draft : str, Draft
        From `read_to_sign`.
    key : Ed25519PrivateKey
        The party's.
    new_key : Ed25519PrivateKey, optional
        The one that replaces it, for an event of kind ``key``, which both sign.

    Raises
    ------
    InputError
        The new key is missing, not wanted, or not the one that the event names.

    """
    content = draft.content(ledger)
    message, data = message_of(content), dict(draft.data)
    signature = sign(key, message)
    body: dict[str, Any] = {
        "kind": draft.kind,
        **{n: content[n] for n in ("happened_on", "evidence") if n in content},
    }
    if (new_key is not None) != (draft.kind == "key"):
        raise InputError("goes with an event of kind key, and with no other", "--new-key")
    if draft.kind == "checkpoint":
        kept = {
            "ledger": ledger, "party": draft.actor.party, "count": data["count"], "head": data["head"],
            "public_key": public_of(key), "signature": signature["value"],
        }  # fmt: skip
        return Signed({**body, "data": {**data, "key": signature["key"], "signature": signature["value"]}}, kept)
    if new_key is not None:
        if public_of(new_key) != data["public_key"]:
            raise InputError(f"is not the key that the event names, {fingerprint(data['public_key'])}", "--new-key")
        both = {"old_signature": signature["value"], "new_signature": sign(new_key, message)["value"]}
        return Signed({**body, "data": {**data, **both}})
    return Signed({**body, "data": data, "signature": signature})
