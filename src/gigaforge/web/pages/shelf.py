"""The plan that the page shows: read once, drawn once, read again when its folder changes."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path

from gigaforge.report.figures import Figure, plan_figures
from gigaforge.report.sections import Section, plan_sections
from gigaforge.report.view import PlanView
from gigaforge.web.pages.pictures import Picture, draw_picture

__all__ = ["PlanShelf", "Shelved"]


class Shelved:
    """One reading of the plan folder, with the sections and pictures made so far; each is made when first asked for.

    Parameters
    ----------
    view : PlanView

    """

    def __init__(self, view: PlanView) -> None:
        self.view = view
        self._pictures: dict[str, Picture] = {}
        self._lock = threading.RLock()

    @property
    def sections(self) -> list[Section]:
        """As the report shows them."""
        with self._lock:
            return self._sections

    @property
    def figures(self) -> dict[str, Figure]:
        """By name."""
        with self._lock:
            return self._figures

    @cached_property
    def _sections(self) -> list[Section]:
        return plan_sections(self.view)

    @cached_property
    def _figures(self) -> dict[str, Figure]:
        return plan_figures(self.view)

    def picture(self, figure: Figure) -> Picture:
        """A figure's drawing; the first to ask waits for it."""
        with self._lock:
            made = self._pictures.get(figure.name)
            if made is None:
                made = self._pictures[figure.name] = draw_picture(figure)
            return made


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
