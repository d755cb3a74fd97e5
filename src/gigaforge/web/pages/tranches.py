"""Tranches: what each asks for, where it stands, who agreed, and what the reader may do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.report.story import money, power

__all__ = ["Act", "TrancheLine", "tranche_lines"]


@dataclass(frozen=True)
class Act:
    """Something that this reader may do now.

    Attributes
    ----------
    name, label : str
        claim, approve, reject or release, and the button's words.
    question : str
        Asked before it is done.
    needs : str
        Label of a text that goes with it; empty where none does.

    """

    name: str
    label: str
    question: str = ""
    needs: str = ""
    danger: bool = False


@dataclass(frozen=True)
class TrancheLine:
    """One tranche.

    Attributes
    ----------
    index : int
    threshold, amount, status, note : str
    claim : dict, optional
        Its standing claim.
    acts : list of Act

    """

    index: int
    threshold: str
    amount: str
    status: str
    note: str
    claim: dict[str, Any] | None = None
    acts: list[Act] = field(default_factory=list)


def tranche_lines(state: State, terms: Terms, party: str, person: str, roles: frozenset[str]) -> list[TrancheLine]:
    """All tranches in order; `acts` are those that rules and role leave to this reader."""
    lines = []
    free_w = state.accepted_w - state.claimed_w
    claimable = True  # only the first unclaimed one
    for index in range(1, terms.tranches + 1):
        claim = state.live_claim(index)
        threshold = power(index * terms.per_w)
        if claim is None:
            lacking = index * terms.per_w - state.accepted_w
            note = f"{power(lacking)} more must be accepted" if lacking > 0 else "can be claimed"
            acts = [Act("claim", f"Claim tranche {index}", f"Claim tranche {index} on the earliest free racks?")]
            mine = (
                claimable
                and free_w > 0
                and lacking <= 0
                and party == terms.recipient
                and bool(roles & {"recorder", "admin"})
            )
            lines.append(
                TrancheLine(
                    index, threshold, money(terms.amount_cents / 100), "open", note, None, acts if mine else []
                )
            )
            claimable = False
            continue
        lines.append(TrancheLine(index, threshold, money(claim["amount_cents"] / 100), claim["status"], _claim_note(claim, terms, state),
                                 claim, _acts(claim, terms, party, person, roles)))  # fmt: skip
    return lines


def _claim_note(claim: dict[str, Any], terms: Terms, state: State) -> str:
    agreed = ", ".join(f"{a['person']} ({_label(state, a['party'])})" for a in claim["approvals"])
    said = f"claimed by {claim['by']['person']} ({_label(state, claim['by']['party'])}) on {claim['racks']:,} racks, {power(claim['live_w'])}"
    said += f"; approved by {agreed}" if agreed else ""
    if claim["status"] == "pending":
        said += f"; {terms.approvals - len(claim['approvals'])} more needed"
    if claim["status"] == "released":
        said += f"; paid on {claim['released_on']} ({claim['reference']})"
    if claim["disputes"]:
        said += f"; disputed in event {claim['disputes'][0]}"
    return said


def _label(state: State, party: str) -> str:
    return str(state.parties.get(party, {}).get("label") or party)


def _acts(claim: dict[str, Any], terms: Terms, party: str, person: str, roles: frozenset[str]) -> list[Act]:
    """The ledger's own rules decide; this only spares the reader what would be refused."""
    approver = bool(roles & {"approver", "admin"})
    own = person == claim["by"]["person"]
    if claim["status"] == "pending" and approver and not own and party in terms.approvers:
        if any(a["person"] == person or a["party"] == party for a in claim["approvals"]):
            return []
        index = claim["tranche"]
        return [
            Act("approve", "Approve", f"Approve tranche {index}?"),
            Act("reject", "Reject", f"Reject tranche {index}? Its racks become free again.", "Reason", danger=True),
        ]
    if claim["status"] == "approved" and approver and party == terms.investor and not own and not claim["disputes"]:
        amount = money(claim["amount_cents"] / 100)
        return [Act("release", "Record payment", f"Record that {amount} was paid?", "Payment reference")]
    return []
