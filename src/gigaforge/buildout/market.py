"""What is asked for and what it pays: tokens demanded, products, revenue per token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter
from gigaforge.scenario import interpolate, output_tokens
from gigaforge.scenario.schema import Serving

__all__ = ["demanded_tokens", "products_of", "sum_by_workload", "token_price"]

Array = NDArray[np.float64]


def demanded_tokens(serving: Serving, quarters: list[Quarter]) -> Array:
    """Output tokens wanted in each quarter."""
    weeks = SECONDS_PER_QUARTER / (7 * 86400)
    users = interpolate(serving.weekly_users, quarters)
    messages = interpolate(serving.messages_per_user_week, quarters)
    return np.asarray(users * messages * weeks * output_tokens(serving, quarters))


def token_price(serving: Serving, quarters: list[Quarter]) -> Array:
    """Revenue per output token, with the input tokens that come with it [USD]. Shape (T,)."""
    prices = serving.prices
    ratio = interpolate(serving.input_tokens, quarters) / output_tokens(serving, quarters)
    cached = serving.cached_share
    per_output = prices.output + ratio * (cached * prices.cached + (1 - cached) * prices.input)
    years = np.array([q - (prices.since or quarters[0]) for q in quarters]) / 4
    return np.asarray(per_output * (1 + prices.change_per_year) ** years)


def products_of(serving: Serving, quarters: list[Quarter], demand: Array) -> list[tuple[str, Array]]:
    """Each product's name and what it brings per output token of the whole workload [USD]. Shape (T,)."""
    price = token_price(serving, quarters)
    if not serving.products:
        return [(serving.name, price)]
    users = interpolate(serving.weekly_users, quarters)
    busy = sum(p.users * p.activity for p in serving.products)
    out = []
    for product in serving.products:
        pays = product.subscription * SECONDS_PER_QUARTER * product.users * users / demand
        tokens = price * product.users * product.activity / busy if product.per_token else 0.0
        out.append((f"{serving.name}/{product.name}", np.asarray(pays + tokens)))
    return out


def sum_by_workload(products: list[tuple[int, tuple[str, Array]]], workloads: int, quarters: int) -> Array:
    """Revenue per output token of each workload [USD]. Shape (W, T)."""
    out = np.zeros((workloads, quarters))
    for w, (_, usd) in products:
        out[w] += usd
    return out
