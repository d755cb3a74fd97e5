"""Power caps: the levels that a planner may set, what a site holds for a rack under one, and the room that bursts need.

A cap is kept by firmware, so a site may count on it; deployed power stays the nameplate accepted, whatever cap is set later.

References
----------
.. [1] POLCA: Power Oversubscription in LLM Cloud Providers, https://arxiv.org/abs/2308.12908: inference clusters draw well
   below what is provisioned for them, and run 30 % more servers under one power budget with frequency capping.
.. [2] Power and frequency caps of data-centre GPUs are set at run time: https://docs.nvidia.com/deploy/nvidia-smi/index.html
   (``--power-limit``).

"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog import Accelerator, System
from gigaforge.codesign.point import rack_power_w
from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.power import least_cap_w

__all__ = ["BURST_ROOM", "cap_levels", "capped_hardware", "held_w"]

BURST_ROOM: Final = 0.10
"""How far a cap of a serving point stands above the point's mean draw (assumption: accelerators of a pool alternate between
prefill and decode within a second, and rows of a rack average it further; POLCA [1]_ finds inference peaks within 10 % of
the mean at the row)."""


def cap_levels(hardware: Hardware, top_w: float | None = None, count: int = 8) -> NDArray[np.float64]:
    """Caps per accelerator from the lowest that can be kept to the configuration's own limit, evenly. [W]

    Parameters
    ----------
    hardware : Hardware
        The machine at its chip's full limit.
    top_w : float, optional
        Limit of this configuration; default the hardware's.
    count : int
        How many.

    Raises
    ------
    InputError
        Fewer than one level, or a limit below the lowest cap that can be kept.

    """
    top = float(hardware.power_limit_w) if top_w is None else top_w
    least = float(least_cap_w(hardware))
    if count < 1:
        raise InputError(f"{count} power caps; at least one is needed", "caps")
    if top < least * (1 - 1e-9):
        raise InputError(
            f"{hardware.name}: a limit of {top:,.0f} W is below {least:,.0f} W, the lowest cap that its slowest clock keeps",
            "caps",
        )
    return np.linspace(top, min(least, top), count)[::-1] if count > 1 else np.array([top])


def capped_hardware(system: System, chip: Accelerator) -> tuple[Hardware, float | None]:
    """A catalogue system as the performance model sees it, and the cap of a configuration below its chip's limit. [W]

    Such a configuration (Max-Q) runs at a slower clock: its peaks hold at the full limit.
    """
    hardware = Hardware.from_catalog(system, chip)
    if not (system.accelerator_power and chip.power and system.accelerator_power.value < chip.power.value):
        return hardware, None
    cap_w = system.accelerator_power.value
    spared = system.accelerators * (chip.power.value - cap_w)
    full = replace(hardware, power_limit_w=chip.power.value, system_power_w=hardware.system_power_w + spared)
    return full, cap_w


def held_w(hardware: Hardware, cap_w: float) -> float:
    """IT power that a site holds for one system whose accelerators are capped: all else at its nameplate. [W]"""
    return rack_power_w(hardware, cap_w)
