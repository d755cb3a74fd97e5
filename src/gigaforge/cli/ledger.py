"""``gigaforge ledger``: the record of what was deployed, agreed and paid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.cli import (
    ledger_fields,
    ledger_import,
    ledger_keep,
    ledger_money,
    ledger_read,
    ledger_share,
    ledger_sign,
)
from gigaforge.cli.ledger_fields import RECORDED
from gigaforge.cli.ledger_options import (
    As,
    Day,
    EvidenceFiles,
    Idempotency,
    KeyFile,
    Where,
    act,
    actor_of,
    attach,
    out_json,
    show_event,
)
from gigaforge.cli.ledger_values import data_from
from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["register"]

_DEFAULT = "ledger.db"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    verbs = typer.Typer(
        help="The deployment and investment ledger: what was delivered, accepted, agreed and paid, with its evidence.\n\n"
        "Start with: gigaforge ledger init scenarios/alliance-10gw.yaml --as openai/ann",
        no_args_is_help=True,
    )
    verbs.command("init")(init)
    verbs.command("commit")(commit)
    verbs.command("record")(record)
    verbs.command("fields")(ledger_fields.fields)
    ledger_import.register(verbs)
    ledger_money.register(verbs)
    ledger_read.register(verbs)
    ledger_keep.register(verbs)
    ledger_sign.register(verbs)
    ledger_share.register(verbs)
    app.add_typer(verbs, name="ledger")


def init(
    scenario: Annotated[Path, typer.Argument(help="Scenario whose parties and terms the ledger keeps.")],
    who: As,
    where: Where = _DEFAULT,
    party: Annotated[
        list[str] | None,
        typer.Option("--party", help="A further party, NAME:ROLE, or NAME:ROLE:PUBLICKEY if it made its own key."),
    ] = None,
    keys: Annotated[
        Path, typer.Option("--keys", help="Folder for the keys made here, one file for each party.")
    ] = Path("keys"),
    model: Annotated[
        str | None, typer.Option("--acceptance-model", help="Model whose training step accepts a rack.")
    ] = None,
    signed: Annotated[
        bool,
        typer.Option(
            "--signed",
            help="Terms, claims, approvals and releases must be signed with a party's key, from these terms on.",
        ),
    ] = False,
    before_test: Annotated[
        str,
        typer.Option(
            "--before-test", help="What a rack must have been through before its test: installation or energisation."
        ),
    ] = "",
    key: KeyFile = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a ledger: its parties with a key each, and the scenario's terms, put forward for approval.

    Hand each key file to its party and keep no copy. The terms are in force once both investor and recipient approve. With
    --signed they are signed with the key of --as, made here or, where that party made its own, given with --key.

    Example: gigaforge ledger init scenarios/alliance-10gw.yaml --as openai/ann
    """
    from gigaforge.ledger import Ledger, actions
    from gigaforge.ledger.contract import ACCEPTANCE_MODEL, terms_from

    actor = actor_of(who)
    books = catalog_from(catalog)
    kinds = ["commitment", "claim", "approval", "release"] if signed else []
    terms = terms_from(scenario, books, model=model or ACCEPTANCE_MODEL, signed=kinds, before_test=before_test)
    rows = _parties([terms.recipient, terms.investor], party or [], keys, books.partners)
    signer = _signer(actor.party, rows, keys, key) if signed else None
    from gigaforge.scenario import load_scenario

    with Ledger.create(where, load_scenario(scenario).title, rows, actor, kinds) as ledger:
        data = {"terms": terms.model_dump(mode="json", exclude_none=True)}
        draft = actions.draft("commitment", actor, data)
        event = ledger.append(draft if signer is None else actions.signed(ledger, draft, signer))
        if as_json:
            out_json({"ledger": ledger.state().ledger, "parties": rows, "commitment": event.seq, "hash": event.hash})
            return
    print(f"{where}: a ledger of {', '.join(r['name'] for r in rows)}")
    print(f"keys in {keys}: give each file to its party")
    print(f"terms of {terms.scenario} wait for approval as event {event.seq}:")
    for name in terms.approvers:
        print(f"  gigaforge ledger approve {event.seq} --ledger {where} --as {name}/PERSON --key {keys / name}.key")


def _signer(party: str, rows: list[dict[str, str]], folder: Path, given: Path | None) -> Ed25519PrivateKey:
    """The key that signs the first terms: made here, or the party's own."""
    from gigaforge.ledger.keys import public_of, read_key

    public = next((row["public_key"] for row in rows if row["name"] == party), None)
    made = folder / f"{party}.key"
    for path in [made, *([given] if given is not None else [])]:
        if path.exists() and public_of(found := read_key(path)) == public:
            return found
    raise InputError(
        f"the terms must be signed with the key of {party}, which is not here; give it with --key", "--signed"
    )


