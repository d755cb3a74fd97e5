"""What in the record deserves a look although no rule forbids it: paid tranches that fell short, sites beyond their power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gigaforge.ledger.investment import Shortfall, lacks_since_paid
from gigaforge.ledger.objections import paid_over
from gigaforge.ledger.racks import ACCEPTED
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.units import format_at_least, format_at_most, format_quantity

__all__ = ["Notice", "agreed_words", "energised_w", "notices", "shortfall_words"]


@dataclass(frozen=True)
class Notice:
    """Something to look at.

    Attributes
    ----------
    words : str
        A sentence without its full stop.
    events : list of int
        What it rests on, the most telling first; empty where it is that something was never recorded.
    site : str
        Of a notice about a site.
    claim : int
        Of a notice about a tranche: the number of its claim.

    """

    words: str
    events: list[int]
    site: str = ""
    claim: int = 0


def notices(state: State) -> list[Notice]:
    """All of them, money first; none before terms are in force."""
    terms = state.in_force()
    return (
        [] if terms is None else [*_short(state), *_paid_over(state), *_before_a_rule(state), *_beyond(state, terms)]
    )


_SAID: Final = {
    "signature": ("vouch{es} for nothing: signed with a key that its party had replaced; `gigaforge ledger verify` says which", ""),
    "long-ago": ("{is_} dated years too early", "correct what has a mistyped year"),
    "order-of-events": ("{is_} dated before an earlier step of a rack", "correct what has the wrong day"),
}  # fmt: skip
_NAMED: Final = 6
"""Events named in one notice."""


def _before_a_rule(state: State) -> list[Notice]:
    """What earlier versions took and this one refuses; what was corrected since is well."""
    out = []
    for rule, (said, remedy) in _SAID.items():
        found = [seq for seq in state.remarks.get(rule, []) if str(seq) not in state.voided]
        if found:
            one, more = len(found) == 1, len(found) - _NAMED
            named = ", ".join(map(str, found[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")
            words = said.format(es="es" if one else "", is_="is" if one else "are")
            words = f"event{'' if one else 's'} {named} {words}"
            out.append(
                Notice(
                    f"{words} (an earlier version took {'it' if one else 'them'}); {remedy}".removesuffix("; "), found
                )
            )
    return out


def shortfall_words(short: Shortfall) -> str:
    """What a paid tranche lacks since, and why."""
    named = ", ".join(map(str, short.events))
    why = {0: "", 1: f": correction in event {named}"}.get(len(short.events), f": corrections in events {named}")
    return f"paid, now lacks {format_at_least(short.watts, 'power')}{why}"


def _short(state: State) -> list[Notice]:
    out = []
    for seq, short in lacks_since_paid(state).items():
        claim = state.claims[str(seq)]
        amount = format_quantity(claim["amount_cents"] / 100, "money")
        said = (
            f"tranche {claim['tranche']}, {amount}, is {shortfall_words(short)}; the next claim must make up for it"
        )
        out.append(Notice(said, [*short.events, seq], claim=seq))
    return out


def _paid_over(state: State) -> list[Notice]:
    """Payments that an earlier version recorded over a dispute that is open still."""
    out = []
    for claim in state.claims.values():
        over = paid_over(state, claim)
        if over:
            amount = format_quantity(claim["amount_cents"] / 100, "money")
            said = f"tranche {claim['tranche']}, {amount}, was paid (event {claim['release']}) over the dispute of event {over[0]}"
            out.append(Notice(said, [*over, claim["release"]], claim=claim["seq"]))
    return out


def energised_w(state: State) -> dict[str, tuple[int, int]]:
    """Facility power that each site can draw by the latest statement [W], and the event that says so."""
    return {site: (steps[-1][2], steps[-1][0]) for site, steps in sorted(state.energised.items()) if steps}


def _beyond(state: State, terms: Terms) -> list[Notice]:
    """Sites whose accepted racks in place need more, by nameplate and design PUE, than was recorded as energised there.

    A site without any such record is one of them once the power of another was recorded: before, nobody keeps such a record here.
    """
    out, recorded = [], energised_w(state)
    for site, found in terms.sites.items():
        limit_w, event = recorded.get(site, (0, 0))
        need_w = found.pue * sum(
            by_status.get(ACCEPTED, 0) * terms.systems[system].rack_w
            for system, by_status in state.standing.get(site, {}).items()
            if system in terms.systems
        )
        if recorded and need_w > limit_w:
            out.append(
                Notice(
                    _beyond_words(found.label or site, need_w, limit_w, event), [event] if event else [], site=site
                )
            )
    return out


def _beyond_words(label: str, need_w: float, limit_w: float, event: int) -> str:
    need, limit = format_at_most(need_w, "power"), format_at_most(limit_w, "power")
    if need == limit:  # they differ in digits that three do not show
        need, limit = (format_quantity(w, "power", 9) for w in (need_w, limit_w))
    has = f"only {limit} is recorded as energised (event {event})" if event else "none is recorded as energised"
    return f"{label.split(' (', maxsplit=1)[0]}: accepted racks in place need {need} of facility power by nameplate, {has}"


def agreed_words(state: State, seq: int) -> str:
    """Who agreed to the terms of an event, and whether each signed it with their party's key; empty where nobody did."""
    found = state.commitments.get(str(seq))
    if not found or not found["approvals"]:
        return ""
    signed = found["signed_by"]
    bare = [f"{a['party']}/{a['person']}" for a in found["approvals"] if a["party"] not in signed]
    kept = [f"{a['party']}/{a['person']}" for a in found["approvals"] if a["party"] in signed]
    parts = [f"signed by {' and '.join(kept)}"] if kept else []
    parts += [f"unsigned by {' and '.join(bare)}: no key vouches for it"] if bare else []
    return "; ".join(parts)
