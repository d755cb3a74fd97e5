"""`gigaforge init`: a commented scenario to start from."""

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
    path: Annotated[Path, typer.Argument(help="File to write")] = Path("scenario.yaml"),
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of scenario files instead of writing one.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented scenario that can be planned as it stands.

    Example: gigaforge init my.yaml && gigaforge plan my.yaml
    """
    if schema:
        from gigaforge.scenario import scenario_json_schema

        typer.echo(scenario_json_schema())
        return
    from gigaforge.scenario.template import scenario_template

    if path.exists() and not force:
        raise InputError("exists already; choose another name or add --force", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scenario_template(), encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(path)) from None
    typer.echo(f"wrote {path}; next: gigaforge plan {path}")
