"""`gigaforge init`: a commented scenario, or fleet, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gigaforge.errors import InputError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    path: Annotated[
        Path | None, typer.Argument(help="File to write; default scenario.yaml, or fleet.yaml with --fleet")
    ] = None,
    fleet: Annotated[bool, typer.Option("--fleet", help="A fleet for gigaforge simulate instead.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of such files instead of writing one.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented scenario that can be planned as it stands, or a fleet that can be simulated.

    Example: gigaforge init my.yaml && gigaforge plan my.yaml

    Example: gigaforge init --fleet mine.yaml && gigaforge simulate mine.yaml
    """
    if schema:
        typer.echo(_schema(fleet))
        return
    path = path or Path("fleet.yaml" if fleet else "scenario.yaml")
    if path.exists() and not force:
        raise InputError("exists already; choose another name or add --force", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_template(fleet), encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(path)) from None
    typer.echo(f"wrote {path}; next: gigaforge {'simulate' if fleet else 'plan'} {path}")


def _schema(fleet: bool) -> str:
    from gigaforge.operations.spec import fleet_json_schema
    from gigaforge.scenario import scenario_json_schema

    return fleet_json_schema() if fleet else scenario_json_schema()


def _template(fleet: bool) -> str:
    from gigaforge.operations.traces import sample_path
    from gigaforge.scenario.template import scenario_template

    return sample_path("fleet.yaml").read_text(encoding="utf-8") if fleet else scenario_template()
