"""The plan that the page shows: read once, drawn once, read again when its folder changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from gigaforge.report.figures import Figure, plan_figures
from gigaforge.report.sections import Section, plan_sections
from gigaforge.report.view import PlanView
from gigaforge.web.pages.pictures import Picture, draw_picture

__all__ = ["PlanShelf", "Shelved", "shelve"]


@dataclass
class Shelved:
    """One reading of the plan folder, with the pictures drawn so far.

    Attributes
    ----------
    view : PlanView
    sections : list of Section
        As the report shows them.
    figures : dict of Figure
        By name.

    """

    view: PlanView
    sections: list[Section]
    figures: dict[str, Figure]
    _pictures: dict[str, Picture] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def picture(self, figure: Figure) -> Picture:
        """A figure's drawing; the first to ask waits for it."""
        with self._lock:
            made = self._pictures.get(figure.name)
            if made is None:
                made = self._pictures[figure.name] = draw_picture(figure)
            return made


def shelve(view: PlanView) -> Shelved:
    """A plan with its sections and figures, not drawn yet."""
    return Shelved(view, plan_sections(view), plan_figures(view))


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
                self._current = shelve(PlanView.read(self.folder))
                self._read_at = stamp
            return self._current
