"""What is used up in a quarter and what is left: every figure here can be found in a plan's tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigaforge.buildout.decisions import Decisions, accepted_w
from gigaforge.buildout.problem import Array, Problem
from gigaforge.units import format_at_least, format_at_most, format_quantity

__all__ = ["Scarcity", "what_happened"]

_FULL = 0.97  # of what is energised: whole blocks seldom fill a site to the last megawatt
_SPENT = 0.95  # of all systems supplied so far
_DEAR_CASH = 0.01  # USD of value that a further USD brings


@dataclass(frozen=True)
class Scarcity:
    """Power, systems and cash of a plan in one quarter.

    Attributes
    ----------
    used_w, energised_w : (S,) array
        Facility power held, and what is energised [W].
    offered, taken : (L,) array
        Systems that came or could have come by then, and those bought.
    offered_then, taken_then : (L,) array
        The same in the quarter alone.
    part, part_then : (L,) array
        Of those that came or could have come: what each quarter's supply leaves under a whole block, which no plan buys.
    stock : (L,) array
        Systems delivered and not deployed by then.
    cash_usd : float
        The least that was left in this quarter and the one before, when deposits fall due [USD].
    cash_price : float
        Most value that a further dollar would have brought in them [USD/USD].

    """

    p: Problem
    t: int
    used_w: Array
    energised_w: Array
    offered: Array
    taken: Array
    offered_then: Array
    taken_then: Array
    part: Array
    part_then: Array
    stock: Array
    cash_usd: float
    cash_price: float

    @classmethod
    def of(cls, p: Problem, d: Decisions, cash_price: list[float], balance_usd: Array, t: int) -> Scarcity:
        """What a plan's decisions leave in quarter `t`."""
        lines = [p.line_of == line for line in range(len(p.lines))]
        bought, added = (np.array([x[:, mine].sum(axis=(0, 1)) for mine in lines]) for x in (d.bought, d.added))
        part = p.supply % p.scenario.block
        part[:, : p.quarters_over] = 0.0  # what really came is bought whole
        near = slice(max(t - 1, 0), t + 1)
        return cls(
            p,
            t,
            used_w=(d.held_w(p).sum(axis=1) * p.pue_peak[:, None])[:, t],
            energised_w=p.energised_w[:, t],
            offered=p.supply[:, : t + 1].sum(axis=1),
            taken=bought[:, : t + 1].sum(axis=1),
            offered_then=p.supply[:, t],
            taken_then=bought[:, t],
            part=part[:, : t + 1].sum(axis=1),
            part_then=part[:, t],
            stock=(bought - added)[:, : t + 1].sum(axis=1),
            cash_usd=max(float(balance_usd[near].min()), 0.0),
            cash_price=max(cash_price[near], default=0.0),
        )

    @property
    def room_w(self) -> float:
        """Energised and not used [W]."""
        return float(np.maximum(self.energised_w - self.used_w, 0.0).sum())

    @property
    def left(self) -> Array:
        """Systems that could have been deployed by then and were not. Shape (L,)."""
        return np.maximum(self.offered - self.part - self.taken, 0.0) + np.maximum(self.stock, 0.0)

    @property
    def left_then(self) -> Array:
        """Systems that could have been bought in the quarter and were not, and stock. Shape (L,)."""
        return np.maximum(self.offered_then - self.part_then - self.taken_then, 0.0) + np.maximum(self.stock, 0.0)

    def full(self) -> list[int]:
        """Sites with no room to speak of."""
        return [s for s, watts in enumerate(self.energised_w) if watts > 0 and self.used_w[s] >= _FULL * watts]

    def full_words(self) -> str:
        """Which sites are full, and what is energised at them."""
        full = self.full()
        power = format_at_most(float(self.energised_w[full].sum()), "power")
        return f"{listed([self.p.sites[s] for s in full])} {'is' if len(full) == 1 else 'are'} full, with {power} energised"

    def spent(self, lines: np.ndarray) -> list[str]:
        """Platforms of which next to nothing is left, in words."""
        past = self.p.past
        when = f"delivered by {self.p.quarters[past.quarters - 1]} or supplied since" if past else ""
        out = []
        for i in np.flatnonzero(lines):
            offered, taken, part = float(self.offered[i]), float(self.taken[i]), float(self.part[i])
            if not taken or taken < _SPENT * (offered - part):
                continue
            rest = f"all but {offered - taken:,.0f} of the" if offered > taken else "all"
            systems = f"{offered:,.0f} {self.p.lines[i]} systems {when or 'that supply gives by then'}"
            out.append(f"{rest} {systems} are bought{self._part_words(offered - taken, part)}")
        return out

    def _part_words(self, left: float, part: float) -> str:
        """That systems left over are no whole block of any quarter's supply."""
        if part < 1:
            return ""
        which = f"{part:,.0f} of those left" if left > part + 0.5 else "the rest"
        return f" ({which}: under a whole block of {self.p.scenario.block} in each quarter's supply)"

    def stock_words(self) -> list[str]:
        """What was delivered and waits."""
        return [
            f"{self.stock[i]:,.0f} {self.p.lines[i]} in stock (delivered, not deployed)"
            for i in np.flatnonzero(self.stock > 0)
        ]

    def cash_words(self, needed_usd: float) -> list[str]:
        """That cash is short, where a further dollar is worth something and less than `needed_usd` is left."""
        if self.cash_price <= _DEAR_CASH or self.cash_usd >= needed_usd:
            return []
        return [f"cash is used up: {format_quantity(self.cash_usd, 'money')} is left"]


def what_happened(p: Problem, d: Decisions, t: int) -> str:
    """Why a milestone of a quarter that is over was missed, as far as actuals say."""
    so_far = slice(None, t + 1)
    deployed, bought = d.added[..., so_far].sum(), d.bought[..., so_far].sum()
    out = []
    if bought > deployed:
        out.append(f"{deployed:,.0f} of the {bought:,.0f} systems delivered by then were deployed")
    else:
        out.append(f"{deployed:,.0f} systems were delivered by then, and all were deployed")
    installed = float((d.added[..., so_far].sum(axis=2) * p.deployed_w_per_rack).sum())
    waiting = installed - float(accepted_w(p, d)[..., t].sum())
    if waiting > 1e3:
        out.append(f"{format_at_least(waiting, 'power')} of what stood was not accepted")
    return f"by the actuals, {'; '.join(out)}"


def listed(names: list[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
