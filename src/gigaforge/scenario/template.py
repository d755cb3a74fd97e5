"""The scenario that `gigaforge init` writes: small, commented, and one that can be planned as it stands."""

from __future__ import annotations

from pathlib import Path

__all__ = ["scenario_template"]


def scenario_template() -> str:
    """Text of a commented scenario file."""
    return (Path(__file__).parent / "template.yaml").read_text(encoding="utf-8")
