"""The pages, rendered on the server from templates beside this module."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["include"]


def include(app: FastAPI) -> None:
    """Add the pages' routes, templates and static files to the application."""
    from gigaforge.web.pages.login import router  # noqa: PLC0415

    app.include_router(router, include_in_schema=False)
