"""The plan that the page shows: read once, drawn once, read again when its folder changes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from gigaforge.report.figures import Figure
from gigaforge.report.html import Page, plan_page
from gigaforge.report.view import PlanView
from gigaforge.web.pages.kept import Kept
from gigaforge.web.pages.pictures import Picture, draw_picture, or_its_numbers

__all__ = ["PlanShelf", "Shelved"]

_PICTURES: Final = 256
"""More than a plan has."""


class Shelved:
    """One reading of the plan folder, with its page and the pictures made so far; each is made when first asked for.

    Parameters
    ----------
    view : PlanView

    """

    def __init__(self, view: PlanView) -> None:
        self.view = view
        self._kept = Kept(_PICTURES)

    @property
    def page(self) -> Page:
        """As the report shows it."""
        made: Page = self._kept.get("page", lambda: plan_page(self.view))
        return made

    @property
    def figures(self) -> dict[str, Figure]:
        """By name."""
        return {figure.name: figure for section in self.page.sections for figure in section.figures}

    def picture(self, figure: Figure) -> Picture:
        """A figure's drawing; the first to ask waits for it. One that failed is tried again by who asks next."""
        return or_its_numbers(figure, lambda: self._kept.get(("picture", figure.name), lambda: draw_picture(figure)))

    def drawn(self, figure: Figure) -> bool:
        """Whether it was drawn before."""
        return ("picture", figure.name) in self._kept


class PlanShelf:
    """A plan folder, watched.

    Parameters
    ----------
    folder : Path
        As `gigaforge plan` writes it.

    Raises
    ------
    InputError
        The folder is not a plan.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read_at = -1
        self._current: Shelved | None = None
        self.current()

    def current(self) -> Shelved:
        """The plan as it stands in the folder now."""
        stamp = (self.folder / "plan.json").stat().st_mtime_ns if (self.folder / "plan.json").exists() else 0
        with self._lock:
            if self._current is None or stamp != self._read_at:
                self._current = Shelved(PlanView.read(self.folder))
                self._read_at = stamp
            return self._current
