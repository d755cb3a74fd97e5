"""The technologies that designs are costed in, oldest first. docs/hardware-roadmap.md tells how each figure was settled.

Areas: a die's split into multiprocessors, interfaces and the rest is an assumption (NVIDIA publishes none); its sum is the
published die. Energies: interfaces from published pJ/bit, leakage from measured idle power, multiprocessors the rest of
the published board power. Both are checked against shipped parts in tests/codesign/test_hardware_cost.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gigaforge.codesign.hardware.technology import Estimate, Technology
from gigaforge.codesign.hardware.technology import between as e
from gigaforge.errors import InputError, did_you_mean

__all__ = ["TECHNOLOGIES", "technology"]

_WAFERS = "https://www.techpowerup.com/forums/posts/4350609"  # CSET's table: 7 nm $9,346, 5 nm $16,988
_DEFECTS = "https://www.anandtech.com/show/16028/better-yield-on-5nm-than-7nm-tsmc-update-on-defect-rates-for-n5"
_H100_BILL = "https://siliconanalysts.com/tools/cost-bridge"  # H100: die $300, HBM $1.4K, packaging $750, test $920
_H100_BILL_2 = (
    "https://www.szyunze.com/how-profitable-is-nvidia-h100-find-out-in-1-minute"  # wafer $13.4K, HBM $15/GB
)
_B200_BILL = "https://siliconanalysts.com/analysis/nvidia-b200-blackwell-cost-breakdown"
_HBM4_PRICE = "https://news.futunn.com/en/post/64425578/sk-hynix-takes-the-lead-with-hbm4-agreement-reached-with"
_HBM4E = "https://menfem.com/kb/hardware/concepts/hbm4-memory-architecture"
_HBM_ENERGY = (
    "https://docslib.org/doc/11018526/energy-efficient-dram-for-extreme-bandwidth-systems"  # HBM2 3.9 pJ/bit
)
_SERDES = "https://www.besthub.dev/articles/why-nvidia-s-nvlink-c2c-is-redefining-gpu-cpu-interconnects-f3c3b77f8d87"
_N2 = "https://pocketmags.com/us/maximum-pc-magazine/june-2023/articles/1315971/tsmc-to-go-2nm-by-2025"
_N2_PRICE = "https://al-shamoasis.com/if-claims-about-tsmcs-prices-for-its-next-gen-process-node-are-even-only-half-right-then-the-best"
_N3_PRICE = "https://www.taiwannews.com.tw/en/news/4728367"
_GB, _TB_S, _GB_S, _TFLOP_S = 1e9, 1e12, 1e9, 1e12


def _markup(value: float, low: float, high: float, which: str) -> Estimate:
    return e(value, low, high, f"assumption: street price over the bill of materials of {which}; low is a 75 % gross "
             "margin's (https://nvidianews.nvidia.com/news/nvidia-announces-financial-results-for-fourth-quarter-and-fiscal-2025), high the dearest listing")  # fmt: skip


N7_HBM2E: Final = Technology(
    name="n7-hbm2e", label="7 nm, HBM2e, NVLink 3 (A100's)", year=2020,
    precisions={"bf16": 1.0}, kernels=("a100", "ampere"), multiprocessor_flop_s=312e12 / 108,
    wafer_usd=e(9346.0, 8000.0, 10500.0, _WAFERS), defects_per_mm2=e(9e-4, 7e-4, 1.1e-3, _DEFECTS),
    redundant_share=e(0.60, 0.50, 0.70, "assumption: 108 of 128 multiprocessors and 5 of 6 stacks are used, so defects in "
                      "either are switched off"),
    die_mm2_max=858.0, dies_max=1,
    compute_mm2_per_flop_s=e(1.32 / _TFLOP_S, 1.1 / _TFLOP_S, 1.5 / _TFLOP_S,
                             "assumption: half of the 826 mm² die over 312 TFLOP/s"),
    uncore_mm2=e(315.0, 260.0, 350.0, "assumption: what is left of 826 mm²"),
    stack_mm2=e(14.0, 10.0, 18.0, "assumption: edge of a 1,024-bit interface (about 7 mm) times 2 mm"),
    link_mm2_per_byte_s=e(47.0 / _TB_S, 35.0 / _TB_S, 60.0 / _TB_S, _SERDES),  # 169 Gb/s per mm²
    compute_j_per_flop=e(0.63e-12, 0.5e-12, 0.75e-12, "assumption: A100's 400 W less leakage, memory and links"),
    hbm_j_per_byte=e(48e-12, 31e-12, 64e-12, _HBM_ENERGY),  # 6 pJ/bit with the host's interface; the device alone 3.9
    link_j_per_byte=e(44e-12, 40e-12, 60e-12, _SERDES),  # 5.5 pJ/bit
    static_w_per_mm2=e(0.10, 0.06, 0.12, "https://github.com/stas00/ml-engineering/blob/master/compute/accelerator/README.md"),
    watts_per_mm2_max=0.9,
    stack_bytes=(8 * _GB, 16 * _GB), stack_bytes_s=(0.2 * _TB_S, 0.46 * _TB_S), stacks_max=6,
    hbm_usd_per_byte=e(12.0 / _GB, 8.0 / _GB, 16.0 / _GB, "assumption: below HBM3's $15-17/GB; TrendForce gives a step of 20 % "
                       "a generation, https://cloudnews.tech/hbm4-new-ultra-fast-memory-to-be-30-more-expensive-than-hbm3e-according-to-trendforce"),
    stack_package_mm2=110.0, package_usd_per_mm2=e(0.40, 0.30, 0.50, _H100_BILL),
    test_share=e(0.38, 0.25, 0.45, _H100_BILL), markup=_markup(7.0, 4.0, 9.0, "A100 ($15k)"),
    domains=(4, 8, 16),
    host_usd=e(8000.0, 5000.0, 12000.0, "assumption: DGX A100's $220k less eight boards, switches and NICs"),
    scale_up_usd_per_byte_s=e(1.0 / _GB_S, 0.5 / _GB_S, 2.0 / _GB_S,
                              "assumption: a switch chip of $1.5k moves 1.6 TB/s each way"),
    scale_out_usd_per_byte_s=e(110.0 / _GB_S, 70.0 / _GB_S, 180.0 / _GB_S,
                               "assumption: a node's network over its ports, catalogue's network_price"),
    cooling_usd_per_w=e(0.4, 0.2, 0.8, "assumption: supplies at $0.2/W and air cooling"),
    host_w=e(260.0, 180.0, 350.0, "assumption: DGX A100's 6.5 kW less eight boards, by eight"),
    switch_w_per_byte_s=e(65.0 / _TB_S, 50.0 / _TB_S, 100.0 / _TB_S, "assumption: half a link's energy at each switch port, "
                          "and the crossbar"),
    fabric_w_per_byte_s=e(2.2 / _GB_S, 1.2 / _GB_S, 3.2 / _GB_S, "assumption: NIC 25 W and two switch ports with optics at "
                          "15 W for 50 GB/s"),
    scale_up_bytes_s=(0.05 * _TB_S, 0.6 * _TB_S), scale_out_bytes_s=(3 * _GB_S, 50 * _GB_S),
    bf16_flop_s=(50 * _TFLOP_S, 600 * _TFLOP_S), power_w=(150.0, 500.0),
)  # fmt: skip

N4_HBM3: Final = replace(
    N7_HBM2E,
    name="n4-hbm3", label="4N (5 nm class), HBM3, NVLink 4 (H100's)", year=2022,
    precisions={"bf16": 1.0, "fp8": 2.0}, kernels=("h100", "hopper"), multiprocessor_flop_s=989e12 / 132,
    wafer_usd=e(16000.0, 13400.0, 18000.0, _WAFERS), defects_per_mm2=e(1.0e-3, 6e-4, 1.1e-3, _DEFECTS),
    redundant_share=e(0.60, 0.50, 0.70, "assumption: 132 of 144 multiprocessors and 5 of 6 stacks are used"),
    compute_mm2_per_flop_s=e(0.45 / _TFLOP_S, 0.38 / _TFLOP_S, 0.52 / _TFLOP_S,
                             "assumption: 55 % of the 814 mm² die over 989 TFLOP/s"),
    uncore_mm2=e(261.0, 220.0, 300.0, "assumption: what is left of 814 mm²"),
    compute_j_per_flop=e(0.45e-12, 0.38e-12, 0.52e-12, "assumption: H100's 700 W less leakage, memory and links; A100's "
                         "times the 0.70 that TSMC gives N5 over N7 is 0.44"),
    hbm_j_per_byte=e(40e-12, 31e-12, 60e-12, _HBM_ENERGY), watts_per_mm2_max=1.0,
    stack_bytes=(16 * _GB, 24 * _GB), stack_bytes_s=(0.4 * _TB_S, 0.819 * _TB_S), stacks_max=6,
    hbm_usd_per_byte=e(16.0 / _GB, 12.0 / _GB, 18.0 / _GB, _H100_BILL_2), stack_package_mm2=121.0,
    markup=_markup(8.4, 4.0, 9.0, "H100 ($28k)"), domains=(4, 8, 16),
    host_w=e(440.0, 250.0, 580.0, "assumption: DGX H100's 10.2 kW less eight boards, by eight, less switches"),
    scale_up_bytes_s=(0.05 * _TB_S, 0.9 * _TB_S), scale_out_bytes_s=(6 * _GB_S, 100 * _GB_S),
    bf16_flop_s=(150 * _TFLOP_S, 1600 * _TFLOP_S), power_w=(250.0, 850.0),
)  # fmt: skip

N5_FORESEEN: Final = replace(
    N4_HBM3,
    name="n5-foreseen-2020", label="5 nm class and HBM3 as 2020 could foresee them", year=2022,
    precisions={"bf16": 1.0}, kernels=("a100", "ampere"), multiprocessor_flop_s=2 * 312e12 / 108,
    wafer_usd=e(16988.0, 13400.0, 17500.0, _WAFERS), defects_per_mm2=e(1.0e-3, 6e-4, 1.1e-3, _DEFECTS),
    compute_mm2_per_flop_s=e(0.64 / _TFLOP_S, 0.37 / _TFLOP_S, 0.73 / _TFLOP_S,
                             "assumption: A100's 1.32 mm² per TFLOP/s over TSMC's 1.8 x logic density and 1.15 x speed of N5; "
                             "low if tensor units double inside a multiprocessor once more, as from V100 to A100"),
    uncore_mm2=e(210.0, 175.0, 260.0, "assumption: A100's 315 mm² over N5's mixed logic and SRAM density, 1.5 x"),
    compute_j_per_flop=e(0.44e-12, 0.36e-12, 0.48e-12, "https://www.anandtech.com/show/16028/better-yield-on-5nm-than-7nm-tsmc-update-on-defect-rates-for-n5"),
    hbm_usd_per_byte=e(14.0 / _GB, 10.0 / _GB, 18.0 / _GB, "assumption: HBM2e's $12/GB and a new generation's 20 %"),
    markup=_markup(7.0, 4.0, 9.0, "A100"), power_w=(250.0, 700.0),
)  # fmt: skip

N4P_HBM3E: Final = replace(
    N4_HBM3,
    name="n4p-hbm3e", label="4NP, two dies, HBM3e, NVLink 5 (Blackwell's)", year=2024,
    precisions={"bf16": 1.0, "fp8": 2.0, "fp4": 4.0}, kernels=("gb200", "blackwell"), multiprocessor_flop_s=2500e12 / 152,
    wafer_usd=e(17000.0, 15000.0, 20000.0, _B200_BILL), dies_max=2,
    compute_mm2_per_flop_s=e(0.43 / _TFLOP_S, 0.36 / _TFLOP_S, 0.50 / _TFLOP_S,
                             "assumption: 60 % of two 800 mm² dies over 2,250 TFLOP/s"),
    uncore_mm2=e(243.0, 200.0, 280.0, "assumption: what is left of each 800 mm²"),
    link_mm2_per_byte_s=e(30.0 / _TB_S, 20.0 / _TB_S, 47.0 / _TB_S, _SERDES),
    compute_j_per_flop=e(0.25e-12, 0.20e-12, 0.30e-12, "assumption: 1,000 W (B200) to 1,400 W (GB300) less the rest"),
    hbm_j_per_byte=e(36e-12, 30e-12, 60e-12, _HBM_ENERGY), watts_per_mm2_max=1.0,
    stack_bytes=(22.5 * _GB, 36 * _GB), stack_bytes_s=(0.5 * _TB_S, 1.2 * _TB_S), stacks_max=8,
    hbm_usd_per_byte=e(15.0 / _GB, 10.3 / _GB, 18.0 / _GB, _B200_BILL),
    package_usd_per_mm2=e(0.38, 0.30, 0.50, _B200_BILL), markup=_markup(6.3, 4.0, 7.5, "B200 ($40k)"),
    domains=(8, 16, 32, 72),
    host_usd=e(6000.0, 4000.0, 9000.0, "assumption: GB200 NVL72's $3.2M less 72 packages and switches"),
    scale_up_usd_per_byte_s=e(2.8 / _GB_S, 1.5 / _GB_S, 4.0 / _GB_S,
                              "assumption: nine switch trays of $20k and the cable cartridge for 72 x 0.9 TB/s"),
    cooling_usd_per_w=e(0.42, 0.3, 0.8, "https://epium.com/news/nvidia-gb300-blackwell-ultra-nvl72-liquid-cooling-costs-nearly-usd-50000"),
    host_w=e(280.0, 200.0, 400.0, "assumption: GB200 NVL72's 120-132 kW less 72 x 1.2 kW and switches"),
    scale_up_bytes_s=(0.1 * _TB_S, 1.8 * _TB_S), scale_out_bytes_s=(12 * _GB_S, 200 * _GB_S),
    bf16_flop_s=(400 * _TFLOP_S, 4000 * _TFLOP_S), power_w=(400.0, 1600.0),
)  # fmt: skip

N3_HBM4: Final = replace(
    N4P_HBM3E,
    name="n3-hbm4", label="N3, two dies, HBM4, NVLink 6 (Rubin's)", year=2026,
    precisions={"bf16": 1.0, "fp8": 4.375, "fp4": 8.75}, kernels=("gb300", "blackwell ultra"), multiprocessor_flop_s=4000e12 / 224,
    wafer_usd=e(20000.0, 18000.0, 22000.0, _N3_PRICE), defects_per_mm2=e(1.0e-3, 7e-4, 1.5e-3, _DEFECTS),
    compute_mm2_per_flop_s=e(0.24 / _TFLOP_S, 0.20 / _TFLOP_S, 0.30 / _TFLOP_S,
                             "assumption: 60 % of two 800 mm² dies over 4,000 TFLOP/s"),
    compute_j_per_flop=e(0.27e-12, 0.20e-12, 0.34e-12, "assumption: 1,800-2,300 W less the rest"),
    hbm_j_per_byte=e(32e-12, 24e-12, 48e-12, _HBM_ENERGY), watts_per_mm2_max=1.5,
    stack_bytes=(34 * _GB, 48 * _GB), stack_bytes_s=(1.0 * _TB_S, 2.75 * _TB_S), stacks_max=8,
    hbm_usd_per_byte=e(15.6 / _GB, 12.0 / _GB, 24.0 / _GB, _HBM4_PRICE),  # $560 for 36 GB
    package_usd_per_mm2=e(0.40, 0.30, 0.60, _B200_BILL), markup=_markup(5.0, 4.0, 7.0, "Rubin ($55k)"),
    domains=(8, 16, 32, 72, 144), host_w=e(350.0, 250.0, 500.0, "assumption: 230 kW less 72 x 2.3 kW and switches"),
    host_usd=e(20000.0, 10000.0, 30000.0, "https://faq.com.tw/en/hardware/2026-06-25-nvidia-vera-rubin-nvl72-78m-rack-memory-cost-en/"),
    scale_up_bytes_s=(0.2 * _TB_S, 3.6 * _TB_S), scale_out_bytes_s=(25 * _GB_S, 400 * _GB_S),
    bf16_flop_s=(800 * _TFLOP_S, 8000 * _TFLOP_S), power_w=(600.0, 2500.0),
)  # fmt: skip

N2_HBM4E: Final = replace(
    N3_HBM4,
    name="n2-hbm4e", label="N2, four dies, HBM4E, NVLink 7 (2028, announced limits)", year=2028,
    wafer_usd=e(30000.0, 24000.0, 30000.0, _N2_PRICE), defects_per_mm2=e(1.0e-3, 7e-4, 1.8e-3, _DEFECTS), dies_max=4,
    compute_mm2_per_flop_s=e(0.19 / _TFLOP_S, 0.16 / _TFLOP_S, 0.26 / _TFLOP_S, _N2),  # 1.15 x denser, 10-15 % faster
    compute_j_per_flop=e(0.20e-12, 0.15e-12, 0.26e-12, _N2),  # 25-30 % less power than N3
    hbm_j_per_byte=e(24e-12, 18e-12, 40e-12, _HBM4E), watts_per_mm2_max=1.6,
    stack_bytes=(45 * _GB, 64 * _GB), stack_bytes_s=(1.5 * _TB_S, 3.25 * _TB_S), stacks_max=16,
    hbm_usd_per_byte=e(18.0 / _GB, 12.0 / _GB, 30.0 / _GB, "assumption: HBM4's and a generation's 20-50 %"),
    scale_up_bytes_s=(0.4 * _TB_S, 7.2 * _TB_S), scale_out_bytes_s=(50 * _GB_S, 400 * _GB_S),
    domains=(8, 16, 32, 72, 144), bf16_flop_s=(1500 * _TFLOP_S, 16000 * _TFLOP_S), power_w=(1000.0, 4500.0),
)  # fmt: skip

TECHNOLOGIES: Final = {t.name: t for t in (N7_HBM2E, N5_FORESEEN, N4_HBM3, N4P_HBM3E, N3_HBM4, N2_HBM4E)}
"""By name, oldest first."""


def technology(name: str) -> Technology:
    """Look one up; `InputError` names the nearest known one."""
    try:
        return TECHNOLOGIES[name]
    except KeyError:
        hint = did_you_mean(name, TECHNOLOGIES)
        raise InputError(
            f"unknown technology {name!r}{hint} (known: {', '.join(TECHNOLOGIES)})", "technology"
        ) from None
