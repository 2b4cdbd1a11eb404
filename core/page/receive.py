"""What a page sends as a file: an upload, or a recording of a live session."""

from __future__ import annotations

import asyncio
import secrets

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from core.data.video.remux import with_metadata
from core.errors import UserError
from core.output.watermark import metadata
from core.page.store import Store, Stored, Tab


async def receive(request: Request, store: Store, tab: Tab, name: str) -> Stored:
    """Take a file within the bounds, under the name that it is shown by; HTTPException where it is not to be taken."""
    said = request.headers.get("content-length", "")
    try:
        place = store.begin(tab, int(said) if said.isdecimal() else None)
    except UserError as error:
        raise HTTPException(413, str(error)) from None
    size = 0
    try:
        with place.open("xb") as file:
            async for block in request.stream():
                size += len(block)
                store.check_size(tab, size)
                file.write(block)
        return await asyncio.to_thread(store.keep, tab, place, name)
    except ClientDisconnect:
        raise HTTPException(400, "the upload ended early") from None
    except UserError as error:
        raise HTTPException(400, " ".join(str(error).split())) from None
    finally:
        tab.coming -= 1
        place.unlink(missing_ok=True)


async def receive_recording(request: Request, store: Store, tab: Tab) -> Stored:
    """Take what a browser recorded of the portraits, and say in the file that it is synthetic, as every result does."""
    came = await receive(request, store, tab, "live")
    try:
        if came.kind != "video":
            raise HTTPException(400, "a recording is a video")
        place = tab.folder / f"recording-{secrets.token_hex(6)}"
        path = await asyncio.to_thread(with_metadata, came.path, place, metadata("lifted"))
        return store.add(tab, path, f"live{path.suffix}", "video")
    except UserError as error:
        raise HTTPException(400, tab.readable(str(error))) from None
    finally:
        store.remove(tab, came.name)
