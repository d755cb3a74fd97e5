"""What exactly a party signs: each message names its purpose, so that a signature serves no other.

`docs/signing.md` tells the same to who writes their own signer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigaforge.ledger.canonical import canonical

__all__ = ["checkpoint_bytes", "message_of", "rotation_bytes"]


def message_of(content: Mapping[str, Any]) -> bytes:
    """What is signed to record an event, of its content (`Draft.content`): all of it, but for checkpoints and new keys."""
    data, ledger, party = content["data"], content["ledger"], content["actor"]["party"]
    if content["kind"] == "checkpoint":
        return checkpoint_bytes(ledger, party, data["count"], data["head"])
    if content["kind"] == "key":
        return rotation_bytes(ledger, party, data["public_key"])
    return canonical(content)


def checkpoint_bytes(ledger: str, party: str, count: int, head: str) -> bytes:
    """A party's word that the ledger had so many events and this head."""
    return canonical(
        {"purpose": "gigaforge checkpoint", "ledger": ledger, "party": party, "count": count, "head": head}
    )


def rotation_bytes(ledger: str, party: str, public_key: str) -> bytes:
    """A party's word that this is its key from now on."""
    return canonical({"purpose": "gigaforge key", "ledger": ledger, "party": party, "public_key": public_key})
