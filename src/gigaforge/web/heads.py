"""HEAD: what GET would answer, without its body, for whoever only looks whether something is there (curl -I, monitors)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HeadAsGet"]

_USED_UP: Final = "/login/"
"""Addresses that work once: whoever looks at one (a mail program does) must not use it up."""


class HeadAsGet:
    """Around the application: it need not know of HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers alone, as soon as they are known."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(_USED_UP):
            await self._app(scope, receive, send)
            return
        answered = False

        async def head_only(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered = True
            elif message.get("more_body"):
                raise OSError("only the head was asked for")  # ends a stream, as a reader does who goes away

        try:
            await self._app({**scope, "method": "GET"}, receive, head_only)
        except Exception:
            if not answered:
                raise
