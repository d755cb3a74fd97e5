"""Results kept on disk as they come: an interrupted study goes on where it stopped."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from gigaforge.buildout.risk.policy import Outcome
from gigaforge.errors import InputError

__all__ = ["Journal"]


class Journal:
    """One line a finished sample, under a first line that says what was asked.

    Parameters
    ----------
    path : path
        ``samples.jsonl``; made with its folder where missing. None keeps nothing.
    key : str
        Hash of all that decides a sample. A file of another question is begun anew.

    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[int, Outcome] = {}
        self.relaxed: dict[str, dict[int, Outcome]] = {"racks": {}, "runs": {}}
        self._file: IO[str] | None = None
        if path is None:
            return
        self._load(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a" if self.done else "w", encoding="utf-8")
        except OSError as problem:
            raise InputError(f"cannot be written: {problem.strerror}", str(path)) from None
        if not self.done:
            self._write({"key": key})

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError:
            return
        if not lines or _parsed(lines[0]).get("key") != self.key:
            return
        whole = len(lines[0]) + 1
        for line in lines[1:-1]:  # what follows the last line end was cut short
            row = _parsed(line)
            if "index" not in row:
                break
            index, without = row.pop("index"), row.pop("without", None)
            kept = self.done if without is None else self.relaxed[without]
            kept[index] = Outcome(**row)
            whole += len(line) + 1
        if self.done:
            os.truncate(path, whole)

    def add(self, index: int, outcome: Outcome, without: str | None = None) -> None:
        """Keep one result; it is on disk when this returns.

        `without` marks one of the few that are lived through again "racks" or "runs" unrepaired.
        """
        (self.done if without is None else self.relaxed[without])[index] = outcome
        mark = {} if without is None else {"without": without}
        self._write({"index": index, **mark, **asdict(outcome)})

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
