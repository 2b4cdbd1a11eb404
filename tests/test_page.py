"""The page without a browser: who is let in, what is taken, the queue, and what becomes of files."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `page` is not installed")
from page_client import SMALL, SOON, Browser, Tab, picture, served
from small_run import FRAMES, parts
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from core.data.video import VideoWriter
from core.errors import UserError
from core.options import Options
from core.page.app import make_app
from core.page.form import HIDDEN, form_fields, options_of
from core.page.guard import Access
from core.page.store import MADE, PageCache, Store, ending_of, shown_name


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "driver.mp4"
    with VideoWriter(path, Fraction(25), (64, 64)) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    return path.read_bytes()


@pytest.fixture
def client(tmp_path, monkeypatch) -> Iterator[Browser]:
    with served(tmp_path, monkeypatch) as client:
        yield client


@pytest.fixture
def tab(client) -> Iterator[Tab]:
    with client.websocket_connect("/api/tab") as socket:
        yield Tab(client, socket)


# Who is let in


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "1.2.3.4", "", "localhost@evil.example"])
def test_other_hosts_are_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:8765", "[::1]:8765"])
def test_the_machines_own_names_are_served(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost", "http://localhost:1", None])
def test_what_comes_from_another_page_is_refused(client, tab, origin):
    headers = {} if origin is None else {"origin": origin}
    client.headers.pop("origin")
    assert client.post(f"{tab.at}/files?name=x", content=picture(), headers=headers).status_code == 403
    assert client.delete(f"{tab.at}/jobs/x", headers=headers).status_code == 403
    for address in ("/api/tab", f"{tab.at}/live"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(address, headers=headers):
            pass


def test_another_site_cannot_embed_what_is_here(client):
    assert client.get("/api/form", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_token_is_asked_for_and_becomes_a_cookie(tmp_path):
    app = make_app(Access(addresses=True, token="right"), make_components=parts)
    with TestClient(app, base_url="http://10.0.0.7", follow_redirects=False) as client:
        assert client.get("/").status_code == 403
        assert client.get("/?token=wrong").status_code == 403
        assert client.get("/", headers={"cookie": "gagavatar-token=wrong"}).status_code == 403
        answer = client.get("/?token=right")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_the_page_asks_no_other_host(client):
    for name in (
        "",
        "static/style.css",
        *(f"static/{n}.js" for n in ("main", "connection", "form", "animate", "live")),
    ):
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert "http://" not in answer.text
        assert "https://" not in answer.text.replace('"https:"', "")
        assert "style=" not in answer.text
        assert "onclick=" not in answer.text


# The form


def test_the_form_has_every_option_that_is_not_hidden():
    found = {field["name"]: field for field in form_fields()}
    assert set(found) | HIDDEN == {name for name in Options.__dataclass_fields__}
    assert found["take"]["choices"] == ["all", "pose", "expression"]
    assert found["gaze_correct"]["kind"] == "three"
    assert found["orbit"]["limits"] == (0, 60)
    assert all(field["help"] for field in found.values())


@pytest.mark.parametrize("name", ["resume_path", "output", "image_path", "accept_flame_license", "nothing", "_typed"])
def test_what_the_form_does_not_offer_is_refused(name):
    with pytest.raises(UserError, match="not an option"):
        options_of({name: "x"}, lambda _: None)


def test_a_text_cannot_name_a_file_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(picture())
    for text in ("secret", "/etc/passwd", "../secret", "~/x", "C:\\x", "file:unknown/../x"):

        def find(name: str):
            raise UserError("that file is no longer here")

        with pytest.raises(UserError):
            options_of({"background": text}, find)
    with pytest.raises(UserError):
        options_of({"audio": "secret"}, lambda _: None)
    assert options_of({"background": "#102030", "orbit": 5}, lambda _: None).orbit == 5


# Files


def test_an_upload_lies_in_a_private_folder_under_a_name_of_our_own(client, tab):
    answer = tab.upload(picture(), "../../etc/<b>pass\nwd</b>.png")
    assert answer.status_code == 200
    assert answer.json()["kind"] == "image"
    assert not set("/<>\n") & set(answer.json()["name"])
    store = client.desk.store
    (stored,) = store.tabs[tab.told["tab"]].files.values()
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stored.path.suffix == ".jpg"  # by what it is
    assert stored.path.is_relative_to(store.folder)
    saved = client.get(f"{tab.at}/files/{answer.json()['id']}", params={"save": True})
    assert saved.content == picture()
    assert saved.headers["content-disposition"].startswith("attachment")
    assert client.delete(f"{tab.at}/files/{answer.json()['id']}").status_code == 200
    assert not stored.path.exists()


def test_uploads_are_bounded(client, tab):
    assert tab.upload(b"\xff\xd8\xff" + bytes(SMALL.upload_bytes)).status_code == 413
    endless = client.post(f"{tab.at}/files?name=x", content=iter([bytes(1 << 19)] * 4))  # says no length
    assert endless.status_code == 400
    for _ in range(SMALL.files):
        assert tab.upload(picture()).status_code == 200
    assert tab.upload(picture()).status_code == 413
    folder = client.desk.store.tabs[tab.told["tab"]].folder
    assert len(list(folder.iterdir())) == SMALL.files


@pytest.mark.parametrize("content", [b"", b"<html>", b"MZ\x90\x00" * 9, b"\x80\x04pickle"])
def test_what_is_nothing_to_be_used_is_refused_in_one_line(client, tab, content):
    answer = tab.upload(content, "holiday.jpg")
    assert answer.status_code == 400
    assert "holiday.jpg" in answer.json()["detail"]
    assert str(client.desk.store.folder) not in answer.text
    assert not list(client.desk.store.tabs[tab.told["tab"]].folder.iterdir())


def test_a_damaged_picture_is_told_by_its_own_name(client, tab, clip):
    photo = tab.upload(picture()[:40], "me.jpg")
    assert photo.status_code == 400
    assert "me.jpg" in photo.json()["detail"]


def test_other_tabs_files_cannot_be_had(client, tab):
    name = tab.upload(picture()).json()["id"]
    with client.websocket_connect("/api/tab") as socket:
        other = Tab(client, socket)
        assert client.get(f"{other.at}/files/{name}").status_code == 404
        assert other.begin(name, name).status_code == 400
    assert client.get(f"/api/tabs/guessed/files/{name}").status_code == 404


def test_files_go_with_the_tab_and_after_an_hour():
    now = [0.0]
    store = Store(clock=lambda: now[0])
    tab = store.open_tab()
    place = store.begin(tab, 10)
    place.write_bytes(picture())
    stored = store.keep(tab, place, "a.jpg")
    (tracks := PageCache(uploads=store.folder).entry(stored.path, "source").parent).mkdir()
    assert tracks.is_relative_to(tab.folder)  # what is tracked of it goes with it
    made = PageCache(uploads=store.folder, made=store.folder / MADE).entry_of([b"x"], "plate")
    made.mkdir(parents=True)
    store.leave(tab)
    assert store.open_tab(tab.name) is tab  # loaded again
    now[0] = store.settings.keep_seconds - 1
    assert store.sweep() == []
    assert stored.path.exists()
    now[0] += 2
    assert store.sweep(busy=[tab]) == []
    assert stored.path.exists()
    store.sweep()
    assert not stored.path.exists()
    assert not tracks.exists()
    assert not made.exists()
    store.leave(tab)
    now[0] += store.settings.grace_seconds + 1
    assert store.sweep() == [tab]
    store.close_tab(tab)
    assert not tab.folder.exists()
    store.close()
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("name", "shown"), [("../a/b.png", "b.png"), ("..", "file"), ("c:\\x\\y.jpg", "y.jpg"), ("a\0\n.j", "a__.j")]
)
def test_names_are_only_shown(name, shown):
    assert shown_name(name, 80) == shown
    assert len(shown_name("a" * 999, 80)) == 80


def test_endings_are_told_from_content():
    assert ending_of(picture()) == ".jpg"
    assert ending_of(picture(kind="PNG")) == ".png"
    assert ending_of(b"#!/bin/sh") is None


# Jobs


def test_a_whole_run_gives_a_file(client, tab, clip):
    photo, driver = (tab.upload(c, n).json()["id"] for c, n in ((picture(), "me.jpg"), (clip, "talk.mp4")))
    job = tab.until(tab.begin(photo, driver).json()["id"], "done", "failed")
    assert job["state"] == "done", job
    assert [result["name"] for result in job["results"]] == ["talk_me.mp4"]
    content = client.get(f"{tab.at}/files/{job['results'][0]['id']}", headers={"range": "bytes=4-7"})
    assert (content.status_code, content.content) == (206, b"ftyp")
    shown = client.get(f"{tab.at}/jobs/{job['id']}/picture")
    assert Image.open(io.BytesIO(shown.content)).format == "JPEG"


def test_a_wrong_input_is_the_one_line_of_the_command_line(client, tab, clip):
    driver = tab.upload(clip, "my talk.mp4").json()["id"]
    job = tab.until(tab.begin(driver, driver).json()["id"], "done", "failed")
    assert job["error"].startswith("my talk.mp4 is a video: give a picture")


def test_jobs_wait_for_one_another_and_can_be_cancelled(client, tab, clip):
    begun, go_on = threading.Event(), threading.Event()

    def slow(job) -> None:
        begun.set()
        while not go_on.wait(0.01):
            job.check()

    desk = client.desk
    name = desk.store.tabs[tab.told["tab"]]
    photo, driver = (tab.upload(c).json()["id"] for c in (picture(), clip))
    from core.page.jobs import Job

    first = Job("animate", name, slow)
    desk.jobs.setdefault(name, []).append(first)
    desk.runner.submit(first)
    assert begun.wait(SOON)
    second = tab.begin(photo, driver).json()["id"]
    assert tab.until(second, "waiting")["place"] == 1
    refused = tab.begin(photo, driver)
    assert refused.status_code == 400
    assert "under way" in refused.json()["detail"]
    assert client.delete(f"{tab.at}/jobs/{second}").status_code == 200
    assert tab.until(second, "cancelled")
    client.delete(f"{tab.at}/jobs/{first.name}")
    end = time.monotonic() + SOON
    while first.state == "running" and time.monotonic() < end:
        time.sleep(0.01)
    assert first.state == "cancelled"


def test_a_bug_in_a_job_ends_that_job_alone(client, tab, clip):
    photo, driver = (tab.upload(c).json()["id"] for c in (picture(), clip))

    def broken(*_: object, **__: object):
        raise RuntimeError("a secret of the machine")

    client.desk.models._make = broken
    job = tab.until(tab.begin(photo, driver).json()["id"], "failed")
    assert "secret" not in json.dumps(job)
    client.desk.models._make = lambda options, model, cache: parts()
    assert tab.until(tab.begin(photo, driver).json()["id"], "done", "failed")["state"] == "done"


@pytest.mark.parametrize(
    "asked",
    [{}, {"photo": 1, "driver": []}, {"photo": "x", "driver": "y", "more": 1}, {"photo": "x" * 99, "driver": ""}],
)
def test_malformed_requests_are_refused(client, tab, asked):
    assert client.post(f"{tab.at}/jobs", json=asked).status_code == 422
    assert client.post(f"{tab.at}/jobs", content=b"\xff").status_code == 422


def test_the_server_starts_without_what_only_a_job_needs():
    program = "import sys, core.page.app; print(*sorted({'torch', 'mediapipe', 'scipy.spatial'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []
