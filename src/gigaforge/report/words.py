"""Small words that every page and terminal writes alike."""

from __future__ import annotations

__all__ = ["percent"]


def percent(share: float, digits: int = 0) -> str:
    """A share as people read it: 0.441 is "44 %"."""
    return f"{100 * share:.{digits}f} %"
