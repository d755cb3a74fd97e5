"""Tranches: what each asks for, where it stands, who agreed, and what the reader may do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gigaforge.ledger.access import Identity
from gigaforge.ledger.attention import shortfall_words
from gigaforge.ledger.investment import (
    Shortfall,
    carried_w,
    claim_words,
    held_back,
    lacks_since_paid,
    needed_for,
    nothing_claimed,
    to_claim,
)
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.report.story import money, power

__all__ = ["Act", "Share", "TrancheLine", "agreement_acts", "command_of", "shares", "tranche_lines"]


@dataclass(frozen=True)
class Act:
    """Something that this reader may do now.

    Attributes
    ----------
    name, label : str
        claim, approve, reject, release, dispute or settle, and the button's words.
    question : str
        Asked before it is done.
    needs : str
        Label of a text that goes with it; empty where none does.
    note : str
        What it means, beside the button.
    command : str
        Where the terms ask for the party's signature: what to type instead, since a key never leaves its party.

    """

    name: str
    label: str
    question: str = ""
    needs: str = ""
    danger: bool = False
    note: str = ""
    command: str = ""


@dataclass(frozen=True)
class TrancheLine:
    """One tranche.

    Attributes
    ----------
    index : int
    threshold, amount, status, note : str
    claim : dict, optional
        Its standing claim.
    lacking : str
        Power that must still be accepted before it can be claimed.
    acts : list of Act
    trouble : str
        What a paid tranche no longer reaches.

    """

    index: int
    threshold: str
    amount: str
    status: str
    note: str
    claim: dict[str, Any] | None = None
    acts: list[Act] = field(default_factory=list)
    lacking: str = "nothing"
    trouble: str = ""


@dataclass(frozen=True)
class Share:
    """A part of the ceiling: what it is, its dollars in words, and its share. [fraction]"""

    kind: str
    words: str
    share: float


def shares(state: State, terms: Terms) -> list[Share]:
    """The ceiling as a bar: paid, payable, waiting, and the rest, whose words say so without the bar."""
    ceiling = max(terms.ceiling_cents, 1)
    claims = list(state.claims.values())
    payable = {c["seq"] for c in claims if c["status"] == "approved" and not held_back(state, terms, c)}
    sums = {
        "released": terms.upfront_cents + state.released_cents,
        "due": sum(c["amount_cents"] for c in claims if c["seq"] in payable),
        "waiting": sum(
            c["amount_cents"] for c in claims if c["status"] in ("pending", "approved") and c["seq"] not in payable
        ),
    }
    sums["beyond"] = terms.ceiling_cents - terms.upfront_cents - terms.tranches * terms.amount_cents
    sums["open"] = terms.ceiling_cents - sum(sums.values())
    words = {
        "released": "released",
        "due": "approved and due",
        "waiting": "claimed, waiting or held back",
        "open": "still to be earned",
        "beyond": "less than a tranche, never released",
    }
    return [
        Share(kind, f"{money(cents / 100)} {said}", cents / ceiling)
        for kind, said in words.items()
        if (cents := sums[kind]) > 0
    ]


def tranche_lines(state: State, terms: Terms, who: Identity) -> list[TrancheLine]:
    """All tranches in order; `acts` are those that rules and role leave to this reader."""
    lines, short = [], lacks_since_paid(state)
    why = ""
    free_w = max(state.accepted_w - state.claimed_w, 0)
    next_one = True  # only the first unclaimed tranche can be claimed
    for index in range(1, terms.tranches + 1):
        claim = state.live_claim(index)
        threshold = power(index * terms.per_w)
        if claim is not None:
            amount = money(claim["amount_cents"] / 100)
            note = _claim_note(claim, terms, state)
            lines.append(
                TrancheLine(
                    index,
                    threshold,
                    amount,
                    claim["status"],
                    note,
                    claim,
                    _acts(claim, terms, state, who),
                    trouble=_trouble(short.get(claim["seq"])),
                )
            )
            continue
        lacking = (to_claim if next_one else needed_for)(state, terms, index) - free_w
        missing = claim_words(lacking) if lacking > 0 else "nothing"
        note = f"{missing} more must be accepted" if lacking > 0 else "Can be claimed"
        if next_one and (why := nothing_claimed(state)):
            note = f"{note}; {why}" if lacking > 0 else f"{why[:1].upper()}{why[1:]}"
        mine = next_one and lacking <= 0 and not why and who.actor.party == terms.recipient and who.may("claim")
        acts = [_claim_act(index, state, who)] if mine else []
        lines.append(
            TrancheLine(index, threshold, money(terms.amount_cents / 100), "open", note, None, acts, missing)
        )
        next_one = False
    return lines


def agreement_acts(pending: dict[str, Any], state: State, who: Identity) -> list[Act]:
    """What this reader may do about terms that wait for agreement."""
    if not who.may("approve") or any(a["party"] == who.actor.party for a in pending.get("approvals", [])):
        return []
    command = command_of(f"approve {pending['seq']}", who) if "approval" in state.asked_signatures() else ""
    return [
        Act("approve", "Agree", "Agree to these terms for your party?", command=command),
        Act("reject", "Reject", "Reject these terms?", "Reason", danger=True, command=command.replace("approve", "reject")),
    ]  # fmt: skip


def command_of(words: str, who: Identity) -> str:
    """What somebody of a party types to record it signed."""
    return f"gigaforge ledger {words} --as {who.actor} --key {who.actor.party}.key"


def _claim_act(index: int, state: State, who: Identity) -> Act:
    command = command_of(f"claim --tranche {index}", who) if "claim" in state.asked_signatures() else ""
    return Act(
        "claim", f"Claim tranche {index}", f"Claim tranche {index} on the earliest free racks?", command=command
    )


def _claim_note(claim: dict[str, Any], terms: Terms, state: State) -> str:
    agreed = ", ".join(f"{a['person']} ({_label(state, a['party'])})" for a in claim["approvals"])
    said = f"Claimed by {claim['by']['person']} ({_label(state, claim['by']['party'])}) on {claim['racks']:,} racks, {power(carried_w(claim))}"
    said += f"; approved by {agreed}" if agreed else ""
    if claim["status"] == "pending":
        said += f"; {terms.approvals - len(claim['approvals'])} more needed"
    if claim["status"] == "released":
        said += f"; paid on {claim['released_on']} ({claim['reference']})"
    held = held_back(state, terms, claim) if claim["status"] in ("pending", "approved") else ""
    return f"{said}; held back: {held}" if held else said


def _trouble(short: Shortfall | None) -> str:
    if short is None:
        return ""
    words = shortfall_words(short)
    return f"{words[:1].upper()}{words[1:]}. What is paid stays paid; the next claim must make up for it"


def _label(state: State, party: str) -> str:
    return str(state.parties.get(party, {}).get("label") or party)


def _acts(claim: dict[str, Any], terms: Terms, state: State, who: Identity) -> list[Act]:
    """The ledger's own rules decide; this only spares the reader what would be refused."""
    party, person, seq, index = who.actor.party, who.actor.person, claim["seq"], claim["tranche"]
    if not who.may("approve") or person == claim["by"]["person"]:
        return []
    if claim["status"] == "pending" and party in terms.approvers:
        if any(a["person"] == person or a["party"] == party for a in claim["approvals"]):
            return []
        signed = "approval" in state.asked_signatures()
        return [
            Act("approve", f"Approve tranche {index}", f"Approve tranche {index}?", command=command_of(f"approve {seq}", who) if signed else ""),
            Act("reject", f"Reject tranche {index}", f"Reject tranche {index}? Its racks become free again.", "Reason", danger=True,
                command=command_of(f"reject {seq}", who) if signed else ""),
        ]  # fmt: skip
    if claim["status"] == "approved" and party == terms.investor and not held_back(state, terms, claim):
        amount = money(claim["amount_cents"] / 100)
        command = (
            command_of(f"release {seq} --reference REFERENCE", who) if "release" in state.asked_signatures() else ""
        )
        return [
            Act("release", "Record payment", f"Record that {amount} was paid?", "Payment reference", command=command)
        ]
    return []
