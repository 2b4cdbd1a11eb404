"""The page in a real browser, Debian's Chromium, whose camera is a file: `python -m pytest -m browser`."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.video import VideoReader

pytest.importorskip("fastapi", reason="the extra `page` is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]
ROOT = Path(__file__).parents[1]
PHOTO, TALK = ROOT / "demos/examples/2.jpg", ROOT / "demos/drivers/talk.mp4"
FRAMES = 20  # of the driver that is uploaded
BLANK = 45  # frames of the camera's file without a face, at its end
LEARNING = 5  # seconds in which a session finds out what the face at rest is; in them the mouth opens less
MINUTES = 240_000  # ms, for what compiles on its first run


class Served:
    """The page's server as a program of its own, at an address that it keeps when it is started again."""

    def __init__(self) -> None:
        self.address = self.start(0)

    def start(self, port: int) -> str:
        command = [sys.executable, "-m", "core.page", "--port", str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, line
        return address.group()

    def again(self) -> None:
        self.start(int(self.address.rstrip("/").rpartition(":")[2]))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    with VideoReader(TALK) as reader:
        return [frame.image for frame in reader]


@pytest.fixture(scope="module")
def clip(frames, tmp_path_factory) -> Path:
    """A short driver with sound."""
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    import av

    from core.data.video import VideoWriter

    with VideoReader(TALK) as reader:
        fps = reader.fps
    with VideoWriter(path, fps, (512, 512), audio_from=TALK) as writer:
        for frame in frames[:FRAMES]:
            writer.write(frame)
    with av.open(str(path)) as container:
        assert container.streams.audio
    return path


@pytest.fixture(scope="module")
def camera(frames, tmp_path_factory) -> Path:
    """What the browser takes for its camera: JPEGs one after the other, the clip twice and then a grey wall."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with path.open("wb") as file:
        for frame in [*frames, *frames, *[np.full_like(frames[0], 128)] * BLANK]:
            file.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
    return path


@pytest.fixture(scope="module")
def browser(camera) -> Iterator:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        arguments += ["--disable-component-update", "--use-fake-ui-for-media-stream"]
        arguments += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture(scope="module")
def server(served) -> str:
    return served.address


@pytest.fixture
def page(browser, server) -> Iterator:
    context = browser.new_context(permissions=["camera", "microphone"])
    page = context.new_page()
    page.set_default_timeout(60_000)  # milliseconds: the machine may be busy
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(server)
    page.get_by_text("Ready.").wait_for()
    yield page
    context.close()
    assert not [url for url in asked if not url.startswith((server, "blob:", "data:"))]
    assert not faults


def give(page, photo: Path = PHOTO, driver: Path | None = None) -> None:
    """Choose files; on black, as what is behind the person takes seconds to complete."""
    page.evaluate("document.querySelector('#option-background').value = 'black'")
    page.set_input_files("#photo-file", photo)
    page.get_by_text(photo.name, exact=True).wait_for()
    if driver is not None:
        page.set_input_files("#driver-file", driver)
        page.get_by_text(driver.name, exact=True).wait_for()


def until(page, what: str, timeout: float = 30_000) -> None:
    """Wait until an expression holds; playwright's own way runs a text in the page, which its policy refuses."""
    end = time.monotonic() + timeout / 1000
    while not page.evaluate(what):
        assert time.monotonic() < end, f"not within {timeout / 1000:.0f} s: {what}"
        page.wait_for_timeout(50)


def test_a_photo_and_a_clip_become_a_video_that_plays_and_downloads(page, clip, tmp_path):
    give(page, driver=clip)
    page.check("#compare")
    page.click("#start")
    page.wait_for_selector("#job-picture:visible", timeout=MINUTES)
    page.wait_for_selector("#result:visible", timeout=MINUTES)
    assert page.locator("#stage video").count() == 2
    until(page, "[...document.querySelectorAll('#stage video')].every((v) => v.readyState >= 2)")
    page.evaluate("document.querySelector('#stage video').play()")
    until(page, "[...document.querySelectorAll('#stage video')].every((v) => v.currentTime > .2)")
    page.evaluate("document.querySelector('#stage video').pause()")
    until(
        page, "(([a, b]) => Math.abs(a.currentTime - b.currentTime) < .01)(document.querySelectorAll('#stage video'))"
    )
    page.locator("#wipe").fill("25")
    assert "25%" in page.evaluate("document.querySelector('#stage .over').style.clipPath")
    with page.expect_download() as download:
        page.locator("#downloads a").first.click()
    download.value.save_as(tmp_path / "result.mp4")
    assert download.value.suggested_filename == "short_2_enhanced.mp4"
    with VideoReader(tmp_path / "result.mp4") as reader:
        assert len(list(reader)) == FRAMES
    import av

    with av.open(str(tmp_path / "result.mp4")) as container:
        assert container.streams.audio


def test_live_follows_the_camera_and_survives_a_lost_face(page):
    """20 seconds (more where a busy machine shows too little): frames per second, and the mouth of what is shown
    against that of the picture that was sent.
    """
    sent: dict[int, bytes] = {}
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: keep(sent, data)))
    give(page)
    page.click("#tab-live")
    page.click("#live-start")
    until(page, "document.querySelector('#live-portrait').dataset.number > 3", timeout=MINUTES)
    shown: dict[int, str] = {}
    lost = 0
    grab = """() => { const c = document.querySelector('#live-portrait');
        return [Number(c.dataset.number), c.dataset.face, c.toDataURL('image/jpeg', .9)]; }"""
    count = """() => { window.count = 0;
        new MutationObserver(() => window.count++).observe(
            document.querySelector('#live-portrait'), { attributes: true, attributeFilter: ['data-number'] }); }"""
    start = time.monotonic()
    page.evaluate(count)
    while (passed := time.monotonic() - start) < 20 or (passed < 90 and (len(shown) < 50 or lost < 4)):
        number, face, data = page.evaluate(grab)
        lost += face != "true"
        if face == "true" and passed > LEARNING:
            shown[number] = data
        page.wait_for_timeout(150)
    fps = page.evaluate("window.count") / (time.monotonic() - start)
    print(f"live: {fps:.1f} frames per second, {page.inner_text('#live-latency')} ms")
    free = os.getloadavg()[0] < 1.5 * (os.cpu_count() or 1)  # else it is not the page that is measured
    if free:
        assert fps >= 10
    assert lost > 3  # the grey wall was seen, and left again
    assert max(shown) in sent
    page.click("#live-calibrate")
    page.click("#live-record")
    page.wait_for_timeout(1500)
    page.click("#live-record")
    with page.expect_download() as download:
        page.get_by_text("Download the recording", exact=True).click()
    says_so(download.value.path())
    page.click("#live-start")
    page.get_by_text("Stopped.").wait_for()
    pairs = [(decode(sent[number]), decode(base64.b64decode(data.partition(",")[2]))) for number, data in shown.items()]
    gaps = np.array([(mouth(a), mouth(b)) for a, b in pairs])
    gaps = gaps[np.isfinite(gaps).all(1)]
    correlation = np.corrcoef(gaps.T)[0, 1]
    print(f"live: mouth of {len(gaps)} pictures, correlation {correlation:.2f}")
    assert len(gaps) > 30
    assert correlation > (0.8 if free else 0.6)


