"""``gigaforge ledger state | events | show | rack | verify``."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.ledger_options import Where, out_json, show_event, wrapped
from gigaforge.cli.options import JsonOption
from gigaforge.errors import InputError, NoAnswerError

if TYPE_CHECKING:
    from rich.table import Table

    from gigaforge.ledger.verification import Verification

__all__ = ["register"]

_DEFAULT = "ledger.db"
_STATUSES = ("delivered", "installed", "energised", "accepted", "doubtful", "failed", "retired")


def register(verbs: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("state", state), ("events", events), ("show", show), ("rack", rack), ("verify", verify)):
        verbs.command(name)(command)


def state(where: Where = _DEFAULT, as_json: JsonOption = False) -> None:
    """Where things stand: gigawatts accepted, tranches, what waits for whom.

    Example: gigaforge ledger state --ledger alliance.db
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.overview import overview

    with Ledger.open(where) as ledger:
        found = ledger.state()
        told = overview(found, ledger.disputed() if found.disputes else None)
    if as_json:
        out_json(told)
        return
    _print_overview(told)


def _print_overview(told: dict[str, Any]) -> None:
    from rich.console import Console

    from gigaforge.units import format_at_most, format_quantity

    console = Console(highlight=False)
    console.print(f"{told['title']}: {told['events']:,} events, head {told['head'][:16]}")
    if told["terms"] is None:
        waiting = next((c["seq"] for c in told["commitments"] if c["status"] == "pending"), None)
        console.print("no terms in force" + (f"; those of event {waiting} wait for approval" if waiting else ""))
        return
    promised = format_quantity(told["commitment_w"], "power")
    console.print(f"{format_at_most(told['accepted_w'], 'power')} accepted to date of {promised}")
    held = f", {format_quantity(told['held_usd'], 'money')} approved and held back" if told["held_usd"] else ""
    console.print(
        f"{format_quantity(told['released_usd'], 'money')} released of {format_quantity(told['ceiling_usd'], 'money')}, "
        f"{format_quantity(told['due_usd'], 'money')} approved and due{held}"
    )
    console.print(f"terms of event {told['terms']['event']}: {told['terms']['agreed']}")
    for dispute in told["disputes"]:
        console.print(f"open dispute: {dispute['words']}", style="yellow", markup=False)
    for notice in told["notices"]:
        console.print(f"look: {notice['words']}", style="yellow")
    console.print(told["next"]["words"] if told["next"] else "every tranche of these terms is claimed")
    if told["standing"]:
        console.print(_standing(told["standing"]))
        console.print("counts: accepted to date; a rack that is retired later still counts", style="dim")
    for claim in told["claims"]:
        console.print(f"tranche {claim['tranche']}: {claim['words']}")


