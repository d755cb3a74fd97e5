"""What a browser shows: pages made on the server from the same sections and figures as the report."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

__all__ = ["include", "warm"]

_PATIENCE_S: Final = 5.0


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


@contextmanager
def warm(app: FastAPI) -> Iterator[None]:
    """Draw in the background what the first readers will ask for, until the server ends."""
    from gigaforge.web.pages import pictures, warming  # noqa: PLC0415

    thread = warming.warm(app)
    try:
        yield
    finally:  # a thread that is still in the midst of a figure must not outlive the interpreter
        with pictures.no_drawing():
            thread.join(_PATIENCE_S)
