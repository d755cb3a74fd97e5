"""What actuals state, and where they contradict each other or what was known beforehand: both statements are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Mask, Premises, owners_of

__all__ = ["Stated", "contradictions"]

_POWER_TOLERANCE: Final = 1e-3  # relative: tables are rounded for people


class Stated:
    """The table as arrays, and what follows from it."""

    def __init__(self, problem: Premises, array: Callable[..., Array], count: int, at: NDArray[np.object_]) -> None:
        self.problem, self.count, self.at = problem, count, at
        self.added, self.retired = array("racks_added"), array("racks_retired")
        self.online_stated = array("racks_online", np.nan)
        self.facility_stated = array("facility_power_w", np.nan)
        self.accepted_stated = array("accepted_w", np.nan)
        self.delivered_stated = array("racks_delivered", np.nan)
        # Where a platform's deliveries are stated they are all stated; else each rack came in the quarter it was added.
        told = np.isin(problem.line_of, problem.line_of[np.isfinite(self.delivered_stated).any(axis=(0, 2))])
        self.delivered = np.where(told[None, :, None], np.nan_to_num(self.delivered_stated), self.added)
        self.online = np.cumsum(self.added - self.retired, axis=2)
        self.installed_w = np.cumsum(self.added, axis=2) * problem.deployed_w_per_rack[..., None]

    @property
    def accepted_w(self) -> Array:
        """Cumulative accepted power [W]: all that is installed where a row does not state it; without a row, as before."""
        out = np.where(np.isnan(self.accepted_stated), self.installed_w, self.accepted_stated)
        for t in range(1, self.count):
            out[..., t] = np.where(self.at[..., t] == "", out[..., t - 1], out[..., t])
        return out


def contradictions(a: Stated) -> Iterator[str]:
    """Pairs of statements that cannot both hold, the plainest first."""
    yield from _online(a)
    yield from _delivered(a)
    yield from _hosted(a)
    yield from _accepted(a)
    yield from _energised(a)


def _name(a: Stated, s: int, k: int, t: int) -> str:
    where = f" ({a.at[s, k, t]})" if a.at[s, k, t] else ""
    return f"{a.problem.quarters[t]} {a.problem.sites[s]} {a.problem.systems[k]}{where}"


def _lines(a: Stated, mask: Mask, most: int = 6) -> str:
    """Where the rows are that a sum comes from: "lines 2, 5 and 9". `mask` has shape (S, K, P)."""
    found = [str(x) for x in a.at[mask] if x]
    kind = next((k for k in ("line", "row") if all(x.startswith(f"{k} ") for x in found)), "")
    names = sorted((x.removeprefix(f"{kind} ") for x in found), key=lambda x: (len(x), x)) if kind else found
    names = [*names[:most], f"{len(names) - most} more"] if len(names) > most + 1 else names
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{kind}{'s' if len(names) > 1 else ''} {text}" if kind else text


def _so_far(a: Stated, s: int, k: int, t: int) -> Mask:
    """Rows of a site and system up to and with a quarter."""
    mask = np.zeros(a.at.shape, dtype=bool)
    mask[s, k, : t + 1] = True
    return np.asarray(mask & (a.at != ""))


def _online(a: Stated) -> Iterator[str]:
    for s, k, t in zip(*np.nonzero(a.online < 0), strict=True):
        have = a.online[s, k, t] + a.retired[s, k, t]
        yield (
            f"{_name(a, s, k, t)}: {a.retired[s, k, t]:,.0f} racks retired, where {have:,.0f} were online by "
            f"{_lines(a, _so_far(a, s, k, t))}"
        )
    for s, k, t in zip(*np.nonzero(np.isfinite(a.online_stated) & (a.online_stated != a.online)), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.online_stated[s, k, t]:,.0f} racks online, where all racks added so far less those "
            f"retired make {a.online[s, k, t]:,.0f} ({_lines(a, _so_far(a, s, k, t))})"
        )
    gone = np.isnan(a.online_stated) & (a.online > 0) & np.isfinite(a.online_stated).any()
    for s, k, t in zip(*np.nonzero(gone), strict=True):
        yield (
            f"{_name(a, s, k, t)}: no row, where {a.online[s, k, t]:,.0f} racks were online before "
            f"({_lines(a, _so_far(a, s, k, t))})"
        )


def _delivered(a: Stated) -> Iterator[str]:
    p = a.problem
    owner = owners_of(p.tenures)
    for line, name in enumerate(p.lines):
        systems = p.line_of == line
        if not np.isfinite(a.delivered_stated[:, systems]).any():
            given, whose = p.supply[line, : a.count].cumsum(), f"platforms.{name}.supply of {p.scenario}"
            yield from _more(a, name, np.outer(np.ones(len(p.sites), dtype=bool), systems), given, whose)
            continue
        for who in np.unique(owner):
            mine = np.outer(owner == who, systems)
            given = a.delivered[mine].sum(axis=0).cumsum()
            at = f" at {p.sites[who - 1]}" if who else ""  # a cloud's racks are its own
            yield from _more(a, f"{name}{at}", mine, given, f"racks_delivered of the same rows{at}")


def _more(a: Stated, name: str, mine: Mask, delivered: Array, whose: str) -> Iterator[str]:
    """More racks deployed at `mine` (S, K) than were delivered by then (P,)."""
    deployed = a.added[mine].sum(axis=0).cumsum()
    for t in np.flatnonzero(deployed > delivered + 0.5):
        rows = (a.added > 0) & mine[..., None] & (np.arange(a.count) <= t)
        yield (
            f"{a.problem.quarters[t]} {name}: {deployed[t]:,.0f} racks deployed by then ({_lines(a, rows)}), where {whose} "
            f"has only {delivered[t]:,.0f} delivered; correct whichever is wrong"
        )


def _hosted(a: Stated) -> Iterator[str]:
    allowed = a.problem.may_stand[..., : a.count]
    for s, k, t in zip(*np.nonzero((a.added > 0) & ~allowed), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.added[s, k, t]:,.0f} racks added, where the catalogue and {a.problem.scenario} let "
            f"{a.problem.sites[s]} host no {a.problem.systems[k]} by then (power per rack, list of systems, dates)"
        )


def _accepted(a: Stated) -> Iterator[str]:
    more = a.accepted_w > a.installed_w * (1 + _POWER_TOLERANCE) + 1.0
    for s, k, t in zip(*np.nonzero(more), strict=True):
        yield (
            f"{_name(a, s, k, t)}: {a.accepted_w[s, k, t] / 1e6:,.1f} MW accepted, where the racks added so far "
            f"({_lines(a, _so_far(a, s, k, t))}) make {a.installed_w[s, k, t] / 1e6:,.1f} MW"
        )
    fallen = np.diff(a.accepted_w, axis=2) < -_POWER_TOLERANCE * a.accepted_w[..., 1:] - 1.0
    for s, k, t in zip(*np.nonzero(fallen), strict=True):
        yield (
            f"{_name(a, s, k, t + 1)}: {a.accepted_w[s, k, t + 1] / 1e6:,.1f} MW accepted so far, where it was "
            f"{a.accepted_w[s, k, t] / 1e6:,.1f} MW by {a.problem.quarters[t]} ({_lines(a, _so_far(a, s, k, t))}; where "
            "accepted_w is blank, all that is installed); it is cumulative and never falls"
        )


def _energised(a: Stated) -> Iterator[str]:
    p = a.problem
    used = np.einsum("skt,sk->st", a.online, np.outer(p.pue_peak, p.rack_it_w))
    stated = np.nansum(a.facility_stated, axis=1)
    used = np.asarray(np.maximum(used, stated))
    energised = p.energised_w[:, : a.count]
    for s, t in zip(*np.nonzero(used > energised * (1 + _POWER_TOLERANCE) + 1.0), strict=True):
        rows = (a.at != "") & (np.arange(len(p.sites)) == s)[:, None, None] & (np.arange(a.count) <= t)
        yield (
            f"{p.quarters[t]} {p.sites[s]}: racks online ({_lines(a, rows)}) draw {used[s, t] / 1e6:,.1f} MW, where "
            f"sites.{p.sites[s]}.power of {p.scenario} has {energised[s, t] / 1e6:,.1f} MW energised"
        )
