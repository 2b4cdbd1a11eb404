"""Splats, meshes and pages as files: .ply, .spz, .glb and .html. Written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from core.data.part_file import PartFile
from core.errors import UserError
from core.export.gltf import Gltf
from core.export.mesh import AnimatedMesh
from core.export.splats import RIGHT_DOWN_FRONT, RIGHT_UP_BACK, Splats, to_splats
from core.models.LiftedAvatar.bake import Gaussians
from core.output.watermark import PROGRAM, metadata

SPLAT_ENDINGS = (".ply", ".spz", ".glb")
_SPLATTING = "KHR_gaussian_splatting"
_FRACTION_BITS = 16  # of a position in .spz: 24 bits reach 128 head units then, in steps of 1 / 65536


def write_splats(path: Path, gaussians: Gaussians, unit: float = 1.0) -> int:
    """Write Gaussians by the ending of the path; returns the bytes.

    `.ply`: 3D Gaussian splatting's, x right, y down, z away. `.spz`: Niantic's version 3, x right, y up, z to the
    viewer. `.glb`: glTF with KHR_gaussian_splatting, the same axes, in metres. `unit`: metres of a head unit.
    """
    if path.suffix == ".ply":
        return _keep(path, lambda part: _write_ply(part, to_splats(gaussians, RIGHT_DOWN_FRONT)))
    if path.suffix == ".spz":
        return _keep(path, lambda part: _write_spz(part, to_splats(gaussians, RIGHT_UP_BACK)))
    if path.suffix == ".glb":
        return _keep(path, lambda part: part.write_bytes(_glb(to_splats(gaussians, RIGHT_UP_BACK, unit))))
    raise UserError(f"{path} must end in one of {', '.join(SPLAT_ENDINGS)}")


def write_mesh(path: Path, mesh: AnimatedMesh) -> int:
    """Write a mesh with morph targets, and their animation where there is one, as .glb; returns the bytes."""
    return _keep(path, lambda part: part.write_bytes(_mesh_glb(mesh)))


def write_page(path: Path, text: str) -> int:
    """Write an HTML page; returns the bytes."""
    return _keep(path, lambda part: part.write_text(text, encoding="utf-8"))


def _keep(path: Path, write: Callable[[Path], object]) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartFile(path) as part:
            write(part.path)
            size = part.path.stat().st_size
            part.finish()
        return size
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): check the folder and the disk") from error


def _data(splats: Splats):
    """As gsply wants them: logarithms of scales, logits of opacities."""
    from gsply import GSData  # it compiles its kernels when it is imported

    logits = np.log(splats.opacities / (1 - splats.opacities)).astype(np.float32)
    none = np.zeros((len(splats), 0, 3), np.float32)
    return GSData(splats.means, np.log(splats.scales), splats.quaternions, logits, splats.harmonics, none)


def _write_ply(part: Path, splats: Splats) -> None:
    from gsply import plywrite

    named = part.with_suffix(".ply")  # the library goes by the ending
    try:
        plywrite(named, _data(splats))
        content = named.read_bytes()
    finally:
        named.unlink(missing_ok=True)
    head, kind, body = content.partition(b"format binary_little_endian 1.0\n")
    about = f"comment {metadata('lifted')['comment']}\n".encode("ascii")
    part.write_bytes(head + kind + about + body)


def _write_spz(part: Path, splats: Splats) -> None:
    from gsply import write_spz

    write_spz(part, _data(splats), version=3, fractional_bits=_FRACTION_BITS)


def _glb(splats: Splats) -> bytes:
    gltf = Gltf(PROGRAM, metadata("lifted")["comment"])
    attributes = {
        "POSITION": gltf.accessor(splats.means, bounds=True),
        f"{_SPLATTING}:ROTATION": gltf.accessor(splats.quaternions[:, [1, 2, 3, 0]]),  # x y z w
        f"{_SPLATTING}:SCALE": gltf.accessor(splats.scales),
        f"{_SPLATTING}:OPACITY": gltf.accessor(splats.opacities),
        f"{_SPLATTING}:SH_DEGREE_0_COEF_0": gltf.accessor(splats.harmonics),
    }
    extension = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {"mode": 0, "attributes": attributes, "extensions": {_SPLATTING: extension}}
    gltf.document |= {
        "extensionsUsed": [_SPLATTING],
        "meshes": [{"name": "portrait", "primitives": [primitive]}],
        "nodes": [{"name": "portrait", "mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    return gltf.to_bytes()


def _mesh_glb(mesh: AnimatedMesh) -> bytes:
    gltf = Gltf(PROGRAM, metadata("lifted")["comment"])
    ok, png = cv2.imencode(".png", cv2.cvtColor(mesh.texture, cv2.COLOR_RGBA2BGRA))
    assert ok
    targets = [{"POSITION": gltf.accessor(target, bounds=True)} for target in mesh.targets]
    primitive = {
        "attributes": {
            "POSITION": gltf.accessor(mesh.points, bounds=True),
            "TEXCOORD_0": gltf.accessor(mesh.texture_coordinates),
        },
        "indices": gltf.accessor(mesh.triangles.astype(np.uint32).reshape(-1)),
        "material": 0,
        "targets": targets,
    }
    material = {
        "name": "photo",
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicFactor": 0,
            "roughnessFactor": 1,
        },
        # A photo has its light in it already; viewers without the extension light it once more.
        "extensions": {"KHR_materials_unlit": {}},
        "alphaMode": "MASK",
        "alphaCutoff": 0.5,
        "doubleSided": True,
    }
    gltf.document |= {
        "extensionsUsed": ["KHR_materials_unlit"],
        "images": [{"bufferView": gltf.view(png.tobytes()), "mimeType": "image/png"}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "textures": [{"source": 0, "sampler": 0}],
        "materials": [material],
        "meshes": [
            {
                "name": "portrait",
                "primitives": [primitive],
                "weights": [0.0] * len(targets),
                "extras": {"targetNames": list(mesh.names)},
            }
        ],
        "nodes": [{"name": "portrait", "mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    if mesh.weights is not None and mesh.times is not None:
        times = gltf.accessor(mesh.times.astype(np.float32), bounds=True)
        weights = gltf.accessor(mesh.weights.astype(np.float32).reshape(-1))
        sampler = {"input": times, "output": weights, "interpolation": "LINEAR"}
        channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
        gltf.document["animations"] = [{"name": "driver", "samplers": [sampler], "channels": [channel]}]
    return gltf.to_bytes()
