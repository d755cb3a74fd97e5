"""The application: one ledger, its API under /api/v1, its pages at /."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gigaforge.ledger import Ledger
from gigaforge.web import api, pages, problems
from gigaforge.web.heads import HeadAsGet
from gigaforge.web.jobs import Jobs
from gigaforge.web.links import OneTimeLinks
from gigaforge.web.security import Guard
from gigaforge.web.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings) -> FastAPI:
    """Build the application around a ledger that exists, or around none.

    Parameters
    ----------
    settings : Settings
        Checked first: what would be unsafe is refused.

    Raises
    ------
    InputError
        Unsafe settings, or no ledger.

    """
    settings.check()
    ledger = Ledger.open(settings.ledger) if settings.ledger else None
    jobs = Jobs(settings.jobs)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        jobs.close()
        if ledger is not None:
            ledger.close()

    app = FastAPI(
        title="Gigaforge ledger",
        version="1",
        summary="What was delivered, accepted, agreed and paid, with its evidence.",
        lifespan=life,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # the interactive page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.settings, app.state.ledger, app.state.jobs, app.state.links = settings, ledger, jobs, OneTimeLinks()
    problems.install(app)
    app.include_router(api.router(), prefix="/api/v1")
    pages.include(app)
    if settings.oidc is not None:
        from gigaforge.web.security_oidc import Provider, oidc_router  # noqa: PLC0415 (only where it is switched on)

        app.include_router(oidc_router(Provider(settings.oidc)))
    app.add_middleware(HeadAsGet)
    app.add_middleware(Guard, settings=settings)
    if settings.behind_proxy:
        from gigaforge.web.proxy import BehindProxy  # noqa: PLC0415 (only where it is switched on)

        app.add_middleware(BehindProxy, proxy=settings.behind_proxy)
    return app
