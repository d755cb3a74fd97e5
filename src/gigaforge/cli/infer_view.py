"""The answer of ``gigaforge infer``: one object for JSON, table and figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gigaforge.errors import NoAnswerError

if TYPE_CHECKING:
    from gigaforge.catalog import System
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import ServingResults, Traffic

__all__ = ["Answer", "draw", "layout_words", "pareto_table", "price_of", "show"]

Price = Callable[[float, float], float]


def price_of(machine: System, energy_usd_j: float, pue: float) -> Price | None:
    """USD per million tokens from power [W] and tokens/s of one accelerator; None where the system has no price."""
    if machine.price is None:
        return None
    capital = machine.price.value + (machine.network_price.value if machine.network_price else 0.0)
    fixed = capital / machine.accelerators / (machine.life_years * 365.25 * 86400.0)
    return lambda power_w, tokens_s: (fixed + power_w * pue * energy_usd_j) / tokens_s * 1e6


@dataclass(frozen=True)
class Answer:
    """Pareto set, best under the targets (one row or none) and what was asked."""

    results: ServingResults
    front: ServingResults
    best: ServingResults
    traffic: Traffic
    price: Price | None
    title: str

    @classmethod
    def of(cls, results: ServingResults, traffic: Traffic, price: Price | None, title: str) -> Answer:
        """Sort out the results of a search."""
        return cls(results, results.pareto(), results.best(), traffic, price, title)

    def problem(self) -> NoAnswerError | None:
        """No configuration meets the targets: name the one that misses by least."""
        if len(self.best):
            return None
        near = self.results.closest(self.traffic)
        late = self.traffic.percentile == "mean"
        ttft, tpot = (near.ttft_s, near.tpot_s) if late else (near.ttft_p99_s, near.tpot_p99_s)
        row = self.rows(near)[0]
        return NoAnswerError(
            f"no configuration meets {_targets(self.traffic)} ({self.traffic.percentile}); the closest is"
            f" {layout_words(row['layout'])} at batch {row['batch']:.0f}: TTFT {_seconds(float(ttft[0]))}, TPOT"
            f" {_seconds(float(tpot[0]))}, {row['tokens_per_s_per_gpu']:,.0f} tokens/s per GPU"
        )

    def rows(self, some: ServingResults) -> list[dict[str, Any]]:
        """Plain values, one dictionary per configuration."""
        whole = some.whole()
        out = []
        for i, deployment in enumerate(whole):
            tokens, power = float(some.tokens_per_s_per_gpu[i]), float(some.system_power_w[i])
            out.append(
                {
                    "layout": _layout(some, i),
                    "batch": float(some.configurations.batch[i]),
                    "ttft_s": {"mean": float(some.ttft_s[i]), "p99": float(some.ttft_p99_s[i])},
                    "tpot_s": {"mean": _or_none(some.tpot_s[i]), "p99": _or_none(some.tpot_p99_s[i])},
                    "tokens_per_s_per_gpu": tokens,
                    "tokens_per_s_per_user": float(some.tokens_per_s_per_user[i]),
                    "tokens_per_s_per_mw": tokens / power * 1e6,
                    "memory_bytes": float(some.memory_bytes[i]),
                    "power_w": float(some.power_w[i]),
                    "system_power_w": power,
                    "joules_per_token": float(some.joules_per_token[i]),
                    "usd_per_mtok": None if self.price is None else float(self.price(power, tokens)),
                    "meets_targets": bool(some.meets_targets[i]),
                    "deployment": deployment,
                }
            )
        return out

    def summary(self) -> dict[str, Any]:
        """What ``--json`` prints, names of model and system apart."""
        low, high = self.results.low or {}, self.results.high or {}
        best = self.rows(self.best)
        closest = [] if best else self.rows(self.results.closest(self.traffic))
        return {
            "evaluated": self.results.evaluated,
            "wall_s": self.results.wall_s,
            "traffic": {k: v for k, v in vars(self.traffic).items() if v is not None},
            "interval_80": {k: [low[k], high[k]] for k in low},
            "best": best[0] if best else None,
            **({"closest": closest[0]} if closest else {}),
            "pareto": self.rows(self.front),
        }

    def headline(self) -> str:
        """What all of it does at these targets, in one sentence."""
        row = self.rows(self.best)[0]
        d = row["deployment"]
        cost = "" if row["usd_per_mtok"] is None else f", ${_usd(row['usd_per_mtok'])} per million output tokens"
        return (
            f"{d['accelerators']:,.0f} accelerators, {_asked(self.traffic)}: {d['tokens_per_s']:,.0f} output tokens/s"
            f" ({d['tokens_per_s_low']:,.0f} to {d['tokens_per_s_high']:,.0f}), {d['requests_per_s']:,.3g} requests/s,"
            f" {d['it_power_w'] / 1e3:,.3g} kW of IT power with hosts and switches{cost}."
        )


def _asked(traffic: Traffic) -> str:
    """Load and targets in words."""
    load = (
        f"{traffic.concurrency:,.0f} requests in flight"
        if traffic.concurrency is not None
        else f"{traffic.rate:,.6g} requests/s arriving"
        if traffic.rate is not None
        else "offline"
        if traffic.offline or not _targets(traffic)
        else "as many requests as the targets allow"
    )
    if traffic.longest and traffic.rate is None and traffic.concurrency is None:
        load += " in a ten-minute run"
    limits = "" if traffic.offline else _targets(traffic)
    return f"{load} ({limits}, {traffic.percentile})" if limits else load


def _targets(traffic: Traffic) -> str:
    pairs = ((traffic.ttft_s, "TTFT"), (traffic.tpot_s, "TPOT"))
    return " and ".join(f"{_seconds(target)} {name}" for target, name in pairs if target)


def _layout(results: ServingResults, i: int) -> dict[str, Any]:
    c = results.configurations
    out: dict[str, Any] = {
        "accelerators": int(c.accelerators[i]),
        "tensor_parallel": round(float(c.accelerators[i] / c.pipeline_parallel[i] / c.attention_data_parallel[i])),
        "attention_data_parallel": int(c.attention_data_parallel[i]),
        "expert_parallel": int(c.expert_parallel[i]),
        "pipeline_parallel": int(c.pipeline_parallel[i]),
        "replicas": round(float(c.replicas[i])),
        "accelerators_in_use": round(float(c.total_accelerators[i])),
        "disaggregated": bool(c.prefill_accelerators[i] > 0),
    }
    if out["disaggregated"]:
        out["prefill"] = {
            "accelerators": int(c.prefill_accelerators[i]),
            "attention_data_parallel": int(c.prefill_attention_data_parallel[i]),
            "expert_parallel": int(c.prefill_expert_parallel[i]),
            "workers": round(float(c.prefill_share[i] * c.replicas[i])),
            "workers_per_decode_worker": float(c.prefill_share[i]),
        }
    return out


def _degrees(layout: dict[str, Any]) -> str:
    """Degrees of parallelism in the field's letters: "TP8 EP8"; DP is that of attention."""
    parts = [f"TP{layout['tensor_parallel']}"]
    for name, short in (("attention_data_parallel", "DP"), ("expert_parallel", "EP"), ("pipeline_parallel", "PP")):
        if layout.get(name, 1) > 1:
            parts.append(f"{short}{layout[name]}")
    return " ".join(parts)


