"""What the ledger's commands share: options, who acts, reading values, printing an event."""

from __future__ import annotations

import json
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.errors import InputError

if TYPE_CHECKING:
    from gigaforge.ledger import Actor, Draft, Event, Evidence, Ledger
    from gigaforge.ledger.state import State

__all__ = [
    "As", "Day", "EvidenceFiles", "Idempotency", "KeyFile", "Where", "act", "actor_of", "attach", "out_json",
    "show_event", "tell_notices", "wrapped",
]  # fmt: skip

Where = Annotated[
    str,
    typer.Option(
        "--ledger", envvar="GIGAFORGE_LEDGER", help="A file, or postgresql://user@host/name.", show_default=True
    ),
]
As = Annotated[str, typer.Option("--as", envvar="GIGAFORGE_ACTOR", help="Who acts: party/person, e.g. openai/ann.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key", envvar="GIGAFORGE_KEY", help="Sign with this key file of your party.")
]
Day = Annotated[str | None, typer.Option("--on", help="Day it happened, e.g. 2026-10-31 [default: today]")]
EvidenceFiles = Annotated[
    list[Path] | None, typer.Option("--evidence", help="File that the event rests on; may be repeated.")
]
Idempotency = Annotated[
    str, typer.Option("--once", help="Idempotency key: the same event sent twice is recorded once.")
]


_LOOKED_AFTER = ("acceptance", "correction", "energisation")


def actor_of(text: str) -> Actor:
    """Read ``--as``."""
    from gigaforge.ledger import Actor

    return Actor.parse(text)


def attach(ledger: Ledger, files: list[Path] | None) -> tuple[Evidence, ...]:
    """Store evidence files."""
    out = []
    for path in files or []:
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise InputError(f"cannot be read: {problem.strerror}", str(path)) from None
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        out.append(ledger.put_evidence(content, path.name, kind))
    return tuple(out)


def act(ledger: Ledger, draft: Draft, key: Path | None, as_json: bool) -> Event:
    """Sign where a key is given, record, and say what was recorded."""
    if key is not None:
        from gigaforge.ledger.actions import signed
        from gigaforge.ledger.keys import read_key

        draft = signed(ledger, draft, read_key(key))
    event = ledger.append(draft)
    show_event(ledger, event, as_json)
    return event


def show_event(ledger: Ledger, event: Event, as_json: bool) -> None:
    """Print an event in people's units, and what in the record it now gives reason to look at."""
    if as_json:
        out_json(event.row())
        return
    from gigaforge.ledger.attention import notices
    from gigaforge.report.ledger_words import event_facts, event_line

    state = ledger.state()
    system = ledger.rack(event.data["racks"][0]).system if event.kind == "acceptance" else ""
    print(f"event {event.seq}, {event.happened_on}, by {event.actor}: {event_line(event, state).what}")
    for name, text in event_facts(event, state, system):
        rows = event.data.get(name)
        print(
            wrapped(
                f"{name}: {f'{len(rows):,} rows, shown with --json' if name == 'measurements' and rows else text}"
            )
        )
    for item in event.parts.get("evidence") or []:
        print(f"  evidence: {item['name']} ({item['size_bytes']:,} bytes, sha256 {item['sha256'][:16]}...)")
    for words in _disputes(event, state):
        print(wrapped(words))
    print(f"  hash {event.hash}")
    if event.kind in _LOOKED_AFTER:
        tell_notices([notice.words for notice in notices(state)])


def _disputes(event: Event, state: State) -> list[str]:
    """Open disputes about an event, or what became of the one that it opened."""
    from gigaforge.ledger.overview import dispute_words

    opened = event.kind == "dispute" and event.data["state"] == "opened"
    if opened and str(event.seq) not in state.disputes:
        return ["settled since"]
    out = [dispute_words(int(n), state) for n, d in state.disputes.items() if d["subject"] == event.seq]
    return [
        f"{words}; until that is settled nothing that rests on this event is claimed or paid" for words in out
    ] or (["open until its party settles it"] if opened else [])


def tell_notices(words: list[str]) -> None:
    """Say on stderr what deserves a look."""
    for text in words:
        print(f"look: {text}", file=sys.stderr)


def wrapped(text: str) -> str:
    """A line of at most 100 columns, indented under its heading."""
    import textwrap

    return textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def out_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False))
