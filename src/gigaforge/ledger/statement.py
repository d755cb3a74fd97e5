"""A statement of a milestone: the claim, its racks and tests, who agreed, what was paid, and where the record stood.

The JSON is what parties sign (see `gigaforge.ledger.statement_signing`); the page shows the same, and names the JSON's hash.
"""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from typing import Any, Final

from gigaforge.ledger.book import Ledger
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.errors import UnknownError
from gigaforge.ledger.overview import overview, rack_row
from gigaforge.units import format_at_most, format_quantity

__all__ = ["places_of", "render", "statement", "unsigned"]

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
        racks += [rack_row(rack, state) for rack in page]
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
    keep = (
        "verdict",
        "throughput",
        "power_w",
        "reference",
        "decision",
        "amount_cents",
        "corrects",
        "subject",
        "state",
        "reason",
    )
    return {
        "hash": event.hash, "kind": event.kind, "happened_on": event.happened_on, "by": str(event.actor),
        "data": {n: v for n, v in event.data.items() if n in keep},
        "evidence": [item["sha256"] for item in event.parts.get("evidence") or []],
    }  # fmt: skip


def _said(data: dict[str, Any]) -> str:
    """What an event says, in people's units."""
    parts = []
    for name, value in data.items():
        if name == "amount_cents":
            parts.append(format_quantity(value / 100, "money"))
        elif name == "power_w":
            parts.append(format_quantity(value, "power"))
        elif name == "throughput":
            parts.append(f"{value:,.0f} tokens/s per accelerator")
        elif name in ("corrects", "subject"):
            parts.append(f"event {value}" if name == "subject" else f"takes back event {value}")
        else:
            parts.append(str(value))
    return "; ".join(parts)


def unsigned(content: dict[str, Any]) -> dict[str, Any]:
    """The file that parties sign: the statement, no signature yet, and its hash."""
    return {"statement": content, "signatures": [], "sha256": sha256(canonical(content))}


def places_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The racks of a statement by site and system: ``site, system, racks, counted_w``, largest first."""
    racks: Counter[tuple[str, str]] = Counter()
    watts: Counter[tuple[str, str]] = Counter()
    for rack in content["racks"]:
        place = rack["site"], rack["system"]
        racks[place] += 1
        watts[place] += rack["counted_w"]
    return [
        {"site": site, "system": system, "racks": racks[site, system], "counted_w": total}
        for (site, system), total in watts.most_common()
    ]


def render(whole: dict[str, Any]) -> str:
    """The statement as one page that prints well and needs nothing else."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 (50 ms)

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["power"] = lambda value: format_at_most(value, "power")
    page.filters["money"] = lambda value: format_quantity(value, "money")
    page.filters["said"] = _said
    template = (files("gigaforge.ledger") / "templates" / "statement.html.j2").read_text(encoding="utf-8")
    return page.from_string(template).render(**whole, places=places_of(whole["statement"]))
