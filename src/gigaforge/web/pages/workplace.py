"""What the pages are about: a plan folder, a scenario, a ledger, a catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from gigaforge.catalog import Catalog
from gigaforge.web.pages.frame import THEMES, Frame, rooms_for
from gigaforge.web.pages.shelf import PlanShelf

__all__ = ["Workplace"]


@dataclass
class Workplace:
    """Everything that pages read.

    Attributes
    ----------
    catalog : Catalog
    shelf : PlanShelf, optional
        The plan shown.
    scenario : Path, optional
        What "what if" starts from.
    present : set of str
        Rooms that the bar offers.

    """

    catalog: Catalog
    shelf: PlanShelf | None = None
    scenario: Path | None = None
    present: set[str] = field(default_factory=lambda: {"plan", "sites", "performance"})

    def frame(
        self, request: Request, room: str, headline: str, *, name: str = "", span: str = "", source: str = ""
    ) -> Frame:
        """What stands around a page, as this reader asked for it."""
        theme = request.cookies.get("theme", "auto")
        theme = theme if theme in THEMES else "auto"
        other = THEMES[(THEMES.index(theme) + 1) % len(THEMES)]
        return Frame(
            title=headline, name=name, headline=headline, span=span, source=source or "Gigaforge",
            rooms=rooms_for(room, self.present), theme="" if theme == "auto" else theme, other_theme=other,
            address=request.url.path,
        )  # fmt: skip
