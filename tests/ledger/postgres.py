"""A PostgreSQL cluster of our own, in a folder of its own, as a user without rights: for the tests and benchmarks."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

_names = itertools.count()


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    beside = shutil.which("initdb")
    assert beside, "PostgreSQL is not installed; `make postgres` installs Debian's package"
    return Path(beside).parent


class Cluster:
    """Started on creation, stopped and removed by `stop`; listens on a socket in its own folder only."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gfpg", dir="/tmp"))
        self._programs = _programs()
        # PostgreSQL refuses to run as root.
        self._user = (
            {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )
        if self._user:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "gigaforge", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        with (self.folder / "log").open("ab") if not self._user else open(os.devnull, "wb") as out:
            subprocess.run(command, check=True, cwd=self.folder, stdout=out, stderr=out, **self._user)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=200"
        self._run("pg_ctl", "-D", "data", "-o", options, "-l", str(self.folder / "server.log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """A fresh, empty database."""
        name = f"ledger{next(_names)}"
        self._run("createdb", "-h", str(self.folder), "-U", "gigaforge", name)
        return f"postgresql://gigaforge@/{name}?host={self.folder}"
