"""Changed policies of a fleet, for comparisons: training runs, serving pools, sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.operations.fleet import Fleet
from gigaforge.operations.spec import CheckpointSpec, Part, SiteSpec, TrainingSpec, bounds

__all__ = ["policies", "policy_changes", "with_changes", "with_policy"]


def _whether(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false"):
        raise ValueError(text)
    return text.lower() in ("yes", "true")


TRAINING: Final[dict[str, Callable[[str], Any]]] = {
    "mode": str, "spares": int, "replica_racks": int, "interval_s": float, "hiccup_s": float, "fallback": float, "planned_s": float,
    "ramp_s": float,
}  # fmt: skip
SERVING: Final[dict[str, Callable[[str], Any]]] = {
    "autoscale": str, "headroom": float, "start_s": float, "backfill": _whether,
}  # fmt: skip
SITE: Final[dict[str, Callable[[str], Any]]] = {"technicians": int, "parts": int, "share_spares": _whether}
_FILED: Final[dict[str, tuple[type[Part], str]]] = {
    "spares": (TrainingSpec, "spares"), "replica_racks": (TrainingSpec, "replica_racks"), "interval_s": (CheckpointSpec, "interval"),
    "fallback": (TrainingSpec, "fallback"), "technicians": (SiteSpec, "technicians"), "parts": (SiteSpec, "spare_parts"),
}  # fmt: skip
"""Where a fleet file has the same field; what is not here needs only be a number from zero on."""
_VALUES_SHOWN: Final = 4
_WORDS: Final = {
    "mode": ("synchronous", "elastic", "fault_tolerant"),
    "autoscale": ("none", "reactive", "forecast"),
}


def policy_changes(text: str) -> dict[str, Any]:
    """Read ``mode=elastic,spares=8`` into values by field.

    Raises
    ------
    InputError
        An unknown field, or a value of the wrong kind.

    """
    kinds = TRAINING | SERVING | SITE
    out: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in kinds:
            raise InputError(f"unknown field {name!r}; known: {', '.join(kinds)}", "--compare")
        try:
            out[name] = kinds[name](value)
        except ValueError:
            wanted = {_whether: "yes or no", int: "a whole number"}.get(kinds[name], "a number")
            raise InputError(f"{name}: {value!r} is not {wanted}", "--compare") from None
        if name in _WORDS and out[name] not in _WORDS[name]:
            raise InputError(f"{name} {value!r}; known: {', '.join(_WORDS[name])}", "--compare")
        if name not in _WORDS:
            _in_range(name, out[name])
    return out


def _in_range(name: str, value: float) -> None:
    """The bounds of a fleet file's field, told in words of the option."""
    if not math.isfinite(value):
        raise InputError(f"{name} {value}; a finite number is expected", "--compare")
    if value < 0:
        raise InputError(f"{name} {value} is below zero", "--compare")
    if name not in _FILED:
        return
    found = bounds(*_FILED[name])
    if value < found.least:
        raise InputError(f"{name} {value:g}; at least {found.least:g} is needed", "--compare")
    if value <= found.above:
        raise InputError(f"{name} {value:g}; more than {found.above:g} is needed", "--compare")
    if value > found.most:
        wanted = "a share from 0 to 1 is" if found.most == 1 else f"at most {found.most:,.0f} are"
        raise InputError(f"{name} {value:,g}; {wanted} expected", "--compare")


def with_policy(fleet: Fleet, **changes: Any) -> Fleet:
    """The same fleet with changes to every training policy (fields of `TrainingPolicy`, or ``interval_s``)."""
    own = {k: v for k, v in changes.items() if k != "interval_s"}

    def changed(policy: Any) -> Any:
        if "interval_s" in changes:
            policy = replace(policy, checkpoint=replace(policy.checkpoint, interval_s=changes["interval_s"]))
        return replace(policy, **own)

    groups = tuple(replace(g, policies=tuple(changed(p) for p in g.policies)) for g in fleet.groups)
    return replace(fleet, groups=groups)


def with_changes(fleet: Fleet, text: str) -> Fleet:
    """The same fleet under changed policies, as `policy_changes` reads them.

    Raises
    ------
    InputError
        Wrong text, or the fleet has nothing that it would change.

    """
    changes = policy_changes(text)
    training = {k: v for k, v in changes.items() if k in TRAINING}
    serving = {k: v for k, v in changes.items() if k in SERVING}
    site = {k: v for k, v in changes.items() if k in SITE}
    if training and not any(g.kind == "training" for g in fleet.groups):
        raise InputError(f"{', '.join(training)}: a policy of training runs, and this fleet has none; "
                         f"for serving: {', '.join(SERVING)}", "--compare")  # fmt: skip
    if serving and not fleet.serving:
        raise InputError(f"{', '.join(serving)}: a policy of serving, and this fleet serves nothing; "
                         f"for training: {', '.join(TRAINING)}", "--compare")  # fmt: skip
    if training:
        fleet = with_policy(fleet, **training)
    served = (
        tuple(replace(w, policy=replace(w.policy, **serving)) for w in fleet.serving) if serving else fleet.serving
    )
    site = {k: v if isinstance(v, bool) else np.full(fleet.windows, v) for k, v in site.items()}
    sites = tuple(replace(s, **site) for s in fleet.sites) if site else fleet.sites
    return replace(fleet, serving=served, sites=sites)


def policies(fleet: Fleet, names: Iterable[str]) -> str:
    """What a fleet does now about some fields: ``mode=elastic, spares=8``; several values where its parts differ."""
    training = [p for g in fleet.groups for p, n in zip(g.policies, g.racks, strict=False) if n > 0]
    said = []
    for name in names:
        if name == "interval_s":
            found: list[Any] = [p.checkpoint.interval_s for p in training]
        elif name in TRAINING:
            found = [getattr(p, name) for p in training]
        else:
            parts = [w.policy for w in fleet.serving] if name in SERVING else fleet.sites
            found = [getattr(p, name) for p in parts]
            found = [n for f in found for n in (f.tolist() if isinstance(f, np.ndarray) else [f])]
        said.append(f"{name}={_words(found)}")
    return ", ".join(said)


def _words(values: list[Any]) -> str:
    """Each different value, or from the least to the most where they are many."""
    found = list(dict.fromkeys(values))
    numbers = [v for v in found if not isinstance(v, str | bool) and v is not None]
    if len(found) > _VALUES_SHOWN and len(numbers) == len(found):
        return f"{_word(min(numbers))} to {_word(max(numbers))}"
    return "/".join(map(_word, found)) or "none"


def _word(value: Any) -> str:
    if value is None:
        return "chosen"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
