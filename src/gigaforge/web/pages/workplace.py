"""What the pages are about: a plan folder, a scenario, a ledger, a catalogue; and who is looking."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from fastapi import Request

from gigaforge.catalog import Catalog
from gigaforge.ledger import Ledger
from gigaforge.ledger.state import State
from gigaforge.web.pages.frame import ROOMS, THEMES, Frame, rooms_for
from gigaforge.web.pages.overview import waiting_claims
from gigaforge.web.pages.shelf import PlanShelf
from gigaforge.web.security import maybe_identity

__all__ = ["Visitor", "Workplace", "visitor_of"]


@dataclass(frozen=True)
class Visitor:
    """Who is looking.

    Attributes
    ----------
    party, person : str
        Empty where nobody signed in.
    roles : frozenset of str
        viewer, recorder, approver, auditor, admin.
    csrf : str
        What this visitor's forms must carry.

    """

    party: str = ""
    person: str = ""
    roles: frozenset[str] = frozenset()
    csrf: str = ""

    @property
    def signed_in(self) -> bool:
        """Whether anybody is known."""
        return bool(self.person)


def visitor_of(request: Request) -> Visitor:
    """The visitor whose session or token a request carries; nobody where it carries none."""
    found = maybe_identity(request)
    return Visitor() if found is None else Visitor(found.actor.party, found.actor.person, frozenset({found.role}))


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
    visitor : callable
        Who is behind a request.
    today : callable
        The day, so that tests can choose one.

    """

    catalog: Catalog
    shelf: PlanShelf | None = None
    scenario: Path | None = None
    ledger: Ledger | None = None
    ledger_address: str = ""
    overlays: tuple[Path, ...] = ()
    visitor: Callable[[Request], Visitor] = field(default=lambda _: Visitor())
    today: Callable[[], date] = field(default=lambda: datetime.now(UTC).date())

    @property
    def rooms(self) -> set[str]:
        """Rooms that have something to show."""
        rooms = {"performance"}
        rooms |= {"plan", "sites", "fleet"} if self.shelf else set()
        rooms |= {"overview", "deployments", "tranches"} if self.ledger else set()
        rooms |= {"what-if"} if self.scenario else set()
        return rooms & set(ROOMS)

    def frame(
        self, request: Request, room: str, headline: str, *, name: str = "", span: str = "", source: str = "",
        state: State | None = None, message: str = "", message_kind: Literal["", "good", "bad"] = "",
    ) -> Frame:  # fmt: skip
        """What stands around a page, as this reader asked for it."""
        theme = request.cookies.get("theme", "auto")
        theme = theme if theme in THEMES else "auto"
        other = THEMES[(THEMES.index(theme) + 1) % len(THEMES)]
        visitor = self.visitor(request)
        waiting = len(waiting_claims(state)) if state is not None else 0
        source = source or (
            f"Ledger {state.ledger[:8]}, event {state.seq}, {state.head[:12]}" if state else "Gigaforge"
        )
        return Frame(
            title=headline, name=name, headline=headline, span=span, source=source, rooms=rooms_for(room, self.rooms, waiting),
            theme="" if theme == "auto" else theme, other_theme=other, address=request.url.path, csrf=visitor.csrf,
            user=f"{visitor.person} ({visitor.party})" if visitor.signed_in else "", login=self.ledger is not None,
            once=secrets.token_hex(8), message=message, message_kind=message_kind,
        )  # fmt: skip
