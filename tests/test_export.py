"""Files for other programs: read back by other libraries, or here from the formats' own descriptions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from core.export import moment, write_splats
from core.export.__main__ import main
from core.export.mesh import principal_targets
from core.export.splats import RIGHT_DOWN_FRONT, RIGHT_UP_BACK, SH_C0, to_splats
from core.libs.flame_model import topology as topo
from core.libs.geometry import to_camera
from core.models.LiftedAvatar.bake import Gaussians
from core.options import Options
from core.pipeline import Pipeline
from tests.splat_readers import READERS, UNIT, covariances_of, draw, drawn_person, person_psnr

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


@pytest.fixture(scope="module", params=["1.jpg", "2.jpg"], ids=["teeth in the photo", "lips shut in the photo"])
def speaking(request):
    """A run and a moment of it at which the mouth is open, as Gaussians."""
    pipeline = Pipeline(
        Options(PHOTO.with_name(request.param), driver_path=DRIVER, layout="result", model="lifted", quiet=True)
    )
    frame = pipeline.motion[121]
    return pipeline, frame, moment(pipeline, frame)


@pytest.mark.parametrize("ending", [".ply", ".spz", ".glb"])
def test_a_file_read_by_another_reader_shows_the_picture(tmp_path, speaking, ending):
    """With eyes and mouth, by alpha compositing: at least 28 dB from what the surface rule draws."""
    pytest.importorskip({".ply": "plyfile", ".glb": "pygltflib"}.get(ending, "gzip"))
    pipeline, frame, gaussians = speaking
    path = tmp_path / f"avatar{ending}"
    write_splats(path, gaussians, UNIT)
    back = READERS[ending](path)
    assert len(back) == len(gaussians)
    assert person_psnr(back, pipeline, frame) > 28
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_splats_have_the_mouths_inside(speaking):
    """As the renderer paints it, where the photo shows it and where it does not."""
    pipeline, frame, gaussians = speaking
    face = pipeline.components.head.evaluate(frame)[list(topo.INNER_LIPS)]
    place = pipeline.avatar.camera.to_pixels(to_camera(face, frame.transform_matrix))
    inside = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(inside, [np.rint(place).astype(np.int32)], 1)
    assert inside.sum() > 300
    drawn, _ = draw(gaussians, pipeline)
    error = np.square(drawn - drawn_person(pipeline, frame)[..., :3])[inside > 0].mean()
    assert -10 * np.log10(error) > 24


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


def test_what_of_the_improvements_a_file_does_not_have_is_said(tmp_path, capsys):
    path = tmp_path / "avatar.mesh.glb"
    assert main(["-i", str(PHOTO), "-o", str(path), "--detail-enhance"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--")]
    assert said == ["--detail-enhance has no effect: the mesh has the photo's own pixels"]


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