def _prefill_words(layout: dict[str, Any]) -> str:
    """The prefill pool of a disaggregated layout: "+3x TP4"; empty without one."""
    if not layout["disaggregated"]:
        return ""
    p = layout["prefill"]
    tensor = round(p["accelerators"] / p["attention_data_parallel"])
    return f"+{p['workers']}x {_degrees({**p, 'tensor_parallel': tensor})}"


def layout_words(layout: dict[str, Any]) -> str:
    """Degrees of parallelism in the field's letters, with replicas and prefill pool: "2x TP8 EP8 +3x TP4 (prefill)"."""
    prefill = _prefill_words(layout)
    many = f"{layout['replicas']}x " if layout["replicas"] > 1 else ""
    return many + _degrees(layout) + (f" {prefill} (prefill)" if prefill else "")


_HEADS: Final = (
    "layout", "batch", "TTFT\nmean\np99", "TPOT\nmean\np99", "tok/s\n/user", "tok/s\n/GPU", "tok/s\n/MW", "GB\nW\n/GPU",
    "$\n/Mtok",
)  # fmt: skip


def show(answer: Answer, hardware: Hardware, top: int) -> None:
    """Headline and table; two lines a row, so that nothing is cut at 80 columns."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if len(answer.best):
        console.print(answer.headline(), highlight=False)
    front, results = answer.front, answer.results
    met = answer.title if len(answer.best) else f"{answer.title}: what there is, but none meets the targets"
    console.print(met, style="italic", highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for head in _HEADS:
        layout = head == "layout"
        table.add_column(head, justify="left" if layout else "right", no_wrap=not layout, overflow="fold")
    keep = np.unique(np.linspace(0, len(front) - 1, min(top, len(front))).round().astype(int))
    chosen = answer.rows(answer.best)[:1]
    mark = "* "
    if not chosen:
        chosen, mark = answer.rows(results.closest(answer.traffic))[:1], "~ "
    rows = [r for r in answer.rows(front.take(keep)) if r not in chosen] + chosen
    for row in sorted(rows, key=lambda r: -r["tokens_per_s_per_user"]):
        mine = row in chosen
        table.add_row(*_cells(row, mark if mine else "  "), style="bold green" if mine and mark == "* " else None)
    console.print(table)
    low, high = (results.low or {}), (results.high or {})
    words = ", ".join(f"{k} x{low[k]:.2f} to x{high[k]:.2f}" for k in low)
    size = f" on {results.accelerators:,} GPUs" if results.accelerators else ""
    console.print(
        ("* best under the targets. " if mark == "* " else "~ closest to the targets. ")
        + "TP, EP, PP: tensor, expert, pipeline parallel; DP: attention data parallel; x2: replicas (decode workers);"
        " +3x: prefill workers. Batch: requests in flight on one worker; W: of the GPU alone, tok/s/MW and $ with hosts and switches.\n"
        f"{results.evaluated:,} configurations evaluated in {results.wall_s:.2f} s, {len(results):,} fit{size} of"
        f" {float(hardware.hbm_bytes) / 1e9:.0f} GB; 80 % intervals: {words or 'not calibrated'}",
        style="dim",
    )


def _cells(row: dict[str, Any], mark: str) -> list[str]:
    layout = row["layout"]
    words = mark + _degrees(layout) + (f" x{layout['replicas']}" if layout["replicas"] > 1 else "")
    prefill = _prefill_words(layout)
    return [
        words + (f"\n  {prefill}" if prefill else ""),
        f"{row['batch']:.0f}" if row["batch"] >= 1 else f"{row['batch']:.1g}",
        f"{_seconds(row['ttft_s']['mean'])}\n{_seconds(row['ttft_s']['p99'])}",
        f"{_seconds(row['tpot_s']['mean'])}\n{_seconds(row['tpot_s']['p99'])}",
        f"{row['tokens_per_s_per_user']:.0f}",
        f"{row['tokens_per_s_per_gpu']:,.0f}",
        _short(row["tokens_per_s_per_mw"]),
        f"{row['memory_bytes'] / 1e9:.0f} GB\n{row['power_w']:.0f} W",
        "-" if row["usd_per_mtok"] is None else _usd(row["usd_per_mtok"]),
    ]


def _short(value: float) -> str:
    """Three digits and a letter: "9.4k", "1.1M"."""
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def _or_none(tpot_s: float) -> float | None:
    """Time per output token; an answer of one token has none."""
    return float(tpot_s) if tpot_s > 0.0 else None


def _usd(value: float) -> str:
    """Two digits below a hundred dollars, whole dollars above."""
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if not value:
        return "–"
    return f"{value:.3g} s" if value >= 1.0 else f"{value * 1e3:.3g} ms"


def pareto_table(answer: Answer, some: ServingResults) -> Any:
    """Columns that `gigaforge.report.serving_figures.serving_pareto` draws, a row for each configuration."""
    rows = answer.rows(some)
    out = some.to_pandas().assign(
        layout=[layout_words(r["layout"]) for r in rows],
        mode=["disaggregated" if r["layout"]["disaggregated"] else "aggregated" for r in rows],
        tokens_per_s_per_mw=[r["tokens_per_s_per_mw"] for r in rows],
    )
    if answer.price is not None:
        out = out.assign(mtok_per_usd=[1.0 / r["usd_per_mtok"] for r in rows])
    return out


def draw(answer: Answer, path: Path) -> None:
    """The Pareto figure: per GPU, per MW and per dollar against per user, the targets and the best point marked."""
    from gigaforge.report.serving_figures import serving_pareto, write_chart

    t, results = answer.traffic, answer.results
    asked = f"{t.input_len:,.0f} tokens in, {t.output_len:,.0f} out; {_asked(t)}"
    low, high = (results.low or {}).get("throughput", 1.0), (results.high or {}).get("throughput", 1.0)
    chart = serving_pareto(
        pareto_table(answer, answer.front),
        answer.title,
        asked,
        interval=(low, high),
        best=pareto_table(answer, answer.best) if len(answer.best) else None,
        least_tokens_s=None if t.tpot_s is None or t.offline else 1.0 / t.tpot_s,
    )
    write_chart(chart, path)
