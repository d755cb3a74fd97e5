"""A PostgreSQL cluster of our own, in a folder of its own, as a user without rights: for the tests and benchmarks."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from gigaforge.ledger.storage import migrate, open_engine

_names = itertools.count()


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    beside = shutil.which("initdb")
    assert beside, "PostgreSQL is not installed; `make postgres` installs Debian's package"
    return Path(beside).parent


class Cluster:
    """Started on creation, stopped and removed by `remove`; listens on a socket in its own folder only.

    `durable=False` does not wait for the disk: for tests that do not pull the plug.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gfpg"))
        self._programs = _programs()
        self._durable = durable
        self._template = ""
        # PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        self._user = {"user": "nobody", "group": nobody.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._user:
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "gigaforge", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self._user)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=200"
        options += "" if self._durable else " -c fsync=off -c full_page_writes=off"
        self._run("pg_ctl", "-D", "data", "-o", options, "-l", str(self.folder / "server.log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """Pull the plug: every process of the server, at once."""
        main = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(
            ["pgrep", "-P", str(main)], capture_output=True, text=True, check=False
        ).stdout.split()
        for process in [main, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while Path(f"/proc/{main}").exists():
            time.sleep(0.005)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgresql://gigaforge@/{name}?host={self.folder}"

    def database(self, *, empty: bool = False) -> str:
        """A fresh database, with the ledger's tables unless it is to be empty."""
        name = f"ledger{next(_names)}"
        if empty:
            self._create(name, "template1")
            return self.url(name)
        if not self._template:
            self._template = "ledger_template"
            self._create(self._template, "template1")
            engine = open_engine(self.url(self._template))
            migrate(engine)
            engine.dispose()
        self._create(name, self._template)
        return self.url(name)

    def _create(self, name: str, template: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY = FILE_COPY".encode())
