"""Files of codes, and sounds, that are refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from bad_files import Build, Make, Refused, Runs, cut, driver, options
from bad_videos import sound_only
from faces import PORTRAIT, face_clip, save_clip

CODES = np.zeros((3, 106), np.float32)


def saved(form: str, *whole: object, **named: object) -> Build:
    """A driver that holds one array or named ones."""
    content = whole[0] if whole else named

    def make(path: Path) -> None:
        if form == "npz":
            np.savez(path, **(named or {"arr_0": content}))
        elif form == "npy":
            np.save(path, content)
        elif form == "pt":
            torch.save(content, path)
        else:
            path.write_bytes(pickle.dumps(content))

    return driver(make, f"driver.{form}")


def holding(value: float) -> np.ndarray:
    codes = CODES.copy()
    codes[1, 7] = value
    return codes


def unfolding(path: Path) -> None:
    """An npz that says that it unpacks to two gigabytes."""
    np.savez(path, expcode=CODES[:, :100])
    data = path.read_bytes()
    at = data.index(b"PK\1\2") + 24  # of the uncompressed size in the central directory
    path.write_bytes(data[:at] + (0x7FFFFFFF).to_bytes(4, "little") + data[at + 4 :])


def promising(path: Path) -> None:
    """An npz whose header promises more than the file holds."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("expcode.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (400_000, 100)})


def repeated(path: Path) -> None:
    """A tensor of one stored row that claims a billion."""
    torch.save(torch.zeros(1, 106).expand(10**9, 106), path)


def with_sound(make: Make, name: str = "sound.wav", *more: object) -> Build:
    def build(folder: Path) -> list:
        make(folder / name)
        np.savez(folder / "driver.npz", expcode=CODES[:, :100])
        return ["-i", PORTRAIT, "-d", folder / "driver.npz", *(more or ("--audio", folder / name))]

    return build


TRANSFORM = np.tile(np.eye(3, 4, dtype=np.float32), (3, 1, 1))
REFUSED: Refused = {
    "codes: 105 wide": (saved("pt", torch.zeros(3, 105)), "has shape (3, 105), expected an array (N, 106)"),
    "codes: one row": (saved("npy", CODES[0]), "has shape (106,), expected an array (N, 106)"),
    "codes: two clips": (saved("npy", np.stack([CODES, CODES])), "has shape (2, 3, 106)"),
    "codes: no frame": (saved("npy", CODES[:0]), "has 0 frames"),
    "codes: NaN": (saved("npz", holding(np.nan)), "holds values that are not finite"),
    "codes: infinity": (saved("pkl", holding(np.inf)), "holds values that are not finite"),
    "codes: too large for float32": (saved("npy", CODES.astype(np.float64) + 1e300), "not finite"),
    "codes: numbers of no face": (saved("npy", holding(1e30)), "expcode holds values above"),
    "codes: texts": (saved("npz", expcode=np.full((3, 100), "a")), "expected numbers"),
    "codes: complex numbers": (saved("pt", torch.zeros(3, 106, dtype=torch.complex64)), "no plain array of numbers"),
    "codes: a sparse tensor": (saved("pt", torch.zeros(3, 106).to_sparse()), "no plain array of numbers"),
    "codes: a tensor that claims a billion rows": (driver(repeated, "driver.pt"), "1,000,000,000 frames"),
    "codes: objects": (saved("npz", np.array([Runs()] * 3, object)), "is refused"),
    "codes: objects in an npy": (saved("npy", np.array([Runs()] * 3, object)), "is refused"),
    "codes: a pickle that runs code": (saved("pkl", Runs()), "is refused"),
    "codes: a .pt that runs code": (saved("pt", {"expcode": Runs()}), "is refused"),
    "codes: an old .pt that runs code": (
        driver(lambda p: torch.save(Runs(), p, _use_new_zipfile_serialization=False), "driver.pt"),
        "is refused",
    ),
    "codes: a text named .pkl": (driver(lambda p: p.write_text("no codes"), "driver.pkl"), "is refused"),
    "codes: a text named .npz": (driver(lambda p: p.write_text("no codes"), "driver.npz"), "is refused"),
    "codes: zero bytes": (driver(lambda p: p.touch(), "driver.pt"), "is empty (0 bytes)"),
    "codes: cut in the middle": (driver(cut(lambda p: np.save(p, CODES)), "driver.npy"), "is refused"),
    "codes: an npz cut in the middle": (
        driver(lambda p: cut(lambda q: np.savez(q, CODES))(p), "driver.npz"),
        "is refused",
    ),
    "codes: an npz that unfolds": (driver(unfolding, "driver.npz"), "unpacks to over 512 MiB"),
    "codes: an npz that promises more than it holds": (driver(promising, "driver.npz"), "is refused"),
    "codes: a list": (saved("pkl", [1, 2]), "is a list, expected an array (N, 106)"),
    "codes: nothing of a face": (saved("npz", audio=np.zeros(9)), "holds no motion"),
    "codes: an empty dict": (saved("pkl", {}), "holds no motion"),
    "codes: poses without expressions": (saved("npz", posecode=np.zeros((3, 6))), "holds no motion"),
    "codes: a pose that is too narrow": (
        saved("npz", expcode=CODES[:, :100], posecode=np.zeros((3, 3))),
        "posecode has shape (3, 3)",
    ),
    "codes: eyes of fewer frames": (
        saved("npz", expcode=CODES[:, :100], eyecode=np.zeros((2, 6))),
        "eyecode has shape (2, 6)",
    ),
    "codes: no rotation": (saved("npz", expcode=CODES[:, :100], transform_matrix=0 * TRANSFORM), "is no rotation"),
    "codes: no rate": (saved("pkl", expcode=CODES[:, :100], fps="fast"), "fps is no number"),
    "codes: no frames a second": (saved("npz", expcode=CODES[:, :100], fps=np.float32(0)), "0 frames per second"),
    "codes: a rate that is not a number": (saved("npz", expcode=CODES[:, :100], fps=np.nan), "fps is no number"),
    "codes: a record for each frame": (saved("pkl", {"a_0": {"expcode": CODES[0]}}), "give the folder as driver"),
    "codes: without FLAME's file": (saved("npy", CODES), "fetch it with `python -m core.assets`"),
    "codes: as photo": (
        lambda f: ["-i", saved("npy", CODES)(f)[-1], "-d", PORTRAIT],
        "is a file of codes: give a picture with -i",
    ),
    "audio: not there": (options("--audio", "none.wav"), "none.wav does not exist"),
    "audio: no sound": (with_sound(lambda p: p.write_text("no sound")), "is no sound file"),
    "audio: a video without any": (
        with_sound(lambda p: save_clip(p, face_clip(2)), "silent.mp4"),
        "has no sound that can be read",
    ),
    "audio: broken, beside the codes": (
        with_sound(lambda p: p.write_text("no sound"), "driver.wav", "--quiet"),
        "is no sound file",
    ),
    "audio: for a picture": (
        lambda f: [*with_sound(sound_only)(f)[:2], "-d", PORTRAIT, "--audio", f / "sound.wav"],
        "a picture as driver gives a picture",
    ),
    "options: an orbit beyond its limits": (options("--orbit", "90"), "orbit must be between 0 and 60"),
    "options: an orbit that is not a number": (options("--orbit", "nan"), "orbit must be between"),
    "options: a part that there is not": (options("--take", "eyes"), "invalid choice: 'eyes'"),
}
