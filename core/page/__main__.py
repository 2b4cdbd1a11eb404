"""`python -m core.page`: serve the page on this machine."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import secrets
import sys
import webbrowser

from core.errors import UserError, command
from core.page.settings import PageSettings
from core.runtime.memory import collect_rarely, share_heap

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted. UserError where the extra is not installed."""
    bounds = PageSettings()
    parser = argparse.ArgumentParser(prog="python -m core.page", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on; not loopback: with a token")
    parser.add_argument("--port", type=int, default=bounds.port, help=f"default {bounds.port}; 0: any that is free")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    given = parser.parse_args(arguments)
    if not all(map(importlib.util.find_spec, ("fastapi", "uvicorn", "websockets"))):
        raise UserError("the page needs its extra: pip install .[page]")
    collect_rarely()
    share_heap()
    import uvicorn

    from core.page.app import make_app
    from core.page.guard import Access

    access, asked = Access(), ""
    if given.host not in _LOOPBACK:
        anywhere = given.host in ("0.0.0.0", "::")
        token = secrets.token_urlsafe(24)
        names = access.hosts | {given.host.lower(), platform.node().lower()}
        access, asked = Access(names, anywhere, token), f"?token={token}"

    class Server(uvicorn.Server):
        """Says where it is once it listens."""

        async def startup(self, sockets: list | None = None) -> None:
            await super().startup(sockets)
            for one in self.servers:
                port = one.sockets[0].getsockname()[1]
                host = platform.node() if given.host in ("0.0.0.0", "::") else given.host
                address = f"http://{f'[{host}]' if ':' in host else host}:{port}/{asked}"
                print(f"the page is at {address} (Ctrl-C ends it)", flush=True)
                if given.open:
                    webbrowser.open(address)
                break

    config = uvicorn.Config(
        make_app(access),
        host=given.host,
        port=given.port,
        log_level="warning",
        ws_max_size=bounds.message_bytes,
        ws_max_queue=4,
        timeout_graceful_shutdown=3,
        server_header=False,
        proxy_headers=False,
    )
    Server(config).run()


if __name__ == "__main__":
    sys.exit(command(main))
