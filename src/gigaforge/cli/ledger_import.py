"""``gigaforge ledger import``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from gigaforge.cli.ledger_options import As, Where, actor_of, out_json, tell_notices
from gigaforge.cli.options import JsonOption
from gigaforge.errors import InputError

__all__ = ["register"]

_WORDS = {"deliveries": "delivery", "delivery": "delivery", "acceptance": "acceptance", "acceptances": "acceptance"}


def register(verbs: typer.Typer) -> None:
    """Add the command."""
    verbs.command("import")(import_file)


def import_file(
    what: Annotated[str, typer.Argument(help="deliveries or acceptance")],
    file: Annotated[Path, typer.Argument(help="CSV or Parquet.")],
    who: As,
    where: Where = "ledger.db",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Record the good rows and report the others; run it again when they are mended."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Record nothing, only report.")] = False,
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write the rows in error here (CSV), to be mended and imported.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Record deliveries or acceptance tests in bulk: all rows or, if one is wrong, none. Exit 2 if any row is in error.

    Deliveries have the columns rack, system, site, delivered_on and perhaps order; acceptance has rack, throughput (tokens/s
    per accelerator), power_w and tested_on.

    Example: gigaforge ledger import deliveries racks.csv --as nvidia/cho
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.attention import notices
    from gigaforge.ledger.backup import whole_file
    from gigaforge.ledger.importing import import_rows, write_errors

    kind = _WORDS.get(what)
    if kind is None:
        raise InputError(f"{what!r} cannot be imported; known: deliveries, acceptance", "WHAT")
    if errors is not None and (not errors.parent.is_dir() or errors.resolve() == file.resolve()):
        why = (
            "is the file that is imported; name another" if errors.parent.is_dir() else "is in no folder that exists"
        )
        raise InputError(why, f"--errors {errors}")
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(file)) from None
    tty = sys.stderr.isatty()

    def watch(done: int, rows: int) -> None:
        if tty:
            print(f"\r{done:,} of {rows:,} rows", end="" if done < rows else "\n", file=sys.stderr)

    with Ledger.open(where) as ledger:
        report = import_rows(ledger, actor_of(who), kind, content, file.name, resume=resume, check=check, watch=watch)
        look = (
            [n.words for n in notices(ledger.state())] if kind == "acceptance" and report.kept and not as_json else []
        )
    if errors is not None:
        with whole_file(errors) as out:
            text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
            write_errors(report, text)
            text.detach()
    if as_json:
        out_json(report.to_dict())
    else:
        for error in report.errors[:20]:
            print(f"{file}:{error.row}: {error.field + ': ' if error.field else ''}{error.problem}", file=sys.stderr)
        if len(report.errors) > 20:
            print(
                f"and {report.refused - 20:,} more" + ("" if errors else "; --errors FILE lists them, rows and all"),
                file=sys.stderr,
            )
        if errors is not None and report.refused > len(report.errors):
            print(f"{errors} holds the first {len(report.errors):,} of them", file=sys.stderr)
        done = "recorded" if report.kept else "would be recorded, none was"
        print(
            f"{report.rows:,} rows: {report.good:,} {done}, {report.known:,} known before, {report.refused:,} in error"
        )
    tell_notices(look)
    if report.refused:
        raise typer.Exit(2)
