"""What a path such as ``sites.abilene.delay`` moves: arrays of the problem, quarter by quarter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from gigaforge.buildout.problem import Array, Problem
from gigaforge.errors import InputError, did_you_mean
from gigaforge.quarters import Quarter
from gigaforge.scenario.vary import figures, unstated

__all__ = ["Target", "known_paths", "match", "target"]

Arrays = dict[str, Array]
_MOST_LOST: Final = 0.9  # of capacity, however often things fail


@dataclass(frozen=True)
class Target:
    """One uncertain figure's way into the problem.

    Attributes
    ----------
    path : str
        As in the scenario.
    first : int
        First quarter in which it can be seen to differ (position in the horizon).
    delay : bool
        Whether its value is a shift in quarters instead of a factor.
    apply : callable
        ``apply(arrays, track)`` changes copies of the problem's arrays; `track` holds a factor for each quarter, or
        the delay known or believed (all equal). Shape (T,).
    figure : bool
        Whether it is a figure of the scenario that moves no array: the scenario itself is varied, and stated anew.

    """

    path: str
    first: int
    delay: bool
    apply: Callable[[Arrays, Array], None]
    figure: bool = False


def _scale(field: str, where: Any) -> Callable[[Arrays, Array], None]:
    """Multiply entries of an array: by quarter where it has quarters, else by the mean factor."""

    def apply(arrays: Arrays, track: Array) -> None:
        array = arrays[field]
        array[where] *= track if array.ndim > 1 and array.shape[-1] == len(track) else track.mean()

    return apply


def _shift(field: str, where: int) -> Callable[[Arrays, Array], None]:
    """Let all that comes after the first quarter come later by a number of quarters."""

    def apply(arrays: Arrays, track: Array) -> None:
        series = arrays[field][where]
        late = round(float(track[0]))
        if late:
            moved = np.concatenate([np.full(min(late, len(series)), series[0]), series[: max(len(series) - late, 0)]])
            arrays[field][where] = moved

    return apply


def _supply_shift(line: int) -> Callable[[Arrays, Array], None]:
    """Deliveries come later, the last ones too."""

    def apply(arrays: Arrays, track: Array) -> None:
        series = arrays["supply"][line]
        late = round(float(track[0]))
        if late:
            arrays["supply"][line] = np.concatenate([np.zeros(min(late, len(series))), series[: max(len(series) - late, 0)]])  # fmt: skip

    return apply


def _fails(arrays: Arrays, track: Array) -> None:
    """More failures: less time in service, and less of a gang's time productive."""
    factor = track.mean()
    old, good = arrays["availability"], arrays["train_goodput"]
    new = 1 - np.minimum((1 - old) * factor, _MOST_LOST)
    productive = 1 - np.minimum((1 - good) * factor, _MOST_LOST)
    arrays["point_tokens"] *= (new / old)[arrays["point_system"].astype(int)][:, None]
    arrays["train_rate"] *= (new / old)[arrays["train_system"].astype(int)] * productive / good
    arrays["availability"], arrays["train_goodput"] = new, productive


def _performs(points: Any, runs: Any) -> Callable[[Arrays, Array], None]:
    def apply(arrays: Arrays, track: Array) -> None:
        arrays["point_tokens"][points] *= track
        arrays["train_rate"][runs] *= track.mean()

    return apply


def _first(series: Array) -> int:
    """First quarter with anything in it."""
    there = np.flatnonzero(series)
    return int(there[0]) if len(there) else len(series)


def _sites(p: Problem) -> dict[str, Target]:
    out = {}
    for s, name in enumerate(p.sites):
        power = p.energised_w[s]
        grows = np.flatnonzero(np.diff(power)) + 1
        first = _first(power)
        later = int(grows[0]) if len(grows) else len(power)
        out[f"sites.{name}.power"] = Target("", first, False, _scale("energised_w", s))
        out[f"sites.{name}.delay"] = Target("", later, True, _shift("energised_w", s))
        if p.energy_usd_per_j[s].any():
            out[f"sites.{name}.energy_price"] = Target("", first, False, _scale("energy_usd_per_j", s))
        if p.lease_usd_per_w[s]:
            out[f"sites.{name}.lease_price"] = Target("", first, False, _scale("lease_usd_per_w", s))
        if p.facility_usd_per_w[s]:
            out[f"sites.{name}.facility_cost"] = Target("", first, False, _scale("facility_usd_per_w", s))
        if p.cloud_usd_per_rack[s].any():
            out[f"sites.{name}.cloud_price"] = Target("", first, False, _scale("cloud_usd_per_rack", s))
    return out


