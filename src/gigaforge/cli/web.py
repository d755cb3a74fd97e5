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
    from gigaforge.web.settings import Settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("web")(web)


def web(
    where: Where = "ledger.db",
    plan: Annotated[Path | None, typer.Option("--plan", help="Plan folder to show beside the ledger.")] = None,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="Scenario for what-ifs.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8765,
    certificate: Annotated[Path | None, typer.Option("--tls-certificate", help="PEM file.")] = None,
    private_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file.")] = None,
    behind_proxy: Annotated[
        str, typer.Option("--behind-proxy", help="Address of the proxy that ends TLS; only it is believed.")
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

    Prints an address that logs you in when --as says who you are; others log in with a token of `gigaforge ledger token new`.

    Example: gigaforge web --ledger alliance.db --plan plans/alliance-10gw --as openai/ann --role recorder
    """
    from gigaforge.web.settings import Oidc, Settings

    oidc = Oidc(oidc_issuer, oidc_client, oidc_secret) if oidc_issuer else None
    settings = Settings(
        ledger=where.removeprefix("ledger:"), host=host, port=port, certificate=certificate, private_key=private_key,
        behind_proxy=behind_proxy, plan=plan, scenario=scenario, catalog=tuple(catalog or ()), oidc=oidc,
    )  # fmt: skip
    settings.check()
    if plan is not None and not (plan / "plan.json").is_file():
        raise InputError("is not a plan folder (no plan.json in it); `gigaforge plan ... --out` makes one", str(plan))
    _serve(settings, who, role)


def _serve(settings: Settings, who: str, role: str) -> None:
    import uvicorn

    from gigaforge.web.app import create_app

    app = create_app(settings)
    address = f"{'https' if settings.certificate else 'http'}://{settings.host}:{settings.port}"
    print(f"{address}  (Ctrl-C stops it)", file=sys.stderr)
    if who:
        print(f"log in as {who} with the token {_token(settings, who, role)}", file=sys.stderr)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(settings.behind_proxy),
        forwarded_allow_ips=settings.behind_proxy or None,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
        limit_concurrency=200,
        timeout_graceful_shutdown=5,
    )


def _token(settings: Settings, who: str, role: str) -> str:
    from datetime import timedelta

    from gigaforge.ledger import Actor
    from gigaforge.ledger.access import issue
    from gigaforge.ledger.storage import open_engine

    if settings.public:
        raise InputError("logs in only where the server is reached from this machine alone", "--as")
    return issue(open_engine(settings.ledger), Actor.parse(who), role, timedelta(hours=12), "gigaforge web")[1]
