"""Times from one day to another (not included), kept as ``[since, until]`` in order and apart: ISO days sort as text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["add", "overlap", "remove"]

Spans = list[list[str]]


def _since(span: list[str]) -> str:
    return span[0]


def _until(span: list[str]) -> str:
    return span[1]


def overlap(spans: Spans, since: str, until: str) -> tuple[str, str] | None:
    """The first part of a time that the spans cover; None where they leave it free."""
    at = bisect_right(spans, since, key=_until)
    if at == len(spans) or spans[at][0] >= until:
        return None
    return max(since, spans[at][0]), min(until, spans[at][1])


def add(spans: Spans, since: str, until: str) -> None:
    """Cover a time too that was free; what it touches becomes one with it."""
    first, last = bisect_left(spans, since, key=_until), bisect_right(spans, until, key=_since)
    touched = spans[first:last]
    spans[first:last] = [[min([since, *map(_since, touched)]), max([until, *map(_until, touched)])]]


def remove(spans: Spans, since: str, until: str) -> None:
    """Leave a time free again."""
    first, last = bisect_right(spans, since, key=_until), bisect_left(spans, until, key=_since)
    parts = [part for a, b in spans[first:last] for part in ([a, min(b, since)], [max(a, until), b])]
    spans[first:last] = [part for part in parts if part[0] < part[1]]
