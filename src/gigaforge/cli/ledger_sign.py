"""``gigaforge ledger sign``: sign what the API gives to sign, where the key is and the ledger is not."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.ledger_options import KeyFile, actor_of, out_json, wrapped
from gigaforge.cli.options import JsonOption
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from gigaforge.ledger import Draft

__all__ = ["register"]

NewKey = Annotated[Path | None, typer.Option("--new-key", help="For a new key: its file, of `keys new`.")]


def register(verbs: typer.Typer) -> None:
    """Add the command."""
    verbs.command("sign")(sign)


def sign(
    file: Annotated[Path, typer.Argument(help="What POST /api/v1/drafts answered.")],
    key: KeyFile = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write for POST /api/v1/events.")] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Of a checkpoint: file for your party to keep, away from the ledger."),
    ] = None,
    new_key: NewKey = None,
    copy: Annotated[
        Path | None,
        typer.Option("--copy", help="Your own copy of the events: sign only what stands in it as you read it."),
    ] = None,
    who: Annotated[
        str | None,
        typer.Option("--as", envvar="GIGAFORGE_ACTOR", help="party/person; refuse what another would say."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign an event for a ledger that you reach through its API alone. Needs no ledger; without --out it only shows what it says.

    Example: gigaforge ledger sign draft.json --as nvidia/cho --key nvidia.key --out signed.json
    """
    from gigaforge.ledger.backup import whole_file
    from gigaforge.ledger.keys import fingerprint, public_of, read_key
    from gigaforge.ledger.to_sign import read_to_sign, sign_apart

    ledger, draft = read_to_sign(_read(file), str(file))
    if who is not None and actor_of(who) != draft.actor:
        raise InputError(f"is what {draft.actor} says, not {who}", str(file))
    private = None if key is None else read_key(key)
    refers = [] if copy is None else _held(copy, ledger, draft, None if private is None else public_of(private))
    if out is None:
        told: dict[str, Any] = {"signed": False, "content": draft.content(ledger), "refers_to": refers}
        out_json(told) if as_json else _show(ledger, draft, refers)
        return
    if private is None:
        raise InputError("give the key file of your party to sign with", "--key")
    if (keep is not None) != (draft.kind == "checkpoint"):
        raise InputError("goes with a checkpoint, which is of no use without the file to keep", "--keep")
    done = sign_apart(ledger, draft, private, None if new_key is None else read_key(new_key))
    if keep is not None:
        with whole_file(keep, new=True) as kept:
            kept.write(json.dumps(done.kept, indent=1).encode() + b"\n")
    with whole_file(out) as file_out:
        file_out.write(json.dumps(done.body, indent=1, ensure_ascii=False).encode() + b"\n")
    if as_json:
        out_json(
            {"signed": True, "out": str(out), "key": fingerprint(public_of(private)), "idempotency_key": draft.key}
        )
        return
    _show(ledger, draft, refers)
    print(f"signed with key {fingerprint(public_of(private))}; send {out} as it is:")
    print('  curl -H "Authorization: Bearer $GIGAFORGE_TOKEN" -H Content-Type:application/json \\')
    print(f"    -H {shlex.quote(f'Idempotency-Key: {draft.key}')} --data-binary {shlex.quote(f'@{out}')} \\")
    print("    https://SERVER/api/v1/events")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(file)) from None


def _held(copy: Path, ledger: str, draft: Draft, public: str | None) -> list[str]:
    """What is signed for, in a sentence, as the party's own copy has it."""
    from gigaforge.ledger.own_copy import held_against
    from gigaforge.report.ledger_words import event_line

    state, event = held_against(copy, ledger, draft, public)
    return [] if event is None else [f"event {event.seq}, by {event.actor}: {event_line(event, state).what}"]


def _show(ledger: str, draft: Draft, refers: list[str]) -> None:
    """What the signature vouches for, as the ledger would show it."""
    from gigaforge.report.ledger_words import data_facts

    day = f", on {draft.happened_on}" if draft.happened_on else ""
    print(f"{draft.kind} by {draft.actor}{day}, in ledger {ledger}")
    for name, text in data_facts(draft.kind, draft.data):
        print(wrapped(f"{name}: {text}"))
    for words in refers:
        print(wrapped(f"your copy holds {words}"))
    for item in draft.evidence:
        print(f"  evidence: {item.name} ({item.size_bytes:,} bytes, sha256 {item.sha256[:16]}...)")
