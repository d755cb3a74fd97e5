"""What the pages are about: a plan folder, a scenario, a ledger, a catalogue; and who is looking."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from fastapi import Request

from gigaforge.catalog import Catalog
from gigaforge.ledger import Ledger
from gigaforge.ledger.access import Identity
from gigaforge.ledger.state import State
from gigaforge.quarters import Quarter
from gigaforge.report.figures import Figure
from gigaforge.web.pages.frame import ROOMS, THEMES, Frame, rooms_for
from gigaforge.web.pages.kept import Kept
from gigaforge.web.pages.overview import waiting_claims
from gigaforge.web.pages.pictures import Picture, draw_picture, or_its_numbers
from gigaforge.web.pages.shelf import PlanShelf
from gigaforge.web.security import LOCAL, maybe_identity

__all__ = ["Workplace", "local_path"]

_KEPT: Final = 64
"""Drawings and other parts kept for the next reader."""


def local_path(text: str) -> str:
    """An address of this very site, else its first page: what a form or a link may send a reader back to."""
    parts = urlsplit(text)
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.netloc and text.isprintable()
    return text if plain else "/"


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
    ledger : Ledger, optional
    ledger_address : str
        File or address of the ledger, for jobs in other processes.
    overlays : tuple of Path
        Folders laid over the shipped catalogue.
    today : callable
        The day, so that tests can choose one.

    """

    catalog: Catalog
    shelf: PlanShelf | None = None
    scenario: Path | None = None
    ledger: Ledger | None = None
    ledger_address: str = ""
    overlays: tuple[Path, ...] = ()
    today: Callable[[], date] = field(default=lambda: datetime.now(UTC).date())
    _kept: Kept = field(default_factory=lambda: Kept(_KEPT))

    @property
    def now(self) -> Quarter:
        """Today's quarter."""
        day = self.today()
        return Quarter.parse(f"{day.year}-Q{(day.month + 2) // 3}")

    @property
    def rooms(self) -> set[str]:
        """Rooms that have something to show."""
        rooms = {"performance"}
        rooms |= {"plan", "sites", "fleet"} if self.shelf else set()
        rooms |= {"overview", "sites", "deployments", "tranches"} if self.ledger else set()
        rooms |= {"what-if"} if self.scenario else set()
        return rooms & set(ROOMS)

    @property
    def first(self) -> str:
        """Address of the room to begin with."""
        return next(address for key, (_, address) in ROOMS.items() if key in self.rooms)

    def picture(self, figure: Figure, *about: object) -> Picture:
        """A figure's drawing, kept while its numbers and what else it is `about` stay the same."""
        return or_its_numbers(figure, lambda: self._kept.get(_of(figure, *about), lambda: draw_picture(figure)))

    def drawn(self, figure: Figure, *about: object) -> bool:
        """Whether `picture` was asked for the same before."""
        return _of(figure, *about) in self._kept

    def kept(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """What `make` returns, kept by a key that says all that it depends on."""
        return self._kept.get(key, make)

    def frame(
        self, request: Request, room: str, headline: str, *, name: str = "", span: str = "", source: str = "",
        state: State | None = None, message: str = "", message_kind: Literal["", "good", "bad"] = "",
    ) -> Frame:  # fmt: skip
        """What stands around a page, as this reader asked for it."""
        theme = request.cookies.get("theme", "auto")
        theme = theme if theme in THEMES else "auto"
        who = maybe_identity(request)
        waiting = len(waiting_claims(state)) if state is not None else 0
        source = source or (
            f"Ledger {state.ledger[:8]}, event {state.seq}, {state.head[:12]}" if state else "Gigaforge"
        )
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Frame(
            title=headline, name=name, headline=headline, span=span, source=source,
            rooms=rooms_for(room, self.rooms, waiting) if who else [], theme="" if theme == "auto" else theme,
            address=here if request.method == "GET" else request.url.path, user=_name(who),
            login=f"/login?next={quote(here)}" if self.ledger is not None and who is None else "",
            once=secrets.token_hex(8), message=message, message_kind=message_kind,
        )  # fmt: skip


def _of(figure: Figure, *about: object) -> tuple[object, ...]:
    return ("picture", figure.name, figure.takeaway, figure.numbers.to_csv(), *about)


def _name(who: Identity | None) -> str:
    return "" if who is None or who is LOCAL else f"{who.actor.person} ({who.actor.party}), {who.role}"
