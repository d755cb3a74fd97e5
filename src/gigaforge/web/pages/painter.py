"""Drawings made in a process of their own: the drawing library lets no other thread of its process run while it works.

In the server's process every reader waited for each drawing, up to 0.6 s of processor for the first. Run as a program this
module is that process: specifications come in and drawings go out, a line of JSON each, until its input ends.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

__all__ = ["Painter"]

_ATTEMPTS: Final = 2


class Painter:
    """Draws one chart after the other; the process starts with the first, and anew where it was lost."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        atexit.register(self.close)

    def svg(self, spec: str) -> str:
        """A Vega-Lite specification as a drawing.

        Raises
        ------
        RuntimeError
            The library refuses the specification, or its process ended twice over it.

        """
        with self._turn:
            for _ in range(_ATTEMPTS):
                if self._closed:
                    raise SystemExit
                answer = self._ask(spec)
                if "svg" in answer:
                    return answer["svg"]
                if "problem" in answer:
                    raise RuntimeError(answer["problem"])
                self._end()
        raise RuntimeError("the process that draws ended before it was done")

    def close(self) -> None:
        """End the process, whatever it draws; nothing is drawn after: a thread that asks for it is ended, quietly."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        with self._turn:
            self._end()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Closed for a while."""
        self.close()
        try:
            yield
        finally:
            self._closed = False

    def _ask(self, spec: str) -> dict[str, str]:
        """What the process answers; empty where it ended."""
        if self._process is None:
            # Its own session: Ctrl-C is for the server, which then ends it.
            self._process = subprocess.Popen(  # noqa: S603 (this very file, by this very Python)
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        inward, outward = self._process.stdin, self._process.stdout
        assert inward is not None
        assert outward is not None
        try:
            inward.write(json.dumps(spec).encode() + b"\n")
            inward.flush()
            line = outward.readline()
        except OSError:
            return {}
        return dict(json.loads(line)) if line.endswith(b"\n") else {}

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _paint(inward: IO[bytes], outward: IO[bytes]) -> None:
    import vl_convert  # noqa: PLC0415

    for line in inward:
        try:
            answer = {"svg": vl_convert.vegalite_to_svg(json.loads(line))}
        except BaseException as problem:  # noqa: BLE001 (the library's own panic is no Exception)
            answer = {"problem": f"{type(problem).__name__}: {problem}"}
        outward.write(json.dumps(answer).encode() + b"\n")
        outward.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between the answers
    _paint(sys.stdin.buffer, answers)
