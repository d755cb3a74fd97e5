"""Behind a proxy that ends TLS: it is believed about who asks and how, and nobody else on the network is answered.

Whoever reached this port past the proxy would send a token or a cookie over the network in the clear.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gigaforge.web.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["BehindProxy"]


class BehindProxy:
    """Lets through what the proxy sends, with the caller that it names, and what comes from this machine; refuses the rest.

    Parameters
    ----------
    app : ASGI application
        What is protected.
    proxy : str
        The proxy's IP address.

    """

    def __init__(self, app: ASGIApp, proxy: str) -> None:
        self._app = app
        self._proxy = _plain(proxy)
        self._told = ProxyHeadersMiddleware(app, str(self._proxy))  # type: ignore[arg-type]  # uvicorn types ASGI its own way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        host, port = scope.get("client") or ("", 0)
        peer = _plain(host)
        if scope["type"] != "http" or peer is None or not (peer == self._proxy or peer.is_loopback):
            refused = problem(
                403, "proxy", "this server answers its proxy alone (--behind-proxy); ask at the proxy's https address"
            )
            await refused(scope, receive, send)
            return
        await self._told({**scope, "client": (str(peer), port)}, receive, send)  # type: ignore[arg-type]


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, in one spelling: a socket for both versions of IP tells the fourth's inside the sixth's."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
