"""What the ledger's commands share: options, who acts, reading values, printing an event."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.errors import InputError

if TYPE_CHECKING:
    from gigaforge.ledger import Actor, Draft, Event, Evidence, Ledger

__all__ = [
    "As", "Day", "EvidenceFiles", "Idempotency", "KeyFile", "Where", "act", "actor_of", "attach", "data_from", "out_json",
    "show_event",
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

_UNITS = {"_w": ("power", 1.0), "_cents": ("money", 100.0), "_j": ("energy", 1.0)}
_LISTS = ("racks",)


def actor_of(text: str) -> Actor:
    """Read ``--as``."""
    from gigaforge.ledger import Actor

    return Actor.parse(text)


def data_from(pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``field=value`` words: JSON where it parses, lists of racks by comma, powers and money with their unit."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} is not field=value, e.g. site=abilene", "FIELDS")
        out[name] = _value(name, text)
    return out


def _value(name: str, text: str) -> Any:
    if name in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        pass
    suffix = next((s for s in _UNITS if name.endswith(s)), None)
    if suffix is None:
        return text
    from gigaforge.cli.options import quantity

    dimension, factor = _UNITS[suffix]
    return round(quantity(text, dimension, name) * factor)


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
    show_event(event, as_json)
    return event


def show_event(event: Event, as_json: bool) -> None:
    """Print an event."""
    if as_json:
        out_json(event.row())
        return
    print(f"event {event.seq}  {event.kind}  {event.happened_on}  by {event.actor}")
    for name, value in event.data.items():
        print(f"  {name.replace('_', ' ')}: {_short(value)}")
    for item in event.parts.get("evidence") or []:
        print(f"  evidence: {item['name']} ({item['size_bytes']:,} bytes, sha256 {item['sha256'][:16]}...)")
    print(f"  hash {event.hash}")


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 6:
        return f"{', '.join(map(str, value[:3]))}, ... {value[-1]} ({len(value):,})"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value)[:200]
    return str(value)


def out_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False))
