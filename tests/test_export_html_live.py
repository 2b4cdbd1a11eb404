"""The page's own motion code against Python's numbers, and the page moved by a camera, which is a file."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_export_html import ARGUMENTS, CHROMIUM, DRIVER, PHOTO, sync_api

from core.components import default_components
from core.data.records import SEEN, TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.export import page, portrait_payload
from core.export.face_mesh import face_mesh_files
from core.libs.face_measures import lip_distance
from core.libs.geometry import Camera, head_angles, head_rotation, to_camera
from core.libs.retargeting.neutral import NeutralSettings, Reference
from core.libs.retargeting.opening_goals import OpeningSettings, opened, part_goals
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.pose import JAW, PoseSettings, relative_pose
from core.libs.tracker.mediapipe_tracker import MediaPipeTracker
from core.options import Options
from core.pipeline import Pipeline

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]
TALK = Path(__file__).parents[1] / "demos/drivers/talk.mp4"
SECONDS = 4  # that the camera is followed for at least; a busy machine needs more until it has seen enough
ENOUGH = 20  # pictures of a face
GAP = 45  # pictures of a wall, after which the clip begins again: 1.5 seconds
SMALL = 32  # side of the pictures by which a frame of the camera's clip is known again


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    options = Options(PHOTO, DRIVER, model="lifted", layout="result", quiet=True)
    return Pipeline(options, default_components(options, "lifted"))


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """As a camera gives them: 640 pixels by 480."""
    with VideoReader(TALK) as reader:
        return [
            cv2.copyMakeBorder(cv2.resize(frame.image, (480, 480)), 0, 0, 80, 80, cv2.BORDER_REPLICATE)
            for frame in reader
        ]


@pytest.fixture(scope="module")
def tab(pipeline, frames, tmp_path_factory) -> Iterator:
    """The page with a camera that shows a clip again and again; it asks the network for nothing."""
    try:
        tracker = face_mesh_files(quiet=True)
    except UserError as error:
        pytest.skip(f"the tracker cannot be had: {error}")
    folder = tmp_path_factory.mktemp("live")
    file, camera = folder / "avatar.html", folder / "camera.mjpeg"
    file.write_text(page(portrait_payload(pipeline, live=True), tracker), encoding="utf-8")
    assert file.stat().st_size < 9e6
    wall = [np.full_like(frames[0], 90)] * GAP
    camera.write_bytes(b"".join(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in (*frames, *wall)))
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    arguments = [*ARGUMENTS, *fake, f"--use-file-for-fake-video-capture={camera}"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=arguments)
        tab = browser.new_context(permissions=["camera"]).new_page()
        asked, faults = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        tab.goto(file.as_uri())
        until(tab, "globalThis.avatar !== undefined")
        yield tab
        browser.close()
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [file.as_uri()]
    assert not faults


def until(tab, what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not tab.evaluate(what):
        assert time.monotonic() < end, f"not within {seconds} s: {what}; {tab.inner_text('#status')}"
        tab.wait_for_timeout(50)


def call(tab, what: str, *arguments):
    given = json.dumps([np.asarray(one).tolist() for one in arguments])
    return np.array(tab.evaluate(f"(([a, b, c, d]) => {what})({given})"))


@pytest.fixture(scope="module")
def table() -> dict[str, np.ndarray]:
    """Frames of a driver: eight as people move, eight beyond every limit. Codes, jaw, angles, shift, shoulders."""
    rows = json.loads((Path(__file__).parent / "golden/page_motion.json").read_text(encoding="utf-8"))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_openings_are_pythons(tab, pipeline, table):
    """Goals of lips and lids, and the codes that meet them."""
    head, source = pipeline.components.head, pipeline.source.frame
    person = replace(source, shapecode=0 * source.shapecode, static_offset=None)
    driver, own = FaceOpenings(head, head.openings, person), FaceOpenings(head, head.openings, source)
    codes, jaw = table["code"], np.stack([table["jaw"], 0 * table["jaw"], 0 * table["jaw"]], 1)
    known, frames = driver.gaps(codes, jaw), len(codes)
    gaps = own.gaps(source.expcode[None].astype(float), source.posecode[None, JAW].astype(float))[0]
    goals = part_goals(driver, known, np.arange(frames), own, gaps, NeutralSettings())
    settings, neutral = OpeningSettings(), NeutralSettings()
    kept = 1 - min(max(gaps[0] / own.width / neutral.contact - 1, 0.0), 1.0)
    codes = source.expcode + codes
    met = opened(own, gaps, goals, codes, jaw, settings.limit, settings, kept)
    assert (np.abs(codes) > settings.limit).any()
    live = "avatar.camera.live.openings"
    for t in range(frames):
        found = call(tab, f"{live}.goals(a, b, c, d)", known[t, :3], known[:, :3], driver.width, driver.reference)
        np.testing.assert_allclose(found, goals[t], atol=1e-4)
        np.testing.assert_allclose(
            call(tab, f"{live}.opened(a, b, c)", codes[t], jaw[t, 0], goals[t]), met[t], atol=1e-4
        )


def test_poses_are_pythons(tab, pipeline, table):
    source = pipeline.source.frame
    own, shift, frames = table["angles"], source.transform_matrix[:, 3] + table["shift"], len(table["angles"])
    transforms = np.concatenate([head_rotation(own), shift[..., None]], -1)
    names = {name: np.repeat(getattr(source, name)[None], frames, 0) for name in ("shapecode", "expcode", "posecode")}
    driver = TrackedSequence(
        **names, eyecode=np.zeros((frames, 6), np.float32), transform_matrix=transforms,
        bbox=np.zeros((frames, 4), np.float32), times=tuple(Fraction(t, 25) for t in range(frames)), fps=Fraction(25),
        status=np.full(frames, SEEN, np.int8), head="open",
    )  # fmt: skip
    moved = relative_pose(source, driver, Reference(driver[0]), PoseSettings()).transform_matrix
    for t in range(frames):
        script = (
            "(() => { const l = avatar.camera.live; l.fitter.person = { rest: l.fitter.template };"
            "const f = (angles, shift) => ({ angles, shift, code: Array(101).fill(0), eyes: [0, 0, 0, 0], "
            "gaps: l.live.sourceGaps.slice(0, 3) }); l.neutral = f(a, b); const m = l.moment(f(c, d)); l.forget();"
            "return m.transform; })()"
        )
        found = call(tab, script, own[0], transforms[0, :, 3], own[t], transforms[t, :, 3])
        np.testing.assert_allclose(found.reshape(3, 4), moved[t], atol=1e-4)


def test_neck_and_shoulders_are_pythons(tab, pipeline, table):
    """Where face, hair, neck and shoulders go, of heads that turn and shoulders that move on their own."""
    rig, source, head = pipeline.avatar.surface.rig, pipeline.source.frame, pipeline.components.head
    for t in range(len(table["angles"])):
        shift = source.transform_matrix[:, 3] + table["shift"][t]
        transform = np.concatenate([head_rotation(table["angles"][t]), shift[:, None]], 1).astype(np.float32)
        code = (source.expcode + 0.1 * table["code"][t]).astype(np.float32)
        face = head.evaluate(replace(source, expcode=code))[:478]
        torso = table["torso"][t].astype(np.float32)
        found = call(tab, "[...avatar.painter.rig.pose(a, b, c)]", face.ravel(), transform.ravel(), torso)
        np.testing.assert_allclose(found.reshape(-1, 3), rig.pose(face, transform, torso), atol=1e-4)


def test_points_of_a_known_face_give_its_pose(tab, pipeline):
    """The mean head, seen at a pose: its angles come back, where perspective is left out of the fit."""
    head, camera = pipeline.components.head, Camera()
    template = head.template.numpy()[:478].astype(float)
    for angles in ([0.0, 0.0, 0.0], [0.1, 0.3, -0.1], [-0.2, -0.4, 0.2]):
        transform = np.concatenate([head_rotation(np.array(angles)), [[0.1], [-0.2], [14.0]]], 1)
        seen = to_camera(template, transform)
        unit = camera.pixels_per_unit / 14.0
        points = np.concatenate([camera.to_pixels(seen), (seen[:, 2:] - 14.0) * unit], 1).ravel()
        script = "(() => { const l = avatar.camera.live.fitter, p = { rest: l.template, laid: l.template };" \
                 "const f = l.atRest(a, p); return [...f.pose.R, f.jaw]; })()"  # fmt: skip
        found = call(tab, script, points)
        np.testing.assert_allclose(head_angles(found[:9].reshape(3, 3)), angles, atol=0.03)
        assert abs(found[9]) < 0.02


def test_one_euro_is_as_published(tab):
    values = np.cumsum(np.random.default_rng(6).normal(size=(30, 2)), 0)
    script = (
        "(() => { const f = new avatar.camera.live.filters.code.constructor({ cutoff: 1.5, slope: 0.6 });"
        "return a.map((v, i) => [...f.next(v, i / 25)]); })()"
    )
    found = call(tab, script, values)
    out, speed = values[:1].copy(), np.zeros(2)  # Casiez et al. 2012, equations 1 to 5

    def alpha(cutoff):
        tau = 1 / (2 * np.pi * cutoff)
        return 1 / (1 + tau * 25)

    for value in values[1:]:
        speed = speed + alpha(1.0) * ((value - out[-1]) * 25 - speed)
        out = np.concatenate([out, (out[-1] + alpha(1.5 + 0.6 * np.abs(speed)) * (value - out[-1]))[None]])
    np.testing.assert_allclose(found, out, atol=1e-9)


@pytest.fixture(scope="module")
def followed(tab) -> dict:
    """What was seen and drawn of the camera's clip, with a gap of a wall: numbers, then pictures too."""
    tab.click("#camera")
    until(tab, "avatar.camera.moment !== null")
    assert tab.get_attribute("#camera", "aria-pressed") == "true"
    tab.wait_for_timeout(2000)  # the neutral is found
    tab.evaluate(
        "(() => { globalThis.log = []; const live = avatar.camera.live, next = live.next.bind(live);"
        "live.next = (points, now) => { const moment = next(points, now), l = live.live, T = moment.transform;"
        "const face = avatar.painter.head.evaluate(moment.expression, moment.pose);"
        "const gap = (f, k) => l.pairs[0].reduce((s, [u, d]) => s + Math.abs(f[3 * u + 1] - f[3 * d + 1]) / 3, 0) / k;"
        "const size = (p) => Math.hypot(p[99] - p[789], p[100] - p[790]);"
        "log.push([now, Number(points !== null), points ? gap(points, size(points)) : 0, gap(face, size(face)),"
        "T[2], T[6], T[8], T[9]]); return moment; }; })()"
    )
    clock = "[avatar.state.frames, performance.now() / 1000]"
    before = np.array(tab.evaluate(clock))
    tab.wait_for_timeout(1000 * SECONDS)
    until(tab, f"log.filter((row) => row[1] > 0).length > {2 * ENOUGH}")
    (drawn, seconds), alone = np.array(tab.evaluate(clock)) - before, np.array(tab.evaluate("log.splice(0)"))
    script = (
        "globalThis.pictures = []; const c = avatar.camera, canvas = new OffscreenCanvas(SMALL, SMALL);"
        "const context = canvas.getContext('2d', { willReadFrequently: true }), finder = c.viewfinder;"
        "const show = finder.show.bind(finder);"
        "let small = null, known = null; finder.show = (picture, ...size) => {"
        "context.drawImage(picture, 0, 0, SMALL, SMALL);"
        "small = Array.from(context.getImageData(0, 0, SMALL, SMALL).data); return show(picture, ...size); };"
        "const next = c.live.next;"
        "c.live.next = (points, now) => { known = points && small; return next(points, now); };"
        "const painter = avatar.painter, begin = painter.begin.bind(painter); let last = 0;"
        "painter.begin = (moment) => { begin(moment); const now = performance.now(); if (now - last > 200 && known) {"
        "pictures.push([known, document.querySelector('#picture').toDataURL('image/jpeg', 0.9)]); last = now; } };"
    ).replace("SMALL", str(SMALL))
    tab.evaluate(f"(() => {{ {script} }})()")
    tab.wait_for_timeout(1000 * 2 * SECONDS)
    until(tab, f"pictures.length > 1.5 * {ENOUGH}")  # some are of a frame that is not known again
    settings, end = tab.evaluate("avatar.camera.live.settings"), time.monotonic() + 90
    while not rested(log := np.array(tab.evaluate("log")), settings).any() and time.monotonic() < end:
        tab.wait_for_timeout(500)
    pictures = [
        (np.array(small).reshape(SMALL, SMALL, 4)[..., :3], decoded(url)) for small, url in tab.evaluate("pictures")
    ]
    return {"drawn": drawn / seconds, "alone": alone, "log": log, "pictures": pictures, "settings": settings}