def says_so(recording: Path) -> None:
    """A recording of a live session: its pictures, its length, and what every result says of itself."""
    import av

    from core.output.watermark import metadata

    with av.open(str(recording)) as container:
        said = {name.lower(): text for name, text in container.metadata.items()}
        assert metadata("lifted").items() <= said.items()
        assert container.duration > av.time_base / 2
        assert next(container.decode(video=0)).width == 512


def keep(sent: dict[int, bytes], data: bytes | str) -> None:
    if isinstance(data, bytes):
        sent[int.from_bytes(data[:4], "big")] = data[4:]


def decode(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def mouth(image: np.ndarray, state: dict = {}) -> float:  # noqa: B006  # the detector, made once
    """How far the lips are apart, in heights of the face; NaN without a face."""
    import mediapipe

    if not state:
        state["mesh"] = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True)
    found = state["mesh"].process(np.ascontiguousarray(image)).multi_face_landmarks
    if not found:
        return float("nan")
    point = found[0].landmark
    return (point[14].y - point[13].y) / (point[152].y - point[10].y)


GIVEN = """([what, name, kind, data]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: kind }));
    const event = what === 'paste' ? new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })
        : new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector(what === 'paste' ? 'body' : what).dispatchEvent(event); }"""


def test_a_photo_is_dropped_or_pasted_and_a_driver_dropped(page):
    data = base64.b64encode(PHOTO.read_bytes()).decode()
    for what, name in (("#photo-card", "dropped.jpg"), ("paste", "pasted.jpg")):
        page.evaluate(GIVEN, [what, name, "image/jpeg", data])
        page.get_by_text(name, exact=True).wait_for()
        until(page, "document.querySelector('#photo-shown').naturalWidth > 0")
    page.evaluate(GIVEN, ["#driver-card", "talk.mp4", "video/mp4", base64.b64encode(TALK.read_bytes()).decode()])
    page.get_by_text("talk.mp4", exact=True).wait_for()
    until(page, "document.querySelector('#driver-shown').videoWidth > 0")
    assert page.inner_text("#photo-name") == "pasted.jpg"


