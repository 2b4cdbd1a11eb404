"""The avatar in one HTML file against the renderer, in headless Chromium: `python -m benchmarks.html_avatar`.

Prints the PSNR of the person in the demo's frames, the file's size, seconds until it is ready, and pictures a second.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from core.export import page, portrait_payload
from core.models.request import DrawRequest
from core.options import Options
from core.pipeline import Pipeline

ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
DRAW = """(i) => { avatar.painter.draw(avatar.motion.at(i)); return document.querySelector('#picture').toDataURL(); }"""
RATE = """() => { const p = avatar.painter, start = performance.now();
  for (let i = 0; i < 60; i++) { p.draw(avatar.motion.at(i)); p.finish(); }
  return 60000 / (performance.now() - start); }"""


def main() -> int:
    """Print the table; 2 where there is no browser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.html_avatar", description=__doc__)
    parser.add_argument("-i", dest="photo", type=Path, default=Path("demos/examples/1.jpg"))
    parser.add_argument("-d", dest="driver", type=Path, default=Path("demos/drivers/obama"))
    parser.add_argument("--every", type=int, default=1, help="of so many frames one is compared")
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("error: there is no chromium: apt-get install chromium", file=sys.stderr)
        return 2
    from playwright import sync_api

    options = Options(given.photo, given.driver, model="lifted", layout="result", quiet=True, no_watermark=True)
    pipeline = Pipeline(options)
    text = page(portrait_payload(pipeline))
    with tempfile.TemporaryDirectory() as folder, sync_api.sync_playwright() as playwright:
        file = Path(folder) / "avatar.html"
        file.write_text(text, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(ARGUMENTS))
        tab = browser.new_page(viewport={"width": 900, "height": 900})
        start = time.perf_counter()
        tab.goto(file.as_uri())
        while not tab.evaluate("globalThis.avatar !== undefined"):
            time.sleep(0.01)
        ready = time.perf_counter() - start
        rates = {}
        for smooth in (True, False):
            tab.evaluate(
                f"(() => {{ avatar.state.playing = false; avatar.painter.smooth = {str(smooth).lower()}; }})()"
            )
            rates[smooth] = tab.evaluate(RATE)
        found = {smooth: [] for smooth in rates}
        for index in range(0, len(pipeline.motion), given.every):
            frame = pipeline.motion[index]
            drawn = pipeline.draw(frame).permute(1, 2, 0).numpy() * 255
            told = {"torso_motion": frame.torso_motion, "mouth": frame.mouth_interior}
            request = DrawRequest(pipeline.components.head.evaluate(frame), frame.transform_matrix, **told)
            matte = pipeline.components.model.draw_foreground(pipeline.avatar, request)[3].numpy() > 0.5
            for smooth, values in found.items():
                tab.evaluate(f"(() => {{ avatar.painter.smooth = {str(smooth).lower()}; }})()")
                data = base64.b64decode(tab.evaluate(DRAW, index).split(",")[1])
                image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
                values.append(10 * np.log10(255**2 / np.square(image[matte] - drawn[matte]).mean()))
        browser.close()
    print(f"{len(text) / 1e6:.2f} MB (3 asked: {_verdict(len(text) <= 3e6)})")
    print(f"ready in {ready:.2f} s (1.5 asked: {_verdict(ready <= 1.5)})")
    for smooth, values in found.items():
        print(
            f"outlines {'smooth' if smooth else 'as they are'}: {len(values)} frames, person {np.mean(values):.1f} dB, "
            f"worst {np.min(values):.1f} dB (32 and 30 asked: "
            f"{_verdict(np.mean(values) >= 32 and np.min(values) >= 30)}); {rates[smooth]:.0f} pictures a second"
        )
    return 0


def _verdict(reached: bool) -> str:
    return "reached" if reached else "NOT REACHED"


if __name__ == "__main__":
    sys.exit(main())
