"""The errors a user sees: each says where, what, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["GigaforgeError", "InputError", "NoAnswerError", "StoppedError", "did_you_mean"]

_LONGEST = 3000  # characters of a message: what a stranger sent is quoted, not repeated in full


class GigaforgeError(Exception):
    """Any failure that Gigaforge explains itself; the command line prints it without a traceback."""

    exit_code = 1


class InputError(GigaforgeError, ValueError):
    """What the user gave is wrong (exit 2): name the file, the field, the value and the remedy.

    Parameters
    ----------
    problem : str
        What is wrong, with the offending value, and what would be right.
    where : str
        File and field, e.g. ``"alliance.yaml: sites.abilene.power"``.

    """

    exit_code = 2

    def __init__(self, problem: str, where: str = "") -> None:
        problem = problem if len(problem) <= _LONGEST else f"{problem[: _LONGEST - 300]} ... {problem[-200:]}"
        where = where[:300]
        self.problem = problem
        self.where = where
        super().__init__(f"{where}: {problem}" if where else problem)


class NoAnswerError(GigaforgeError):
    """The question is well put but has no answer (exit 1): infeasible, and why.

    Parameters
    ----------
    problem : str
        One sentence.
    reasons : list of str
        Statements, in the user's own words, that cannot hold together.

    """

    exit_code = 1

    def __init__(self, problem: str, reasons: list[str] | None = None) -> None:
        self.problem = problem
        self.reasons = reasons or []
        super().__init__("\n  - ".join([problem, *self.reasons]))


class StoppedError(GigaforgeError):
    """Whoever asked stopped it (Ctrl-C, exit 130): what is kept, and how to go on."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str], count: int = 1) -> str:
    """``"; did you mean 'near'?"`` with the nearest known words, to follow what was wrong; nothing where none is near."""
    near = difflib.get_close_matches(word, list(known), count, 0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