def test_photo_and_driver_come_from_the_camera(page):
    """The recording is what a browser writes: WebM without a length and at whatever rate its frames came."""
    page.evaluate("document.querySelector('#option-background').value = 'black'")
    page.click("#photo-camera")
    page.get_by_role("button", name="Take the photo").click()  # playwright waits until it can be clicked
    page.get_by_text("camera.png", exact=True).wait_for()
    page.click("#driver-camera")
    page.get_by_role("button", name="Record", exact=True).last.click()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("recording.webm", exact=True).wait_for()
    page.click("#start")
    page.get_by_text("Done.").or_(page.locator("#job-error:not(:empty)")).first.wait_for(timeout=MINUTES)
    assert page.inner_text("#job-error") == ""
    assert page.locator("#stage video").count() == 1
    until(page, "document.querySelector('#stage video').duration > .5")


def test_cancelled_in_the_middle_and_two_tabs(page, browser, server):
    other = browser.new_page()
    other.goto(server)
    other.get_by_text("Ready.").wait_for()
    for one, photo in ((other, ROOT / "demos/examples/1.jpg"), (page, PHOTO)):
        give(one, photo)
        one.select_option("#driver-built-in", "built-in:obama")
    page.click("#start")
    until(page, "document.querySelector('#job-speed').textContent.includes('frames')", MINUTES)
    other.click("#preview")
    other.get_by_text("Waiting: 1 before this one.").wait_for()
    page.click("#cancel")
    page.get_by_text("Cancelled.").wait_for()
    other.get_by_text("Done.").wait_for(timeout=MINUTES)
    assert other.locator("#job-picture").is_visible()
    other.close()


def test_wrong_files_are_told_in_one_line(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    page.set_input_files("#photo-file", tmp_path / "notes.txt")
    page.get_by_text("notes.txt is neither a picture").wait_for()
    page.set_input_files("#photo-file", TALK)
    page.get_by_text("talk.mp4 is a video: give a picture").wait_for()
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((200, 200, 3), 128, np.uint8))
    give(page, wall)
    page.select_option("#driver-built-in", "built-in:obama")
    page.click("#start")
    page.get_by_text("no human face found").wait_for(timeout=MINUTES)
    assert "/tmp" not in page.inner_text("#job")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 1100), ("light", 390)])
def test_it_fits_and_every_control_has_a_name(browser, server, scheme, width):
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(server)
    page.get_by_text("Ready.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    nameless = page.evaluate("""() => [...document.querySelectorAll('button, input, select')].filter((one) =>
        !one.labels?.length && !one.getAttribute('aria-label') && !one.textContent.trim())
        .map((one) => one.outerHTML)""")
    assert nameless == []
    page.focus("#tab-animate")
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-live").is_visible()
    page.close()


def test_a_server_that_goes_away_is_told_and_found_again(browser, served):
    """The last one: what the others' server knew is gone with it."""
    page = browser.new_page()
    page.goto(served.address)
    page.get_by_text("Ready.").wait_for()
    give(page)
    served.process.kill()
    served.process.wait()
    page.get_by_text("The server is gone").wait_for()
    served.again()
    page.get_by_text("Ready.").wait_for(timeout=MINUTES)
    page.get_by_text("The server began anew").wait_for()
    page.close()
