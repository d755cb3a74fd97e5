"""The cost and power model of designs: published parts come out right, and nothing is free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.codesign.hardware import PARAMETERS, TECHNOLOGIES, Designs, Estimate, cost, technology
from gigaforge.codesign.hardware.cost import die_yield, dies_per_wafer
from gigaforge.errors import InputError


def chip(tflop: float, gb: float, tb_s: float, nvlink_gb: float, out_gb: float, watts: float, domain: int) -> Designs:
    return Designs.of(
        bf16_flop_s=tflop * 1e12,
        hbm_bytes=gb * 1e9,
        hbm_bandwidth_bytes_s=tb_s * 1e12,
        scale_up_bytes_s=nvlink_gb * 1e9,
        scale_out_bytes_s=out_gb * 1e9,
        power_w=watts,
        nvlink_domain=float(domain),
    )


PUBLISHED = {
    # technology, design, die mm² and dies, board W, bill of materials, price of a share of the system and its network
    "A100": ("n7-hbm2e", chip(312, 80, 2.04, 300, 25, 1e9, 8), 826, 1, 400, None, (220e3 + 33e3) / 8),
    "H100": ("n4-hbm3", chip(989, 80, 3.35, 450, 50, 1e9, 8), 814, 1, 700, 3320, (290e3 + 45e3) / 8),
    "B200": ("n4p-hbm3e", chip(2250, 186, 8, 900, 50, 1e9, 8), 800, 2, 1000, 6400, (400e3 + 60e3) / 8),
    "GB200": ("n4p-hbm3e", chip(2500, 186, 8, 900, 50, 1e9, 72), 800, 2, 1200, None, (3.2e6 + 0.75e6) / 72),
    "Rubin": ("n3-hbm4", chip(4000, 288, 20, 1650, 200, 1e9, 72), 800, 2, 2050, None, (6.8e6 + 1.3e6) / 72),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accelerators_come_out_within_a_fifth(name: str) -> None:
    tech, design, die, dies, watts, bill, price = PUBLISHED[name]
    row = cost(design, technology(tech)).row(0)
    assert row["possible"] or name == "Rubin"
    assert row["dies"] == dies
    assert row["die_mm2"] == pytest.approx(die, rel=0.1)
    assert row["full_power_w"] == pytest.approx(watts, rel=0.12)
    assert row["rack_usd"] == pytest.approx(price, rel=0.2)
    if bill is not None:
        assert row["package_usd"] == pytest.approx(bill, rel=0.12)


ROOM = {
    "bf16_flop_s": st.floats(0.5e15, 2.4e15),
    "hbm_bytes": st.floats(100e9, 250e9),
    "hbm_bandwidth_bytes_s": st.floats(2e12, 8e12),
    "scale_up_bytes_s": st.floats(0.2e12, 1.5e12),
    "scale_out_bytes_s": st.floats(15e9, 150e9),
}


@settings(max_examples=40, deadline=None)
@given(numbers=st.fixed_dictionaries(ROOM), name=st.sampled_from(list(ROOM)), more=st.floats(1.01, 1.3))
def test_more_of_anything_costs_more_and_draws_no_less(numbers: dict[str, float], name: str, more: float) -> None:
    t = technology("n4p-hbm3e")
    base = Designs.of(**numbers, power_w=1e9, nvlink_domain=72.0)
    both = cost(
        Designs.from_table(np.concatenate([base.table(), base.change(**{name: numbers[name] * more}).table()])), t
    )
    assert both.rack_usd[1] > both.rack_usd[0]
    assert both.full_power_w[1] + both.fabric_w[1] >= both.full_power_w[0] + both.fabric_w[0]
    # A second die adds an uncore once; else more units need more silicon.
    assert both.die_mm2[1] * both.dies[1] >= both.die_mm2[0] * both.dies[0] or not both.possible[1]


def test_larger_dies_yield_less_and_fewer() -> None:
    area = np.linspace(50, 850, 30)
    assert (np.diff(dies_per_wafer(area)) < 0).all()
    good = die_yield(area, technology("n4-hbm3"))
    assert (np.diff(good) < 0).all()
    assert (good < 1).all()
    assert (good > 0).all()
    assert dies_per_wafer(np.array([814.0]))[0] == pytest.approx(63, abs=2)


@pytest.mark.parametrize("t", TECHNOLOGIES.values(), ids=lambda t: t.name)
def test_every_figure_has_a_source_and_a_range(t: object) -> None:
    for name, estimate in t.estimates.items():  # type: ignore[attr-defined]
        assert isinstance(estimate, Estimate), name
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.source.startswith(("https://", "assumption: ")), name
        if estimate.source.startswith("assumption:"):
            assert len(estimate.source) > 25, name


def test_a_design_outside_the_models_validity_is_refused_by_name() -> None:
    t = technology("n4-hbm3")
    with pytest.raises(InputError, match=r"HBM bandwidth 20 TB/s is outside the cost model's validity in n4-hbm3"):
        chip(989, 80, 20, 450, 50, 700, 8).check(t)
    with pytest.raises(InputError, match="power limit"):
        chip(989, 80, 3.35, 450, 50, 5000, 8).check(t)
    chip(989, 80, 3.35, 450, 50, 700, 8).check(t)


def test_unknown_technologies_parameters_and_figures_are_named() -> None:
    with pytest.raises(InputError, match="did you mean 'n3-hbm4'"):
        technology("n3hbm4")
    with pytest.raises(InputError, match="missing"):
        Designs.of(bf16_flop_s=1e15)
    with pytest.raises(InputError, match="unknown figure 'wafer'"):
        technology("n3-hbm4").with_estimate("wafer", 1.0, "assumption: none")
    with pytest.raises(InputError, match="neither an address"):
        Estimate(1.0, 1.0, 1.0, "somewhere")
    assert set(PARAMETERS) == set(technology("n3-hbm4").ranges)
