"""MediaPipe's face mesh for browsers, fetched once from the npm registry: the tracker of a page that has a camera."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass, field

from core.assets import fetch_file
from core.errors import UserError
from core.libs.tracker.cache import default_folder


@dataclass(frozen=True)
class FaceMeshSettings:
    """Which package it is: the newest that works (later ones stop at `has_num_classes`).

    Attributes:
        version, size, integrity: as the npm registry states them; bytes.
        files: those that a page needs.
        unused: first byte and last + 1 of a model in the packed assets that 478 points do not need.
    """

    version: str = "0.4.1633559619"
    size: int = 7319164
    integrity: str = "Vc8cdjxS5+O2gnjWH9KncYpUCVXT0h714KlWAsyqJvJbIgUJBqpppbIx8yWcAzBDxm/5cYSuBI5p5ySIPxzcEg=="
    files: tuple[str, ...] = (
        "face_mesh.js",
        "face_mesh.binarypb",
        "face_mesh_solution_packed_assets_loader.js",
        "face_mesh_solution_packed_assets.data",
        "face_mesh_solution_simd_wasm_bin.js",
        "face_mesh_solution_simd_wasm_bin.wasm",
    )
    unused: tuple[int, int] = (2_495_952, 3_737_848)
    registry: str = field(default="https://registry.npmjs.org")


_SETTINGS = FaceMeshSettings()


def face_mesh_files(quiet: bool = False, settings: FaceMeshSettings = _SETTINGS) -> dict[str, bytes]:
    """The tracker's files by name, from the user's cache or the npm registry.

    Raises:
        UserError: it is not in the cache, and the registry cannot be reached.
    """
    name = f"face_mesh-{settings.version}.tgz"
    path = default_folder().parent / "npm" / name
    digest = base64.b64decode(settings.integrity).hex()
    if not path.is_file() or hashlib.sha512(path.read_bytes()).hexdigest() != digest:
        try:
            fetch_file(f"{settings.registry}/@mediapipe/face_mesh/-/{name}", path, settings.size, digest, quiet)
        except UserError as error:
            raise UserError(f"{error}; --no-webcam makes the file without a camera") from error
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
        files = {}
        for one in settings.files:
            member = archive.extractfile(f"package/{one}")  # into memory: no name of the archive becomes a path
            assert member is not None  # its digest is known
            files[one] = member.read()
    data = bytearray(files["face_mesh_solution_packed_assets.data"])
    first, end = settings.unused
    data[first:end] = bytes(end - first)
    return files | {"face_mesh_solution_packed_assets.data": bytes(data)}


def notice(settings: FaceMeshSettings = _SETTINGS) -> str:
    """What its licence wants said of it."""
    return (
        f"The face tracker in this file is MediaPipe Face Mesh {settings.version}, Copyright The MediaPipe Authors, "
        "under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0). Its code and models are "
        "as published but for one model that is not used, which is left out. It is distributed on an AS IS basis, "
        "without warranties or conditions of any kind."
    )


def packed(files: dict[str, bytes]) -> str:
    """The files one after the other, deflated, in base 64; a line of their names and sizes goes before."""
    about = ",".join(f"{name}:{len(data)}" for name, data in files.items())
    block = zlib.compress(b"".join(files.values()), 9)
    return f"{about};{base64.b64encode(block).decode('ascii')}"
