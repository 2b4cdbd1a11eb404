"""A camera moves a photo, in a window: c calibrates, 1 to 4 switch the improvements, q ends.

Run: `python -m examples.live_camera [PHOTO] [--camera 0]`; to calibrate, look straight ahead with a relaxed face
"""

import argparse
import sys
from pathlib import Path

import cv2

from core.errors import command
from core.live import LivePicture, LiveSession
from core.options import IMPROVEMENTS, Options


def mirrored(session: LiveSession, capture: cv2.VideoCapture) -> None:
    """Show the portrait of what OpenCV captures, as a mirror would, until that ends or q is pressed."""

    def show(portrait: LivePicture) -> bool:
        cv2.imshow("portrait", cv2.cvtColor(cv2.flip(portrait.image, 1), cv2.COLOR_RGB2BGR))
        if (key := chr(cv2.waitKey(1) & 0xFF)) == "c":
            session.calibrate()
        elif key in "1234":
            session.improvements = set(session.improvements) ^ {IMPROVEMENTS[int(key) - 1]}
        return key != "q"

    session.run(lambda: cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB) if (read := capture.read())[0] else None, show)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, nargs="?", default=Path("demos/examples/1.jpg"))
    parser.add_argument("--camera", type=int, default=0)
    given = parser.parse_args()
    mirrored(LiveSession(Options(given.photo, enhanced=True)), cv2.VideoCapture(given.camera))


if __name__ == "__main__":
    sys.exit(command(main))
