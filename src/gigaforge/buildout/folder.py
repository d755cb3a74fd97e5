"""The plan folder: `plan.json` and tidy Parquet tables, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gigaforge.errors import InputError

if TYPE_CHECKING:  # a page that reads a plan needs nothing that makes one
    from gigaforge.buildout.plan import Plan

__all__ = ["check_destination", "read_plan_folder", "write_plan_folder"]


def write_plan_folder(
    plan: Plan, folder: Path | str, extras: dict[str, Callable[[Path], object]] | None = None
) -> Path:
    """Write a plan beside its destination, then move it there in one step.

    Parameters
    ----------
    plan : Plan
        What to write.
    folder : path
        Replaced where it already holds a plan; anything else there is an error.
    extras : dict
        File name to a function that writes it, e.g. the report. One that fails costs its own file alone: the plan, minutes
        of search, is in place before the failure is raised.

    Raises
    ------
    InputError
        The destination is a file, or a folder that is not a plan, or cannot be written.

    """
    target = Path(folder)
    check_destination(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", str(target)) from None
    try:
        work.chmod(0o755)
        for name, table in plan.tables.items():
            table.to_parquet(work / f"{name}.parquet", index=False)
        (work / "plan.json").write_text(json.dumps(plan.summary, indent=1) + "\n", encoding="utf-8")
        failures = [f for f in (_failure(write, work / name) for name, write in (extras or {}).items()) if f]
        _replace(target, work)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for failure in failures:
        failure.add_note(f"The plan is kept in {target}, without what failed.")
        raise failure
    return target


def _failure(write: Callable[[Path], object], path: Path) -> Exception | None:
    """What goes wrong in writing a file, of which nothing is then left."""
    try:
        write(path)
    except Exception as failure:  # noqa: BLE001 (raised again once the plan is in place)
        path.unlink(missing_ok=True)
        return failure
    return None


def check_destination(target: Path) -> None:
    """Refuse a destination that holds anything but a plan, before the work is done."""
    if target.exists() and not (target.is_dir() and (_is_plan(target) or not any(target.iterdir()))):
        raise InputError("exists and is not a plan folder; choose another place with --out", str(target))
    parent = next(p for p in target.absolute().parents if p.exists())
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".gigaforge-"):
            pass  # rights alone do not tell: some file systems take no files from anyone
    except OSError:
        raise InputError("cannot be written there; choose another place with --out", str(target)) from None


def _is_plan(folder: Path) -> bool:
    return (folder / "plan.json").is_file()


def _replace(target: Path, work: Path) -> None:
    """Move the new folder into place; the old one goes only once the new one stands."""
    if not target.exists():
        work.rename(target)
        return
    old = work.with_name(work.name + "-old")
    target.rename(old)
    try:
        os.replace(work, target)  # noqa: PTH105 (atomic on one file system)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_plan_folder(folder: Path | str) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Read the summary and the tables of a plan folder; `InputError` where it is none."""
    path = Path(folder)
    if not path.is_dir() or not _is_plan(path):
        raise InputError("is not a plan folder (no plan.json in it); `gigaforge plan ... --out` makes one", str(path))
    try:
        summary = json.loads((path / "plan.json").read_text(encoding="utf-8"))
        tables = {file.stem: pd.read_parquet(file) for file in sorted(path.glob("*.parquet"))}
    except (OSError, ValueError) as problem:
        raise InputError(f"cannot be read: {problem}", str(path)) from None
    return summary, tables
