"""A statement as a file: written, signed by each party with its own key wherever it keeps it, and held against the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from gigaforge.errors import InputError
from gigaforge.ledger.attention import shortfall_words
from gigaforge.ledger.book import Ledger
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.errors import UnknownError
from gigaforge.ledger.event import Actor
from gigaforge.ledger.investment import lacks_since_paid
from gigaforge.ledger.keys import public_of, replaced_at, sign, signature_holds
from gigaforge.ledger.kinds import Rack, rack_name
from gigaforge.ledger.state import State
from gigaforge.ledger.statement import render, statement, unsigned

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["StatementCheck", "check_statement", "read_statement", "sign_statement", "write_statement"]

Signer = tuple[Actor, "Ed25519PrivateKey"]
_REPLACED: Final = (
    "the key of {party} that signed it was replaced since, by event {seq}; if it had fallen into other hands, have a new "
    "statement signed"
)


@dataclass
class StatementCheck:
    """What became of a check.

    Attributes
    ----------
    tranche : int
    findings : list of str
        What does not hold; empty where all does.
    signers : list of str
        Whose signatures hold, as party/person.
    remarks : list of str
        What whoever relies on it should know, though every word of it holds: the tranche fell short since, or a key that
        signed it was replaced since.

    """

    tranche: int
    findings: list[str] = field(default_factory=list)
    signers: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def write_statement(ledger: Ledger, tranche: int, folder: Path, signers: list[Signer]) -> tuple[Path, Path]:
    """Write ``statement-N.json`` (statement and signatures) and ``statement-N.html``.

    Raises
    ------
    InputError
        A key is not its party's current one, the folder cannot be written, or holds the statement with somebody's signature.

    """
    whole = unsigned(statement(ledger, tranche))
    parties = ledger.state().parties
    for actor, key in signers:
        keys = parties.get(actor.party, {}).get("keys", [])
        if not keys or keys[-1]["public"] != public_of(key):
            raise InputError(f"is not the current key of {actor.party!r}", "--key")
        _sign(whole, actor, key)
    file = folder / f"statement-{tranche}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(folder)) from None
    if file.exists() and (names := [s["party"] for s in read_statement(_bytes(file), str(file))["signatures"]]):
        raise InputError(f"is signed by {', '.join(names)} and not written over; choose another folder", str(file))
    return _write(whole, file)


def sign_statement(path: Path, signers: list[Signer]) -> tuple[Path, Path]:
    """Add signatures to a statement file, and write its page beside it; needs no ledger, so a party signs where its key is.

    Raises
    ------
    InputError
        The file is no statement, was changed, or carries this party's signature already.

    """
    whole = read_statement(_bytes(path), str(path))
    if whole["sha256"] != sha256(canonical(whole["statement"])):
        raise InputError("its content was changed: the hash does not fit; do not sign it", str(path))
    for actor, key in signers:
        if any(s["party"] == actor.party for s in whole["signatures"]):
            raise InputError(f"is signed by {actor.party!r} already", str(path))
        _sign(whole, actor, key)
    return _write(whole, path)


def _sign(whole: dict[str, Any], actor: Actor, key: Ed25519PrivateKey) -> None:
    signature = sign(key, canonical(whole["statement"]))["value"]
    whole["signatures"].append(
        {"party": actor.party, "person": actor.person, "public_key": public_of(key), "signature": signature}
    )


def _write(whole: dict[str, Any], file: Path) -> tuple[Path, Path]:
    page = file.with_suffix(".html")
    try:
        file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        page.write_text(render(whole), encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(file)) from None
    return file, page


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(path)) from None


class _Signature(BaseModel):
    party: str
    person: str
    public_key: str
    signature: str


class _Supporting(BaseModel):
    hash: str


class _Carrying(BaseModel):
    rack: Rack


class _Claim(BaseModel):
    seq: int
    approvals: list[dict[str, JsonValue]]


class _Statement(BaseModel):
    format: Literal["gigaforge milestone statement 1"]
    ledger: str
    tranche: int
    events: int
    head: str
    claim: _Claim
    racks: list[_Carrying]
    support: dict[int, _Supporting]


class _File(BaseModel):
    """What a statement's file must hold; more may stand in it, and is signed too."""

    model_config = ConfigDict(strict=True)

    statement: _Statement
    signatures: list[_Signature]
    sha256: str


