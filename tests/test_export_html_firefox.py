"""The avatar in one HTML file, in Debian's Firefox, drawn by Mesa on the processor; without a camera."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from core.export import page, portrait_payload
from core.models.request import DrawRequest
from core.options import Options
from core.output.watermark import metadata
from core.pipeline import Pipeline
from tests.firefox import NEEDED, firefox

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(None in NEEDED, reason="there is no Firefox with a display: apt-get install firefox-esr xvfb"),
]
ROOT = Path(__file__).parents[1]
FRAMES = (0, 224)  # at rest, mouth wide open


def test_it_plays_turns_and_shows_the_renderers_person(tmp_path):
    options = Options(
        *(ROOT / "demos/examples/1.jpg", ROOT / "demos/drivers/obama"),
        **{"model": "lifted", "layout": "result", "quiet": True, "no_watermark": True},
    )
    pipeline = Pipeline(options)
    file, profile = tmp_path / "avatar.html", tmp_path / "profile"
    file.write_text(page(portrait_payload(pipeline)), encoding="utf-8")
    profile.mkdir()
    with firefox(profile) as tab:
        tab.open(file)
        end = time.monotonic() + 30
        while not tab.evaluate("globalThis.avatar !== undefined && avatar.state.frames > 3"):
            assert time.monotonic() < end, tab.evaluate("document.querySelector('#status').textContent")
            time.sleep(0.1)
        assert tab.evaluate("document.querySelector('#play').textContent") == "Pause"
        assert tab.evaluate("performance.getEntriesByType('resource').map((one) => one.name)") == []
        tab.evaluate("document.querySelector('#play').click()")
        tab.evaluate("(() => { avatar.painter.smooth = true; })()")
        for index in FRAMES:
            frame = pipeline.motion[index]
            drawn = pipeline.draw(frame).permute(1, 2, 0).numpy() * 255
            vertices = pipeline.components.head.evaluate(frame)
            told = {"torso_motion": frame.torso_motion, "mouth": frame.mouth_interior}
            request = DrawRequest(vertices, frame.transform_matrix, **told)
            matte = pipeline.components.model.draw_foreground(pipeline.avatar, request)[3].numpy() > 0.5
            error = np.square(picture(tab, f"avatar.motion.at({index})").astype(float) - drawn)[matte].mean()
            print(f"Firefox, frame {index}: {10 * np.log10(255**2 / error):.1f} dB")
            assert 10 * np.log10(255**2 / error) > 38
        rest = picture(tab, "avatar.motion.at(0)")
        tab.evaluate("avatar.orbit.turn(0.2, 0)")
        turned = picture(tab, "{ ...avatar.motion.at(0), view: avatar.orbit.view(0) }")
        assert np.abs(turned.astype(int) - rest).mean() > 2
        (tmp_path / "avatar.webm").write_bytes(recorded(tab))
    with av.open(str(tmp_path / "avatar.webm")) as video:
        told = {name.lower(): text for name, text in video.metadata.items()}
        assert told.items() >= metadata("lifted").items()
        assert 1 < video.duration / 1e6 < 4
        assert len(list(video.decode(video=0))) > 3


def recorded(tab, seconds: float = 1.5) -> bytes:
    """What the page saves, a file of so many seconds."""
    tab.evaluate(
        "(() => { window.URL.createObjectURL = (blob) => { const reader = new FileReader();"
        "reader.onload = () => { window.saved = reader.result; }; reader.readAsDataURL(blob); return '#'; }; })()"
    )
    tab.evaluate("document.querySelector('#play').click()")
    tab.evaluate("document.querySelector('#record').click()")
    time.sleep(seconds)
    tab.evaluate("document.querySelector('#record').click()")
    end = time.monotonic() + 10
    while not (saved := tab.evaluate("window.saved || ''")):
        assert time.monotonic() < end
        time.sleep(0.1)
    return base64.b64decode(saved.partition("base64,")[2])


def picture(tab, moment: str) -> np.ndarray:
    """(S, S, 3) uint8 of a moment, drawn."""
    script = f"(() => {{ avatar.painter.draw({moment}); return document.querySelector('#picture').toDataURL(); }})()"
    data = np.frombuffer(base64.b64decode(tab.evaluate(script).split(",")[1]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
