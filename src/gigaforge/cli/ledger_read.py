"""``gigaforge ledger state | events | show | rack | verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.ledger_options import Where, out_json, show_event
from gigaforge.cli.options import JsonOption
from gigaforge.errors import NoAnswerError

if TYPE_CHECKING:
    from gigaforge.ledger.verification import Verification

__all__ = ["register"]

_DEFAULT = "ledger.db"


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
        told = overview(ledger.state())
    if as_json:
        out_json(told)
        return
    _print_overview(told)


def _print_overview(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gigaforge.units import format_quantity

    console = Console()
    console.print(f"{told['title']}: {told['events']:,} events, head {told['head'][:16]}", highlight=False)
    if told["terms"] is None:
        waiting = ", ".join(str(c["seq"]) for c in told["commitments"] if c["status"] == "pending")
        console.print(f"no terms in force; event {waiting or '-'} waits for approval", highlight=False)
        return
    promised = format_quantity(told["commitment_w"], "power")
    console.print(f"{format_quantity(told['accepted_w'], 'power')} accepted of {promised}", highlight=False)
    paid, due = told["released_usd"], told["due_usd"]
    console.print(
        f"{format_quantity(paid, 'money')} released of {format_quantity(told['ceiling_usd'], 'money')}, "
        f"{format_quantity(due, 'money')} approved and due",
        highlight=False,
    )
    if told["next"]:
        console.print(told["next"]["words"], highlight=False)
    table = Table(box=None, pad_edge=False)
    for head in ("site", "system"):
        table.add_column(head)
    for head in ("in place", "accepted", "doubtful", "failed", "retired", "counts"):
        table.add_column(head, justify="right")
    for row in told["standing"]:
        table.add_row(
            row["site"], row["system"], *(f"{row[n]:,}" for n in ("in_place", "accepted", "doubtful", "failed", "retired")),
            format_quantity(row["accepted_w"], "power"),
        )  # fmt: skip
    console.print(table)
    for claim in told["claims"]:
        console.print(f"tranche {claim['tranche']}: {claim['words']}", highlight=False)


def events(
    where: Where = _DEFAULT,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events after this number.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind.")] = None,
    party: Annotated[str | None, typer.Option("--party", help="Only by this party.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List events in order.

    Example: gigaforge ledger events --kind acceptance --limit 10
    """
    from gigaforge.ledger import Ledger

    with Ledger.open(where) as ledger:
        found = ledger.events(after, limit, kind, party)
    if as_json:
        out_json({"events": [event.row() for event in found], "next": found[-1].seq if len(found) == limit else None})
        return
    for event in found:
        print(f"{event.seq:>8}  {event.happened_on}  {event.kind:<15} {event.actor!s:<28} {event.hash[:12]}")


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
    show_event(event, as_json)


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
        found = rack_row(ledger.rack(name))
        lives = [ledger.event(seq) for seq in found["events"]]
    if as_json:
        out_json(found)
        return
    print(f"{found['rack']}: {found['system']} at {found['site']}, {found['status']}", end="")
    print(f", carries the claim of event {found['claim']}" if found["claim"] else "")
    for event in lives:
        said = event.data.get("verdict", "")
        print(f"  {event.happened_on}  {event.kind} {said} (event {event.seq}, {event.actor})")


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
        result = verification.verify_copy(Path(where), checkpoints=kept)
    else:
        from gigaforge.ledger import Ledger

        Ledger.open(where).close()
        result = verification.verify(open_engine(where), checkpoints=kept, copies=copies)
    _tell(result, as_json)


def _tell(result: Verification, as_json: bool) -> None:
    if as_json:
        out_json(result.to_dict())
        if not result.sound:
            raise typer.Exit(1)
        return
    found = [f"{f.where}: {f.problem}" for f in result.findings]
    if found:
        raise NoAnswerError(f"{result.events:,} events read; the record does not hold:", found)
    print(
        f"sound: {result.events:,} events, {result.evidence_files:,} evidence files, {result.checkpoints} checkpoints"
    )
    print(f"head {result.head}")
