"""A signed statement of a milestone: the claim, its racks and tests, who agreed, what was paid, and where the record stood.

The JSON is what is signed; the page shows the same, and names the JSON's hash.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gigaforge.errors import InputError
from gigaforge.ledger.book import Ledger
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.errors import UnknownError
from gigaforge.ledger.event import Actor
from gigaforge.ledger.keys import public_of, sign, signature_holds
from gigaforge.ledger.overview import overview, rack_row
from gigaforge.units import format_quantity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["check_statement", "render", "statement", "write_statement"]

_FORMAT: Final = "gigaforge milestone statement 1"
_PAGE: Final = 1000


def statement(ledger: Ledger, tranche: int) -> dict[str, Any]:
    """What the ledger says about a tranche; `UnknownError` where it was never claimed."""
    state = ledger.state()
    found = state.live_claim(tranche)
    if found is None:
        raise UnknownError(f"tranche {tranche} was not claimed")
    claim = next(c for c in overview(state)["claims"] if c["seq"] == found["seq"])
    racks, after = [], ""
    while True:
        page = ledger.racks(claim=found["seq"], after=after, limit=_PAGE)
        racks += [rack_row(rack) for rack in page]
        if len(page) < _PAGE:
            break
        after = page[-1].rack
    wanted = {seq for rack in racks for seq in rack["events"]} | {a["seq"] for a in found["approvals"]}
    wanted |= {found["seq"], *([found["release"]] if "release" in found else [])}
    events = {str(event.seq): _brief(event) for event in ledger.all_events() if event.seq in wanted}
    terms = state.in_force()
    return {
        "format": _FORMAT,
        "ledger": state.ledger,
        "title": state.title,
        "events": state.seq,
        "head": state.head,
        "recorded_at": state.recorded_at,
        "terms": {
            "event": found["terms"],
            "commitment_w": terms.commitment_w if terms else 0,
            "per_w": terms.per_w if terms else 0,
            "basis": terms.basis if terms else "",
        },
        "tranche": tranche,
        "claim": claim,
        "racks": racks,
        "support": events,
    }


def _brief(event: Any) -> dict[str, Any]:
    keep = ("verdict", "throughput", "power_w", "reference", "decision", "amount_cents")
    return {
        "hash": event.hash, "kind": event.kind, "happened_on": event.happened_on, "by": str(event.actor),
        "data": {n: v for n, v in event.data.items() if n in keep},
        "evidence": [item["sha256"] for item in event.parts.get("evidence") or []],
    }  # fmt: skip


def write_statement(
    ledger: Ledger, tranche: int, folder: Path, signers: list[tuple[Actor, Ed25519PrivateKey]]
) -> tuple[Path, Path]:
    """Write ``statement-N.json`` (statement and signatures) and ``statement-N.html``.

    Raises
    ------
    InputError
        A key is not its party's current one, or the folder cannot be written.

    """
    content = statement(ledger, tranche)
    parties = ledger.state().parties
    signatures = []
    for actor, key in signers:
        keys = parties.get(actor.party, {}).get("keys", [])
        if not keys or keys[-1]["public"] != public_of(key):
            raise InputError(f"is not the current key of {actor.party!r}", "--key")
        signed = sign(key, canonical(content))
        signatures.append(
            {"party": actor.party, "person": actor.person, "public_key": public_of(key), "signature": signed["value"]}
        )
    whole = {"statement": content, "signatures": signatures, "sha256": sha256(canonical(content))}
    names = folder / f"statement-{tranche}.json", folder / f"statement-{tranche}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names[0].write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        names[1].write_text(render(whole), encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(folder)) from None
    return names


def render(whole: dict[str, Any]) -> str:
    """The statement as one page that prints well and needs nothing else."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 (50 ms)

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["power"] = lambda value: format_quantity(value, "power")
    page.filters["money"] = lambda value: format_quantity(value, "money")
    template = (files("gigaforge.ledger") / "templates" / "statement.html.j2").read_text(encoding="utf-8")
    return page.from_string(template).render(**whole)


def check_statement(path: Path, ledger: Ledger) -> list[str]:
    """What does not hold about a statement: its signatures, and each event that it names, against the ledger.

    Raises
    ------
    InputError
        The file is no statement.

    """
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        content, signatures = whole["statement"], whole["signatures"]
        if content["format"] != _FORMAT:
            raise ValueError("another format")  # noqa: TRY301
        named = {
            int(content["events"]): content["head"],
            **{int(n): e["hash"] for n, e in content["support"].items()},
        }
        signers = [(s["party"], s["public_key"], s["signature"]) for s in signatures]
        message = canonical(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise InputError(f"is not a statement of `gigaforge ledger statement` ({problem})", str(path)) from None
    state = ledger.state()
    out = [] if content.get("ledger") == state.ledger else ["it is of another ledger"]
    if whole.get("sha256") != sha256(message):
        out.append("its content was changed: the hash does not fit")
    for party, public, signature in signers:
        known = [key["public"] for key in state.parties.get(party, {}).get("keys", [])]
        if public not in known or not signature_holds(str(public), message, str(signature)):
            out.append(f"the signature of {party} does not hold")
    for seq, head in named.items():
        try:
            recorded = ledger.event(seq).hash
        except UnknownError:
            recorded = "missing"
        if recorded != head:
            out.append(f"event {seq} is not the one in the ledger")
    return out
