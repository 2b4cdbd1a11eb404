"""The head model against its numpy twin, closed forms and what the design says of its bases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_flame import face_like_flame, write_flame
from synthetic_head import a_frame

from core.data.records import TrackedFrame
from core.errors import UserError
from core.libs.flame_model import HEAD_TYPES, OPEN_HEAD, FlameHead, FLAMEModel, OpenHead, head_mirror
from core.libs.flame_model import topology as topo
from core.libs.flame_model.jaw import jaw_angle, rotate_about_x
from core.libs.tracker.cache import tracked_by
from tools.open_head.alignment import mirror_of
from tools.open_head.observe import CLIPS, clips_of

REGION_POINTS = {
    "eyes": (*topo.RIGHT_EYE, *topo.LEFT_EYE),
    "mouth": (*topo.INNER_LIPS, *topo.OUTER_LIPS),
    "brows": (*topo.RIGHT_BROW, *topo.LEFT_BROW),
    "nose": topo.NOSE,
    "cheeks": (50, 280, 205, 425, 187, 411, 147, 376, 58, 288, 172, 397, 136, 365),
}


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def frame() -> TrackedFrame:
    frame = a_frame(np.random.default_rng(0))
    return replace(frame, posecode=np.array([0.2, -0.1, 0.3, 0.2, 0.05, -0.04], np.float32))


def forward(head: FLAMEModel, frame: TrackedFrame) -> np.ndarray:
    """The torch twin of `evaluate`."""
    codes = (frame.shapecode, frame.expcode, frame.posecode, frame.eyecode)
    static_offset = None if frame.static_offset is None else torch.from_numpy(frame.static_offset)
    return head(*(torch.from_numpy(code)[None] for code in codes), static_offset)[0].numpy()


def neutral() -> TrackedFrame:
    zero = np.zeros
    return TrackedFrame(
        *(zero(n, np.float32) for n in (300, 100, 6, 6)), np.eye(3, 4, dtype=np.float32), zero(4, np.float32)
    )


class TestPosing:
    def test_twins_agree(self, head, frame):
        np.testing.assert_allclose(head.evaluate(frame), forward(head, frame), atol=1e-5)
        static_offset = np.random.default_rng(1).normal(0, 0.01, (len(head.template), 3)).astype(np.float32)
        own = replace(frame, static_offset=static_offset)
        np.testing.assert_allclose(head.evaluate(own), forward(head, own), atol=1e-5)
        assert np.abs(head.evaluate(own) - head.evaluate(frame)).max() > 0.01

    def test_a_batch_is_its_frames(self, head):
        frames = [a_frame(np.random.default_rng(seed)) for seed in range(3)]
        names = ("shapecode", "expcode", "posecode", "eyecode")
        batch = head(*(torch.from_numpy(np.stack([getattr(f, name) for f in frames])) for name in names)).numpy()
        for got, one in zip(batch, frames, strict=True):
            np.testing.assert_allclose(got, forward(head, one), atol=1e-6)

    def test_unposed_it_is_template_and_directions(self, head, frame):
        np.testing.assert_allclose(head.evaluate(neutral()), head.template.numpy(), atol=1e-6)
        still = replace(frame, posecode=np.zeros(6, np.float32), eyecode=np.zeros(6, np.float32))
        expected = head.template.numpy() + head.directions.numpy() @ np.concatenate([still.shapecode, still.expcode])
        np.testing.assert_allclose(head.evaluate(still), expected, atol=1e-5)

    def test_the_jaw_turns_the_chin_about_its_joint(self, head):
        angle = 0.3
        opened = replace(neutral(), posecode=np.array([0, 0, 0, angle, 0, 0], np.float32))
        template, joint = head.template.numpy(), (head.joint_regressor @ head.template)[2].numpy()
        chin = np.flatnonzero(head.weights[:, 2].numpy() == 1)
        assert len(chin) >= 10
        expected = joint + Rotation.from_rotvec([angle, 0, 0]).apply(template[chin] - joint)
        moved = head.evaluate(opened)
        np.testing.assert_allclose(moved[chin], expected, atol=1e-5)
        assert moved[152, 1] < template[152, 1] - 0.05  # opening lowers the chin
        still = np.flatnonzero(head.weights[:, 2].numpy() == 0)
        np.testing.assert_allclose(moved[still], template[still], atol=1e-6)
        assert jaw_angle(moved[:478], template[:478], joint) == pytest.approx(angle, abs=1e-5)
        np.testing.assert_allclose(rotate_about_x(template[chin] - joint, np.array(angle)) + joint, expected, atol=1e-5)

    @pytest.mark.parametrize(("column", "joint", "iris"), [(0, 3, topo.LEFT_IRIS), (3, 4, topo.RIGHT_IRIS)])
    def test_an_eye_turns_alone(self, head, column, joint, iris):
        eyes = np.zeros(6, np.float32)
        eyes[column : column + 2] = 0.1, 0.2
        moved, template = head.evaluate(replace(neutral(), eyecode=eyes)), head.template.numpy()
        changed = np.flatnonzero(np.abs(moved - template).max(1) > 1e-6)
        assert set(changed) == set(iris)
        centre = (head.joint_regressor @ head.template)[joint].numpy()
        expected = centre + Rotation.from_rotvec([0.1, 0.2, 0]).apply(template[list(iris)] - centre)
        np.testing.assert_allclose(moved[list(iris)], expected, atol=1e-5)
        assert moved[iris[0], 0] > template[iris[0], 0]  # +y: to the person's left
        assert moved[iris[0], 1] < template[iris[0], 1]  # +x: down

    def test_the_root_carries_everything(self, head, frame):
        still = replace(frame, posecode=frame.posecode * [0, 0, 0, 1, 1, 1])
        turn = Rotation.from_rotvec(frame.posecode[:3])
        joint = head.joint_regressor.numpy() @ (
            head.template.numpy() + head.directions.numpy() @ np.concatenate([frame.shapecode, frame.expcode])
        )
        expected = joint[0] + turn.apply(head.evaluate(still) - joint[0])
        np.testing.assert_allclose(head.evaluate(frame), expected, atol=1e-5)

    def test_shorter_codes(self, head, frame):
        short = FLAMEModel(n_shape=50, n_exp=20)
        cut = replace(
            frame, shapecode=frame.shapecode * (np.arange(300) < 50), expcode=frame.expcode * (np.arange(100) < 20)
        )
        np.testing.assert_allclose(short.evaluate(frame), head.evaluate(cut), atol=1e-5)

    def test_codes_of_another_head_are_refused(self, head, frame):
        with pytest.raises(UserError, match="'flame' head cannot move the 'open' head"):
            head.evaluate(replace(frame, head="flame"))


class TestAsset:
    def test_layout_and_size(self, head):
        assert OPEN_HEAD.stat().st_size <= 3 * 2**20
        assert head.kind == "open"
        assert head.faces.max() == len(head.template) - 1
        assert len(head.template) >= 478
        np.testing.assert_allclose(head.weights.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(head.joint_regressor.sum(1), 1, atol=1e-5)

    def test_faces_are_wound_one_way(self, head):
        faces = head.faces.numpy()
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        assert len(np.unique(edges, axis=0)) == len(edges)  # neighbours run along their edge in opposite directions
        template = head.template.numpy()
        a, b, c = template[faces].transpose(1, 0, 2)
        normals, middles = np.cross(b - a, c - a), (a + b + c) / 3
        front = middles[:, 2] > np.quantile(template[:478, 2], 0.6)
        assert (normals[front, 2] > 0).mean() > 0.97  # out of the face, nostrils apart

    def test_the_face_is_symmetric(self, head):
        mirror, face = head_mirror(), head.template.numpy()[:478]
        np.testing.assert_array_equal(mirror[mirror], np.arange(478))
        np.testing.assert_allclose(face[mirror] * [-1, 1, 1], face, atol=1e-5)
        assert face[33, 0] < 0 < face[263, 0]  # +x is the person's left

    @pytest.mark.parametrize("region", list(REGION_POINTS))
    def test_a_region_moves_its_own_points_most(self, head, region):
        start, stop = topo.REGIONS[region]
        moves = head.directions[:478, :, 300 + start : 300 + stop].numpy()
        power = (moves**2).sum((1, 2))
        share = {name: power[list(points)].mean() for name, points in REGION_POINTS.items()}
        others = max(value for name, value in share.items() if name != region)
        assert share[region] > 10 * others
        assert power[list(REGION_POINTS[region])].min() > 0  # none of its points is forgotten

    def test_the_global_range_moves_all_of_the_face(self, head):
        start, stop = topo.REGIONS["global"]
        power = (head.directions[:468, :, 300 + start : 300 + stop].numpy() ** 2).sum((1, 2))
        assert power.min() > 0
        for points in REGION_POINTS.values():
            assert np.sqrt(power[list(points)].mean()) > 0.002

    def test_the_ranges_are_the_whole_code(self):
        covered = sorted(i for start, stop in topo.REGIONS.values() for i in range(start, stop))
        assert covered == list(range(100))


class TestFlameFile:
    """A file in FLAME's own layout, with the pose correctives that the open head does not have."""

    @pytest.fixture
    def path(self, tmp_path):
        torch.manual_seed(0)
        n = 40
        weights = torch.rand(n, 5)
        arrays = {
            "f": torch.randint(0, n, (60, 3)),
            "v_template": torch.randn(n, 3) * 0.1,
            "shapedirs": torch.randn(n, 3, 400) * 1e-3,
            "posedirs": torch.randn(n, 3, 36) * 1e-2,
            "J_regressor": torch.softmax(torch.randn(5, n), 1),
            "kintree_table": torch.tensor([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
            "weights": weights / weights.sum(1, keepdim=True),
        }
        torch.save({"flame_model": arrays}, tmp_path / "flame.pt")
        return tmp_path / "flame.pt"

    def test_twins_agree(self, path, frame):
        flame = FLAMEModel(path=path)
        frame = replace(frame, head="flame")
        assert flame.kind == "flame"
        np.testing.assert_allclose(flame.evaluate(frame), forward(flame, frame), atol=1e-5)
        flame._corrects_pose = False
        assert np.abs(flame.evaluate(frame) - forward(FLAMEModel(path=path), frame)).max() > 1e-3

    def test_what_is_no_head_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="not found"):
            FLAMEModel(path=tmp_path / "none.npz")
        (tmp_path / "text.npz").write_text("hello")
        (tmp_path / "text.pt").write_text("hello")
        np.savez(tmp_path / "other.npz", f=np.zeros((2, 3)))
        for name in ("text.npz", "text.pt", "other.npz"):
            with pytest.raises(UserError, match="not a head model"):
                FLAMEModel(path=tmp_path / name)


class TestKinds:
    def test_the_file_says_which_head_it_is(self, head, tmp_path):
        assert type(head) is OpenHead
        flame = write_flame(tmp_path / "flame.pt", face_like_flame())
        assert type(FLAMEModel(path=flame)) is FlameHead
        with pytest.raises(UserError, match="not an open head's file"):
            OpenHead(path=flame)
        with pytest.raises(UserError, match="not FLAME's"):
            FlameHead(path=OPEN_HEAD)
        assert {"open": OpenHead, "flame": FlameHead} == HEAD_TYPES

    def test_a_track_is_kept_by_the_file_of_the_head(self, tmp_path):
        other = tmp_path / "other.npz"
        arrays = dict(np.load(OPEN_HEAD))
        np.savez(other, **arrays | {"v_template": arrays["v_template"] * 1.01})
        keys = [tracked_by(None, None, head) for head in (None, OpenHead(), OpenHead(path=other))]
        assert keys[0] == keys[1] != keys[2]

    def test_what_a_head_is_made_of(self, tmp_path):
        (tmp_path / "drivers").mkdir()
        for name in (*CLIPS, "another"):
            (tmp_path / "drivers" / f"{name}.mp4").touch()
        assert [path.stem for path in clips_of(tmp_path)] == list(CLIPS)
        assert [path.stem for path in clips_of(tmp_path, ["obama", "d0"])] == ["d10", "d13", "d19", "s18"]
        with pytest.raises(UserError, match="--exclude another: the head is made of"):
            clips_of(tmp_path, ["another"])
        with pytest.raises(UserError, match="no clip is left"):
            clips_of(tmp_path, CLIPS)
        (tmp_path / "drivers" / "s18.mp4").unlink()
        with pytest.raises(UserError, match=r"s18\.mp4 is not there"):
            clips_of(tmp_path)


def test_points_of_few_faces_have_mirror_images_too():
    """Noise makes two points have the same nearest one; all are paired still, and nearly all as without the noise."""
    mean = np.asarray(OpenHead().template)[: topo.N_POINTS].astype(float)
    exact = mirror_of(mean)
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, 0.004, mean.shape)
        noise[topo.N_FACE :] = 0  # irises are paired otherwise
        noisy = mirror_of(mean + noise)
        np.testing.assert_array_equal(noisy[noisy], np.arange(len(mean)))
        assert (noisy == exact).mean() > 0.9
