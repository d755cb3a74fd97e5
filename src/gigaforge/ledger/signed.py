"""What exactly a party signs: each message names its purpose, so that a signature serves no other."""

from __future__ import annotations

from gigaforge.ledger.canonical import canonical

__all__ = ["checkpoint_bytes", "rotation_bytes"]


def checkpoint_bytes(ledger: str, party: str, count: int, head: str) -> bytes:
    """A party's word that the ledger had so many events and this head."""
    return canonical(
        {"purpose": "gigaforge checkpoint", "ledger": ledger, "party": party, "count": count, "head": head}
    )


def rotation_bytes(ledger: str, party: str, public_key: str) -> bytes:
    """A party's word that this is its key from now on."""
    return canonical({"purpose": "gigaforge key", "ledger": ledger, "party": party, "public_key": public_key})
