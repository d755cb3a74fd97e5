"""Work done when the server starts, so that no reader waits for it: the plan's page, drawings and first predictions."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from gigaforge.web.pages.explorer import Question, answered
from gigaforge.web.pages.overview_routes import overview_parts
from gigaforge.web.pages.routes import all_sites
from gigaforge.web.pages.workplace import Workplace

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["warm"]

_LOG = logging.getLogger("gigaforge.web")


def _overview(work: Workplace) -> None:
    state = work.ledger.state() if work.ledger is not None else None
    terms = state.in_force() if state is not None else None
    if state is not None and terms is not None:
        _, _, drawn = overview_parts(work, state, terms, None)
        list(drawn.values())


def warm(app: FastAPI) -> threading.Thread:
    """Make the plan's page, so that the first reader finds it; then, in the background, draw the overview and every figure of
    the plan and answer the explorer's first question.
    """
    work: Workplace = app.state.workplace
    if work.shelf is not None:
        _ = work.shelf.current().page

    def all_of_it() -> None:
        try:
            if work.shelf is not None:
                all_sites(work)
            _overview(work)
            if work.shelf is not None:
                shelved = work.shelf.current()
                for section in shelved.page.sections:
                    for figure in section.figures:
                        shelved.picture(figure)
            for figure in answered(Question(), work.catalog).figures:
                work.picture(figure, Question())
        except Exception:  # noqa: BLE001 (a drawing that fails is told to the reader who asks for it)
            _LOG.exception("drawing in advance failed")

    thread = threading.Thread(target=all_of_it, name="draw-figures", daemon=True)
    thread.start()
    return thread
