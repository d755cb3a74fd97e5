"""Tokens per joule against tokens per dollar, platform by platform."""

from __future__ import annotations

from typing import Any, Final

from gigaforge.catalog import Catalog
from gigaforge.codesign.caps import capped_hardware
from gigaforge.codesign.serving_space import serving_space
from gigaforge.errors import GigaforgeError
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import Quarter
from gigaforge.scenario.schema import Serving

__all__ = ["FRONTIER_MODEL", "FRONTIER_SYSTEMS", "platform_frontiers"]

FRONTIER_SYSTEMS: Final = (
    "dgx-a100", "dgx-h100", "dgx-h200", "dgx-b200", "gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72-max-p",
    "rubin-ultra-nvl144-kyber",
)  # fmt: skip
"""Six generations, each as the catalogue's largest NVLink domain of its time."""
FRONTIER_MODEL: Final = "llama-3.1-70b"
"""A model that fits on all of them."""
_PRECISIONS: Final = ("fp4", "fp8", "bf16")
_YEAR_S: Final = 365.25 * 86400.0


def platform_frontiers(
    catalog: Catalog,
    *,
    systems: tuple[str, ...] = FRONTIER_SYSTEMS,
    model: str = FRONTIER_MODEL,
    input_tokens: float = 4000.0,
    output_tokens: float = 1000.0,
    tpot_s: float = 0.05,
    life_years: float = 5.0,
    discount_rate: float = 0.12,
    maintenance: float = 0.025,
    energy_usd_per_j: float = 0.06 / 3.6e6,
    facility_usd_per_w_year: float = 1.56,
    pue: float = 1.2,
    caps: int = 8,
) -> list[dict[str, Any]]:
    """Points of every platform that no other point of it beats in both tokens per joule and tokens per dollar.

    Parameters
    ----------
    model, input_tokens, output_tokens, tpot_s
        What is served, at the lowest precision that the chip computes in; TTFT within 2 s.
    life_years, discount_rate, maintenance
        A system's yearly cost is price × (1/life + rate/2 + maintenance).
    energy_usd_per_j, facility_usd_per_w_year, pue
        Defaults: $60/MWh and $130/kW-month of facility power held (assumption: what leased sites of the catalogue cost).
    caps : int
        Power caps per system.

    Returns
    -------
    list of dict
        ``system, label, year, precision, cap_w, tokens_per_joule`` (IT energy), ``tokens_per_usd, layout``.

    """
    transformer = Transformer.from_catalog(catalog.model(model))
    quarter = Quarter.parse("2026-Q3")
    out = []
    for name in systems:
        system = catalog.system(name)
        if system.price is None:
            continue
        hardware, cap_w = capped_hardware(system, catalog.accelerator(system.accelerator))
        precision = next((p for p in _PRECISIONS if hardware.supports(p)), "bf16")
        asked = Serving.model_validate(
            {"name": "frontier", "model": model, "weekly_users": 1, "messages_per_user_week": 1,
             "input_tokens": f"{input_tokens} tokens", "output_tokens": f"{output_tokens} tokens", "ttft": "2 s", "tpot": f"{tpot_s} s",
             "precision": [precision], "prices": dict.fromkeys(("input", "output", "cached"), "$1/Mtoken")}
        )  # fmt: skip
        try:
            points = serving_space(transformer, hardware, asked, [quarter], cap_w, caps=caps, moments=1).points
        except GigaforgeError:
            continue
        price = system.price.value + (system.network_price.value if system.network_price else 0.0)
        capital = price * (1 / life_years + discount_rate / 2 + maintenance) / _YEAR_S
        rows = []
        for p in points:
            usd_s = capital + pue * (
                p.it_power_w_per_rack * energy_usd_per_j + p.held_w_per_rack * facility_usd_per_w_year / _YEAR_S
            )
            rows.append(
                {"system": name, "label": system.label, "year": str(system.available_from or "")[:4],
                 "precision": precision, "cap_w": p.cap_w, "layout": p.layout,
                 "tokens_per_joule": p.tokens_per_s_per_rack / p.it_power_w_per_rack,
                 "tokens_per_usd": p.tokens_per_s_per_rack / usd_s}
            )  # fmt: skip
        out += _pareto(rows)
    return out


def _pareto(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (-r["tokens_per_joule"], -r["tokens_per_usd"])):
        if not kept or row["tokens_per_usd"] > kept[-1]["tokens_per_usd"]:
            kept.append(row)
    return kept