def read_statement(content: bytes, where: str) -> dict[str, Any]:
    """A statement's file as values, in the shape that checks rely on; `InputError` where it is none."""
    try:
        _File.model_validate_json(content)
        whole: dict[str, Any] = json.loads(content)
        canonical(whole["statement"])
    except (ValueError, RecursionError) as problem:
        why = str(problem).splitlines()[0]
        raise InputError(f"is not a statement of `gigaforge ledger statement` ({why})", where) from None
    return whole


def check_statement(content: bytes, where: str, ledger: Ledger) -> StatementCheck:
    """Hold a statement against the ledger: its hash and signatures, each event that it names, the claim and its racks.

    Raises
    ------
    InputError
        The file is no statement.

    """
    whole = read_statement(content, where)
    said, state = whole["statement"], ledger.state()
    out = StatementCheck(said["tranche"])
    message = canonical(said)
    if said["ledger"] != state.ledger:
        out.findings.append("it is of another ledger")
    if whole["sha256"] != sha256(message):
        out.findings.append("its content was changed: the hash does not fit")
    for signature in whole["signatures"]:
        public, value = signature["public_key"], signature["signature"]
        replaced = replaced_at(state.parties.get(signature["party"], {}).get("keys", []), public)
        if replaced is None or not signature_holds(public, message, value):
            out.findings.append(f"the signature of {signature['party']} does not hold")
        elif 0 < replaced <= said["events"]:
            out.findings.append(
                f"the key of {signature['party']} that signed it was replaced by event {replaced}, before this statement was made"
            )
        else:
            out.signers.append(f"{signature['party']}/{signature['person']}")
            if replaced:
                out.remarks.append(_REPLACED.format(party=signature["party"], seq=replaced))
    named = {said["events"]: said["head"], **{int(n): e["hash"] for n, e in said["support"].items()}}
    for seq, head in named.items():
        if _hash_of(ledger, seq) != head:
            out.findings.append(f"event {seq} is not the one in the ledger")
    out.findings += _claim_findings(said, state, ledger)
    short = lacks_since_paid(state).get(said["claim"]["seq"])
    if short is not None:
        out.remarks.append(f"tranche {out.tranche} is {shortfall_words(short)}")
    return out


def _hash_of(ledger: Ledger, seq: int) -> str:
    try:
        return ledger.event(seq).hash
    except UnknownError:
        return "missing"


def _claim_findings(said: dict[str, Any], state: State, ledger: Ledger) -> list[str]:
    """What the statement says of the claim, beside the claim itself: what can never change after it was recorded."""
    claim = said["claim"]
    recorded = state.claims.get(str(claim["seq"]))
    if recorded is None or recorded["tranche"] != said["tranche"]:
        return [f"tranche {said['tranche']} was not claimed by event {claim['seq']}"]
    fixed = ("hash", "tranche", "amount_cents", "claimed_w", "by", "happened_on")
    out = [
        f"the claim's {name.replace('_', ' ')} is not what the ledger says"
        for name in fixed
        if claim.get(name) != recorded[name]
    ]
    if claim.get("amount_usd") != recorded["amount_cents"] / 100:
        out.append("the claim's amount is not what the ledger says")
    if any(a not in recorded["approvals"] for a in claim["approvals"]):
        out.append("it names an approval that the ledger does not know")
    if claim.get("status") == "released" and recorded["status"] != "released":
        out.append("it says that the tranche was paid, the ledger does not")
    claimed = {rack_name(name) for name in ledger.event(recorded["seq"]).data["racks"]}
    if {rack_name(rack["rack"]) for rack in said["racks"]} != claimed:
        out.append("its racks are not those of the claim")
    return out
