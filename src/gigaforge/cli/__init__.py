"""The command line: thin verbs over the Python API."""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import cache
from typing import Final

import typer

from gigaforge.errors import GigaforgeError, NoAnswerError, StoppedError

__all__ = ["app", "main"]

# Each module registers its own commands; they import what is heavy only when they run.
_VERBS: Final = (
    "plan", "compare", "diff", "risk", "codesign", "init", "catalog", "train", "infer", "validate", "calibrate", "simulate",
    "ledger", "web",
)  # fmt: skip

app = typer.Typer(
    name="gigaforge",
    help="From a power commitment and a roadmap to tokens, dollars and milestones.\n\n"
    "Start with: gigaforge init my.yaml; gigaforge plan my.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"gigaforge {version('gigaforge')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    del version


@cache  # whoever runs several commands in one process has each of them once
def _register_all() -> None:
    for verb in _VERBS:
        importlib.import_module(f"gigaforge.cli.{verb}").register(app)


def main() -> None:
    """Run the command line; every known failure ends in one clear message and its exit code."""
    _register_all()
    try:
        app(standalone_mode=True)
    except StoppedError as end:
        _leave(str(end))
    except GigaforgeError as problem:
        _complain(problem)
        sys.exit(problem.exit_code)
    except SystemExit as end:
        if end.code == 130:  # Typer's word for Ctrl-C; say what happened and leave a solver's threads behind
            _leave("interrupted; nothing was written")
        raise
    except KeyboardInterrupt:
        _leave("interrupted; nothing was written")
    except BrokenPipeError:  # the reader (head, less) went away
        sys.stderr.close()
        sys.exit(0)
    except Exception as bug:
        if os.environ.get("GIGAFORGE_DEBUG"):
            raise
        notes = "".join(f"{note}\n" for note in getattr(bug, "__notes__", ()))
        sys.stderr.write(
            f"internal error: {type(bug).__name__}: {bug}\n{notes}Please report it; GIGAFORGE_DEBUG=1 shows where.\n"
        )
        sys.exit(70)


def _leave(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    os._exit(130)  # a solver thread may still be running


def _complain(problem: GigaforgeError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("error: ", style="bold red"), Text(str(problem)), sep="")
    if "--json" in sys.argv:
        reasons = problem.reasons if isinstance(problem, NoAnswerError) else []
        sys.stdout.write(
            json.dumps({"error": str(problem), "exit_code": problem.exit_code, "reasons": reasons}) + "\n"
        )