def _standing(rows: list[dict[str, Any]]) -> Table:
    """Racks by site and system; statuses that no rack has are left out, so that names stay whole at 80 columns."""
    from rich.table import Table

    from gigaforge.units import format_at_most

    statuses = [n for n in _STATUSES if any(row[n] for row in rows)]
    table = Table(box=None, pad_edge=False)
    for head in ("site", "system"):
        table.add_column(head, overflow="fold")
    for head in (*statuses, "counts"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        counts = format_at_most(row["accepted_w"], "power")
        table.add_row(row["site"], row["system"], *(f"{row[n]:,}" for n in statuses), counts)
    return table


def events(
    where: Where = _DEFAULT,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events after this number.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind.")] = None,
    party: Annotated[str | None, typer.Option("--party", help="Only by this party.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List events in order, a sentence each.

    Example: gigaforge ledger events --kind acceptance --limit 10
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.kinds import KINDS

    if kind is not None and kind not in KINDS:
        raise InputError(f"{kind!r} is not a kind of event; known: {', '.join(KINDS)}", "--kind")
    with Ledger.open(where) as ledger:
        state = ledger.state()
        if party is not None and party not in state.parties:
            raise InputError(f"{party!r} is not a party of this ledger; known: {', '.join(state.parties)}", "--party")
        found = ledger.events(after, limit + 1, kind, party)
    found, more = found[:limit], len(found) > limit
    if as_json:
        out_json({"events": [event.row() for event in found], "next": found[-1].seq if more else None})
        return
    from gigaforge.report.ledger_words import event_line

    for event in found:
        print(f"{event.seq:>8}  {event.happened_on}  {event.actor!s:<14} {event_line(event, state).what}")
    if more:
        print(f"these are {limit:,}; the ledger has {state.seq:,} events: go on with --after {found[-1].seq}")


def show(
    number: Annotated[int, typer.Argument(help="Number of the event.", min=1)],
    where: Where = _DEFAULT,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write its evidence files into.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one event with its evidence.

    Example: gigaforge ledger show 12 --out evidence/
    """
    from gigaforge.ledger import Ledger

    with Ledger.open(where) as ledger:
        event = ledger.event(number)
        files = event.parts.get("evidence") or []
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for item in files:
                # The recorded name is a stranger's text: only its last part, and the hash keeps two apart.
                name = f"{item['sha256'][:12]}-{Path(item['name']).name}"
                (out / name).write_bytes(ledger.evidence(item["sha256"]))
                print(f"{out / name}", file=sys.stderr)
        show_event(ledger, event, as_json)


def rack(
    name: Annotated[str, typer.Argument(help="The rack's serial.")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """One rack's life.

    Example: gigaforge ledger rack ABL-0001
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.overview import rack_row

    with Ledger.open(where) as ledger:
        record = ledger.state()
        found = rack_row(ledger.rack(name), record)
        lives = [ledger.event(seq) for seq in found["events"]]
    if as_json:
        out_json(found)
        return
    print(f"{found['rack']}: {found['system']} at {found['site']}, {found['status']}", end="")
    print(f", carries the claim of event {found['claim']}" if found["claim"] else "")
    from gigaforge.report.ledger_words import event_line

    for event in lives:
        print(wrapped(f"{event.happened_on}  {event_line(event, record).what} (event {event.seq}, {event.actor})"))


def verify(
    where: Where = _DEFAULT,
    checkpoint: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="Signed checkpoint that a party kept; may be repeated.")
    ] = None,
    copy: Annotated[
        list[Path] | None, typer.Option("--copy", help="A party's own copy of the events; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read everything and find whatever was changed, removed, moved or added past the rules. Exit 1 if anything was.

    WHERE may also be a copy that `gigaforge ledger export` wrote (.jsonl).

    Example: gigaforge ledger verify --ledger alliance.db --checkpoint openai-2026-11.json
    """
    from gigaforge.ledger import verification
    from gigaforge.ledger.storage import open_engine

    kept, copies = tuple(checkpoint or ()), tuple(copy or ())
    if where.endswith(".jsonl"):
        result = verification.verify_copy(Path(where), checkpoints=kept, copies=copies)
    else:
        from gigaforge.ledger import Ledger
        from gigaforge.ledger.errors import BrokenLedgerError

        with suppress(BrokenLedgerError):  # which event cannot be folded is what is read now
            Ledger.open(where).close()
        engine = open_engine(where)
        try:
            result = verification.verify(engine, checkpoints=kept, copies=copies)
        finally:
            engine.dispose()
    _tell(result, as_json)


def _tell(result: Verification, as_json: bool) -> None:
    from gigaforge.ledger.attention import agreed_words

    if as_json:
        out_json(result.to_dict())
        if not result.sound:
            raise typer.Exit(1)
        return
    found = [f"{f.where}: {f.problem}" for f in result.findings]
    if found:
        says = "the record is whole, but not all in it holds" if result.whole else "the record does not hold"
        raise NoAnswerError(f"{result.events:,} events read; {says}:", found)
    signed = result.state.kinds.get("checkpoint", 0)
    print(
        f"sound: {result.events:,} events, {result.evidence_files:,} evidence files, {signed:,} checkpoints recorded"
    )
    agreed = agreed_words(result.state, result.state.terms_seq)
    if agreed:
        print(f"terms of event {result.state.terms_seq}: {agreed}")
    for words in result.agreeing:
        print(f"agrees with {words}")
    if not result.agreeing:
        print(
            "held against nothing that a party kept: --checkpoint and --copy also find a cut tail or a record written anew"
        )
    print(f"head {result.head}")
