"""FLAME's own file: the golden numbers, its landmarks as the tracker's points, and the regions of its face."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_flame import face_like_flame, random_flame, write_flame
from synthetic_head import a_frame

from core.errors import UserError
from core.evaluation import metrics
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.flame_model.moving_landmarks import MovingLandmarks, turn_matrices
from core.libs.flame_model.regions import face_regions

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def random_file(tmp_path_factory) -> Path:
    return write_flame(tmp_path_factory.mktemp("flame") / "FLAME_with_eye.pt", random_flame())


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return face_like_flame()


@pytest.fixture(scope="module")
def face_file(tmp_path_factory, arrays) -> Path:
    return write_flame(tmp_path_factory.mktemp("face") / "FLAME_with_eye.pt", arrays)


@pytest.fixture(scope="module")
def face(face_file) -> FLAMEModel:
    return FLAMEModel(path=face_file)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "flame.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def a_flame_frame(seed: int):
    return replace(a_frame(np.random.default_rng(seed)), head="flame")


class TestGolden:
    @pytest.fixture
    def codes(self, golden) -> list[torch.Tensor]:
        return [torch.from_numpy(golden[name]) for name in ("shape", "expression", "pose", "eye_pose")]

    def test_the_file_is_that_of_the_recipe(self, random_file):
        content = torch.load(random_file, weights_only=True)
        layout = json.loads((GOLDEN / "flame_file_layout.json").read_text())
        for part in ("flame_model", "lmk_embeddings"):
            assert set(content[part]) == set(layout[part])
            for name, expected in layout[part].items():
                value = content[part][name].numpy()
                assert (list(value.shape), str(value.dtype)) == (expected["shape"], expected["dtype"])
                assert hashlib.sha256(value.tobytes()).hexdigest()[:16] == expected["sha256_16"], name

    def test_vertices_and_landmarks(self, random_file, golden, codes):
        head = FLAMEModel(n_shape=300, n_exp=100, scale=5.0, no_lmks=False, path=random_file)
        shape, expression, pose, eyes = codes
        vertices, landmarks = head(
            shape_params=shape, expression_params=expression, pose_params=pose, eye_pose_params=eyes
        )
        assert vertices.shape == (3, 5023, 3)
        np.testing.assert_allclose(vertices[:, ::5].numpy(), golden["vertices"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(landmarks.numpy(), golden["landmarks70_plain"], rtol=0, atol=2e-6)
        with_lids = head.landmarks_70(vertices, lids=True).numpy()
        np.testing.assert_allclose(with_lids, golden["landmarks70_reselected"], rtol=0, atol=2e-6)
        assert np.abs(with_lids - landmarks.numpy()).max() > 0.01

    def test_at_rest(self, random_file, golden):
        head = FLAMEModel(path=random_file, no_lmks=True)
        vertices = head(*(torch.zeros(1, n) for n in (300, 100, 6, 6)))
        np.testing.assert_allclose(vertices[:, ::20].numpy(), golden["vertices_neutral"], rtol=0, atol=2e-6)

    def test_the_scale_is_a_scale(self, random_file, codes):
        one, five = (FLAMEModel(path=random_file, scale=scale)(*codes) for scale in (1.0, 5.0))
        for small, large in zip(one, five, strict=True):
            np.testing.assert_allclose(5 * small.numpy(), large.numpy(), atol=2e-6)

    def test_twins_agree(self, random_file, golden, codes):
        head = FLAMEModel(path=random_file)
        vertices = head(*codes)[0].numpy()
        for i in range(3):
            frame = replace(
                a_flame_frame(0),
                **{n: golden[g][i] for n, g in (("shapecode", "shape"), ("expcode", "expression"))},
                **{n: golden[g][i] for n, g in (("posecode", "pose"), ("eyecode", "eye_pose"))},
            )
            np.testing.assert_allclose(head.evaluate(frame), vertices[i], atol=2e-6)


class TestCall:
    def test_landmarks_come_where_a_head_has_them_and_they_are_wanted(self, face_file, arrays, tmp_path):
        codes = [torch.zeros(2, n) for n in (300, 100, 6, 6)]
        vertices, landmarks = FLAMEModel(path=face_file)(*codes)
        assert (vertices.shape, landmarks.shape) == ((2, 5023, 3), (2, 70, 3))
        assert FLAMEModel(path=face_file, no_lmks=True)(*codes).shape == (2, 5023, 3)
        assert FLAMEModel()(*codes).shape == (2, len(FLAMEModel().template), 3)
        np.savez(tmp_path / "bare.npz", **{name: value for name, value in arrays.items() if "_lmk_" not in name})
        bare = FLAMEModel(path=tmp_path / "bare.npz")
        assert bare(*codes).shape == (2, 5023, 3)
        with pytest.raises(ValueError, match="no landmarks"):
            bare.landmarks(bare.template.numpy())

    def test_damaged_landmarks_are_refused(self, arrays, tmp_path):
        beyond = arrays["full_lmk_faces_idx_with_eye"].copy()
        beyond[0, 5] = len(arrays["f"])
        cases = [
            ({"full_lmk_faces_idx_with_eye": beyond}, "faces that it does not have"),
            ({"full_lmk_bary_coords_with_eye": np.zeros((1, 68, 3), np.float32)}, r"expected \(1, 70, 3\)"),
        ]
        for change, message in cases:
            path = write_flame(tmp_path / "damaged.pt", arrays | change)
            with pytest.raises(UserError, match=message):
                FLAMEModel(path=path)

    def test_a_file_that_would_run_code_is_refused_before_it_does(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        torch.save({"flame_model": {"f": Hostile()}}, tmp_path / "hostile.pt")
        with pytest.raises(UserError, match="not a head model"):
            FLAMEModel(path=tmp_path / "hostile.pt")
        assert not (tmp_path / "ran").exists()


class TestLandmarks:
    def test_the_table_is_that_of_the_metrics(self):
        assert topo.LANDMARKS_68 == metrics.LANDMARKS_68

    def test_the_table_names_what_it_should(self):
        parts = {name: set(topo.LANDMARKS_68[slice(*span)]) for name, span in topo.PARTS_68.items()}
        assert sum(len(part) for part in parts.values()) == 68
        assert parts["right eye"] < set(topo.RIGHT_EYE)
        assert parts["left eye"] < set(topo.LEFT_EYE)
        assert parts["lips"] < {*topo.INNER_LIPS, *topo.OUTER_LIPS}
        for side in ("right", "left"):
            first = topo.PARTS_68[f"{side} eye"][0]
            assert {topo.LANDMARKS_68[first], topo.LANDMARKS_68[first + 3]} == set(topo.EYE_CORNERS[side])
        template = FLAMEModel().template.numpy()
        assert template[list(parts["right brow"]), 0].max() < 0 < template[list(parts["left brow"]), 0].min()

    def test_the_open_head_has_all_points(self):
        head = FLAMEModel()
        vertices = head.evaluate(a_frame(np.random.default_rng(1)))
        points = head.landmarks(vertices)
        assert points.dtype == np.float32
        np.testing.assert_array_equal(points, vertices[:478])
        points[:] = 0
        assert vertices[:478].any()  # a copy
        with pytest.raises(ValueError, match="expected vertices"):
            head.landmarks(vertices[:478])

    def test_flame_has_seventy(self, face):
        vertices = face.evaluate(a_flame_frame(2))
        points = face.landmarks(vertices)
        assert (points.shape, points.dtype) == ((478, 3), np.float32)
        known = np.flatnonzero(~np.isnan(points).any(1))
        assert set(known) == {*topo.LANDMARKS_68, 468, 473}
        assert np.isnan(np.delete(points, known, 0)).all()
        # This file's first vertices are the tracker's points, and its landmarks lie on faces around them.
        assert np.linalg.norm(points[known] - vertices[known], axis=1).max() < 0.02
        for ring in (topo.LIP_PAIRS, topo.EYE_PAIRS["right"][1:], topo.EYE_PAIRS["left"][1:]):
            assert not np.isnan(points[np.array(ring)]).any()

    def test_landmarks_are_barycentric(self, face, arrays):
        vertices = face.evaluate(a_flame_frame(3))
        corners = arrays["f"][arrays["full_lmk_faces_idx_with_eye"][0]]
        expected = (vertices[corners] * arrays["full_lmk_bary_coords_with_eye"][0][..., None]).sum(1)
        lids = [37, 38, 40, 41, 43, 44, 46, 47]
        points = face.landmarks(vertices)[[*topo.LANDMARKS_68, 468, 473]]
        np.testing.assert_allclose(np.delete(points, lids, 0), np.delete(expected, lids, 0), atol=1e-6)
        np.testing.assert_allclose(points[37], (vertices[2452] + vertices[2454]) / 2, atol=1e-6)
        np.testing.assert_array_equal(points[lids[1:]], vertices[[2471, 2276, 2360, 1292, 1217, 999, 827]])

    def test_irises_are_told_apart_whatever_their_order(self, arrays, face, tmp_path):
        swapped = {name: arrays[name].copy() for name in arrays if name.startswith("full_lmk")}
        for value in swapped.values():
            value[0, 68:] = value[0, :67:-1].copy()
        other = FLAMEModel(path=write_flame(tmp_path / "swapped.pt", arrays | swapped))
        template = face.template.numpy()
        assert face.landmarks(template)[468, 0] < 0 < face.landmarks(template)[473, 0]
        np.testing.assert_array_equal(other.landmarks(template), face.landmarks(template))


class TestMovingLandmarks:
    """The short way to the landmarks against the long one."""

    @pytest.mark.parametrize("name", ["face_file", "random_file"])
    def test_twins_agree(self, name, request):
        head = FLAMEModel(path=request.getfixturevalue(name))
        short = MovingLandmarks(head)
        random = np.random.default_rng(4)
        frames = [a_flame_frame(seed) for seed in range(3)]
        turn = random.normal(0, 0.2, (3, 3)).astype(np.float32)
        frames = [replace(f, posecode=np.append(np.zeros(3, np.float32), t)) for f, t in zip(frames, turn, strict=True)]
        codes = np.stack([np.concatenate([f.shapecode, f.expcode]) for f in frames]).astype(np.float64)
        jaw, eyes = (np.stack(v).astype(np.float64) for v in (turn, [f.eyecode for f in frames]))
        got = short.turned(short.unturned(codes), turn_matrices(jaw, eyes))
        expected = [head.landmarks(head.evaluate(frame))[short.tracker_points] for frame in frames]
        np.testing.assert_allclose(got, expected, atol=5e-6)
        joints = head.joint_regressor @ (
            head.template + torch.einsum("vck,k->vc", head.directions, torch.from_numpy(codes[0]).float())
        )
        np.testing.assert_allclose(short.eye_joints(codes)[0], joints[3:].numpy(), atol=5e-6)

    def test_turn_matrices(self):
        jaw, eyes = np.array([[0.3, 0.0, 0.1]]), np.array([[0.1, -0.2, 0.0, 0.0, 0.4, 0.0]])
        got = turn_matrices(jaw, eyes)[0]
        for matrix, vector in zip(got, (jaw[0], eyes[0, :3], eyes[0, 3:]), strict=True):
            np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix())

    def test_a_head_without_landmarks(self):
        with pytest.raises(ValueError, match="no landmarks"):
            MovingLandmarks(FLAMEModel())


class TestRegions:
    @pytest.fixture(params=["open", "flame"])
    def head(self, request) -> FLAMEModel:
        return FLAMEModel() if request.param == "open" else request.getfixturevalue("face")

    def test_each_range_of_the_code_moves_its_region(self, head):
        """Both heads have the open head's directions, whose regions are known by construction."""
        regions = face_regions(head)
        power = (head.directions[..., 300:].numpy() ** 2).sum(1)
        for name, (start, stop) in topo.REGIONS.items():
            if name != "global":
                moved = power[:, start:stop].sum(1)
                share = {other: float(weight @ moved / moved.sum()) for other, weight in regions.items()}
                assert share[name] > 0.7, (name, share)

    def test_weights(self, head):
        regions = face_regions(head)
        assert set(regions) == set(topo.REGIONS) - {"global"}
        for weight in regions.values():
            assert (weight.shape, weight.dtype) == ((len(head.template),), np.float32)
            assert weight.min() >= 0
        assert sum(regions.values()).max() < 1 + 1e-5
        points = {
            "eyes": (*topo.RIGHT_EYE, *topo.LEFT_EYE),
            "mouth": (*topo.INNER_LIPS, *topo.OUTER_LIPS),
            "brows": (*topo.RIGHT_BROW[:5], *topo.LEFT_BROW[:5]),
            "nose": (1, 4, 5, 195),
            "cheeks": (50, 280, 205, 425, 147, 376, 58, 288, 172, 397),
        }
        for name, of_region in points.items():  # in both files the first vertices are the tracker's
            assert regions[name][list(of_region)].mean() > 0.7, name
            for other in set(points) - {name}:
                assert regions[other][list(of_region)].mean() < 0.15, (name, other)

    def test_skull_and_eyeballs_belong_to_none(self, head):
        total = sum(face_regions(head).values())
        template = head.template.numpy()
        assert total[template[:, 2] < -0.25].max() < 0.05
        assert total[template[:, 1] > 0.4].max() < 0.05
        assert total[head.weights[:, 3:].sum(1).numpy() > 0.9].max() == 0


def test_persons_are_not_mixed_up(face, face_file):
    """A head keeps the last person's shape at hand; what it says does not depend on whom it saw before."""
    frames = [a_flame_frame(seed) for seed in (1, 2)]
    frames.append(replace(frames[0], expcode=frames[1].expcode))
    expected = [FLAMEModel(path=face_file).evaluate(frame) for frame in frames]
    for i in (0, 1, 0, 2, 1, 1):
        np.testing.assert_array_equal(face.evaluate(frames[i]), expected[i])
