"""``gigaforge ledger keys | checkpoint | export | backup | restore | rebuild``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gigaforge.cli.ledger_options import As, Where, actor_of, out_json, show_event, tell_notices
from gigaforge.cli.options import JsonOption

__all__ = ["register"]

_DEFAULT = "ledger.db"
Key = Annotated[Path, typer.Option("--key", envvar="GIGAFORGE_KEY", help="Key file of your party.")]


def register(verbs: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(help="Each party's own Ed25519 key.", no_args_is_help=True)
    for name, command in (("new", new), ("show", show), ("rotate", rotate)):
        keys.command(name)(command)
    verbs.add_typer(keys, name="keys")
    for name, verb in (
        ("checkpoint", checkpoint), ("export", export), ("backup", backup), ("restore", restore), ("rebuild", rebuild),
    ):  # fmt: skip
        verbs.command(name)(verb)


def new(
    file: Annotated[Path, typer.Argument(help="File to write; keep it to yourself.")], as_json: JsonOption = False
) -> None:
    """Make a key; the public half, printed, is what others need.

    Example: gigaforge ledger keys new oracle.key
    """
    from gigaforge.ledger.keys import fingerprint, new_key

    public = new_key(file)
    if as_json:
        out_json({"file": str(file), "public_key": public, "fingerprint": fingerprint(public)})
    else:
        print(f"public key {public}")


def show(where: Where = _DEFAULT, as_json: JsonOption = False) -> None:
    """Public keys of every party, old ones included.

    Example: gigaforge ledger keys show --ledger alliance.db
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.keys import fingerprint

    with Ledger.open(where) as ledger:
        parties = ledger.state().parties
    if as_json:
        out_json({name: party["keys"] for name, party in parties.items()})
        return
    for name, party in parties.items():
        for key in party["keys"]:
            print(f"{name:<20} since event {key['since']:<8} {fingerprint(key['public'])}  {key['public']}")


def rotate(
    who: As,
    key: Key,
    out: Annotated[Path, typer.Option("--out", help="File to write the new key to.")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Replace your party's key; the old one vouches for the new one.

    Example: gigaforge ledger keys rotate --key openai.key --out openai-2027.key --as openai/ann
    """
    from gigaforge.errors import InputError
    from gigaforge.ledger import Ledger, actions
    from gigaforge.ledger.errors import RefusedError
    from gigaforge.ledger.keys import new_key, read_key

    actor, standing = actor_of(who), read_key(key)
    with Ledger.open(where) as ledger:
        new_key(out)
        try:
            event = ledger.append(actions.rotation(ledger, actor, standing, read_key(out)))
        except (InputError, RefusedError):  # nothing was recorded, so the file would be nobody's key
            out.unlink()
            raise
        show_event(ledger, event, as_json)


def checkpoint(
    who: As,
    key: Key,
    out: Annotated[Path, typer.Option("--out", help="File for your party to keep, away from the ledger.")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Sign the head. The file that you keep shows later whether anything before it was changed, or cut off.

    Each checkpoint is a file of its own: an earlier one is never written over.

    Example: gigaforge ledger checkpoint --as openai/ann --key openai.key --out openai-2026-11.json
    """
    from gigaforge.ledger import Ledger, actions
    from gigaforge.ledger.backup import whole_file
    from gigaforge.ledger.keys import read_key

    actor, private = actor_of(who), read_key(key)
    with Ledger.open(where) as ledger:
        draft, kept = actions.checkpoint(ledger, actor, private)
        with whole_file(out, new=True) as file:  # nothing is recorded where the file cannot be kept
            file.write(json.dumps(kept, indent=1).encode() + b"\n")
            file.flush()  # a full disk is found before anything is recorded
            event = ledger.append(draft)
        show_event(ledger, event, as_json)  # once the file stands: whoever stops reading (head) must not cost it


def export(
    out: Annotated[Path, typer.Option("--out", help="File to write (.jsonl).")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write your own copy of every event, byte for byte; `verify --copy` compares the ledger with it.

    A copy that exists is only ever extended: where the ledger no longer holds what it holds, it is left as it is, exit 1.

    Example: gigaforge ledger export --out openai-copy.jsonl
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger import backup as copies

    with Ledger.open(where) as ledger:
        count, head = copies.export(ledger, out)
    if as_json:
        out_json({"out": str(out), "events": count, "head": head})
    else:
        print(f"{count:,} events in {out}, head {head}")


def backup(
    out: Annotated[Path, typer.Option("--out", help="File to write (.zip).")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write events and evidence into one file, while others go on working. A file that exists is not written over.

    Example: gigaforge ledger backup --out alliance-2026-11-30.zip
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger import backup as copies

    with Ledger.open(where) as ledger:
        about = copies.backup(ledger, out)
    if as_json:
        out_json({"out": str(out), **about})
    else:
        print(f"{about['events']:,} events and {about['evidence']:,} evidence files in {out}")


def restore(
    file: Annotated[Path, typer.Argument(help="Backup to read.")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a new ledger, of either kind, from a backup; it is verified before it is kept.

    Example: gigaforge ledger restore alliance-2026-11-30.zip --ledger postgresql://gigaforge@/alliance
    """
    from gigaforge.ledger import backup as copies

    done = copies.restore(file, where)
    if as_json:
        out_json({"ledger": where, **done})
    else:
        print(f"{where}: {done['events']:,} events, verified; head {done['head']}")
        tell_notices(done["remarks"])


def rebuild(where: Where = _DEFAULT, as_json: JsonOption = False) -> None:
    """Fold all events anew into the kept state, where `verify` found that it differs.

    Example: gigaforge ledger rebuild --ledger alliance.db
    """
    from gigaforge.ledger import Ledger

    with Ledger.open(where) as ledger:
        ledger.rebuild()
        state = ledger.state()
    if as_json:
        out_json({"events": state.seq, "head": state.head})
    else:
        print(f"folded {state.seq:,} events")
