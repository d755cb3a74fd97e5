"""``gigaforge ledger statement | sign-statement | check-statement | actuals | token``: what leaves the ledger, and who may ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.cli.ledger_options import Where, actor_of, out_json, tell_notices
from gigaforge.cli.options import JsonOption
from gigaforge.errors import InputError, NoAnswerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gigaforge.ledger import Actor

__all__ = ["register"]

_DEFAULT = "ledger.db"
_SECONDS_PER_DAY = 86400.0


def register(verbs: typer.Typer) -> None:
    """Add the commands."""
    verbs.command("statement")(statement)
    verbs.command("sign-statement")(sign)
    verbs.command("check-statement")(check)
    verbs.command("actuals")(actuals)
    tokens = typer.Typer(help="Who may use the API, and how.", no_args_is_help=True)
    for name, command in (("new", new), ("list", listed), ("revoke", revoke)):
        tokens.command(name)(command)
    verbs.add_typer(tokens, name="token")


def statement(
    tranche: Annotated[int, typer.Argument(help="Which tranche.", min=1)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write statement-N.json and statement-N.html into.")],
    where: Where = _DEFAULT,
    signer: Annotated[
        list[str] | None, typer.Option("--sign", help="party/person=KEYFILE; may be repeated, one for each party.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what the ledger says about a tranche, with every rack and test behind it, signed by whoever gives a key.

    Example: gigaforge ledger statement 1 --out statements --sign nvidia/dan=nvidia.key --sign openai/ann=openai.key
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.statement_signing import write_statement

    signers = _signers(signer or [])
    with Ledger.open(where) as ledger:
        files = write_statement(ledger, tranche, out, signers)
    if as_json:
        out_json({"json": str(files[0]), "html": str(files[1])})
    else:
        print("\n".join(map(str, files)))


def _signers(given: list[str]) -> list[tuple[Actor, Ed25519PrivateKey]]:
    from gigaforge.ledger.keys import read_key

    out = []
    for text in given:
        who, equals, file = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not party/person=KEYFILE", "--sign")
        out.append((actor_of(who), read_key(Path(file))))
    return out


def sign(
    file: Annotated[Path, typer.Argument(help="statement-N.json, as the page or `statement` gave it.")],
    signer: Annotated[list[str], typer.Option("--sign", help="party/person=KEYFILE; may be repeated.")],
    as_json: JsonOption = False,
) -> None:
    """Sign a statement where your key is: needs the file alone, no ledger. Writes the page beside it anew.

    Example: gigaforge ledger sign-statement statement-1.json --sign openai/ann=openai.key
    """
    from gigaforge.ledger.statement_signing import sign_statement

    files = sign_statement(file, _signers(signer))
    if as_json:
        out_json({"json": str(files[0]), "html": str(files[1])})
    else:
        print("\n".join(map(str, files)))


def check(
    file: Annotated[Path, typer.Argument(help="statement-N.json")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Check a statement's signatures, and everything that it names, against the ledger. Exit 1 if anything does not hold.

    Example: gigaforge ledger check-statement statements/statement-1.json
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.statement_signing import check_statement

    try:
        content = file.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(file)) from None
    with Ledger.open(where) as ledger:
        told = check_statement(content, str(file), ledger)
    if as_json:
        out_json(
            {"holds": not told.findings, "signers": told.signers, "findings": told.findings, "remarks": told.remarks}
        )
        if told.findings:
            raise typer.Exit(1)
        return
    if told.findings:
        raise NoAnswerError(f"{file} does not hold:", told.findings)
    print(f"{file} holds, signed by {', '.join(told.signers) or 'nobody yet'}")
    tell_notices(told.remarks)


def actuals(
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .parquet")],
    where: Where = _DEFAULT,
    through: Annotated[
        str | None, typer.Option("--through", help="Last quarter, e.g. 2026-Q4 [default: the last one that is over]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what happened by quarter, site and system; `gigaforge plan --actuals ledger:FILE` reads the same.

    Example: gigaforge ledger actuals --out actuals.csv --through 2026-Q4
    """
    from gigaforge.ledger.actuals import actuals as table_of
    from gigaforge.ledger.actuals import current_quarter

    if out.suffix not in (".csv", ".parquet"):
        raise InputError("is written as CSV or Parquet; give a name that ends in .csv or .parquet", str(out))
    table = table_of(where, through)
    if through is not None and through == str(current_quarter()):
        tell_notices([f"{through} is not over yet: what is still to come in it is missing"])
    try:
        table.to_parquet(out, index=False) if out.suffix == ".parquet" else table.to_csv(out, index=False)
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(out)) from None
    if as_json:
        out_json({"out": str(out), "rows": len(table)})
    else:
        print(f"{len(table):,} rows in {out}")


def new(
    who: Annotated[str, typer.Argument(help="party/person")],
    role: Annotated[str, typer.Option("--role", help="viewer, recorder, approver, auditor or admin")],
    where: Where = _DEFAULT,
    lasts: Annotated[str, typer.Option("--lasts", help="How long, e.g. '90 day'; at most 366 days.")] = "90 day",
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token; it is shown this once, and the ledger keeps only its hash.

    Example: gigaforge ledger token new nvidia/cho --role approver --lasts "30 day"
    """
    from datetime import timedelta

    from gigaforge.cli.options import quantity
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.access import issue

    actor = actor_of(who)
    lifetime = timedelta(seconds=min(quantity(lasts, "duration", "--lasts"), 400 * _SECONDS_PER_DAY))
    with Ledger.open(where) as ledger:
        known = ledger.state().parties
        if actor.party not in known:
            raise InputError(f"{actor.party!r} is not a party; known: {', '.join(known)}", "WHO")
        identifier, secret = issue(ledger.engine, actor, role, lifetime, label)
    if as_json:
        out_json({"id": identifier, "token": secret})
    else:
        print(f"{secret}\nidentifier {identifier}; send it as 'Authorization: Bearer ...'")


def listed(where: Where = _DEFAULT, as_json: JsonOption = False) -> None:
    """Tokens, and browsers logged in without one (through an identity provider), without their secrets.

    Example: gigaforge ledger token list
    """
    from gigaforge.ledger import Ledger
    from gigaforge.ledger.access import list_tokens

    with Ledger.open(where) as ledger:
        rows = list_tokens(ledger.engine)
    if as_json:
        out_json({"tokens": rows})
        return
    for row in rows:
        ends = f"revoked {row['revoked_at'][:10]}" if row["revoked_at"] else f"until {row['expires_at'][:10]}"
        print(f"{row['id']}  {row['party']}/{row['person']:<20} {row['role']:<9} {ends}  {row['label']}")


def revoke(
    identifier: Annotated[str, typer.Argument(help="As `token list` shows it.")],
    where: Where = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """End a token and the sessions that it opened, or one browser's session, at once.

    Example: gigaforge ledger token revoke 0f3a9c5e7b1d2468
    """
    from gigaforge.ledger import Ledger, access

    with Ledger.open(where) as ledger:
        access.revoke(ledger.engine, identifier)
    if as_json:
        out_json({"revoked": identifier})
    else:
        print(f"{identifier} is revoked")
