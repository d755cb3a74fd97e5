"""The machine of a measured row: chip and network by their printed names, precision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gigaforge.errors import InputError
from gigaforge.perf.hardware import precision_family
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.validation.row_cells import UnpredictableError, number, table, text

__all__ = ["chip_of", "machine_of", "precision_of"]

_ELEMENT: Final = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}
_PRECISIONS: Final = {"fp16": "bf16", "bfloat16": "bf16", "int8": "fp8", "fp4": "nvfp4", "mxfp4": "nvfp4"}


def precision_of(row: Mapping[str, Any], habit: Mapping[str, Any], assumed: list[str]) -> str:
    """Precision of the matrix multiplications."""
    printed = text(row, "precision").lower()
    if not printed:
        precision = str(habit.get("precision", "bf16"))
        assumed.append(f"precision {precision}")
        return precision
    precision = _PRECISIONS.get(printed, printed)
    try:
        precision_family(precision)
    except InputError:
        raise UnpredictableError(f"precision is {printed!r}, which is not known") from None
    return precision


def chip_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Data sheet of the row's accelerator."""
    name = text(row, "gpu")
    for entry in table("measured_hardware")["chips"]:
        if re.search(entry["match"], name, re.IGNORECASE):
            return dict(entry)
    raise UnpredictableError(f"gpu is {name!r}, whose data sheet is not known")


def machine_of(row: Mapping[str, Any], chip: Mapping[str, Any], precision: str, gpus: float) -> Machine:
    """The chip on its source's network."""
    family = precision_family(precision)
    if family not in chip["tflops"]:
        raise UnpredictableError(f"precision {precision} on {text(row, 'gpu')}, which has no {family} arithmetic")
    out = chip["scale_out_gb_s"]
    for network in table("measured_hardware")["networks"]:
        fits = re.search(network["match"], text(row, "source")) and re.search(
            network.get("gpu", ""), text(row, "gpu")
        )
        if fits and re.search(network.get("note", ""), text(row, "notes")):
            out = network["scale_out_gb_s"]
            break
    domain = number(row, "gpus_per_node_or_nvl_domain", chip.get("domain", 8.0))
    domain = chip["domain"] if chip["chip"].startswith("tpu") else domain
    return Machine(
        peak_flop_s=chip["tflops"][family] * 1e12,
        peak_bf16_flop_s=chip["tflops"]["bf16"] * 1e12,
        element_bytes=_ELEMENT[family],
        hbm_bytes=chip["hbm_gb"] * 1e9 if chip["hbm_gb"] > 100 else chip["hbm_gb"] * 2**30,
        hbm_bytes_s=chip["hbm_tb_s"] * 1e12,
        scale_up_bytes_s=chip["scale_up_gb_s"] * 1e9,
        scale_out_bytes_s=out * 1e9,
        domain=min(domain, max(gpus, 1.0)),
        multiprocessors=float(chip["multiprocessors"]),
        power_limit_w=float(chip["power_w"]),
        idle_w=0.12 * chip["power_w"],
        overhead_w=0.6 * chip["power_w"],
    )
