"""Photos as strangers have them: those that are refused, and those that are taken."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from bad_files import BLANK, DATA, NO_FACE, Make, Refused, cut, driver, photo, picture
from faces import PORTRAIT, TRACK, face_clip, portrait, save_clip
from PIL import Image


def drawing(path: Path) -> None:
    paper = np.full((300, 300, 3), 255, np.uint8)
    cv2.circle(paper, (150, 150), 100, (0, 0, 0), 3)
    for x in (115, 185):
        cv2.circle(paper, (x, 120), 10, (0, 0, 0), -1)
    cv2.ellipse(paper, (150, 180), (50, 25), 0, 0, 180, (0, 0, 0), 3)
    picture(paper)(path)


def dog(path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here")
    path.write_bytes((DATA / "sources/not_a_human_face.jpg").read_bytes())


def pipe(path: Path) -> None:
    os.mkfifo(path)


def animated_tail(path: Path, **how: object) -> None:
    Image.fromarray(portrait()).save(path, save_all=True, append_images=[Image.new("RGB", (360, 360))], **how)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(portrait()).copy()).save(path, exif=exif.tobytes(), quality=97)


def with_alpha(path: Path) -> None:
    Image.fromarray(np.dstack([portrait(), np.full((360, 360), 255, np.uint8)])).save(path)


def two_faces(path: Path) -> None:
    wide = np.zeros((360, 720, 3), np.uint8)
    wide[:, :360], wide[90:270, 450:630] = portrait(), portrait(180)
    picture(wide)(path)


HALF = portrait()
HALF[:, 180:] = 0
REFUSED: Refused = {
    "photo: a path that is too long": (lambda f: ["-i", "x" * 300, "-d", TRACK], "File name too long"),
    "photo: a device": (lambda f: ["-i", "/dev/zero", "-d", TRACK], "is a device or a pipe"),
    "driver: a device": (lambda f: ["-i", PORTRAIT, "-d", "/dev/zero"], "is a device or a pipe"),
    "photo: a pipe that nobody writes to": (photo(pipe), "is a device or a pipe"),
    "photo: a folder": (lambda f: ["-i", TRACK, "-d", TRACK], "is a folder"),
    "photo: a link to nothing": (photo(lambda p: p.symlink_to("nothing")), "does not exist"),
    "photo: a link to itself": (photo(lambda p: p.symlink_to(p)), "photo.png"),
    "photo: an empty path": (lambda f: ["-i", "", "-d", TRACK], "is a folder"),
    "photo: zero bytes": (photo(lambda p: p.touch()), "is empty (0 bytes)"),
    "photo: a JPEG cut in the middle": (photo(cut(picture(portrait())), "a.jpg"), "damaged picture"),
    "photo: a PNG cut in the middle": (photo(cut(picture(portrait()))), "damaged picture"),
    "photo: a web page": (photo(lambda p: p.write_text("<html>404</html>"), "a.jpg"), "neither a picture nor a video"),
    "photo: an SVG": (photo(lambda p: p.write_text("<svg/>"), "a.svg"), "neither a picture nor a video"),
    "photo: an EPS": (photo(lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "a.eps"), "neither a picture"),
    "photo: 20,000 x 20,000": (
        photo(lambda p: Image.new("1", (20_000, 20_000)).save(p)),
        "the limit is 100 megapixels",
    ),
    "photo: 1 x 1": (photo(picture(portrait(1))), NO_FACE),
    "photo: 1 x 3000": (photo(picture(np.zeros((1, 3000, 3), np.uint8))), NO_FACE),
    "photo: a face at the border": (photo(picture(portrait()[:, 190:])), NO_FACE),
    "photo: upside down": (photo(picture(portrait()[::-1, ::-1])), "upright"),
    "photo: half covered": (photo(picture(HALF)), NO_FACE),
    "photo: a face 12 px wide": (photo(picture(portrait(24))), "64 pixels wide"),
    "photo: a drawing": (photo(drawing), NO_FACE),
    "photo: a dog": (photo(dog), NO_FACE),
    "photo: a cat": (photo(picture(skimage.data.chelsea())), NO_FACE),
    "photo: all black": (photo(picture(np.zeros((300, 300, 3), np.uint8))), NO_FACE),
    "photo: a video": (photo(lambda p: save_clip(p, face_clip()), "a.mp4"), "is a video"),
    "photo: an animation": (
        photo(lambda p: Image.fromarray(BLANK).save(p, save_all=True, append_images=[Image.new("RGB", (192, 192))])),
        "is a video",
    ),
    "driver: a picture without a face": (driver(picture(BLANK), "driver.png"), "found in this picture"),
}

TAKEN: dict[str, tuple[str, Make]] = {
    "16 bits": ("a.png", lambda p: cv2.imwrite(str(p), portrait()[..., ::-1].astype(np.uint16) * 257)),
    "CMYK": ("a.jpg", lambda p: Image.fromarray(portrait()).convert("CMYK").save(p, quality=97)),
    "grey": ("a.png", lambda p: Image.fromarray(portrait()).convert("L").save(p)),
    "palette": ("a.png", lambda p: Image.fromarray(portrait()).quantize(256).save(p)),
    "alpha": ("a.png", with_alpha),
    "EXIF-rotated": ("a.jpg", turned),
    "several frames": ("a.webp", animated_tail),
    "pages": ("a.tiff", animated_tail),
    "two faces": ("a.png", two_faces),
    "another ending": ("a.mp4", lambda p: Image.fromarray(portrait()).save(p, "PNG")),
    "no ending": ("a", lambda p: Image.fromarray(portrait()).save(p, "PNG")),
    "an odd name": ("a%d 'ü\n:?.png", picture(portrait())),
    "a name that is no text": (os.fsdecode(b"\xff\xfe.png"), picture(portrait())),
}
