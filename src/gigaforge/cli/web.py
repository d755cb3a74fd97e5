"""``gigaforge web``: the page and the API of a ledger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.cli.ledger_options import Where
from gigaforge.cli.options import CatalogOption
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.access import Identity
    from gigaforge.web.settings import Settings

__all__ = ["register"]

_USUAL = "ledger.db"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("web")(web)


def web(
    where: Where = _USUAL,
    plan: Annotated[Path | None, typer.Option("--plan", help="Plan folder to show beside the ledger.")] = None,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="Scenario for what-ifs.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8765,
    certificate: Annotated[Path | None, typer.Option("--tls-certificate", help="PEM file.")] = None,
    private_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file.")] = None,
    behind_proxy: Annotated[
        str,
        typer.Option(
            "--behind-proxy", help="Address of the proxy that ends TLS; only it, and this machine, is answered."
        ),
    ] = "",
    who: Annotated[
        str,
        typer.Option(
            "--as", envvar="GIGAFORGE_ACTOR", help="Log this browser in as party/person, on this machine only."
        ),
    ] = "",
    role: Annotated[str, typer.Option("--role", help="With which role.")] = "viewer",
    oidc_issuer: Annotated[str, typer.Option("--oidc-issuer", help="Identity provider, https://...")] = "",
    oidc_client: Annotated[str, typer.Option("--oidc-client", help="Client identifier there.")] = "",
    oidc_secret: Annotated[
        str, typer.Option("--oidc-secret", envvar="GIGAFORGE_OIDC_SECRET", help="Better given in the environment.")
    ] = "",
    catalog: CatalogOption = None,
) -> None:
    """Serve the page and the API of a ledger, on this machine unless told otherwise.

    Prints an address that logs your browser in when --as says who you are; others log in with a token of
    `gigaforge ledger token new`. Without a ledger it shows plan, predictions, what-ifs and fleet to this machine alone.

    Example: gigaforge web --ledger alliance.db --plan plans/alliance-10gw --as openai/ann --role recorder
    """
    from gigaforge.web.settings import Oidc, Settings

    if oidc_client and not oidc_issuer:
        raise InputError("goes with --oidc-issuer, the provider's address", "--oidc-client")
    oidc = Oidc(oidc_issuer, oidc_client, oidc_secret) if oidc_issuer else None
    settings = Settings(
        ledger=_ledger(where.removeprefix("ledger:"), plan, scenario), host=host, port=port, certificate=certificate, private_key=private_key,
        behind_proxy=behind_proxy, plan=plan, scenario=scenario, catalog=tuple(catalog or ()), oidc=oidc,
    )  # fmt: skip
    settings.check()
    if who and not settings.ledger:
        raise InputError("says who you are to a ledger, and there is none; give --ledger", "--as")
    if scenario is not None and not scenario.is_file():
        raise InputError("is not a scenario file", str(scenario))
    if plan is not None and not (plan / "plan.json").is_file():
        raise InputError("is not a plan folder (no plan.json in it); `gigaforge plan ... --out` makes one", str(plan))
    _serve(settings, who, role)


def _ledger(where: str, plan: Path | None, scenario: Path | None) -> str:
    """The ledger to serve; none where the usual file is not there and something else can be shown."""
    if where != _USUAL or Path(where).exists():
        return where
    if plan is None and scenario is None:
        raise InputError(
            f"there is nothing to show: no {_USUAL} here, and neither --plan nor --scenario given. Make a plan with `gigaforge plan "
            "SCENARIO --out FOLDER` and show it with --plan FOLDER --scenario SCENARIO, or a ledger with `gigaforge ledger init`",
            "--ledger",
        )
    return ""


def _serve(settings: Settings, who: str, role: str) -> None:
    print("starting; the address comes in a moment", file=sys.stderr)
    import uvicorn

    from gigaforge.web import pages
    from gigaforge.web.app import create_app

    app = create_app(settings)
    with pages.warm(app):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{'https' if settings.certificate else 'http'}://{host}:{settings.port}"
        if who:
            link = f"{address}/login/once/{app.state.links.make(_identity(settings, app.state.ledger, who, role))}"
            print(f"{link}\nopens it once, within ten minutes, as {who} ({role})", file=sys.stderr)
        print(f"{address}  (Ctrl-C stops it)", file=sys.stderr)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # who is believed, and answered, is the application's to say
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.private_key,
            limit_concurrency=200,
            timeout_graceful_shutdown=5,
        )


def _identity(settings: Settings, ledger: Ledger, who: str, role: str) -> Identity:
    """Who the printed address stands for: somebody of a party, on this machine, who could read the ledger's file anyway."""
    from gigaforge.ledger import Actor
    from gigaforge.ledger.access import ROLES, Identity

    if settings.public or settings.behind_proxy:
        raise InputError("logs in only where the server is reached from this machine alone", "--as")
    if role not in ROLES:
        raise InputError(f"{role!r} is not a role; known: {', '.join(ROLES)}", "--role")
    actor, parties = Actor.parse(who), ledger.state().parties
    if actor.party not in parties:
        raise InputError(f"{actor.party!r} is no party of this ledger; its parties: {', '.join(parties)}", "--as")
    return Identity(actor, role)
