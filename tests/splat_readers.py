"""Readers of splats that share nothing with what writes them, and what they read drawn by alpha compositing."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from core.data.records import TrackedFrame
from core.export.splats import RIGHT_DOWN_FRONT, RIGHT_UP_BACK, SH_C0
from core.models.LiftedAvatar.bake import Gaussians
from core.models.rasterizer.alpha import splat_alpha
from core.models.rasterizer.projection import LOW_PASS
from core.models.rasterizer.surface import RasterWorkspace
from core.models.request import DrawRequest
from core.pipeline import Pipeline

UNIT = 0.05  # metres of a head unit, in which .glb is
OPAQUE = 0.98  # a matte from which on a pixel is the person's alone


def covariances_of(scales: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """(N, 3, 3) from scales (N, 3) and quaternions (N, 4) w x y z."""
    R = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix()
    return R @ (scales[:, :, None] ** 2 * np.eye(3)) @ R.transpose(0, 2, 1)


def read_ply(path: Path) -> Gaussians:
    import plyfile

    vertex = plyfile.PlyData.read(path)["vertex"]
    values = {p.name: np.asarray(vertex[p.name], np.float64) for p in vertex.properties}
    columns = lambda *names: np.stack([values[n] for n in names], 1)  # noqa: E731
    S = covariances_of(np.exp(columns("scale_0", "scale_1", "scale_2")), columns("rot_0", "rot_1", "rot_2", "rot_3"))
    return in_camera(
        columns("x", "y", "z"),
        S,
        columns("f_dc_0", "f_dc_1", "f_dc_2") * SH_C0 + 0.5,
        1 / (1 + np.exp(-values["opacity"])),
        RIGHT_DOWN_FRONT,
    )


def read_spz(path: Path) -> Gaussians:
    """Version 3, from its description: a gzip stream of a header and one array after the other."""
    data = gzip.decompress(path.read_bytes())
    magic, version, count, degree, bits, _, _ = struct.unpack_from("<IIIBBBB", data)
    assert (magic, version, degree) == (0x5053474E, 3, 0)
    parts, at = {}, 16
    for name, width in (("xyz", 9), ("alpha", 1), ("color", 3), ("scale", 3), ("rotation", 4)):
        parts[name] = np.frombuffer(data, np.uint8, count * width, at).reshape(count, width)
        at += count * width
    assert at == len(data)
    low, mid, high = (parts["xyz"].reshape(count, 3, 3)[..., k].astype(np.int32) for k in range(3))
    fixed = low | mid << 8 | high << 16
    means = np.where(fixed >= 1 << 23, fixed - (1 << 24), fixed) / 2.0**bits
    packed = parts["rotation"].copy().view("<u4")[:, 0].astype(np.int64)
    largest, quaternions = packed >> 30, np.zeros((count, 4))  # x y z w
    for component in (3, 2, 1, 0):
        there = largest != component
        size, negative = packed & 511, packed >> 9 & 1
        value = np.sqrt(0.5) * size / 511 * np.where(negative, -1, 1)
        quaternions[there, component] = value[there]
        packed = np.where(there, packed >> 10, packed)
    rest = np.sqrt(np.maximum(1 - (quaternions**2).sum(1), 0))
    quaternions[np.arange(count), largest] = rest
    S = covariances_of(np.exp(parts["scale"] / 16.0 - 10), quaternions[:, [3, 0, 1, 2]])
    colors = ((parts["color"] / 255.0 - 0.5) / 0.15) * SH_C0 + 0.5
    return in_camera(means, S, colors, parts["alpha"][:, 0] / 255.0, RIGHT_UP_BACK)


def read_glb(path: Path, unit: float) -> Gaussians:
    import pygltflib

    gltf = pygltflib.GLTF2().load(path)
    raw = json.loads(path.read_bytes()[20 : 20 + struct.unpack_from("<I", path.read_bytes(), 12)[0]])
    primitive = raw["meshes"][0]["primitives"][0]
    assert raw["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0

    def values(name: str) -> np.ndarray:
        accessor = gltf.accessors[primitive["attributes"][name]]
        view = gltf.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
        array = np.frombuffer(gltf.binary_blob(), np.float32, accessor.count * width, view.byteOffset)
        return array.reshape(accessor.count, width).astype(np.float64)

    means, k = values("POSITION"), "KHR_gaussian_splatting:"
    S = covariances_of(values(k + "SCALE"), values(k + "ROTATION")[:, [3, 0, 1, 2]])
    opacities, colors = values(k + "OPACITY")[:, 0], values(k + "SH_DEGREE_0_COEF_0") * SH_C0 + 0.5
    return in_camera(means / unit, S / unit**2, colors, opacities, RIGHT_UP_BACK)


def in_camera(means, S, colors, opacities, axes) -> Gaussians:
    S = axes.T @ S @ axes
    six = np.stack([S[:, 0, 0], S[:, 0, 1], S[:, 0, 2], S[:, 1, 1], S[:, 1, 2], S[:, 2, 2]], 1)
    return Gaussians(*(np.asarray(a, np.float32) for a in (means @ axes, six, colors, opacities)))


READERS = {".ply": read_ply, ".spz": read_spz, ".glb": lambda path: read_glb(path, UNIT)}


def person_psnr(read: Gaussians, pipeline: Pipeline, frame: TrackedFrame) -> float:
    """Decibels between what was read of a frame, over black by alpha, and the person that the surface rule draws."""
    person = drawn_person(pipeline, frame)
    drawn, _ = draw(read, pipeline)
    error = np.square(drawn - person[..., :3] * person[..., 3:]).mean(2)
    return float(-10 * np.log10(error[person[..., 3] > OPAQUE].mean()))


def drawn_person(pipeline: Pipeline, frame: TrackedFrame) -> np.ndarray:
    """(S, S, 4) straight colours and matte of the renderer's person at a frame."""
    vertices, told = pipeline.components.head.evaluate(frame), (frame.torso_motion, frame.mouth_interior)
    request = DrawRequest(vertices, frame.transform_matrix, torso_motion=told[0], mouth=told[1])
    return pipeline.components.model.draw_foreground(pipeline.avatar, request).permute(1, 2, 0).numpy()


def draw(read: Gaussians, pipeline: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians about the head from the photo's camera: (S, S, 3) over black by alpha compositing, and alpha (S, S)."""
    camera, centre = pipeline.avatar.camera, pipeline.source.frame.transform_matrix[:, 3]
    return splat_alpha(
        read.xyz + centre.astype(np.float32),
        read.covariances,
        read.colors,
        read.opacities,
        (camera.size, camera.size),
        (camera.focal, camera.focal),
        RasterWorkspace(),
        transform=np.eye(3, 4, dtype=np.float32),
        bg_color=np.zeros(3),
        blur=LOW_PASS,
    )
