"""What a simulation says, in words: accounts, causes, what binds, and how it differs from its plan."""

from __future__ import annotations

from typing import Any, Final

from gigaforge.units import format_quantity, percent

__all__ = ["ACCOUNT_WORDS", "beside_plan", "binding", "headed", "kind_words"]

ACCOUNT_WORDS: Final = {
    "training": {"wait": "racks lost to failure", "rework": "rolled back", "restart": "restarting", "checkpoint": "saving",
                 "straggler": "stragglers", "power": "power limits", "idle": "hot spares"},
    "serving": {"repair": "in repair", "power": "power limits", "idle": "off", "backfill": "lent to other work",
                "headroom": "ready for more"},
    "research": {"repair": "in repair", "rework": "rolled back", "restart": "restarting", "power": "power limits",
                 "idle": "no job, or none that fits"},
}  # fmt: skip
# kinds whose name is not its own plain word
_KIND_WORDS: Final = {
    "gpu": "GPU", "hbm": "HBM", "nic": "NIC", "network": "switch, cable, optic", "nvlink_switch": "NVLink switch",
    "silent_data_corruption": "silent data corruption", "host_maintenance": "unplanned host work",
    "planned_maintenance": "planned maintenance", "cooling": "coolant leak, pump, CDU", "pod_network": "outage of a pod",
    "power_feed": "outage of a power feed", "cooling_loop": "outage of a cooling loop", "site": "outage of a site",
    "planned": "planned stop", "resized": "run resized", "short_of_racks": "too few racks left",
}  # fmt: skip


_PLANNED_WITHIN: Final = 0.03


def kind_words(kind: str) -> str:
    """A kind of failure or stop as people say it."""
    return _KIND_WORDS.get(kind, kind.replace("_", " "))


def headed(words: str) -> str:
    """With a capital at its head, whatever follows."""
    return words[:1].upper() + words[1:]


def binding(s: dict[str, Any]) -> list[str]:
    """What limits the fleet, in order of what it costs; `s` as `SimulationResult.summary`."""
    found: list[tuple[float, str]] = []
    words = ACCOUNT_WORDS["training"]
    hints = {"straggler": "find slow links and throttled racks sooner", "rework": "save more often, or closer by", "restart": "restart in fewer or shorter stages",
             "wait": "more hot spares, parts or technicians", "power": "more power, storage, or work that may give way",
             "checkpoint": "shorter saves", "idle": "pool spares over more runs"}  # fmt: skip
    for name, share in s["waterfall"].items() if s["goodput"] is not None else ():
        if name in hints and share > 0.005:
            found.append(
                (share, f"Training: {percent(share, 1)} of rack time, {words[name]}. What helps: {hints[name]}.")
            )
    found += [
        (0.004, f"{run['name']} saves every {run['checkpoint_interval_s']:.0f} s; every {run['best_checkpoint_interval_s']:.0f} s is best.")
        for run in s["training"] if run["checkpoint_interval_s"] > 1.5 * run["best_checkpoint_interval_s"]
    ]  # fmt: skip
    for q in s["quarters"]:
        if q["slo_violations"] > 0.005:
            beyond = q["beyond_all_racks_share"]
            rest = max(q["shed_share"] - beyond, 0.0)
            why = max(
                (beyond, "more is asked than all its racks serve"),
                (rest, "failures, slow scaling or power"),
                (q["late_share"], "tokens come late"),
            )
            found.append(
                (
                    q["slo_violations"] / 10.0,
                    f"Serving in {q['quarter']}: {percent(q['slo_violations'], 1)} of tokens miss their target; most because {why[1]}.",
                )
            )
    for name, site in s["sites"].items():
        if site["over_limit_s"] > 0.0:
            found.append(
                (
                    1.0,
                    f"{name} is above its limit for {format_quantity(site['over_limit_s'], 'duration')} although everything gives way that may.",
                )
            )
        if site["mean_repair_wait_s"] > 3600.0:
            found.append(
                (
                    0.01,
                    f"{name}: a repair waits {format_quantity(site['mean_repair_wait_s'], 'duration')} for people and parts on average.",
                )
            )
        if site["feeder_cut_j"] > 1e-3 * site["energy_j"]:
            found.append(
                (0.01, f"{name}: halls' feeders hold back {format_quantity(site['feeder_cut_j'], 'energy')}.")
            )
    found += [(0.003, note) for note in beside_plan(s["quarters"])]
    return [words for _, words in sorted(found, key=lambda f: (-f[0], f[1]))[:10]] or [
        "Nothing costs more than half a per cent."
    ]


def beside_plan(quarters: list[dict[str, Any]]) -> list[str]:
    """Quarters whose tokens differ from what the plan counts on by more than three per cent, largest difference first."""
    differ = [
        (q["tokens_served"] / q["tokens_planned"] - 1.0, q["quarter"]) for q in quarters if q.get("tokens_planned")
    ]
    more = [f"{quarter} by {percent(d)}" for d, quarter in sorted(differ, key=lambda p: -p[0]) if d > _PLANNED_WITHIN]
    less = [f"{quarter} by {percent(-d)}" for d, quarter in sorted(differ) if d < -_PLANNED_WITHIN]
    out = []
    if more:
        out.append(f"More is served than the plan counts on in {', '.join(more)}: more is asked than the plan takes on, which "
                   "serves only as many customers as it can at every peak; the fleet sheds peaks and fills the hours between.")  # fmt: skip
    if less:
        out.append(f"Less is served than the plan counts on in {', '.join(less)}.")
    return out
