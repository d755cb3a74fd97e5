"""One event at a time: check it against the rules, then change the state. The only code that does either.

The same function runs when an event is recorded (a refused one changes nothing) and when the ledger is verified (a refused
one means that somebody wrote past the rules). Rules that came later than the first ledgers refuse what is recorded now, and
are remarked where history breaks them (`State.newer_rule`): what was sound once stays readable.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from gigaforge.ledger import kinds as k
from gigaforge.ledger import spans
from gigaforge.ledger.acceptance import verdict
from gigaforge.ledger.correction import correct
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Event
from gigaforge.ledger.investment import approve, claim, commit, release, settle_signature, terms_of
from gigaforge.ledger.keys import fingerprint, signature_holds
from gigaforge.ledger.objections import dispute
from gigaforge.ledger.racks import (
    ACCEPTED,
    DELIVERED,
    DOUBTFUL,
    ENERGISED,
    FAILED,
    IN_PLACE,
    INSTALLED,
    RETIRED,
    TESTABLE,
    VOID,
    Rack,
    Register,
)
from gigaforge.ledger.signed import checkpoint_bytes, rotation_bytes
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import SystemTerms, Terms
from gigaforge.quarters import Quarter

__all__ = ["apply", "quarter_of", "record"]


_EARLY_YEARS: Final = 5
"""How long before the first quarter of the terms something may have happened that their ledger records."""
_LATE_YEARS: Final = 10
"""How late something is recorded at most, where no terms name a first quarter."""


def quarter_of(day: str) -> int:
    """Index of the quarter of an ISO day."""
    return 4 * int(day[:4]) + (int(day[5:7]) - 1) // 3


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def apply(state: State, event: Event, register: Register) -> None:
    """Check an event of the history and change the state; `InputError` or `RefusedError` where it may not stand."""
    state.recording = False
    _apply(state, event, k.check_data(event.kind, event.data), register)


def record(state: State, event: Event, data: k.Part, register: Register) -> None:
    """As `apply`, of an event that is recorded now, with its data checked before: by every rule, the latest too."""
    state.recording = True
    _apply(state, event, data, register)


def _apply(state: State, event: Event, data: k.Part, register: Register) -> None:
    event.check_shape()
    if (state.seq == 0) != (event.kind == "opened"):
        raise RefusedError("opened", "a ledger begins with the event 'opened', and has one")
    if event.kind != "opened":
        _known_party(state, event)
    if event.happened_on > event.recorded_at[:10]:
        raise RefusedError("future", f"happened_on {event.happened_on} lies after the day of recording")
    _not_long_ago(state, event, event.happened_on, "happened_on")
    _RULES[event.kind](state, event, data, register)
    state.seq, state.head, state.recorded_at = event.seq, event.hash, event.recorded_at
    state.kinds[event.kind] = state.kinds.get(event.kind, 0) + 1


def _not_long_ago(state: State, event: Event, day: str, what: str) -> None:
    """A year mistyped would stand at the head of every table and chart, and before every scenario's horizon."""
    first = str((state.terms or {}).get("first_quarter") or "")
    if first:
        earliest = f"{int(first[:4]) - _EARLY_YEARS}-{3 * int(first[-1]) - 2:02d}-01"
        why = f"{_EARLY_YEARS} years before the terms' first quarter, {first}"
    else:
        earliest = f"{int(event.recorded_at[:4]) - _LATE_YEARS}{event.recorded_at[4:10]}"
        why = f"{_LATE_YEARS} years before the day of recording"
    if day < earliest:
        state.newer_rule("long-ago", event.seq, f"{what} {day} lies before {earliest}, {why}; is the year right?")


def _known_party(state: State, event: Event) -> None:
    if event.parts.get("ledger") != state.ledger:
        raise RefusedError(
            "other-ledger", f"the event belongs to ledger {event.parts.get('ledger')!r}, not {state.ledger!r}"
        )
    party = event.actor.party
    if party not in state.parties:
        raise RefusedError(
            "unknown-party", f"{party!r} is not a party of this ledger; known: {', '.join(state.parties)}"
        )
    settle_signature(state, event)


