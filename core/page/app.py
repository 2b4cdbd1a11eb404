"""The addresses of the page: a WebSocket for each tab, uploads, jobs, results, and a WebSocket for live pictures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn

from fastapi import FastAPI, HTTPException, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from core.components import Components, default_components
from core.errors import UserError
from core.page.animate import Animation, Models
from core.page.form import form_fields, options_of
from core.page.guard import Access, Guard
from core.page.jobs import Job, Runner
from core.page.live import LiveWork, MalformedError, check_live, open_session, read_command
from core.page.receive import receive, receive_recording
from core.page.settings import PageSettings
from core.page.store import Store, Tab
from core.page.virtual_camera import is_available

STATIC = Path(__file__).parent / "static"
ROOT = Path(__file__).parent.parent.parent
# What a clone has beside the program; an installed package has none
BUILT_IN = {"talk": ROOT / "demos/drivers/talk.mp4", "obama": ROOT / "demos/drivers/obama"}
_SHOWN = {"talk": "Talking, with sound (synthetic, 5 s)", "obama": "An address (numbers only, no sound)"}
_ACCESS, _SETTINGS = Access(), PageSettings()
_Value = bool | int | float | str | None


class JobRequest(BaseModel):
    """What is asked for: names of uploads, or of a driver that comes with the program as `built-in:talk`."""

    model_config = ConfigDict(extra="forbid")
    photo: str = Field(max_length=64)
    driver: str = Field(max_length=64)
    options: dict[str, _Value] = Field(default_factory=dict, max_length=64)
    preview: bool = False
    compare: bool = False


class LiveRequest(BaseModel):
    """The first message of a live session."""

    model_config = ConfigDict(extra="forbid")
    photo: str = Field(max_length=64)
    options: dict[str, _Value] = Field(default_factory=dict, max_length=64)
    camera: bool = False


@dataclass(eq=False)
class Desk:
    """What the addresses share.

    Attributes:
        settings, store, runner, models: see there. jobs: of each tab, the newest last. news: set when a page is to be
            told. session, device: what makes a live session and a virtual camera. camera: whether one is offered.
    """

    settings: PageSettings
    store: Store
    runner: Runner
    models: Models
    session: Callable[..., Any] = open_session
    device: Callable[..., Any] | None = None
    camera: bool = False
    jobs: dict[Tab, list[Job]] = field(default_factory=dict)
    news: dict[Tab, set[asyncio.Event]] = field(default_factory=dict)

    def tab(self, name: str) -> Tab:
        """A tab by its name; 404 where there is none."""
        tab = self.store.tabs.get(name)
        if tab is None:
            raise HTTPException(404, "this tab is no longer known: load the page again")
        return tab

    def job(self, tab: Tab, name: str) -> Job:
        """A job of a tab; 404 where there is none."""
        for job in self.jobs.get(tab, []):
            if job.name == name:
                return job
        raise HTTPException(404, "that job is no longer known")

    def submit(self, tab: Tab, kind: str, work: Callable[[Job], None]) -> Job:
        """Queue a job. UserError where the tab has too many."""
        jobs = self.jobs.setdefault(tab, [])
        active = [job for job in jobs if job.state in ("waiting", "running")]
        if len(active) >= self.settings.jobs:
            raise UserError(f"{len(active)} jobs of this tab are under way: wait, or cancel one")
        loop = asyncio.get_running_loop()

        def changed() -> None:
            with suppress(RuntimeError):  # the loop is closed: the server ends
                loop.call_soon_threadsafe(self.tell, tab)

        job = Job(kind, tab, work, changed)
        jobs.append(job)
        del jobs[: -2 * self.settings.jobs]
        self.runner.submit(job)
        self.tell(tab)
        return job

    def tell(self, tab: Tab) -> None:
        """Have a tab's page told what goes on."""
        for event in self.news.get(tab, ()):
            event.set()

    def close_tab(self, tab: Tab) -> None:
        """End a tab: its jobs, then its files."""
        for job in self.jobs.pop(tab, []):
            self.runner.cancel(job)
        self.store.close_tab(tab)

    async def sweep(self) -> None:
        """Look now and then for what is to go."""
        while True:
            await asyncio.sleep(self.settings.sweep_seconds)
            busy = {t for t, jobs in self.jobs.items() if any(j.state in ("waiting", "running") for j in jobs)}
            for tab in self.store.sweep(busy):
                self.close_tab(tab)
            for tab in list(self.store.tabs.values()):
                self.tell(tab)


