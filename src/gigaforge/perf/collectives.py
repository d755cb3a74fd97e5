"""Time of collectives over a hierarchy: NVLink domain, rails and fat tree, links between sites.

Bandwidths are one direction, per accelerator, in bytes per second *after* the fabric's efficiency; a group of `size`
ranks has `local` of them in one domain (``local`` divides ``size``), each with its own network port. Bytes are those
of the whole tensor that a rank holds after an all-gather (before a reduce-scatter).

References
----------
.. [1] NCCL tests, performance notes: bus bandwidth factors, (n-1)/n and 2(n-1)/n,
   https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gigaforge.perf.arrays import Array

__all__ = [
    "Fabric", "all_gather_s", "all_reduce_s", "all_to_all_s", "exchange_s", "local_members", "point_to_point_s",
]  # fmt: skip


@dataclass(frozen=True)
class Fabric:
    """What the ranks of a group are connected by.

    Parameters
    ----------
    domain : Array
        Accelerators that share one scale-up network. [count]
    scale_up_bytes_s, scale_out_bytes_s : Array
        One direction, per accelerator, as achieved. [B/s]
    scale_up_latency_s, scale_out_latency_s : Array
        Start of a collective, and one more hop of a ring or tree. [s]
    oversubscription : Array
        Of the fat tree beyond `pod` accelerators (1: full bisection). [unitless]
    pod : Array
        Accelerators below one non-blocking part of the fat tree. [count]
    site_bytes_s, site_accelerators, site_latency_s : Array
        Between sites: per accelerator, accelerators of one site, one way. [B/s], [count], [s]

    """

    domain: Array
    scale_up_bytes_s: Array
    scale_out_bytes_s: Array
    scale_up_latency_s: Array = 5e-6
    scale_out_latency_s: Array = 12e-6
    oversubscription: Array = 1.0
    pod: Array = np.inf
    site_bytes_s: Array = np.inf
    site_accelerators: Array = np.inf
    site_latency_s: Array = 0.0


def local_members(size: Array, stride: Array, domain: Array) -> Any:
    """Ranks of one group that lie in the same domain, when neighbours in it are `stride` accelerators apart."""
    fits = np.floor(np.asarray(domain, dtype=float) / np.asarray(stride, dtype=float))
    return np.clip(fits, 1.0, size)


def _outside_bytes_s(fabric: Fabric, span: Any) -> Any:
    """Port bandwidth of a group that spans so many accelerators."""
    port = np.asarray(fabric.scale_out_bytes_s, dtype=float)
    port = np.where(np.asarray(span) > fabric.pod, port / fabric.oversubscription, port)
    return np.where(np.asarray(span) > fabric.site_accelerators, np.minimum(port, fabric.site_bytes_s), port)


def _latency_s(fabric: Fabric, size: Any, local: Any, span: Any) -> Any:
    """Rings inside the domain, trees outside: one hop per member, one per doubling."""
    domains = np.maximum(size / np.maximum(local, 1.0), 1.0)
    inside = fabric.scale_up_latency_s * np.where(local > 1, 1.0 + 0.25 * (local - 1), 0.0)
    outside = fabric.scale_out_latency_s * np.where(domains > 1, 1.0 + np.log2(domains), 0.0)
    far = np.where(np.asarray(span) > fabric.site_accelerators, fabric.site_latency_s, 0.0)
    return inside + outside + far


def all_gather_s(size: Array, local: Array, data_bytes: Array, fabric: Fabric, span: Array | None = None) -> Any:
    """All-gather or reduce-scatter of `data_bytes` in all. [s]

    Rings pipelined over the hierarchy: the slower of the scale-up part and the scale-out part, plus latency. All local
    members' ports carry the rings, and every edge of a ring, those between domains too, passes all but one of the n
    pieces [1]_: twice what two domains would need to exchange, nearly the same for many. A group of one costs nothing. `span` (default `size`) is how many accelerators lie between
    the first and last member, which decides whether it leaves the pod or the site.
    """
    n, m, s = (np.asarray(x, dtype=float) for x in (size, local, data_bytes))
    reach = n if span is None else np.asarray(span, dtype=float)
    domains = np.maximum(n / m, 1.0)
    inside = s * (m - 1.0) / m / fabric.scale_up_bytes_s
    outside = np.where(domains > 1, s * (n - 1.0) / n / (m * _outside_bytes_s(fabric, reach)), 0.0)
    return np.where((n > 1) & (s > 0), np.maximum(inside, outside) + _latency_s(fabric, n, m, reach), 0.0)


def all_reduce_s(size: Array, local: Array, data_bytes: Array, fabric: Fabric, span: Array | None = None) -> Any:
    """All-reduce of a tensor of `data_bytes`: reduce-scatter, then all-gather. [s]"""
    return 2.0 * all_gather_s(size, local, data_bytes, fabric, span)


def all_to_all_s(size: Array, local: Array, send_bytes: Array, fabric: Fabric, span: Array | None = None) -> Any:
    """Every rank sends `send_bytes` in all, evenly to the `size` ranks (itself included). [s]

    Bytes to the same domain pass the scale-up network, all others this rank's own port; both at once.
    """
    n, m, s = (np.asarray(x, dtype=float) for x in (size, local, send_bytes))
    return exchange_s(n, m, s * (m - 1.0) / n, s * (n - m) / n, fabric, span)


def exchange_s(
    size: Array, local: Array, inside_bytes: Array, outside_bytes: Array, fabric: Fabric, span: Array | None = None
) -> Any:
    """Every rank sends so much within its domain and so much beyond it, both at once. [s]"""
    n, m, near, far = (np.asarray(x, dtype=float) for x in (size, local, inside_bytes, outside_bytes))
    reach = n if span is None else np.asarray(span, dtype=float)
    seconds = np.maximum(near / fabric.scale_up_bytes_s, far / _outside_bytes_s(fabric, reach))
    return np.where((n > 1) & (near + far > 0), seconds + _latency_s(fabric, n, m, reach), 0.0)


def point_to_point_s(data_bytes: Array, inside: Array, fabric: Fabric) -> Any:
    """Send to a neighbour, in the same domain (`inside` 1) or another (0); a fraction mixes both. [s]"""
    near = np.asarray(data_bytes) / fabric.scale_up_bytes_s + fabric.scale_up_latency_s
    far = np.asarray(data_bytes) / np.asarray(fabric.scale_out_bytes_s) + fabric.scale_out_latency_s
    return np.where(np.asarray(data_bytes) > 0, np.asarray(inside) * near + (1.0 - np.asarray(inside)) * far, 0.0)