# Parties and keys


def _opened(state: State, event: Event, data: k.Opened, register: Register) -> None:
    del register
    if event.parts.get("ledger") != data.ledger:
        raise RefusedError("other-ledger", "the first event names two ledgers")
    state.ledger, state.title, state.signed = data.ledger, data.title, list(data.signed)
    for party in data.parties:
        _join(state, event.seq, party)
    if event.actor.party not in state.parties:
        raise RefusedError("unknown-party", f"{event.actor.party!r} opens a ledger that it is not a party of")


def _join(state: State, seq: int, party: k.Party) -> None:
    fingerprint(party.public_key)
    taken = next(
        (n for n, p in state.parties.items() if party.public_key in [key["public"] for key in p["keys"]]), None
    )
    if party.name in state.parties or taken is not None:
        raise RefusedError("party-exists", f"party {party.name!r} or its key takes part already")
    state.parties[party.name] = {
        "label": party.label, "role": party.role, "since": seq, "keys": [{"since": seq, "public": party.public_key}],
    }  # fmt: skip


def _party(state: State, event: Event, data: k.PartyJoined, register: Register) -> None:
    del register
    _join(state, event.seq, data)


def _key(state: State, event: Event, data: k.KeyRotation, register: Register) -> None:
    del register
    party = event.actor.party
    message = rotation_bytes(state.ledger, party, data.public_key)
    if any(data.public_key == key["public"] for p in state.parties.values() for key in p["keys"]):
        raise RefusedError("old-key", "this key was in use before; make a new one")
    old = state.parties[party]["keys"][-1]["public"]
    if not signature_holds(old, message, data.old_signature):
        raise RefusedError("signature", f"the old key of {party!r} did not sign the new one")
    if not signature_holds(data.public_key, message, data.new_signature):
        raise RefusedError("signature", "the new key did not sign itself: its owner must hold its private half")
    state.parties[party]["keys"].append({"since": event.seq, "public": data.public_key})


def _checkpoint(state: State, event: Event, data: k.Checkpoint, register: Register) -> None:
    party = event.actor.party
    signed = register.event(data.count) if data.count < event.seq else None
    if signed is None or signed.hash != data.head:
        raise RefusedError(
            "other-head", f"event {data.count} is not {data.head[:12]}: this checkpoint is of another record"
        )
    public, current = _key_named(state, party, data.key), state.parties[party]["keys"][-1]["public"]
    if not signature_holds(public, checkpoint_bytes(state.ledger, party, data.count, data.head), data.signature):
        raise RefusedError("signature", f"key {data.key} of {party!r} did not sign this checkpoint")
    if public != current:  # whoever found a key that was replaced signs nothing any more
        problem = f"key {data.key} is not the current one of {party!r}, which is {fingerprint(current)}"
        state.newer_rule("signature", event.seq, problem)
        return  # it counts as nobody's word
    state.checkpoints[party] = {"seq": event.seq, "count": data.count, "head": data.head, "key": data.key}


def _key_named(state: State, party: str, name: str) -> str:
    keys = [key["public"] for key in state.parties[party]["keys"]]
    found = next((public for public in keys if fingerprint(public) == name), None)
    if found is None:
        raise RefusedError(
            "signature", f"key {name} is not the current one of {party!r}, which is {fingerprint(keys[-1])}"
        )
    return str(found)


# Racks and sites


def _system(terms: Terms, name: str) -> SystemTerms:
    if name not in terms.systems:
        raise RefusedError(
            "unknown-system", f"system {name!r} is not in the terms; known: {', '.join(terms.systems)}"
        )
    return terms.systems[name]


def _site(terms: Terms, name: str) -> None:
    if name not in terms.sites:
        raise RefusedError("unknown-site", f"site {name!r} is not in the terms; known: {', '.join(terms.sites)}")


