"""One way to write a value, so that its hash means the same everywhere: JSON, keys sorted, no spaces, UTF-8.

The bytes that were hashed are the bytes that are stored, so a reader in any language checks a hash without writing
JSON itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final

__all__ = ["ZERO_HASH", "canonical", "parse_canonical", "sha256"]

ZERO_HASH: Final = "0" * 64
"""What stands before the first event."""
_LARGEST: Final = 2**63
_DEEPEST: Final = 32


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """The bytes of a JSON value; ValueError where it has none (NaN, huge integers, lone surrogates, other types)."""
    _check(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def parse_canonical(body: bytes) -> Any:
    """Read canonical bytes; ValueError where another writing of the same value was given."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if canonical(value) != body:
        raise ValueError("is not in canonical form")
    return value


def _check(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"is nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"key {key!r} is not text")  # noqa: TRY004 (one kind of refusal)
            _check(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, bool | str) or value is None:
        return
    elif isinstance(value, int):
        if abs(value) >= _LARGEST:
            raise ValueError(f"{value} does not fit in 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
    else:
        raise ValueError(f"{type(value).__name__} cannot be written as JSON")
