"""One way to write a value, so that its hash means the same everywhere: JSON, keys sorted, no spaces, UTF-8.

The bytes that were hashed are the bytes that are stored, so a reader in any language checks a hash without writing
JSON itself.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

__all__ = ["ZERO_HASH", "canonical", "parse_canonical", "sha256"]

ZERO_HASH: Final = "0" * 64
"""What stands before the first event."""
_WRITE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """The bytes of a JSON value; ValueError where it has none (NaN, lone surrogates, other types, nested without end)."""
    try:
        return _WRITE(value).encode("utf-8")
    except (TypeError, RecursionError) as problem:
        raise ValueError(f"cannot be written as JSON ({problem})") from None


def parse_canonical(body: bytes) -> Any:
    """Read canonical bytes; ValueError where another writing of the same value was given."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if canonical(value) != body:
        raise ValueError("is not in canonical form")
    return value
