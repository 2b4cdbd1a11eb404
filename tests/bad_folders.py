"""Tracked folders that are refused: ours, and those of GAGAvatar_track."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
from bad_files import BLANK, Build, Make, Refused, Runs, cut, driver, picture
from faces import PORTRAIT, TRACK, face_clip, portrait, save_clip, tracked
from PIL import Image

from core.data.array_file import load_arrays
from core.data.records import TRACK_FILE, TrackedSequence


def changed(**values: object) -> Build:
    """A tracked folder with some arrays of its file changed; None takes one out."""

    def build(folder: Path) -> list:
        file = tracked(folder / "driver", 3) / TRACK_FILE
        stored = load_arrays(file)
        for name, value in values.items():
            if value is None:
                del stored[name]
            else:
                stored[name] = value(stored[name].copy()) if callable(value) else value
        np.savez(file, **stored)
        return ["-i", PORTRAIT, "-d", folder / "driver"]

    return build


def put(index: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def a_record(**changes: object) -> dict[str, np.ndarray]:
    track = TrackedSequence.load(TRACK)
    record = {name: value[0] for name, value in track.parameters.items()} | {"bbox": track.bbox[0]}
    return {name: value for name, value in {**record, **changes}.items() if value is not None}


def upstream(records: object, name: str = "smoothed.pkl", more: Make | None = None) -> Build:
    """A folder of GAGAvatar_track's; `records`: what is pickled, or the bytes of the file."""

    def build(folder: Path) -> list:
        (folder / "driver").mkdir()
        content = records if isinstance(records, bytes) else pickle.dumps(records)
        (folder / "driver" / name).write_bytes(content)
        if more is not None:
            more(folder / "driver")
        return ["-i", PORTRAIT, "-d", folder / "driver"]

    return build


def pictures(*more: object, **files: Make) -> Build:
    """A folder of pictures, each made under its name with .png behind it."""

    def build(folder: Path) -> list:
        (folder / "driver").mkdir()
        for name, make in files.items():
            make(folder / "driver" / f"{name}.png")
        return ["-i", PORTRAIT, "-d", folder / "driver", *more]

    return build


def stored_pictures(values: dict[str, bytes], change: Callable[[Path], object] = lambda path: None) -> Build:
    """A folder with `img_lmdb` alone, whose file is changed afterwards."""

    def build(folder: Path) -> list:
        stored(folder / "driver", values)
        change(folder / "driver/img_lmdb/data.mdb")
        return ["-i", PORTRAIT, "-d", folder / "driver"]

    return build


