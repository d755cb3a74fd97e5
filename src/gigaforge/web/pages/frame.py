"""What stands around every page: its rooms, who is looking, its colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["ROOMS", "THEMES", "Frame", "Room", "rooms_for"]

THEMES: Final = {"auto": "automatic", "light": "light", "dark": "dark"}
ROOMS: Final = {
    "overview": ("Overview", "/"),
    "plan": ("Plan", "/plan"),
    "sites": ("Sites", "/sites"),
    "deployments": ("Deployments", "/deployments"),
    "tranches": ("Tranches", "/tranches"),
    "what-if": ("What if", "/what-if"),
    "performance": ("Performance", "/performance"),
    "fleet": ("Fleet", "/fleet"),
}


@dataclass(frozen=True)
class Room:
    """An entry of the bar at the top; `badge` counts what waits there for the reader."""

    name: str
    address: str
    here: bool = False
    badge: int = 0


@dataclass(frozen=True)
class Frame:
    """One page's surroundings.

    Attributes
    ----------
    title, name, headline, span : str
        Browser's title; what the page is about; its answer in one line; what it covers.
    rooms : list of Room
        Empty for a stranger.
    theme : str
        Colours asked for; "" leaves it to the browser.
    user, login, once, address : str
        Who is logged in; where one can; a mark that tells one showing of a form from the next; where this page is.
    message, message_kind : str
        What just happened: "", "good" or "bad".
    source : str
        Where the figures come from, at the foot.

    """

    title: str
    name: str = ""
    headline: str = ""
    span: str = ""
    rooms: list[Room] = field(default_factory=list)
    theme: str = ""
    user: str = ""
    login: str = ""
    once: str = ""
    address: str = "/"
    message: str = ""
    message_kind: Literal["", "good", "bad"] = ""
    source: str = ""

    @property
    def themes(self) -> list[tuple[str, str, bool]]:
        """Colours on offer: value, words, chosen."""
        return [(value, words, value == (self.theme or "auto")) for value, words in THEMES.items()]


def rooms_for(here: str, present: set[str], waiting: int = 0) -> list[Room]:
    """The rooms that have something to show; `waiting` approvals stand beside the tranches."""
    return [
        Room(name, address, key == here, waiting if key == "tranches" else 0)
        for key, (name, address) in ROOMS.items()
        if key in present
    ]
