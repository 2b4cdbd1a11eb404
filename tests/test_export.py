"""Files for other programs: read back by other libraries, or here from the formats' own descriptions."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.export import moment, write_splats
from core.export.__main__ import main
from core.export.mesh import principal_targets
from core.export.splats import RIGHT_DOWN_FRONT, RIGHT_UP_BACK, SH_C0, to_splats
from core.models.LiftedAvatar.bake import Gaussians
from core.models.rasterizer.alpha import splat_alpha
from core.models.rasterizer.projection import LOW_PASS
from core.models.rasterizer.surface import RasterWorkspace
from core.options import Options
from core.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
PHOTO, DRIVER = ROOT / "demos/examples/1.jpg", ROOT / "demos/drivers/obama"


def few(count: int = 50) -> Gaussians:
    random = np.random.default_rng(3)
    axes = random.normal(size=(count, 3, 3)) * 0.01
    S = axes @ axes.transpose(0, 2, 1)
    covariances = np.stack([S[:, 0, 0], S[:, 0, 1], S[:, 0, 2], S[:, 1, 1], S[:, 1, 2], S[:, 2, 2]], 1)
    return Gaussians(
        random.normal(size=(count, 3)).astype(np.float32),
        covariances.astype(np.float32),
        random.uniform(size=(count, 3)).astype(np.float32),
        random.uniform(0.1, 0.9, count).astype(np.float32),
    )


def covariances_of(scales: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """(N, 3, 3) from scales (N, 3) and quaternions (N, 4) w x y z."""
    R = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix()
    return R @ (scales[:, :, None] ** 2 * np.eye(3)) @ R.transpose(0, 2, 1)


def full(covariances: np.ndarray) -> np.ndarray:
    xx, xy, xz, yy, yz, zz = covariances.T
    return np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], 1).reshape(-1, 3, 3)


@pytest.mark.parametrize("axes", [RIGHT_DOWN_FRONT, RIGHT_UP_BACK])
def test_axes_are_turned_and_nothing_is_mirrored(axes):
    given = few()
    splats = to_splats(given, axes, unit=2.0, thickness=0.0)
    assert np.linalg.det(axes) == 1
    np.testing.assert_allclose(splats.means, given.xyz @ axes.T * 2, rtol=1e-6)
    turned = axes @ full(given.covariances) @ axes.T * 4
    np.testing.assert_allclose(covariances_of(splats.scales, splats.quaternions), turned, atol=1e-7)
    np.testing.assert_allclose(splats.harmonics * SH_C0 + 0.5, given.colors, atol=1e-6)


def read_ply(path: Path) -> Gaussians:
    plyfile = pytest.importorskip("plyfile")
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
    pygltflib = pytest.importorskip("pygltflib")
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


READERS = {".ply": read_ply, ".spz": read_spz, ".glb": lambda path: read_glb(path, 0.05)}


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    """A moment of the demo's run at which the mouth is open, its picture, and where the head is."""
    pipeline = Pipeline(Options(PHOTO, driver_path=DRIVER, layout="result", model="lifted", quiet=True))
    frame = pipeline.motion[121]
    picture = pipeline.draw(frame).permute(1, 2, 0).numpy()
    return moment(pipeline, frame), picture, pipeline.source.frame.transform_matrix[:, 3], pipeline.avatar.camera


@pytest.mark.parametrize("ending", [".ply", ".spz", ".glb"])
def test_a_file_read_by_another_reader_shows_the_picture(tmp_path, speaking, ending):
    """With eyes and mouth, by alpha compositing: at least 28 dB from what the surface rule draws."""
    gaussians, picture, centre, camera = speaking
    path = tmp_path / f"avatar{ending}"
    write_splats(path, gaussians, 0.05)
    back = READERS[ending](path)
    assert len(back) == len(gaussians)
    drawn, alpha = splat_alpha(
        back.xyz + centre.astype(np.float32),
        back.covariances,
        back.colors,
        back.opacities,
        (camera.size, camera.size),
        (camera.focal, camera.focal),
        RasterWorkspace(),
        transform=np.eye(3, 4, dtype=np.float32),
        bg_color=np.zeros(3),
        blur=LOW_PASS,
    )
    person = alpha > 0.98
    error = (drawn - picture)[person]
    assert person.mean() > 0.2
    assert -10 * np.log10((error**2).mean()) > 28
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_motion_of_known_rank_is_that_many_targets():
    random = np.random.default_rng(0)
    directions, amounts = random.normal(size=(3, 40, 3)), random.normal(size=(25, 3))
    offsets = np.einsum("tk,kmc->tmc", amounts, directions)
    targets, weights, error = principal_targets(offsets, most=10, error=1e-6)
    assert len(targets) == 3
    assert np.abs(weights).max() == pytest.approx(1)
    np.testing.assert_allclose(np.einsum("tk,kmc->tmc", weights, np.stack(targets)), offsets, atol=1e-5)
    one, _, left = principal_targets(offsets, most=1, error=1e-6)
    assert len(one) == 1
    assert left > error


def test_a_mesh_plays_the_drivers_motion(tmp_path):
    pygltflib = pytest.importorskip("pygltflib")
    path = tmp_path / "avatar.mesh.glb"
    assert main(["-i", str(PHOTO), "-d", str(DRIVER), "-o", str(path), "--quiet"]) == 0
    gltf = pygltflib.GLTF2().load(path)
    primitive, sampler = gltf.meshes[0].primitives[0], gltf.animations[0].samplers[0]
    targets = len(primitive.targets)
    times, weights = gltf.accessors[sampler.input], gltf.accessors[sampler.output]
    assert times.count == 241
    assert weights.count == 241 * targets
    assert times.max[0] == pytest.approx(240 / 24, abs=0.5)
    points = gltf.accessors[primitive.attributes.POSITION]
    size = np.subtract(points.max, points.min)
    assert 0.2 < size[0] < 1  # metres: a head with shoulders
    assert gltf.accessors[primitive.indices].count % 3 == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "avatar.obj"], "must end in one of"),
        (["-o", "avatar.ply", "--at", "2"], "name the driver"),
        (["-d", str(DRIVER), "-o", "avatar.ply", "--at", "99"], "give a time within"),
        (["-d", str(DRIVER), "-o", "a.mesh.glb", "--at", "1"], "whole motion"),
        (["-d", str(DRIVER), "-o", "avatar.ply", "--at", "soon"], "no number of seconds"),
        (["-o", str(PHOTO / "avatar.ply")], "cannot be written"),
    ],
)
def test_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["-i", str(PHOTO), *arguments, "--quiet"]) == 2
    assert said in (line := capsys.readouterr().err.strip().splitlines()[-1])
    assert line.startswith("error: ")
    assert list(tmp_path.rglob("*.*")) == []