def _order(state: State, event: Event, data: k.Order, register: Register) -> None:
    del register
    terms = terms_of(state)
    _system(terms, data.system)
    if data.site is not None:
        _site(terms, data.site)
    if data.supplier not in state.parties:
        raise RefusedError(
            "unknown-party", f"supplier {data.supplier!r} is not a party; known: {', '.join(state.parties)}"
        )
    if data.order in state.orders:
        raise RefusedError(
            "order-exists", f"order {data.order!r} was recorded as event {state.orders[data.order]['seq']}"
        )
    state.orders[data.order] = {"seq": event.seq, "delivered": 0, **k.stored(data)}


def _delivery(state: State, event: Event, data: k.Delivery, register: Register) -> None:
    terms = terms_of(state)
    _system(terms, data.system)
    _site(terms, data.site)
    register.prefetch(data.racks)
    quarter, day = quarter_of(event.happened_on), _ordinal(event.happened_on)
    found = [(name, register.get(name)) for name in data.racks]
    for name, rack in found:
        if rack is not None and rack.status != VOID:
            raise RefusedError(
                "rack-exists", f"rack {name} was delivered before (event {rack.history[0][0]}) and is {rack.status}"
            )
    if data.order is not None:
        _count_order(state, data)
    for name, rack in found:
        old = rack or Rack(name, data.system, data.site, VOID)
        new = old.step(event.seq, day, status=DELIVERED, delivered=quarter, system=data.system, site=data.site)
        state.move(register, rack, new)


def _count_order(state: State, data: k.Delivery) -> None:
    order = state.orders.get(data.order or "")
    if order is None:
        raise RefusedError("unknown-order", f"order {data.order!r} was never recorded")
    if order["system"] != data.system:
        raise RefusedError("other-system", f"order {data.order!r} is for {order['system']}, not {data.system}")
    if order["delivered"] + len(data.racks) > order["racks"]:
        left = order["racks"] - order["delivered"]
        raise RefusedError(
            "too-many", f"order {data.order!r} has {left} racks left to deliver, not {len(data.racks)}"
        )
    order["delivered"] += len(data.racks)


def _standing(register: Register, racks: list[str], allowed: tuple[str, ...], what: str) -> list[Rack]:
    """The racks, each in a status that the event may follow."""
    register.prefetch(racks)
    out = []
    for name in racks:
        rack = register.get(name)
        if rack is None or rack.status == VOID:
            raise RefusedError("unknown-rack", f"rack {name} was never delivered")
        if rack.status not in allowed:
            raise RefusedError("order-of-events", f"rack {name} is {rack.status}; {what}")
        out.append(rack)
    return out


def _when(state: State, event: Event, racks: list[Rack]) -> tuple[int, int]:
    """Quarter and day of an event, which comes no earlier than what happened to its racks before."""
    quarter, day = quarter_of(event.happened_on), _ordinal(event.happened_on)
    for late in (rack for rack in racks if rack.day > day):
        problem = (
            f"rack {late.rack} became {late.status} on {date.fromordinal(late.day)} (event {late.last}), "
            f"after {event.happened_on}"
        )
        if quarter < max(late.delivered, late.online, late.accepted):
            raise RefusedError("order-of-events", problem)
        state.newer_rule("order-of-events", event.seq, problem)  # the first ledgers looked at quarters alone
    return quarter, day


def _installation(state: State, event: Event, data: k.Installation, register: Register) -> None:
    racks = _standing(register, data.racks, (DELIVERED,), "only a delivered rack can be installed")
    quarter, day = _when(state, event, racks)
    for rack in racks:
        state.move(register, rack, rack.step(event.seq, day, status=INSTALLED, online=quarter))


def _energisation(state: State, event: Event, data: k.Energisation, register: Register) -> None:
    _site(terms_of(state), data.site)
    racks: list[Rack] = []
    if data.racks is not None:
        racks = _standing(register, data.racks, (DELIVERED, INSTALLED), "it is under power already or gone")
        elsewhere = next((r for r in racks if r.site != data.site), None)
        if elsewhere is not None:
            raise RefusedError("other-site", f"rack {elsewhere.rack} is at {elsewhere.site}, not {data.site}")
    quarter, day = _when(state, event, racks)
    for rack in racks:
        online = quarter if rack.online < 0 else rack.online
        state.move(register, rack, rack.step(event.seq, day, status=ENERGISED, online=online))
    if data.power_w is not None:
        state.energised.setdefault(data.site, []).append([event.seq, quarter_of(event.happened_on), data.power_w])


