"""Each party's own Ed25519 key: a file that the party keeps, whose public half the ledger knows.

References
----------
.. [1] RFC 8032, Edwards-Curve Digital Signature Algorithm, https://www.rfc-editor.org/rfc/rfc8032.

"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigaforge.errors import InputError
from gigaforge.ledger.canonical import sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["fingerprint", "new_key", "public_of", "read_key", "replaced_at", "sign", "signature_holds"]


def new_key(path: Path) -> str:
    """Make a key, write it to a new file that only its owner can read, and return its public half (base64).

    Raises
    ------
    InputError
        The file exists (a key is never overwritten) or cannot be written.

    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (50 ms, only for signing)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError("exists; a key is never overwritten, choose another name", str(path)) from None
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return public_of(key)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read a key file; `InputError` where it is none."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(f"is not a key file of `gigaforge ledger keys new` ({problem})", str(path)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("is not an Ed25519 key", str(path))
    return key


def public_of(key: Ed25519PrivateKey) -> str:
    """Public half, 32 bytes as base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")


def fingerprint(public: str) -> str:
    """Short name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(_decode(public, 32, "public key"))[:16]


def sign(key: Ed25519PrivateKey, message: bytes) -> dict[str, str]:
    """``{"key": fingerprint, "value": base64}``."""
    return {"key": fingerprint(public_of(key)), "value": base64.b64encode(key.sign(message)).decode("ascii")}


def signature_holds(public: str, message: bytes, value: str) -> bool:
    """Whether the key signed the message."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(_decode(public, 32, "public key")).verify(
            _decode(value, 64, "signature"), message
        )
    except (InvalidSignature, InputError, ValueError):
        return False
    return True


def replaced_at(keys: Sequence[dict[str, Any]], public: str) -> int | None:
    """The event that replaced a party's key; 0 while it is the current one, None where it was never the party's.

    Parameters
    ----------
    keys : sequence of mapping
        A party's keys in order, ``public`` and ``since`` (the event that brought it), as the state holds them.
    public : str
        The key asked about.

    """
    place = next((n for n, key in enumerate(keys) if key["public"] == public), None)
    if place is None:
        return None
    return int(keys[place + 1]["since"]) if place + 1 < len(keys) else 0


def _decode(text: str, size: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    # One writing only: otherwise two texts would be one key.
    if len(raw) != size or base64.b64encode(raw).decode("ascii") != text:
        raise InputError(f"{text[:60]!r} is not an Ed25519 {what} in base64", what)
    return raw