def _platforms(p: Problem) -> dict[str, Target]:
    out = {}
    for line, name in enumerate(p.lines):
        first = _first(p.supply[line])
        mine = np.flatnonzero(p.line_of == line)
        out[f"platforms.{name}.supply"] = Target("", first, False, _scale("supply", line))
        out[f"platforms.{name}.delay"] = Target("", first, True, _supply_shift(line))
        out[f"platforms.{name}.price"] = Target("", first, False, _scale("rack_price_usd", mine))
    return out


def _work(p: Problem) -> dict[str, Target]:
    out = {}
    for w, name in enumerate(p.workloads):
        out[f"serving.{name}.demand"] = Target("", 0, False, _scale("demand", w))
        out[f"serving.{name}.prices"] = Target("", 0, False, _scale("token_usd", w))
        mine, none = np.flatnonzero(p.point_workload == w), np.zeros(0, dtype=int)
        out[f"performance.{name}"] = Target("", 0, False, _performs(mine, none))
    for r, name in enumerate(p.runs):
        first = _first(p.run_window[r])
        out[f"training.{name}.tokens"] = Target("", first, False, _scale("run_tokens", r))
    for k, name in enumerate(p.systems):
        shipped = _first(p.supply[p.line_of[k]])
        on_it = np.flatnonzero(p.train_system == k)
        out[f"performance.{name}"] = Target("", shipped, False, _performs(np.flatnonzero(p.point_system == k), on_it))
    every, none = slice(None), np.zeros(0, dtype=int)
    out["performance"] = Target("", 0, False, _performs(every, every))
    out["performance.serving"] = Target("", 0, False, _performs(every, none))
    out["performance.training"] = Target("", 0, False, _performs(none, every))
    out["operations.failures"] = Target("", 0, False, _fails)
    return out


def _all(p: Problem) -> dict[str, Target]:
    return _sites(p) | _platforms(p) | _work(p)


def _nothing(arrays: Arrays, track: Array) -> None:
    del arrays, track


def _figures(p: Problem) -> dict[str, Target]:
    """Any other figure of the scenario; a quarter, and a step of a series, show when they come."""
    out = {}
    for path, figure in figures(p.scenario).items():
        when = figure.value if figure.kind == "quarter" else _last_quarter(path)
        first = min(max(when - p.quarters[0], 0), len(p.quarters)) if when is not None else 0
        out[path] = Target("", first, figure.kind == "quarter", _nothing, figure=True)
    return out


def _last_quarter(path: str) -> Quarter | None:
    try:
        return Quarter.parse(path.rsplit(".", 1)[-1])
    except ValueError:
        return None


def known_paths(problem: Problem) -> list[str]:
    """Every path that a distribution may be put on."""
    return list(_figures(problem) | _all(problem))


def match(problem: Problem, what: str, where: str = "risk") -> list[str]:
    """Paths that `what` stands for; `InputError` names the nearest known where there is none."""
    for known in (list(_all(problem)), list(_figures(problem))):
        found = _matching(known, what)
        if found:
            return found
    if unstated(problem.scenario, what):
        raise InputError(
            f"{what!r} is not stated in the scenario, so that nothing can be varied; state it there first",
            f"{where}: risk.variables",
        )
    kinds = sorted({f"{p.split('.')[0]}.NAME.{p.split('.')[-1]}" for p in _all(problem) if p.count(".") > 1})
    hint = did_you_mean(what, known_paths(problem))
    raise InputError(
        f"{what!r} is no figure that can be uncertain{hint or '.'} Known kinds: {', '.join(kinds)}, performance[.NAME], "
        "operations.failures, and every number and quarter of the scenario by its path, as for --set "
        "(finance.debt.interest, investment.amount, training.*.end)",
        f"{where}: risk.variables",
    )


def _matching(known: list[str], what: str) -> list[str]:
    if "*" not in what:
        return [path for path in known if path == what]
    before, star, after = what.partition("*")
    if "*" in after:
        return []
    return [
        p for p in known if p.startswith(before) and p.endswith(after) and len(p) >= len(before + after) + len(star)
    ]


def target(problem: Problem, path: str) -> Target:
    """The way of a known path into the problem."""
    found = (_figures(problem) | _all(problem))[path]
    return replace(found, path=path)
