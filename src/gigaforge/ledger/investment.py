"""Money: terms put forward and agreed, tranches claimed, approved and released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gigaforge.ledger import kinds as k
from gigaforge.ledger.canonical import canonical
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Event
from gigaforge.ledger.keys import fingerprint, signature_holds
from gigaforge.ledger.objections import about, judged, objections, objections_to_all
from gigaforge.ledger.racks import ACCEPTED, RETIRED, Register
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.units import format_at_least, format_at_most

__all__ = [
    "Disputed",
    "Shortfall",
    "approve",
    "carried_w",
    "claim",
    "claim_words",
    "commit",
    "held_back",
    "lacks_since_paid",
    "needed_for",
    "release",
    "settle_signature",
    "terms_of",
    "to_claim",
]

_SERVER: Final = ("seq", "previous", "recorded_at", "signature", "hash")
_ANY_RACK: Final = 1
"""Every rack that counts reaches this. [W]"""
_STANDING: Final = ("pending", "approved", "released")


def settle_signature(state: State, event: Event) -> None:
    """A signature, where given, must hold; where the terms ask for one, it must be given."""
    signature = event.parts.get("signature")
    party = event.actor.party
    if signature is None:
        if event.kind in state.asked_signatures():
            raise RefusedError(
                "unsigned", f"this ledger asks for a signed {event.kind}; sign it with the key of {party} (--key)"
            )
        return
    current = state.parties[party]["keys"][-1]["public"]
    content = {name: value for name, value in event.parts.items() if name not in _SERVER}
    if event.kind == "acceptance":  # the verdict is the ledger's own addition
        content = {**content, "data": {n: v for n, v in content["data"].items() if n != "verdict"}}
    well_formed = isinstance(signature, dict) and set(signature) == {"key", "value"}
    if not well_formed or signature["key"] != fingerprint(current):
        raise RefusedError("signature", f"the signature is not by the current key of {party!r}")
    if not signature_holds(current, canonical(content), str(signature["value"])):
        raise RefusedError("signature", f"the signature of {party!r} does not fit what it signs")


def terms_of(state: State) -> Terms:
    """The terms in force; `RefusedError` where there are none yet."""
    terms = state.in_force()
    if terms is None:
        raise RefusedError("no-terms", "no terms are in force; record a commitment and have its approvers approve it")
    return terms


def commit(state: State, event: Event, data: k.Commitment, register: Register) -> None:
    """Put terms forward; a later version replaces what stands once it is agreed."""
    del register
    terms = data.terms
    for party in dict.fromkeys([terms.investor, terms.recipient, *terms.approvers]):
        if party not in state.parties:
            raise RefusedError("unknown-party", f"the terms name {party!r}, which is not a party of this ledger")
    waiting = next((c for c in state.commitments.values() if c["status"] == "pending"), None)
    if waiting is not None:
        raise RefusedError("pending-terms", f"terms of event {waiting['seq']} still wait for approval or rejection")
    newest = max((c["version"] for c in state.commitments.values()), default=0)
    if terms.version != newest + 1:
        raise RefusedError("version", f"these are terms of version {terms.version}; the next one is {newest + 1}")
    claimed = max((c["tranche"] for c in state.claims.values() if c["status"] in _STANDING), default=0)
    paid = state.released_cents
    if paid + terms.upfront_cents > terms.ceiling_cents or claimed > terms.tranches:
        raise RefusedError("cap", "what was claimed and released already exceeds the ceiling of these terms")
    state.commitments[str(event.seq)] = {
        "seq": event.seq, "hash": event.hash, "version": terms.version, "status": "pending",
        "by": {"party": event.actor.party, "person": event.actor.person}, "approvals": [], "signed_by": [],
        "terms": data.model_dump(mode="json", exclude_none=True)["terms"],
    }  # fmt: skip


def claim(state: State, event: Event, data: k.Claim, register: Register) -> None:
    """Ask for a tranche; its racks carry no other, ever."""
    terms = terms_of(state)
    if event.actor.party != terms.recipient:
        raise RefusedError("not-recipient", f"tranches are claimed by {terms.recipient!r}, not {event.actor.party!r}")
    if data.tranche > terms.tranches:
        raise RefusedError("cap", f"the ceiling allows {terms.tranches} tranches; {data.tranche} is beyond it")
    standing = state.live_claim(data.tranche)
    if standing is not None:
        raise RefusedError("claimed", claimed_words(standing))
    if state.recording and (why := nothing_claimed(state)):
        raise RefusedError("disputed", why)
    gap = next((n for n in range(1, data.tranche) if state.live_claim(n) is None), None)
    if gap is not None:
        raise RefusedError("in-order", f"tranche {gap} was not claimed yet; tranches are claimed in order")
    register.prefetch(data.racks)
    racks = []
    for name in data.racks:
        rack = register.get(name)
        if rack is None or rack.accepted < 0 or rack.status not in (ACCEPTED, RETIRED):
            raise RefusedError("not-accepted", f"rack {name} is {rack.status if rack else 'unknown'}, not accepted")
        if rack.claim:
            raise RefusedError("double-count", f"rack {name} carries the claim of event {rack.claim} already")
        if disputes := judged(state, rack.disputes):
            raise RefusedError("disputed", f"rack {name} is disputed (event {disputes[0]})")
        if rack.counted_w == 0:
            raise RefusedError(
                "does-not-count", f"rack {name} ({rack.system} at {rack.site}) does not count towards the commitment"
            )
        racks.append(rack)
    live_w = sum(rack.counted_w for rack in racks)
    needed = _asked(state, terms, data.tranche)
    if live_w < needed:
        raise RefusedError(
            "too-little",
            f"tranche {data.tranche} needs {format_at_least(needed, 'power')} more of accepted racks; these {len(racks):,} are "
            + format_at_most(live_w, "power"),
        )
    for rack in racks:
        register.put(rack.noted(event.seq, claim=event.seq))
    state.claims[str(event.seq)] = {
        "seq": event.seq, "hash": event.hash, "tranche": data.tranche, "status": "pending", "racks": len(racks),
        "claimed_w": live_w, "live_w": live_w, "amount_cents": terms.amount_cents, "approvals": [], "disputes": [],
        "corrections": [], "by": {"party": event.actor.party, "person": event.actor.person}, "happened_on": event.happened_on,
        "terms": state.terms_seq,
    }  # fmt: skip


def claimed_words(standing: dict[str, Any]) -> str:
    """Why a tranche is not claimed once more."""
    if standing["status"] == "released":
        return f"tranche {standing['tranche']} is paid, by the claim of event {standing['seq']}"
    return f"tranche {standing['tranche']} is {standing['status']} by the claim of event {standing['seq']}"


def carried_w(claim: dict[str, Any]) -> int:
    """Power that a claim stands on: of its racks, at most what it was claimed for. [W]

    A rack of it that was taken back and delivered anew, as a larger one, carries nothing else.
    """
    return min(int(claim["live_w"]), int(claim["claimed_w"]))


def needed_for(state: State, terms: Terms, tranche: int) -> int:
    """Power that racks must add so that claims up to this tranche stand on enough. [W]

    A claim that is disputed, itself or in a rack, lends later ones nothing of what it has beyond its own tranche's power.
    """
    lent = (
        min(carried_w(c), terms.per_w) if c["disputes"] and c["tranche"] < tranche else carried_w(c)
        for c in _up_to(state, tranche)
    )
    return max(tranche * terms.per_w - sum(lent), 0)


def to_claim(state: State, terms: Terms, tranche: int) -> int:
    """Power of free racks that a claim of this tranche asks for: one rack at least, where earlier claims reach its threshold. [W]"""
    return max(needed_for(state, terms, tranche), _ANY_RACK)


def claim_words(lacking_w: int, of: str = "") -> str:
    """So much of what `to_claim` asks for: "250 kW" of something, or "one rack"."""
    return "one rack" if lacking_w == _ANY_RACK else format_at_least(lacking_w, "power") + of


def _asked(state: State, terms: Terms, tranche: int) -> int:
    """As `needed_for`, for the event at hand; where it is history, by the rule that earlier versions had: all that racks of a
    claim count now, however much more than it was claimed for.
    """
    if state.recording:
        return needed_for(state, terms, tranche)
    return max(tranche * terms.per_w - sum(int(c["live_w"]) for c in _up_to(state, tranche)), 0)


def _up_to(state: State, tranche: int) -> list[dict[str, Any]]:
    return [c for c in state.claims.values() if c["status"] in _STANDING and c["tranche"] <= tranche]


def nothing_claimed(state: State) -> str:
    """Why no tranche can be claimed now although its racks may be there, in words; empty where one can."""
    found = objections_to_all(state)
    if not found:
        return ""
    rests = about(state.disputes[str(found[0])])
    return f"event {found[0]} disputes what every tranche rests on (event {rests}); none is claimed until that is settled"


def held_back(state: State, terms: Terms, claim: dict[str, Any]) -> str:
    """Why an approved claim cannot be paid now, in words; empty where it can."""
    if found := objections(state, claim):
        subject = state.disputes[str(found[0])]["subject"]
        return f"event {found[0]} disputes " + (
            "it" if subject == claim["seq"] else f"event {subject}, on which it rests"
        )
    short = needed_for(state, terms, claim["tranche"])
    return (
        f"{_since(state, claim['tranche'])} it lacks {format_at_least(short, 'power')} of accepted racks"
        if short
        else ""
    )


def _since(state: State, tranche: int) -> str:
    """What may have taken power from a claim that had enough when it was recorded."""
    disputes = sorted({n for c in _up_to(state, tranche) if c["tranche"] < tranche for n in c["disputes"]})
    return f"while event {disputes[0]} disputes an earlier tranche" if disputes else "after corrections"


@dataclass(frozen=True)
class Shortfall:
    """What a paid tranche no longer reaches [W], and the events that took it."""

    watts: int
    events: list[int]


@dataclass(frozen=True)
class Disputed:
    """Accepted racks that would carry the next claim, were they not disputed: how many, what they count [W], by which events."""

    racks: int = 0
    watts: int = 0
    events: tuple[int, ...] = ()

    def words(self) -> str:
        """So many racks, and what disputes them."""
        named = f"event{'' if len(self.events) == 1 else 's'} {', '.join(map(str, self.events))}"
        racks = f"{self.racks:,} accepted rack{'' if self.racks == 1 else 's'}"
        return (
            f"{racks}, {format_at_most(self.watts, 'power')}, {'is' if self.racks == 1 else 'are'} disputed ({named})"
        )


def lacks_since_paid(state: State) -> dict[int, Shortfall]:
    """Paid tranches that no longer reach what the terms asked that they were claimed under, by the number of their claim.

    What is paid stays paid; the next claim must make up for it, since all racks up to a tranche must reach its threshold, and
    once a later tranche is agreed on enough nothing lacks any more.
    """
    standing = sorted((c for c in state.claims.values() if c["status"] in _STANDING), key=lambda c: c["tranche"])
    lacking_w, total_w = [], 0
    for claim in standing:
        total_w += carried_w(claim)
        lacking_w.append(claim["tranche"] * state.commitments[str(claim["terms"])]["terms"]["per_w"] - total_w)
    agreed = [i for i, claim in enumerate(standing) if claim["status"] != "pending" and lacking_w[i] <= 0]
    first = agreed[-1] + 1 if agreed else 0  # everything up to it is made up for
    out, behind = {}, {n for claim in standing[:first] for n in claim["corrections"]}
    for claim, short_w in zip(standing[first:], lacking_w[first:], strict=True):
        behind.update(claim["corrections"])
        if claim["status"] == "released" and short_w > 0:
            out[claim["seq"]] = Shortfall(short_w, sorted(behind))
    return out


def approve(state: State, event: Event, data: k.Approval, register: Register) -> None:
    """A yes or no; two people of two parties make a claim payable, and nobody approves their own."""
    subject = state.claims.get(str(data.subject)) or state.commitments.get(str(data.subject))
    if subject is None:
        raise RefusedError("unknown-subject", f"event {data.subject} is neither a claim nor terms")
    if subject["hash"] != data.hash:
        raise RefusedError("other-subject", f"event {data.subject} is {subject['hash'][:12]}, not {data.hash[:12]}")
    if subject["status"] != "pending":
        raise RefusedError("decided", f"event {data.subject} is {subject['status']} already")
    party, person = event.actor.party, event.actor.person
    rule = terms_of(state) if "tranche" in subject else Terms.model_validate(subject["terms"])
    parties = dict.fromkeys([*rule.approvers, *(() if "tranche" in subject else _standing_approvers(state))])
    if party not in parties:
        raise RefusedError("not-approver", f"{party!r} may not approve; these may: {', '.join(parties)}")
    if person == subject["by"]["person"]:
        raise RefusedError("self-approval", f"{person!r} put event {data.subject} forward and cannot decide on it")
    if any(a["person"] == person for a in subject["approvals"]):
        raise RefusedError("second-approval", f"{person!r} approved event {data.subject} already")
    if any(a["party"] == party for a in subject["approvals"]):
        raise RefusedError("same-party", f"{party!r} approved event {data.subject} already; another party must")
    if data.decision == "reject":
        subject["status"] = "rejected"
        subject["rejected"] = {"party": party, "person": person, "seq": event.seq}
        if "tranche" in subject:
            _free(register, data.subject, event.seq)
        return
    subject["approvals"].append({"party": party, "person": person, "seq": event.seq})
    if "signed_by" in subject and "signature" in event.parts:
        subject["signed_by"].append(party)
    if "tranche" in subject:
        if len(subject["approvals"]) >= rule.approvals:
            subject["status"] = "approved"
    elif {a["party"] for a in subject["approvals"]} >= set(parties):
        subject["status"] = "in force"
        for other in state.commitments.values():
            if other["status"] == "in force" and other is not subject:
                other["status"] = "replaced"
        state.put_in_force(data.subject, subject["terms"])


def _standing_approvers(state: State) -> list[str]:
    """Whoever may approve now must also agree to new terms."""
    terms = state.in_force()
    return [] if terms is None else terms.approvers


def _free(register: Register, claim_seq: int, seq: int) -> None:
    event = register.event(claim_seq)
    assert event is not None
    racks = [k.rack_name(name) for name in event.data["racks"]]
    register.prefetch(racks)
    for name in racks:
        rack = register.get(name)
        if rack is not None and rack.claim == claim_seq:
            register.put(rack.noted(seq, claim=0))


def release(state: State, event: Event, data: k.Release, register: Register) -> None:
    """Pay a tranche: once, approved, undisputed, still standing on enough power, within the cap."""
    del register
    terms = terms_of(state)
    if event.actor.party != terms.investor:
        raise RefusedError("not-investor", f"tranches are released by {terms.investor!r}, not {event.actor.party!r}")
    found = state.claims.get(str(data.claim))
    if found is None or found["hash"] != data.hash:
        raise RefusedError("unknown-subject", f"event {data.claim} is not the claim {data.hash[:12]}")
    if found["status"] != "approved":
        have = ", ".join(f"{a['party']}/{a['person']}" for a in found["approvals"]) or "nobody"
        raise RefusedError(
            "not-approved", f"the claim of event {data.claim} is {found['status']} (approved by {have})"
        )
    if disputes := objections(state, found) if state.recording else judged(state, found["disputes"]):
        raise RefusedError("disputed", f"the claim of event {data.claim} is disputed (event {disputes[0]})")
    short = _asked(state, terms, found["tranche"])
    if short:
        raise RefusedError(
            "too-little",
            f"{_since(state, found['tranche'])} tranche {found['tranche']} lacks {format_at_least(short, 'power')} of accepted racks",
        )
    if data.amount_cents != found["amount_cents"]:
        raise RefusedError(
            "amount", f"tranche {found['tranche']} is {found['amount_cents']} cents, not {data.amount_cents}"
        )
    if state.released_cents + terms.upfront_cents + data.amount_cents > terms.ceiling_cents:
        raise RefusedError("cap", "this release would exceed the ceiling")
    if event.actor.person == found["by"]["person"]:
        raise RefusedError("self-approval", f"{event.actor.person!r} put the claim forward and cannot release it")
    found |= {
        "status": "released", "release": event.seq, "released_on": event.happened_on, "reference": data.reference,
        "released_by": {"party": event.actor.party, "person": event.actor.person},
    }  # fmt: skip
