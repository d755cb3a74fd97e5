"""Addresses of all pages about the record."""

from __future__ import annotations

from fastapi import APIRouter

from gigaforge.ledger import Ledger
from gigaforge.web.jobs import Jobs
from gigaforge.web.pages.decisions import decision_pages
from gigaforge.web.pages.event_routes import event_pages
from gigaforge.web.pages.overview_routes import overview_pages
from gigaforge.web.pages.rack_routes import rack_pages
from gigaforge.web.pages.statements import statement_pages
from gigaforge.web.pages.workplace import Workplace

__all__ = ["ledger_pages"]


def ledger_pages(work: Workplace, ledger: Ledger, jobs: Jobs) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False)
    router.include_router(overview_pages(work, ledger, jobs))
    for pages in (decision_pages, statement_pages, event_pages, rack_pages):
        router.include_router(pages(work, ledger))
    return router
