"""A small catalogue and scenario that every build-out test starts from."""

from __future__ import annotations

from typing import Any

from gigaforge.catalog import Accelerator, Catalog, Partner, Site, System
from gigaforge.catalog import Model as CatalogModel
from gigaforge.codesign.point import OperatingPoint
from gigaforge.scenario import Scenario, parse_scenario


def figure(value: Any) -> dict[str, Any]:
    return {"value": value, "assumption": "test"}


def catalog() -> Catalog:
    chip = Accelerator.model_validate(
        {"name": "chip", "label": "Chip", "vendor": "NVIDIA", "generation": "Test", "status": "shipping",
         "power": figure("1.8 kW"), "idle_power": figure("300 W")}
    )  # fmt: skip
    systems = {
        name: System.model_validate(
            {"name": name, "label": name, "accelerator": "chip", "accelerators": 72, "nvlink_domain": 72,
             "status": "shipping", "power": figure(power), "overhead_power": figure("20 kW"), "price": figure(price),
             "network_price": figure("$0.5M")}
        )
        for name, power, price in (("rack-a", "180 kW", "$6M"), ("rack-b", "580 kW", "$22M"))
    }  # fmt: skip
    sites = {
        "north": {"tenure": "owned", "facility_cost": figure("$12M/MW"), "partner": "developer"},
        "south": {"tenure": "leased", "lease_price": figure("$130/kW-month"), "partner": "landlord"},
        "cloud": {"tenure": "cloud", "cloud_price_multiple": figure(1.4), "partner": "hyperscaler"},
    }
    made = {
        name: Site.model_validate(
            {"name": name, "label": name.title(), "pue_mean": figure(1.15), "pue_peak": figure(1.25),
             "energy_price": figure("$60/MWh"),
             "energised": [{"quarter": "2026-Q3", "power": figure("300 MW")},
                           {"quarter": "2027-Q3", "power": figure("1 GW")}], **data}
        )
        for name, data in sites.items()
    }  # fmt: skip
    partners = {
        name: Partner.model_validate({"name": name, "label": name, "role": role})
        for name, role in (("nvidia", "investor"), ("openai", "operator"), ("developer", "developer"),
                           ("landlord", "developer"), ("hyperscaler", "cloud"))
    }  # fmt: skip
    model = CatalogModel.model_validate(
        {"name": "chat", "label": "Chat", "family": "dense", "assumption": "test", "layers": 80, "d_model": 8192,
         "heads": 64, "kv_heads": 8, "head_dim": 128, "d_ff": 28672, "vocab": 128256, "max_context": 131072}
    )  # fmt: skip
    return Catalog({"chip": chip}, systems, {}, {"chat": model}, made, partners, {})


def scenario_data(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "schema": 1,
        "name": "small",
        "title": "Small",
        "horizon": {"first": "2026-Q3", "last": "2029-Q2"},
        "commitment": {
            "power": "2 GW",
            "milestones": [{"power": "0.2 GW", "by": "2026-Q4"}, {"power": "2 GW", "by": "2028-Q4"}],
            "late_penalty": "$20/kW-month",
        },
        "investment": {"ceiling": "$20B", "per": "0.5 GW"},
        "platforms": [
            {"name": "a", "systems": ["rack-a"], "ships": "2026-Q3", "supply": {"2026-Q3": 400, "2027-Q1": 1200}},
            {"name": "b", "systems": ["rack-b"], "ships": "2028-Q1", "supply": 400},
        ],
        "sites": [{"site": "north"}, {"site": "south"}, {"site": "cloud"}],
        "training": [
            {"name": "run-1", "model": "chat", "tokens": "20T tokens", "start": "2027-Q1", "end": "2027-Q3"},
        ],
        "serving": [
            {
                "name": "assistant",
                "model": "chat",
                "weekly_users": {"2026-Q3": "700M", "2029-Q2": "1.5B"},
                "messages_per_user_week": 26,
                "input_tokens": "2000 tokens",
                "output_tokens": {"2026-Q3": "800 tokens", "2029-Q2": "8000 tokens"},
                "cached_share": "50 %",
                "peak_to_mean": 1.7,
                "ttft": "2 s",
                "tpot": "30 ms",
                "prices": {"input": "$1.25/Mtoken", "output": "$10/Mtoken", "cached": "$0.125/Mtoken",
                           "change_per_year": -0.3},
            }
        ],
        "operations": {"availability": "95 %", "training_goodput": "90 %"},
        "finance": {
            "discount_rate": "10 %",
            "opening_cash": "$15B",
            "debt": {"limit": "$10B", "interest": "8 %"},
        },
    }  # fmt: skip
    data.update(changes)
    return data


def scenario(**changes: Any) -> Scenario:
    return parse_scenario(scenario_data(**changes))


def points() -> list[OperatingPoint]:
    out = []
    for system, rate, power in (("rack-a", 60e3, 190e3), ("rack-b", 250e3, 590e3)):
        for number, (speed, draw) in enumerate(((1.0, 1.0), (0.8, 0.7))):
            out.append(
                OperatingPoint(f"assistant/{system}/{number}", "assistant", "serving", system, "chat", "TP8",
                               rate * speed, power * draw, ttft_s=1.0, tpot_s=0.02)
            )  # fmt: skip
        out.append(
            OperatingPoint(f"run-1/{system}/0", "run-1", "training", system, "chat", "TP8 PP4", rate * 0.1, power,
                           max_racks=4000, mfu=0.4)
        )  # fmt: skip
    return out