def _acceptance(state: State, event: Event, data: k.Acceptance, register: Register) -> None:
    terms = terms_of(state)
    allowed = TESTABLE[terms.tested_from :]
    rule = (
        f"it must be {' or '.join(allowed[:-2])} before its test"
        if terms.before_test
        else "what is accepted or retired is not tested"
    )
    racks = _standing(register, data.racks, allowed, rule)
    said = judge(terms, racks, data)
    if data.verdict != said:
        raise RefusedError("verdict", f"the measurements say {said!r}, the event {data.verdict!r}")
    quarter, day = _when(state, event, racks)
    for rack in racks:
        changes: dict[str, Any] = {"online": quarter if rack.online < 0 else rack.online}
        changes["status"] = {"pass": ACCEPTED, "doubtful": DOUBTFUL, "fail": FAILED}[said]
        if said == "pass":
            changes |= {"accepted": quarter, "counted_w": terms.sites[rack.site].counted_w[rack.system]}
        state.move(register, rack, rack.step(event.seq, day, **changes))
    state.tests[said] = state.tests.get(said, 0) + 1


def judge(terms: Terms, racks: list[Rack], data: k.Acceptance) -> str:
    """Pass, doubtful or fail, by the test that the terms set for the racks' system."""
    systems = {rack.system for rack in racks}
    if len(systems) > 1:
        raise RefusedError(
            "mixed-systems", f"one test of several systems: {', '.join(sorted(systems))}; record one event for each"
        )
    name = systems.pop()
    gone = next((r for r in racks if r.site not in terms.sites), None)
    if gone is not None:
        raise RefusedError("unknown-site", f"site {gone.site!r} of rack {gone.rack} is no longer in the terms")
    test = _system(terms, name).acceptance
    if test is None:
        raise RefusedError(
            "no-test", f"the terms set no acceptance test for {name}; amend them with `gigaforge ledger commit`"
        )
    return verdict(test, data.throughput, data.power_w)


def _decommissioning(state: State, event: Event, data: k.Decommissioning, register: Register) -> None:
    racks = _standing(register, data.racks, IN_PLACE, "it is gone already")
    quarter, day = _when(state, event, racks)
    for rack in racks:
        state.move(register, rack, rack.step(event.seq, day, status=RETIRED, retired=quarter))


def _meter(state: State, event: Event, data: k.Meter, register: Register) -> None:
    del register
    _site(terms_of(state), data.site)
    if data.until > event.recorded_at[:10]:
        raise RefusedError("future", f"the reading ends on {data.until}, after the day of recording")
    _not_long_ago(state, event, data.since, "since")
    read = state.meters_read.setdefault(data.site, [])
    before = spans.overlap(read, data.since, data.until)
    if before is not None:
        raise RefusedError(
            "read-before",
            f"{data.site} was read from {before[0]} to {before[1]} before; correct that reading first "
            "(`gigaforge ledger events --kind meter` lists them)",
        )
    spans.add(read, data.since, data.until)
    quarter = str(Quarter(quarter_of(data.since)))
    cell = state.meters.setdefault(data.site, {}).setdefault(
        quarter, {"energy_j": 0, "it_energy_j": 0, "readings": 0}
    )
    cell["energy_j"] += data.energy_j
    cell["it_energy_j"] += data.it_energy_j or 0
    cell["readings"] += 1


_RULES: Final[dict[str, Callable[..., None]]] = {
    "opened": _opened, "party": _party, "key": _key, "checkpoint": _checkpoint, "order": _order, "delivery": _delivery,
    "installation": _installation, "energisation": _energisation, "acceptance": _acceptance, "meter": _meter,
    "decommissioning": _decommissioning, "correction": correct, "commitment": commit, "claim": claim,
    "approval": approve, "release": release, "dispute": dispute,
}  # fmt: skip
