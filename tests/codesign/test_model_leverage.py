"""The leverage of mixtures against its paper's own statements (https://arxiv.org/abs/2507.17702), and what it makes of choices."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from gigaforge.catalog import load_catalog
from gigaforge.codesign.hardware import Economics
from gigaforge.codesign.models import ModelCosts, Running, Target, choose, law, shape
from gigaforge.codesign.models.laws import Leveraged
from gigaforge.codesign.models.leverage import Leverage
from gigaforge.codesign.models.shapes import DENSE_WIDTHS, granularity_of, shaped_granularity
from gigaforge.perf.inference import Traffic
from gigaforge.perf.transformer import Transformer

LEVERAGE = Leverage()
PAPER = DENSE_WIDTHS / 2.0
"""Experts in a dense block's width over those in two model widths, which the paper calls granularity."""


def published(share: float, granularity: float, flop: float, base: float, base_c: float) -> float:
    """Equation 13 with table 2, the logarithms' bases left open."""
    hat = share + 1.63e-2
    g, c = np.log(granularity) / np.log(base), np.log(flop) / np.log(base_c)
    return float(hat ** (1.23 - 7.61e-2 * c + 1.67e-2 * g**2 - 1.17e-1 * g))


def test_only_one_reading_of_its_logarithms_says_what_the_paper_says() -> None:
    fine = np.linspace(1.0, 64.0, 6301)
    fits = []
    for base, base_c in product((2.0, np.e, 10.0), repeat=2):
        best = fine[np.argmax([published(1 / 32, g, 1e22, base, base_c) for g in fine])]
        # Sections 1 and 4.1.2: granularity is best between 8 and 12; section 4.2.2: leverage exceeds 7 at 3.1 %, 12 and 1e22 FLOP.
        if 8 <= best <= 12 and 7 < published(1 / 32, 12, 1e22, base, base_c) < 10:
            fits.append((base, base_c))
    assert fits == [(2.0, 10.0)]
    for share, g, c in ((2, 2, 1e18), (32, 12, 1e20), (128, 2, 6e20), (8, 16, 1e22)):
        assert float(LEVERAGE(share, g * PAPER, c)) == pytest.approx(published(1 / share, g, c, 2, 10), rel=1e-9)


def test_ling_mini_beta_is_worth_the_dense_model_that_it_was_as_good_as() -> None:
    # Table 3: 384 experts of width 384 in a model of 2,048, twelve used: 0.85B active, against 6.11B dense, both on 1T tokens; its
    # compute is the 1e22 FLOP of section 5 (5.1e21 without attention).
    granularity = DENSE_WIDTHS * 2048 / 384
    at = float(LEVERAGE(32, granularity, 1e22))
    assert at == pytest.approx(6.11 / 0.85, rel=0.02)
    one = law("leverage-2025")
    mixture = float(one.loss(0.85e9, 1e12, 32, granularity))
    dense = one.loss(np.array([5.5e9, 6.11e9]), 1e12)
    assert float(dense[1]) < mixture < float(dense[0])
    # The two ended within 0.01 of each other (figure 10).
    assert mixture - float(dense[1]) < 0.01


def test_leverage_grows_with_sparsity_and_compute_and_is_best_at_the_published_granularity() -> None:
    experts = np.array([1.0, 2.0, 8.0, 32.0, 128.0])
    by_sparsity = LEVERAGE(experts, 2 * PAPER, 3e20)
    assert by_sparsity[0] == 1.0
    assert (np.diff(by_sparsity) > 0).all()
    assert by_sparsity[-1] < 10  # section 6.1: within ten times at the scales tested
    assert (np.diff(LEVERAGE(32.0, 2 * PAPER, np.array([1e18, 1e20, 1e22]))) > 0).all()
    assert float(LEVERAGE(32.0, 12 * PAPER, 1e20)) > max(
        float(LEVERAGE(32.0, g * PAPER, 1e20)) for g in (2.0, 4.0, 32.0)
    )


def test_leverage_is_held_where_nothing_was_checked_and_would_exceed_all_parameters() -> None:
    free = replace(LEVERAGE, most_flop=np.inf)
    one = law("leverage-2025")
    flop = 6 * 300e9 * 400e12
    held = float(one.total(1.0, 8))
    assert float(free(8, 9.0, flop)) == pytest.approx(7.0, abs=0.05)
    assert held == pytest.approx(5.67, abs=0.01)
    assert float(free(8, 9.0, flop)) > held > float(LEVERAGE(8, 9.0, flop))
    assert float(LEVERAGE(8, 9.0, flop)) == float(LEVERAGE(8, 9.0, 1e22)) == float(free(8, 9.0, 1e22))


def test_the_law_is_its_dense_one_at_more_parameters_and_says_what_it_was_not_fitted_on() -> None:
    one = law("leverage-2025")
    assert isinstance(one, Leveraged)
    dense = law("chinchilla-2024")
    assert float(one.loss(7e9, 1e12)) == float(dense.loss(7e9, 1e12))
    times = float(LEVERAGE(16, 9.0, 1e22))
    assert float(one.loss(7e9, 1e12, 16, 9.0)) == pytest.approx(float(dense.loss(7e9 * times, 1e12)))
    assert one.floor == dense.floor
    assert one.warnings(2e8, 1e10, 8, 9.0) == []
    assert one.warnings(7e9, 1e11) == []  # of a dense model the dense law's own range counts
    (coarse,) = one.warnings(2e8, 1e10, 8, 1.0)
    assert "granularity" in coarse
    (far,) = one.warnings(300e9, 400e12, 8, 9.0)
    assert "training FLOP 7.2e+26" in far
    assert "active parameters 300B" in far


@pytest.mark.parametrize("active", [5e9, 50e9, 500e9])
def test_shaped_mixtures_are_as_fine_as_the_law_is_told(active: float) -> None:
    assert granularity_of(shape("m", active, 8)) == pytest.approx(shaped_granularity(8), rel=0.15)
    assert granularity_of(shape("d", active)) == shaped_granularity(1) == 1.0
    # DeepSeek-V3's experts of 2,048 in 7,168 are a granularity of 7 as the paper counts.
    assert granularity_of(load_catalog().model("deepseek-v3")) / PAPER == pytest.approx(7.0)


def test_a_choice_tells_the_law_how_fine_its_experts_are() -> None:
    running = Running.on(
        load_catalog(), "gb200-nvl72", Economics.market(capital_per_year=0.28, watt_usd_per_year=1.6, joule_usd=2.5e-8),
        Traffic(2048, 512, ttft_s=3.0, tpot_s=0.05, percentile="mean"),
    )  # fmt: skip
    one = law("leverage-2025")
    loss = float(one.loss(70e9, 5e12))

    def costing(active: float, experts: int, tokens: float) -> ModelCosts:
        return ModelCosts(6e-18 * active, 2e-18 * active, 0.4, 64, 8)

    choice = choose(one, Target("loss", loss), running, serve_tokens=1e13, expansions=(1, 8), costing=costing)
    assert choice.experts == 8
    assert float(one.loss(choice.active, choice.tokens, 8, 9.0)) == pytest.approx(loss, abs=1e-6)
    assert Transformer.from_catalog(choice.model).active_parameters == pytest.approx(choice.active, rel=0.2)
    # Fine experts help by the fine-grained law too: it was told of coarse ones.
    old = law("fine-grained-2024")
    assert float(old.loss(1e10, 1e12, 64, shaped_granularity(64))) < float(old.loss(1e10, 1e12, 64))