def _refuse(reason: object) -> NoReturn:
    raise HTTPException(400, " ".join(str(reason).split()))


def make_app(
    access: Access = _ACCESS,
    settings: PageSettings = _SETTINGS,
    make_components: Callable[..., Components] = default_components,
    session: Callable[..., Any] = open_session,
    device: Callable[..., Any] | None = None,
) -> Guard:
    """The application. What makes components, live sessions and virtual cameras can be a test's."""
    store = Store(settings)
    camera = device is not None or is_available()
    desk = Desk(settings, store, Runner(), Models(store, make_components), session, device, camera)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(desk.sweep())
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.to_thread(desk.runner.close)
            store.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.state.desk = desk
    _answers(app, desk)
    _sockets(app, desk)
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(app, access)


def _answers(app: FastAPI, desk: Desk) -> None:
    """What is asked by requests."""
    settings, store = desk.settings, desk.store

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, __: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": "that request is not one of this page"}, 422)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/form")
    async def form() -> dict[str, Any]:
        built_in = [{"id": f"built-in:{n}", "name": _SHOWN[n]} for n, path in BUILT_IN.items() if path.exists()]
        return {"fields": form_fields(), "builtIn": built_in, "virtualCamera": desk.camera}

    @app.post("/api/tabs/{tab_name}/files")
    async def upload(request: Request, tab_name: str, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        return (await receive(request, store, desk.tab(tab_name), name)).told()

    @app.post("/api/tabs/{tab_name}/recordings")
    async def recording(request: Request, tab_name: str) -> dict[str, Any]:
        return (await receive_recording(request, store, desk.tab(tab_name))).told()

    @app.delete("/api/tabs/{tab_name}/files/{name}")
    async def remove(tab_name: str, name: str) -> None:
        store.remove(desk.tab(tab_name), name)

    @app.get("/api/tabs/{tab_name}/files/{name}")
    async def download(tab_name: str, name: str, save: bool = False) -> FileResponse:
        stored = desk.tab(tab_name).files.get(name)
        if stored is None or not stored.path.exists():
            raise HTTPException(404, "that file is no longer here")
        kind = "attachment" if save else "inline"
        return FileResponse(stored.path, filename=stored.shown, content_disposition_type=kind)

    @app.post("/api/tabs/{tab_name}/jobs")
    async def begin(request: JobRequest, tab_name: str) -> dict[str, str]:
        tab = desk.tab(tab_name)
        try:
            photo, driver = tab.find(request.photo), _driver(tab, request.driver)
            options = options_of(request.options, tab.find, image_path=photo, driver_path=driver)
            stem = Path(tab.files[request.photo].shown).stem
            moved_by = driver.stem if request.driver.startswith("built-in:") else tab.files[request.driver].shown
            shown = f"{Path(moved_by).stem}_{stem}" + (f"_{options.label}" if options.label else "")
            work = Animation(options, desk.models, store, shown, request.preview, request.compare, settings)
            return {"id": desk.submit(tab, "preview" if request.preview else "animate", work).name}
        except UserError as error:
            _refuse(tab.readable(str(error)))

    @app.delete("/api/tabs/{tab_name}/jobs/{name}")
    async def cancel(tab_name: str, name: str) -> None:
        desk.runner.cancel(desk.job(desk.tab(tab_name), name))

    @app.get("/api/tabs/{tab_name}/jobs/{name}/picture")
    async def picture(tab_name: str, name: str) -> Response:
        job = desk.job(desk.tab(tab_name), name)
        if not job.picture:
            raise HTTPException(404, "there is no picture yet")
        return Response(job.picture, media_type="image/jpeg")


def _driver(tab: Tab, name: str) -> Path:
    if name.startswith("built-in:"):
        path = BUILT_IN.get(name.removeprefix("built-in:"))
        if path is None or not path.exists():
            raise UserError("that driver does not come with the program: choose another one")
        return path
    return tab.find(name)


def _sockets(app: FastAPI, desk: Desk) -> None:
    """What goes on while a tab is open."""

    @app.websocket("/api/tab")
    async def tab_socket(socket: WebSocket, known: str = "") -> None:
        await socket.accept()
        try:
            tab = desk.store.open_tab(known)
        except UserError as error:
            await socket.close(1013, str(error))
            return
        news = asyncio.Event()
        desk.news.setdefault(tab, set()).add(news)
        news.set()
        told = asyncio.create_task(_tell(socket, desk, tab, news))
        try:
            while (await socket.receive())["type"] != "websocket.disconnect":  # the page says nothing here
                pass
        finally:
            told.cancel()
            desk.news[tab].discard(news)
            if not desk.news[tab]:
                del desk.news[tab]
            desk.store.leave(tab)

    @app.websocket("/api/tabs/{tab_name}/live")
    async def live_socket(socket: WebSocket, tab_name: str) -> None:
        tab = desk.store.tabs.get(tab_name)
        await socket.accept()
        if tab is None:
            await socket.close(1008, "this tab is no longer known: load the page again")
            return
        with suppress(WebSocketDisconnect):
            await _live(socket, desk, tab)


async def _tell(socket: WebSocket, desk: Desk, tab: Tab, news: asyncio.Event) -> None:
    """Tell a page what there is whenever that changes, but not too often."""
    last = ""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await news.wait()
            news.clear()
            jobs = [job.told(desk.runner.place(job)) for job in desk.jobs.get(tab, [])]
            now = {"tab": tab.name, "files": list(tab.files), "jobs": jobs, "waiting": desk.runner.waiting()}
            if (text := json.dumps(now)) != last:
                last = text
                await socket.send_text(text)
            await asyncio.sleep(desk.settings.update_seconds)


async def _live(socket: WebSocket, desk: Desk, tab: Tab) -> None:
    """A live session, from its first message to its end."""
    loop = asyncio.get_running_loop()
    out: asyncio.Queue[bytes | str | None] = asyncio.Queue()

    def put(message: bytes | str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ends
            loop.call_soon_threadsafe(out.put_nowait, message)

    try:
        asked = LiveRequest.model_validate_json(await socket.receive_text())
        options = options_of(asked.options, tab.find, image_path=tab.find(asked.photo))
        check_live(options)
        ready = json.dumps({"ready": True})
        camera = asked.camera and desk.camera
        work = LiveWork(options, desk.models, put, lambda: put(ready), camera, desk.session, desk.device, desk.settings)

        def run(job: Job) -> None:
            try:
                work(job)
            finally:
                put(None)

        job = desk.submit(tab, "live", run)
    except UserError as error:
        await _close(socket, 1008, tab.readable(str(error)))
        return
    except (ValueError, KeyError):
        await _close(socket, 1007, "that is not how a live session begins")
        return
    receiving = asyncio.create_task(_receive(socket, work))
    sending = asyncio.create_task(_send(socket, out))
    try:
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() and (fault := receiving.result() or work.fault):
            await _close(socket, 1007, fault)
        elif sending.done():
            await asyncio.sleep(0.05)  # until the job's state is set
            await _close(socket, 1007 if work.fault else 1000, work.fault or job.error or "the live session ended")
    finally:
        work.end()
        desk.runner.cancel(job)
        receiving.cancel()
        sending.cancel()


async def _receive(socket: WebSocket, work: LiveWork) -> str:
    """Take what a page sends until it leaves; returns what was wrong where something was."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return ""
        if (data := message.get("bytes")) is not None:
            work.pictures.put((data, time.monotonic()))
            continue
        try:
            command = json.loads(message.get("text") or "")
            if not isinstance(command, dict):
                return "a command is an object"
            work.commands.put(read_command(command))
        except (ValueError, RecursionError):
            return "a command is JSON"
        except MalformedError as error:
            return str(error)


async def _send(socket: WebSocket, out: asyncio.Queue[bytes | str | None]) -> None:
    """Send what there is until the job ends."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while (message := await out.get()) is not None:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError):
        await socket.close(code, reason.encode()[:120].decode(errors="ignore"))  # a close frame holds 123 bytes
