"""How the server is started; what would be unsafe is refused before it listens."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from gigaforge.errors import InputError

__all__ = ["Oidc", "Settings"]


@dataclass(frozen=True)
class Oidc:
    """Log-in through an identity provider (OpenID Connect, authorisation code with PKCE).

    Parameters
    ----------
    issuer, client_id, client_secret : str
        As the provider gave them; the issuer's address must be https.
    party_claim, role_claim : str
        Claims of the identity token that name party and role.

    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    party_claim: str = "gigaforge_party"
    role_claim: str = "gigaforge_role"
    person_claim: str = "preferred_username"

    def check(self) -> None:
        """Refuse what no provider would answer, before anybody tries to log in; `InputError`."""
        if not self.issuer.startswith("https://"):
            raise InputError(f"{self.issuer!r} must begin with https://", "--oidc-issuer")
        if not self.client_id:
            raise InputError("give the identifier that the provider gave this server", "--oidc-client")
        if not self.client_secret:
            raise InputError("give the client's secret, best in GIGAFORGE_OIDC_SECRET", "--oidc-secret")


@dataclass(frozen=True)
class Settings:
    """Everything the server needs to know.

    Parameters
    ----------
    ledger : str
        File or PostgreSQL address; empty shows plan and predictions alone, to this machine alone.
    host, port : str, int
        Where to listen; loopback unless said otherwise.
    certificate, private_key : path
        TLS, needed to listen beyond loopback.
    behind_proxy : str
        Instead of TLS: the address of the proxy that ends it. It alone is believed about who asks and how, and beside it only
        this machine is answered.
    plan, scenario : path
        Plan folder and scenario to show beside the ledger.
    catalog : tuple of path
        The user's own figures, laid over the shipped catalogue.
    oidc : Oidc
        Log-in through an identity provider.
    requests_per_minute : int
        Of one token; a tenth of it without one.
    body_bytes, upload_bytes : int
        Largest body of a request, and of an upload of evidence or an import. [B]
    jobs : int
        Plans and studies that run at once.

    """

    ledger: str = "ledger.db"
    host: str = "127.0.0.1"
    port: int = 8765
    certificate: Path | None = None
    private_key: Path | None = None
    behind_proxy: str = ""
    plan: Path | None = None
    scenario: Path | None = None
    catalog: tuple[Path, ...] = ()
    oidc: Oidc | None = None
    requests_per_minute: int = 1200
    body_bytes: int = 2 * 2**20
    upload_bytes: int = 64 * 2**20
    jobs: int = 1

    @property
    def public(self) -> bool:
        """Reachable from other machines."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    @property
    def secure(self) -> bool:
        """Browsers talk TLS, to us or to the proxy."""
        return self.certificate is not None or bool(self.behind_proxy)

    def check(self) -> None:
        """Refuse what would send tokens over the network in the clear.

        Raises
        ------
        InputError
            A public address without TLS or a named proxy, half a certificate, an identity provider told by half.

        """
        if (self.certificate is None) != (self.private_key is None):
            raise InputError("give both --tls-certificate and --tls-key", "--tls-certificate")
        if self.certificate is not None and self.private_key is not None:
            _check_pair(self.certificate, self.private_key)
        if self.behind_proxy:
            try:
                ipaddress.ip_address(self.behind_proxy)
            except ValueError:
                raise InputError(f"{self.behind_proxy!r} is not the proxy's IP address", "--behind-proxy") from None
        if not self.ledger and (self.public or self.behind_proxy):
            raise InputError(
                "without a ledger nobody can log in, so the page stays on this machine; give --ledger, or stay on 127.0.0.1",
                "--host",
            )
        if self.public and not self.secure:
            raise InputError(
                f"{self.host} can be reached from other machines, and tokens would cross the network in the clear; give "
                "--tls-certificate and --tls-key, or --behind-proxy ADDRESS if a proxy there ends TLS, or stay on 127.0.0.1",
                "--host",
            )
        if self.oidc is not None:
            self.oidc.check()
            if not self.ledger:
                raise InputError("people log in to a ledger, and there is none; give --ledger", "--oidc-issuer")


def _check_pair(certificate: Path, private_key: Path) -> None:
    """A server must be able to start with them by itself."""
    for path in (certificate, private_key):
        if not path.is_file():
            raise InputError("is not a file", str(path))
    locked = False

    def password() -> str:
        nonlocal locked
        locked = True
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password)
    except OSError as problem:  # of which ssl.SSLError is one
        if locked:
            why = "is locked with a password, which nobody types when a server starts; give a key without one that only you can read"
            raise InputError(why, f"--tls-key {private_key}") from None
        if not isinstance(problem, ssl.SSLError):
            raise InputError(f"cannot be read: {problem.strerror}", str(problem.filename or certificate)) from None
        why = (
            "is not the key of this certificate" if problem.reason == "KEY_VALUES_MISMATCH"
            else "cannot be used with this certificate: the one file must hold a PEM certificate, the other its PEM private key"
        )  # fmt: skip
        raise InputError(f"{why} ({certificate})", f"--tls-key {private_key}") from None