def _parties(needed: list[str], given: list[str], folder: Path, partners: object) -> list[dict[str, str]]:
    from gigaforge.ledger import kinds
    from gigaforge.ledger.keys import new_key

    asked: dict[str, tuple[str, str]] = {}
    for text in given:
        name, _, rest = text.partition(":")
        role, _, public = rest.partition(":")
        if not name or not role:
            raise InputError(f"{text!r} is not NAME:ROLE or NAME:ROLE:PUBLICKEY", "--party")
        asked[name] = (role, public)
    assert isinstance(partners, dict)
    rows = []
    for name in dict.fromkeys([*needed, *asked]):
        known = partners.get(name)
        role, public = asked.get(name, (known.role if known else "operator", ""))
        label = known.label if known else name
        row = {"name": name, "label": label, "role": role, "public_key": public or "A" * 43 + "="}
        kinds.check_data("party", row)
        rows.append(row)
    taken = [folder / f"{r['name']}.key" for r in rows if not asked.get(r["name"], ("", ""))[1]]
    exists = next((path for path in taken if path.exists()), None)
    if exists is not None:
        raise InputError("exists; a key is never overwritten: choose another folder with --keys", str(exists))
    for row in rows:
        if not asked.get(row["name"], ("", ""))[1]:
            row["public_key"] = new_key(folder / f"{row['name']}.key")
    return rows


def commit(
    scenario: Annotated[Path, typer.Argument(help="Scenario with the new terms.")],
    who: As,
    where: Where = _DEFAULT,
    key: KeyFile = None,
    model: Annotated[
        str | None, typer.Option("--acceptance-model", help="Model whose training step accepts a rack.")
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a new version of the terms forward; it replaces the standing one once every approver has approved.

    Example: gigaforge ledger commit scenarios/alliance-2026-update.yaml --as nvidia/cho
    """
    from gigaforge.ledger import Ledger, actions
    from gigaforge.ledger.contract import ACCEPTANCE_MODEL, terms_from

    with Ledger.open(where) as ledger:
        state = ledger.state()
        number = max((c["version"] for c in state.commitments.values()), default=0) + 1
        standing = state.in_force()
        terms = terms_from(
            scenario, catalog_from(catalog), model=model or ACCEPTANCE_MODEL, number=number,
            signed=list(standing.signed if standing else state.signed), before_test=standing.before_test if standing else "",
        )  # fmt: skip
        data = {"terms": terms.model_dump(mode="json", exclude_none=True)}
        draft = actions.draft("commitment", actor_of(who), data)
        if key is not None:
            act(ledger, draft, key, as_json)
        else:
            show_event(ledger, ledger.append(draft), as_json)


def record(
    kind: Annotated[
        str,
        typer.Argument(
            help="order, delivery, installation, energisation, acceptance, meter, decommissioning or party; `gigaforge ledger fields` says what each takes."
        ),
    ],
    who: As,
    fields: Annotated[
        list[str] | None, typer.Argument(help="field=value words, e.g. site=abilene racks=A-1,A-2 power_w='200 MW'")
    ] = None,
    where: Where = _DEFAULT,
    data: Annotated[Path | None, typer.Option("--data", help="JSON file with the fields.")] = None,
    on: Day = None,
    evidence: EvidenceFiles = None,
    key: KeyFile = None,
    once: Idempotency = "",
    as_json: JsonOption = False,
) -> None:
    """Record one event with its evidence. `gigaforge ledger fields KIND` lists what a kind takes.

    Powers, energies and money take units: power_w='200 MW', energy_j='3 GWh', amount_cents=$4M.

    Example: gigaforge ledger record delivery site=abilene system=gb300-nvl72 racks=A-1,A-2 --as nvidia/cho --evidence note.pdf
    """
    from gigaforge.ledger import Ledger, actions

    if kind not in RECORDED:
        raise InputError(f"{kind!r} is not recorded so; known: {', '.join(RECORDED)}. Terms, claims, decisions, payments, corrections, "
                         "disputes, keys and checkpoints have commands of their own", "KIND")  # fmt: skip
    content = {**_file(data), **data_from(kind, fields or [])}
    actor = actor_of(who)
    actions.draft(kind, actor, content, happened_on=on, key=once)  # wrong input stores no evidence
    with Ledger.open(where) as ledger:
        draft = actions.draft(kind, actor, content, happened_on=on, evidence=attach(ledger, evidence), key=once)
        act(ledger, draft, key, as_json)


def _file(path: Path | None) -> dict[str, object]:
    import json

    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"is not a JSON file ({problem})", str(path)) from None
    if not isinstance(content, dict):
        raise InputError("is not a JSON object of fields", str(path))
    return content
