"""What a browser shows: pages made on the server from the same sections and figures as the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["include"]


def include(app: FastAPI) -> None:
    """Add the pages' routes and static files to the application."""
    from gigaforge.catalog import load_catalog  # noqa: PLC0415 (the package is imported for one of its modules too)
    from gigaforge.web.pages import ledger_routes, login, routes, study_routes  # noqa: PLC0415
    from gigaforge.web.pages.shelf import PlanShelf  # noqa: PLC0415
    from gigaforge.web.pages.workplace import Workplace, visitor_of  # noqa: PLC0415

    settings = app.state.settings
    shelf = PlanShelf(settings.plan) if settings.plan is not None else None
    if shelf is not None:
        shelf.warm()
    work = Workplace(
        load_catalog(*settings.catalog),
        shelf,
        settings.scenario,
        app.state.ledger,
        settings.ledger,
        settings.catalog,
        visitor_of,
    )
    for router in (
        login.router,
        routes.pages(work),
        ledger_routes.ledger_pages(work, app.state.ledger),
        study_routes.study_pages(work, app.state.jobs),
    ):
        app.include_router(router, include_in_schema=False)
