"""Certificates and keys that a server cannot start with are refused in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gigaforge.errors import InputError
from gigaforge.web.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A certificate with its key, plain and locked, another key, and something else."""
    own, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, own.public_key(), 1, now, now + timedelta(days=1))
    content = {
        "certificate": made.sign(own, hashes.SHA256()).public_bytes(Encoding.PEM),
        "key": own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "other": other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "locked": own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
        "text": b"hello\n",
    }
    for stem, text in content.items():
        (tmp_path / f"{stem}.pem").write_bytes(text)
    return {stem: tmp_path / f"{stem}.pem" for stem in [*content, "missing"]}


def test_a_certificate_with_its_key_passes(files: dict[str, Path]) -> None:
    Settings(host="0.0.0.0", certificate=files["certificate"], private_key=files["key"]).check()  # noqa: S104


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [("certificate", "certificate", "must hold a PEM certificate"), ("certificate", "other", "is not the key of this certificate"),
     ("text", "text", "must hold a PEM certificate"), ("certificate", "locked", "locked with a password"),
     ("missing", "key", "missing.pem: is not a file"), ("certificate", "missing", "missing.pem: is not a file")],
)  # fmt: skip
def test_what_is_no_pair_is_told(certificate: str, key: str, words: str, files: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=words):
        Settings(certificate=files[certificate], private_key=files[key]).check()
