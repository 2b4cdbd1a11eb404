"""Who may speak to the page: this machine's browser, from the page itself; elsewhere whoever has the token.

A page of another site can send requests here, and one whose name is pointed at this machine (DNS rebinding) can read
the answers too. So the Host has to be a name of this machine, and what changes anything, or is a WebSocket, has to come
from the page's own Origin.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import URL, Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "gagavatar-token"
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who is let in.

    Attributes:
        hosts: names that the machine may be called by. addresses: whether any IP address will do as well, which nobody
            can point elsewhere. token: what has to stand in the address, or in the cookie made of it; None for none.
    """

    hosts: frozenset[str] = field(default_factory=lambda: frozenset({"localhost", "127.0.0.1", "::1"}))
    addresses: bool = False
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine."""
        try:
            parts = URL(f"http://{host}")
            name, _ = parts.hostname, parts.port
        except ValueError:
            return False
        if name is None or parts.username is not None or parts.path:
            return False
        if name in self.hosts:
            return True
        try:
            return self.addresses and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None where it is not."""
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self.knows(headers["host"]):
            return "this page is not served under that name"
        if scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD"):
            secure = scope["scheme"] in ("https", "wss")
            if headers.get("origin") != f"http{'s' * secure}://{headers['host']}":
                return "refused: it comes from another page"
        elif scope["path"].startswith("/api/") and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "refused: it comes from another page"
        if self.token is not None and not self._has_token(headers, scope):
            return "the token is missing: open the whole address that the program printed"
        return None

    def given_token(self, scope: Scope) -> bool:
        """Whether the right token stands in the address."""
        given = QueryParams(scope.get("query_string", b"")).get("token", "")
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _has_token(self, headers: Headers, scope: Scope) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return self.given_token(scope) or hmac.compare_digest(given.encode(), (self.token or "").encode())


class Guard:
    """Refuses what `Access` does not let in, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        reason = self.access.refusal(scope)
        if scope["type"] == "websocket":
            if reason is None:
                await self.app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": reason})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if reason is not None:
            await PlainTextResponse(reason, 403)(scope, receive, with_headers)
        elif scope["path"] == "/" and self.access.given_token(scope):  # the token leaves the address bar
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self.access.token or "", httponly=True, samesite="strict")
            await answer(scope, receive, with_headers)
        else:
            await self.app(scope, receive, with_headers)
