"""``gigaforge ledger claim | approve | reject | release | correct | dispute | settle``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gigaforge.cli.ledger_options import As, EvidenceFiles, Idempotency, KeyFile, Where, act, actor_of, attach
from gigaforge.cli.options import JsonOption

if TYPE_CHECKING:
    from pathlib import Path

    from gigaforge.ledger import Draft, Ledger

__all__ = ["register"]

_DEFAULT = "ledger.db"
Number = Annotated[int, typer.Argument(help="Number of the event.", min=1)]
Note = Annotated[str, typer.Option("--note", help="A remark.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]


def register(verbs: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("claim", claim), ("approve", approve), ("reject", reject), ("release", release), ("correct", correct),
        ("dispute", dispute), ("settle", settle),
    ):  # fmt: skip
        verbs.command(name)(command)


def _do(where: str, key: Path | None, as_json: bool, make: object, evidence: list[Path] | None = None) -> None:
    from dataclasses import replace

    from gigaforge.ledger import Ledger

    assert callable(make)
    with Ledger.open(where) as ledger:
        draft: Draft = make(ledger)
        act(ledger, replace(draft, evidence=attach(ledger, evidence)), key, as_json)


def claim(
    who: As,
    where: Where = _DEFAULT,
    tranche: Annotated[int | None, typer.Option("--tranche", min=1, help="Which one [default: the next]")] = None,
    note: Note = "",
    key: KeyFile = None,
    once: Idempotency = "",
    as_json: JsonOption = False,
) -> None:
    """Claim a tranche on the earliest accepted racks that carry none yet.

    Example: gigaforge ledger claim --as openai/ann --key keys/openai.key
    """
    from gigaforge.ledger import actions

    actor = actor_of(who)
    _do(where, key, as_json, lambda book: actions.claim(book, actor, tranche, note=note, key=once))


def approve(
    number: Number, who: As, where: Where = _DEFAULT, note: Note = "", key: KeyFile = None, once: Idempotency = "",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Approve a claim or terms. Two people of two parties must; nobody approves what they put forward.

    Example: gigaforge ledger approve 17 --as nvidia/cho --key keys/nvidia.key
    """
    _decide(number, who, where, "approve", note, key, once, as_json)


def reject(
    number: Number, who: As, where: Where = _DEFAULT, note: Note = "", key: KeyFile = None, once: Idempotency = "",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Reject a claim or terms; a rejected claim's racks are free again.

    Example: gigaforge ledger reject 17 --as nvidia/cho --note "meter readings missing"
    """
    _decide(number, who, where, "reject", note, key, once, as_json)


def _decide(
    number: int, who: str, where: str, decision: str, note: str, key: Path | None, once: str, as_json: bool
) -> None:
    from gigaforge.ledger import actions

    actor = actor_of(who)
    _do(where, key, as_json, lambda book: actions.approval(book, actor, number, decision, note=note, key=once))


def release(
    number: Number,
    who: As,
    reference: Annotated[str, typer.Option("--reference", help="How it was paid, e.g. the bank's reference.")],
    where: Where = _DEFAULT,
    evidence: EvidenceFiles = None,
    key: KeyFile = None,
    once: Idempotency = "",
    as_json: JsonOption = False,
) -> None:
    """Record that the tranche of an approved claim was paid.

    Example: gigaforge ledger release 17 --reference "wire 2026-11-30/1" --as nvidia/dan
    """
    from gigaforge.ledger import actions

    actor = actor_of(who)
    _do(where, key, as_json, lambda book: actions.release(book, actor, number, reference, key=once), evidence)


def correct(
    number: Number,
    who: As,
    reason: Reason,
    where: Where = _DEFAULT,
    evidence: EvidenceFiles = None,
    key: KeyFile = None,
    as_json: JsonOption = False,
) -> None:
    """Take an earlier event back; it stays in the record and no longer counts. Then record the right one.

    Example: gigaforge ledger correct 12 --reason "wrong serial" --as nvidia/cho
    """
    from gigaforge.ledger import actions

    actor = actor_of(who)
    _do(where, key, as_json, lambda book: actions.correction(book, actor, number, reason), evidence)


def dispute(
    number: Number,
    who: As,
    reason: Reason,
    where: Where = _DEFAULT,
    evidence: EvidenceFiles = None,
    key: KeyFile = None,
    as_json: JsonOption = False,
) -> None:
    """Object to an event; nothing that rests on it is claimed or paid until you settle.

    Example: gigaforge ledger dispute 12 --reason "power was not measured" --as nvidia/cho
    """
    _object(number, who, reason, "opened", where, evidence, key, as_json)


def settle(
    number: Number,
    who: As,
    reason: Reason,
    where: Where = _DEFAULT,
    evidence: EvidenceFiles = None,
    key: KeyFile = None,
    as_json: JsonOption = False,
) -> None:
    """End your party's dispute of an event.

    Example: gigaforge ledger settle 12 --reason "measured again" --as nvidia/cho
    """
    _object(number, who, reason, "settled", where, evidence, key, as_json)


def _object(
    number: int,
    who: str,
    reason: str,
    state: str,
    where: str,
    evidence: list[Path] | None,
    key: Path | None,
    as_json: bool,
) -> None:
    from gigaforge.ledger import actions

    actor = actor_of(who)

    def make(book: Ledger) -> Draft:
        del book
        return actions.dispute(actor, number, reason, state)

    _do(where, key, as_json, make, evidence)