def stored(folder: Path, values: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with lmdb.open(str(folder / "img_lmdb"), map_size=20 << 20) as environment, environment.begin(write=True) as put:
        for key, value in values.items():
            put.put(key.encode(), value)
    return folder


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


FACES = {f"a_{i}": picture(image) for i, image in enumerate(face_clip(3))}
FLIPPED = np.concatenate([np.diag([1.0, 1.0, -1.0]), [[0], [0], [30]]], 1).astype(np.float32)
REFUSED: Refused = {
    # tracked folders, ours
    "folder: empty": (driver(lambda p: p.mkdir(), "folder"), "is no tracked driver"),
    "folder: its file is a folder": (driver(lambda p: (p / TRACK_FILE).mkdir(parents=True), "folder"), "is no file"),
    "folder: a link out of it": (
        driver(lambda p: (p.mkdir(), (p / TRACK_FILE).symlink_to(TRACK / TRACK_FILE)), "folder"),
        "link out of the folder",
    ),
    "folder: a missing key": (changed(eyecode=None), "'eyecode'"),
    "folder: a wrong shape": (changed(expcode=np.zeros((3, 50), np.float32)), "expcode has shape (3, 50)"),
    "folder: texts for numbers": (changed(eyecode=np.full((3, 6), "a")), "expected numbers"),
    "folder: NaN": (changed(expcode=put((1, 7), np.nan)), "expcode holds values that are not finite"),
    "folder: infinity": (
        changed(transform_matrix=put((2, 0, 3), np.inf)),
        "transform_matrix holds values that are not",
    ),
    "folder: numbers of no face": (changed(posecode=put((0, 3), 1e30)), "posecode holds values above"),
    "folder: no rotation": (changed(transform_matrix=np.zeros((3, 3, 4), np.float32)), "holds what is no rotation"),
    "folder: a mirrored head": (changed(transform_matrix=np.tile(FLIPPED, (3, 1, 1))), "holds what is no rotation"),
    "folder: frames out of order": (changed(times=put(slice(None), [[0, 1], [2, 25], [1, 25]])), "not in the order"),
    "folder: two frames at one time": (changed(times=put(slice(None), [[0, 1], [1, 25], [1, 25]])), "not in the order"),
    "folder: time without end": (changed(times=put((1, 1), 0)), "ZeroDivisionError"),
    "folder: no frames a second": (changed(fps=np.array([0, 1])), "0 frames per second cannot be"),
    "folder: a million frames a second": (changed(fps=np.array([1_000_000, 1])), "frames per second cannot be"),
    "folder: another head's codes": (changed(head=np.array("flame")), "was tracked for the flame head"),
    "folder: an unknown head": (changed(head=np.array("smpl")), "unknown head 'smpl'"),
    "folder: another version's": (changed(format=np.array(7)), "written by another version"),
    "folder: a static offset of another head": (changed(static_offset=np.zeros((7, 3), np.float32)), "static_offset"),
    "folder: no frame": (
        lambda f: ["-i", PORTRAIT, "-d", tracked(f / "driver", 0, bbox=np.zeros((0, 4), np.float32))],
        "holds no frame",
    ),
    "folder: pickled objects": (changed(status=np.array([Runs()] * 3, object)), "damaged or not an npz file"),
    "folder: cut in the middle": (
        driver(lambda p: cut(lambda file: tracked(p))(p / TRACK_FILE), "folder"),
        "damaged or not an npz file",
    ),
    # tracked folders, upstream's
    "upstream: for another head": (upstream({"a_0": a_record()}), "was tracked for the flame head"),
    "upstream: a missing key": (upstream({"a_0": a_record(expcode=None)}), "lacks expcode"),
    "upstream: a wrong shape": (
        upstream({"a_0": a_record(eyecode=np.zeros(3, np.float32))}),
        "expected numbers of shape",
    ),
    "upstream: NaN": (upstream({"a_0": a_record(posecode=np.full(6, np.nan, np.float32))}), "not finite"),
    "upstream: no rotation": (upstream({"a_0": a_record(transform_matrix=np.ones((3, 4)))}), "is no rotation"),
    "upstream: no frame": (upstream({}), "holds no frame"),
    "upstream: a list": (upstream([1, 2]), "holds a list"),
    "upstream: keys without a number": (upstream({"a": a_record()}), "does not end in an underscore and a number"),
    "upstream: a pickle that runs code": (upstream(pickle.dumps(Runs())), "holds more than arrays"),
    "upstream: no pickle": (upstream(b"\x80\x04nonsense"), "is refused"),
    "folder: shots without numbers": (changed(shots=np.array(["a", "b", "c"])), "shots is <U1, expected whole numbers"),
    "folder: shots that are not numbered": (changed(shots=np.array([0, 2, 2])), "shots are not numbered"),
    "folder: a static offset too few": (
        changed(shots=np.array([0, 1, 1]), static_offset=lambda r: r[None]),
        "or (2, V, 3)",
    ),
    # pictures that are to be tracked
    "upstream: pictures without a database": (
        lambda f: ["-i", PORTRAIT, "-d", (f / "driver/img_lmdb").mkdir(parents=True) or f / "driver"],
        "holds no data.mdb of its own",
    ),
    "upstream: an empty database": (stored_pictures({}), "holds no JPEG or PNG picture"),
    "upstream: a database of something else": (stored_pictures({"a_0": b"PK\x03\x04"}), "holds no JPEG or PNG picture"),
    "upstream: a database cut off": (
        stored_pictures({"a_0": encoded(portrait(512))}, cut(lambda path: None)),
        "is cut off",
    ),
    "upstream: a damaged picture": (
        stored_pictures({"a_0": encoded(portrait(192)), "b_0": encoded(portrait(192))[:9000]}),
        "picture 'b_0' is damaged",
    ),
    "upstream: no face in any picture": (
        stored_pictures({"a_0": encoded(BLANK), "b_0": encoded(BLANK, "JPEG")}),
        "no human face found in any of its 2 pictures",
    ),
    "pictures: no face in any": (pictures(a=picture(BLANK), b=picture(BLANK)), "found in any of its 2 pictures"),
    "pictures: no face in a clip": (pictures(a_1=picture(BLANK), a_2=picture(BLANK)), "found in any of its 2 pictures"),
    "pictures: one of a clip that is damaged": (pictures(**FACES, a_3=cut(picture(BLANK))), "a_3.png is a damaged"),
    "pictures: one of several that is none": (
        pictures(b=picture(portrait(192)), a=lambda path: path.write_text("<html>")),
        "a.png is not a picture",
    ),
    "pictures: a clip of two sizes": (
        pictures(**FACES, a_3=picture(portrait(160))),
        "a_3.png is 160x160, the frame that it follows by its name 192x192",
    ),
    "pictures: a link out of the folder": (
        pictures(a=lambda path: path.symlink_to(PORTRAIT)),
        "link out of the folder",
    ),
    "pictures: a folder named as one": (pictures(a=Path.mkdir), "a.png is no file"),
    "pictures: two of one name": (
        pictures(a=lambda path: [picture(BLANK)(path.with_suffix(e)) for e in (".png", ".jpg")]),
        "leave one of the two",
    ),
    "pictures: a video of single ones": (
        pictures("-o", "out.mp4", a=picture(portrait(192)), b=picture(portrait(192))),
        "as a folder of single pictures gives a picture",
    ),
    "pictures: sound of single ones": (
        lambda f: [
            *pictures(a=picture(portrait(192)))(f),
            *("--audio", save_clip(f / "a.mp4", face_clip(2), sound=0.1)),
        ],
        "--audio: single pictures as driver give a picture",
    ),
    "pictures: a picture of a clip": (pictures("-o", "out.jpg", **FACES), "must end in one of .mp4"),
}
