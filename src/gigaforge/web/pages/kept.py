"""Parts of pages that are made once and kept: by whoever asks first, while others wait for that part and for nothing else."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from gigaforge.web.pages.pictures import Picture

__all__ = ["Drawings", "Kept"]


class Kept:
    """What was made, by a key that says all that it depends on.

    Parameters
    ----------
    most : int
        How many are kept; the oldest go first.

    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.RLock] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._made

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` returns, or returned before."""
        with self._lock:
            if key in self._made:
                return self._made[key]
            turn = self._making.setdefault(key, threading.RLock())
        with turn:
            with self._lock:
                if key in self._made:
                    return self._made[key]
            try:
                made = make()
                with self._lock:
                    self._made[key] = made
                    while len(self._made) > self._most:
                        self._made.popitem(last=False)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return made


class Drawings(Mapping[str, Picture]):
    """A page's drawings by the names of their figures, each drawn when the page comes to it.

    Parameters
    ----------
    draw : mapping
        Name to what draws it.
    ready : bool
        Whether all of them were drawn before, so that the page can be sent at once.

    """

    def __init__(self, draw: Mapping[str, Callable[[], Picture]], *, ready: bool) -> None:
        self._draw = draw
        self.ready = ready

    def __getitem__(self, name: str) -> Picture:
        return self._draw[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)