def rested(log: np.ndarray, settings: dict[str, float]) -> np.ndarray:
    """(N,) whether so much time passed since the face was lost that the head is to be at rest."""
    lost = log[:, 1] == 0
    since = np.maximum.accumulate(np.where(lost, 0, log[:, 0]))
    late = lost & (log[:, 0] - since > settings["patience"]) & (since > 0)
    first = late & ~np.append(False, late[:-1])  # the picture with which it begins to go to its rest
    there = late & (log[:, 0] - np.maximum.accumulate(np.where(first, log[:, 0], 0)) > settings["leave"] + 0.1)
    there[1:] &= there[:-1]  # the first may be of the picture before, where a busy machine draws few
    return there


def decoded(url: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def test_the_lips_are_apart_as_the_pages_tracker_sees_them(followed):
    log = followed["alone"][followed["alone"][:, 1] > 0]
    rate = len(followed["alone"]) / np.ptp(followed["alone"][:, 0])
    correlation = np.corrcoef(log[:, 2], log[:, 3])[0, 1]
    print(
        f"live page: {rate:.1f} pictures a second tracked, {followed['drawn']:.1f} drawn; lips' r = {correlation:.2f}"
    )
    assert correlation > 0.8
    assert followed["drawn"] > 1  # of however busy a machine; quiet ones reach 15 and more


def test_the_mouth_follows_the_camera(followed, frames):
    """Lips of the camera's clip, by Python's tracker, against those that it finds in what the page shows of it."""
    tracker = MediaPipeTracker()
    known = np.stack([cv2.resize(frame, (SMALL, SMALL), interpolation=cv2.INTER_AREA) for frame in frames]).astype(
        float
    )
    pairs = []
    for small, picture in followed["pictures"]:
        away = np.abs(known.astype(float) - small).mean((1, 2, 3))
        if away.min() > 12:  # grey levels: the wall
            continue
        pairs.append([lips(tracker.detect(frames[away.argmin()])), lips(tracker.detect(picture))])
    seen = np.array(pairs)
    correlation = np.corrcoef(seen.T)[0, 1]
    print(f"live page: {len(seen)} of {len(followed['pictures'])} pictures, mouth's r = {correlation:.2f}")
    assert len(seen) >= ENOUGH
    assert correlation > 0.8


def lips(seen) -> float:
    return lip_distance(seen.points[:, :2]) / float(np.linalg.norm(seen.points[33, :2] - seen.points[263, :2]))


def test_a_lost_face_eases_to_rest_and_comes_back(followed, tab):
    """Where the wall is seen the head goes to its rest without a jump, and comes back without one."""
    log = followed["log"]
    rest = np.array(tab.evaluate("(({ transform: T }) => [T[2], T[6], T[8], T[9]])(avatar.camera.live.rest)"))
    lost = log[:, 1] == 0
    assert lost.sum() > 5
    assert (~lost).sum() > 10
    settings = followed["settings"]
    there = rested(log, settings)
    assert there.any()
    np.testing.assert_allclose(log[there, 4:], np.tile(rest, (there.sum(), 1)), atol=1e-5)  # a hundredth of a pixel
    # From where it is, at most the whole way to where it goes, by the steepest part of the easing.
    passed, moved = np.diff(log[:, 0]), np.abs(np.diff(log[:, 3:], axis=0)).max(1)
    way = np.ptp(log[:, 3:], axis=0).max()
    turns = np.flatnonzero(lost[1:] != lost[:-1])
    assert len(turns)
    for turn in turns:
        assert (moved[turn : turn + 2] <= 1.5 * way * passed[turn : turn + 2] / settings["resume"] + 0.02).all()


def test_calibrate_says_so(tab, followed):
    tab.click("#calibrate")
    assert "Counted" in tab.inner_text("#status")
    tab.click("#camera")
    until(tab, "avatar.camera.moment === null")


def test_without_a_camera_it_says_so_and_plays(tab):
    refuse = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('Permission denied'));"
    tab.evaluate(f"(() => {{ {refuse} }})()")
    tab.click("#camera")
    until(tab, "document.querySelector('#status').textContent.includes('No camera')")
    before = tab.evaluate("avatar.state.seconds")
    tab.wait_for_timeout(700)
    assert tab.evaluate("avatar.state.seconds") != before
