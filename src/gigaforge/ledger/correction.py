"""Take an earlier event back: it stays in the record, and no longer counts."""

from __future__ import annotations

from gigaforge.ledger import kinds as k
from gigaforge.ledger import spans
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Event
from gigaforge.ledger.investment import terms_of
from gigaforge.ledger.racks import Register
from gigaforge.ledger.state import State
from gigaforge.ledger.way import without
from gigaforge.quarters import Quarter

__all__ = ["correct"]

_REVERSIBLE = ("order", "delivery", "installation", "energisation", "acceptance", "meter", "decommissioning")


def correct(state: State, event: Event, data: k.Correction, register: Register) -> None:
    """Reverse an event about racks, sites or orders; later events about the same racks stay, or must be reversed first where
    they could not have happened without it.
    """
    wrong = register.event(data.corrects) if data.corrects < event.seq else None
    if wrong is None or wrong.hash != data.hash:
        raise RefusedError("unknown-subject", f"event {data.corrects} is not {data.hash[:12]}")
    if wrong.kind not in _REVERSIBLE:
        raise RefusedError(
            "not-reversible", f"a {wrong.kind} cannot be taken back (a claim is rejected, a release disputed); these can: "
            + ", ".join(_REVERSIBLE)
        )  # fmt: skip
    if str(data.corrects) in state.voided:
        raise RefusedError(
            "voided", f"event {data.corrects} was corrected by event {state.voided[str(data.corrects)]} already"
        )
    if event.actor.party != wrong.actor.party:
        raise RefusedError(
            "not-author",
            f"event {data.corrects} was recorded by {wrong.actor.party!r}, who alone corrects it; others dispute it",
        )
    content = k.check_data(wrong.kind, wrong.data)
    if isinstance(content, k.Order):
        _order(state, content)
    elif isinstance(content, k.Meter):
        _meter(state, content)
    else:
        _racks(state, event.seq, wrong, content, register)
    if isinstance(content, k.Energisation):
        state.energised[content.site] = [e for e in state.energised.get(content.site, []) if e[0] != wrong.seq]
    if isinstance(content, k.Acceptance) and content.verdict is not None:
        state.tests[content.verdict] -= 1
    if isinstance(content, k.Delivery) and content.order in state.orders:
        state.orders[content.order]["delivered"] -= len(content.racks)
    state.voided[str(data.corrects)] = event.seq


def _order(state: State, order: k.Order) -> None:
    if state.orders[order.order]["delivered"]:
        raise RefusedError("order-of-events", f"order {order.order!r} has deliveries; correct them first")
    del state.orders[order.order]


def _meter(state: State, meter: k.Meter) -> None:
    cell = state.meters[meter.site][str(Quarter.parse(_quarter(meter.since)))]
    cell["energy_j"] -= meter.energy_j
    cell["it_energy_j"] -= meter.it_energy_j or 0
    cell["readings"] -= 1
    spans.remove(state.meters_read[meter.site], meter.since, meter.until)


def _quarter(day: str) -> str:
    return f"{day[:4]}-Q{(int(day[5:7]) + 2) // 3}"


def _racks(state: State, seq: int, wrong: Event, content: k.Part, register: Register) -> None:
    names: list[str] = getattr(content, "racks", None) or []
    register.prefetch(names)
    racks = [rack for name in names if (rack := register.get(name)) is not None]
    tested_from = terms_of(state).tested_from if racks else 0
    after = [without(rack, wrong.seq, tested_from) for rack in racks]
    lessened = set()
    for rack, new in zip(racks, after, strict=True):
        # The claim stays with the rack: what once carried a tranche never carries another.
        if rack.claim and new.counted_w < rack.counted_w:
            lessened.add(rack.claim)
        state.move(register, rack, new.noted(wrong.seq, seq))
    for claim in lessened:
        state.claims[str(claim)]["corrections"].append(seq)
