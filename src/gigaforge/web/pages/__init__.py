"""What a browser shows: pages made on the server from the same sections and figures as the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["include", "warm"]


def include(app: FastAPI) -> None:
    """Add the pages' routes and static files to the application."""
    from starlette.middleware.gzip import GZipMiddleware  # noqa: PLC0415 (the package is imported for one of its modules too)

    from gigaforge.catalog import load_catalog  # noqa: PLC0415
    from gigaforge.web.pages import ledger_routes, login, routes, study_routes, trouble  # noqa: PLC0415
    from gigaforge.web.pages.shelf import PlanShelf  # noqa: PLC0415
    from gigaforge.web.pages.workplace import Workplace  # noqa: PLC0415

    settings = app.state.settings
    shelf = PlanShelf(settings.plan) if settings.plan is not None else None
    work = Workplace(
        load_catalog(*settings.catalog), shelf, settings.scenario, app.state.ledger, settings.ledger, settings.catalog
    )
    app.state.workplace, app.state.error_page = work, trouble.error_page(work)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    routers = [login.login_pages(work), routes.pages(work), study_routes.study_pages(work, app.state.jobs)]
    if app.state.ledger is not None:
        routers.append(ledger_routes.ledger_pages(work, app.state.ledger, app.state.jobs))
    for router in routers:
        app.include_router(router, include_in_schema=False)


def warm(app: FastAPI) -> None:
    """Draw in the background what the first readers will ask for."""
    from gigaforge.web.pages import warming  # noqa: PLC0415

    warming.warm(app)
