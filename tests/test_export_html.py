"""The avatar in one HTML file, in Debian's Chromium with software WebGL, opened from the disk."""

from __future__ import annotations

import base64
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from core.components import default_components
from core.export import page, portrait_payload
from core.export.__main__ import main
from core.export.payload import Payload
from core.libs.face_measures import signed_lid_ratio
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera
from core.models.LiftedAvatar.chin import ChinLayer
from core.models.LiftedAvatar.layers import Shot
from core.models.LiftedAvatar.lids import LidLayer
from core.models.request import DrawRequest
from core.options import Options
from core.output.watermark import metadata
from core.pipeline import Pipeline

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]
ROOT = Path(__file__).parents[1]
PHOTO, DRIVER = ROOT / "demos/examples/1.jpg", ROOT / "demos/drivers/obama"
FRAMES = (0, 75, 150, 224)  # at rest, turned, laughing, mouth wide open
ARGUMENTS = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    options = Options(PHOTO, DRIVER, model="lifted", layout="result", quiet=True, no_watermark=True)
    return Pipeline(options, default_components(options, "lifted"))


@pytest.fixture(scope="module")
def file(pipeline, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "avatar.html"
    path.write_text(page(portrait_payload(pipeline)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser, file) -> Iterator:
    """The open page; at the end nothing was asked of the network, and nothing went wrong."""
    tab = browser.new_page(viewport={"width": 900, "height": 900})
    asked, faults = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    tab.goto(file.as_uri())
    until_shown(tab)
    yield tab
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [file.as_uri()]
    assert not [fault for fault in faults if "GPU stall" not in fault]


def until_shown(tab) -> None:
    end = time.monotonic() + 20
    while not tab.evaluate("globalThis.avatar !== undefined"):
        assert time.monotonic() < end, tab.inner_text("#status")
        tab.wait_for_timeout(20)
    tab.evaluate("(() => { avatar.state.playing = false; avatar.painter.smooth = true; })()")


def picture(tab, moment: str) -> np.ndarray:
    """(S, S, 3) uint8 of a moment, drawn."""
    script = f"(() => {{ avatar.painter.draw({moment}); return document.querySelector('#picture').toDataURL(); }})()"
    data = base64.b64decode(tab.evaluate(script).split(",")[1])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def psnr(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> float:
    error = (np.square(one.astype(float) - other).mean(-1) * weight).sum() / weight.sum()
    return float(10 * np.log10(255**2 / error))


def test_it_is_small_and_says_what_it_is(file):
    text = file.read_text(encoding="utf-8")
    assert len(text) < 3e6
    assert "AI-generated: this is synthetic media" in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)


@pytest.mark.parametrize("index", FRAMES)
def test_the_person_looks_as_the_renderer_draws_them(tab, pipeline, index):
    frame = pipeline.motion[index]
    vertices = pipeline.components.head.evaluate(frame)
    told = {"torso_motion": frame.torso_motion, "mouth": frame.mouth_interior}
    request = DrawRequest(vertices, frame.transform_matrix, **told)
    person = pipeline.components.model.draw_foreground(pipeline.avatar, request)
    matte = person[3].numpy() > 0.5
    drawn = pipeline.draw(frame).permute(1, 2, 0).numpy() * 255
    assert psnr(picture(tab, f"avatar.motion.at({index})"), drawn, matte) > 38


def test_points_are_pythons(tab, pipeline):
    """Face, lids, chin and mesh of moments all over the motion, and of faces that no driver makes."""
    avatar, head, motion = pipeline.avatar, pipeline.components.head, pipeline.motion
    layers = [layer for layer in avatar.layers if isinstance(layer, LidLayer | ChinLayer)]
    for index in range(0, len(motion), 30):
        frame = motion[index]
        now = tab.evaluate(f"(() => {{ const n = avatar.painter.place(avatar.motion.at({index}));"
                           "return [[...n.face], [...n.points], n.gaps, [...n.pixels]]; })()")  # fmt: skip
        face, points, gaps, pixels = (np.array(values) for values in now)
        vertices = head.evaluate(frame)
        surface = avatar.surface
        shot = Shot(
            avatar.camera, vertices[:478].copy(), frame.transform_matrix, None, frame.torso_motion, None,
            surface.colors, surface.scratch.colors,
        )  # fmt: skip
        for layer in layers:
            layer.draw(shot)
        np.testing.assert_allclose(face.reshape(-1, 3), shot.face, atol=1e-4)
        posed = surface.rig.pose(shot.face, frame.transform_matrix, frame.torso_motion)
        np.testing.assert_allclose(points.reshape(-1, 3), posed, atol=2e-4)
        np.testing.assert_allclose(pixels.reshape(-1, 2), shot.landmarks, atol=0.05)
        np.testing.assert_allclose(gaps, signed_lid_ratio(shot.face), atol=1e-3)


def test_buttons_keys_and_the_pointer_turn_it_and_play_it(tab):
    rest = picture(tab, "avatar.motion.at(0)")
    tab.focus("#picture")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("avatar.orbit.yaw") > 0.05
    turned = picture(tab, "{...avatar.motion.at(0), view: avatar.orbit.view(0)}")
    assert np.abs(turned.astype(int) - rest).mean() > 2
    tab.mouse.move(400, 300)
    tab.mouse.down()
    tab.mouse.move(300, 300)
    tab.mouse.up()
    assert tab.evaluate("avatar.orbit.yaw") < 0
    tab.click("#reset")
    assert tab.evaluate("avatar.orbit.view(0)") is None
    tab.click("#mirror")
    assert tab.get_attribute("#mirror", "aria-pressed") == "true"
    mirrored = picture(tab, "avatar.motion.at(0)")
    np.testing.assert_array_equal(mirrored, rest[:, ::-1])
    tab.click("#mirror")
    tab.click("#background")
    assert (picture(tab, "avatar.motion.at(0)")[5, 5] == 0).all()
    before = tab.evaluate("[avatar.state.seconds, avatar.state.frames]")
    tab.focus("#picture")
    tab.keyboard.press(" ")
    # However busy the machine is: pictures follow, and the motion's clock with them.
    moved = "([seconds, frames]) => avatar.state.seconds > seconds + 0.3 && avatar.state.frames > frames + 5"
    tab.wait_for_function(moved, arg=before)
    tab.keyboard.press(" ")


def test_a_recording_says_what_it_is_and_how_long(tab, tmp_path):
    tab.click("#record")
    before = tab.evaluate("avatar.state.frames")
    tab.wait_for_timeout(1500)
    tab.wait_for_function("(frames) => avatar.state.frames > frames + 5", arg=before)
    with tab.expect_download() as coming:
        tab.click("#record")
    coming.value.save_as(tmp_path / "avatar.webm")
    assert coming.value.suggested_filename == "avatar.webm"
    with av.open(str(tmp_path / "avatar.webm")) as file:
        told = {name.lower(): text for name, text in file.metadata.items()}
        assert {name: told[name] for name in metadata("lifted")} == metadata("lifted")
        pictures, length = list(file.decode(video=0)), file.duration / 1e6
    assert (pictures[0].width, pictures[0].height) == (512, 512)
    assert length == pytest.approx(pictures[-1].time - pictures[0].time, abs=0.5)
    assert length > 1.2


def test_lips_that_the_photo_has_shut_part_over_the_mouths_inside(browser, tmp_path):
    """Between them there is no skin: what is behind the person does not shine through."""
    options = Options(PHOTO.with_name("2.jpg"), DRIVER, model="lifted", layout="result", quiet=True, no_watermark=True)
    pipeline = Pipeline(options, default_components(options, "lifted"))
    path = tmp_path / "avatar.html"
    path.write_text(page(portrait_payload(pipeline)), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(path.as_uri())
    until_shown(tab)
    frame = pipeline.motion[0]
    place = pipeline.avatar.camera.to_pixels(
        to_camera(pipeline.components.head.evaluate(frame)[list(topo.INNER_LIPS)], frame.transform_matrix)
    )
    inside = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(inside, [np.rint(place).astype(np.int32)], 1)
    drawn = pipeline.draw(frame).permute(1, 2, 0).numpy() * 255
    assert inside.sum() > 300
    assert psnr(picture(tab, "avatar.motion.at(0)"), drawn, inside) > 28
    tab.close()


def test_numbers_survive_the_block_of_bytes():
    payload = Payload()
    values = np.random.default_rng(0).normal(size=(7, 5, 3)) * [1, 100, 1e-3]
    assert payload.quantised("x", values) < 100 * 5 / 32767


def test_a_wrong_output_is_one_line_and_leaves_nothing(tmp_path, capsys):
    target = tmp_path / "no.html" / "avatar.html"
    (tmp_path / "no.html").write_text("a file")
    assert main(["-i", str(PHOTO), "-o", str(target), "--quiet"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["no.html"]
    assert main(["-i", str(PHOTO), "-d", str(DRIVER), "--at", "1", "-o", str(tmp_path / "a.html"), "--quiet"]) == 2
