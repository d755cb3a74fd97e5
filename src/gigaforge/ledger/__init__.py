"""The record that both sides trust: what was delivered, accepted, agreed and paid, each with its evidence."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gigaforge.ledger.book import Ledger
    from gigaforge.ledger.errors import BrokenLedgerError, HeadMovedError, RefusedError, UnknownError
    from gigaforge.ledger.event import Actor, Draft, Event, Evidence
    from gigaforge.ledger.state import State
    from gigaforge.ledger.terms import Terms
    from gigaforge.ledger.verification import verify, verify_copy

__all__ = [
    "Actor",
    "BrokenLedgerError",
    "Draft",
    "Event",
    "Evidence",
    "HeadMovedError",
    "Ledger",
    "RefusedError",
    "State",
    "Terms",
    "UnknownError",
    "verify",
    "verify_copy",
]

_HOME = {
    "Actor": "event", "BrokenLedgerError": "errors", "Draft": "event", "Event": "event", "Evidence": "event",
    "HeadMovedError": "errors", "Ledger": "book", "RefusedError": "errors", "State": "state", "Terms": "terms",
    "UnknownError": "errors", "verify": "verification", "verify_copy": "verification",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gigaforge.ledger.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gigaforge.ledger' has no attribute {name!r}")
