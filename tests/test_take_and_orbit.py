"""Parts of a driver's motion, and a camera that goes round."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from faces import PORTRAIT, tracked
from synthetic_head import a_clip, a_frame, degrees_between

from core.data.records import TrackedSequence
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.topology import LANDMARKS_68
from core.libs.geometry import head_angles, seen_from, to_camera, to_pixels
from core.libs.retargeting.orbit import orbit, orbit_angles, orbit_view
from core.libs.retargeting.take import take_part
from core.options import Options
from core.pipeline import Pipeline

FACE = ("expcode", "posecode", "eyecode")


@pytest.fixture
def clip() -> TrackedSequence:
    random = np.random.default_rng(11)
    still = a_frame(random)
    clip = a_clip([replace(a_frame(random), shapecode=still.shapecode) for _ in range(9)])
    return replace(clip, torso_motion=random.normal(0, 0.1, (9, 4)).astype(np.float32))


@pytest.fixture
def source():
    return a_frame(np.random.default_rng(12))


class TestTake:
    def test_all_is_the_motion_itself(self, source, clip):
        assert take_part(source, clip) is not None
        for name, value in clip.parameters.items():
            np.testing.assert_array_equal(getattr(take_part(source, clip), name), value)

    def test_pose_leaves_the_face_to_the_photo(self, source, clip):
        taken = take_part(source, clip, "pose")
        for name in FACE:
            np.testing.assert_array_equal(getattr(taken, name), np.tile(getattr(source, name), (9, 1)))
        np.testing.assert_array_equal(taken.transform_matrix, clip.transform_matrix)
        np.testing.assert_array_equal(taken.torso_motion, clip.torso_motion)

    def test_expression_leaves_the_head_where_it_is(self, source, clip):
        taken = take_part(source, clip, "expression")
        np.testing.assert_array_equal(taken.transform_matrix, np.tile(source.transform_matrix, (9, 1, 1)))
        for name in FACE:
            np.testing.assert_array_equal(getattr(taken, name), getattr(clip, name))
        assert taken.torso_motion is None

    def test_an_unknown_part(self, source, clip):
        with pytest.raises(UserError, match="none of all, pose, expression"):
            take_part(source, clip, "half")

    @pytest.mark.parametrize("motion", ["relative", "absolute"])
    @pytest.mark.parametrize("enhanced", [False, True])
    def test_in_a_run(self, tmp_path, motion, enhanced):
        driver = tracked(tmp_path / "driver", 8)
        run = {
            take: Pipeline(Options(PORTRAIT, driver, take=take, motion=motion, enhanced=enhanced, quiet=True))
            for take in ("all", "pose", "expression")
        }
        source = run["pose"].source.frame
        whole, pose, expression = (run[take].motion for take in ("all", "pose", "expression"))
        for name in FACE:
            np.testing.assert_array_equal(getattr(pose, name), np.tile(getattr(source, name), (8, 1)))
        np.testing.assert_array_equal(pose.transform_matrix, whole.transform_matrix)
        np.testing.assert_array_equal(expression.transform_matrix, np.tile(source.transform_matrix, (8, 1, 1)))
        np.testing.assert_array_equal(expression.expcode, whole.expcode)
        np.testing.assert_array_equal(expression.posecode, whole.posecode)
        np.testing.assert_allclose(expression.eyecode, whole.eyecode, atol=1e-6)


class TestOrbit:
    def test_angles_are_a_sine_of_four_seconds(self):
        times = tuple(Fraction(i, 25) for i in range(251))
        angles = np.degrees(orbit_angles(times, Fraction(25), 20))
        np.testing.assert_allclose(angles[[0, 25, 50, 75, 100, 125]], [0, 20, 0, -20, 0, 20], atol=1e-9)
        assert angles[12] == pytest.approx(20 * np.sin(2 * np.pi * 0.48 / 4))
        assert np.abs(angles).max() <= 20

    def test_a_short_clip_is_one_swing_and_a_picture_the_side(self):
        times = tuple(Fraction(i, 25) for i in range(20))
        angles = np.degrees(orbit_angles(times, Fraction(25), 30))
        np.testing.assert_allclose(angles[[0, 5, 10, 15]], [0, 30, 0, -30], atol=1e-9)
        np.testing.assert_allclose(np.degrees(orbit_angles((Fraction(3),), Fraction(25), 30)), [30])

    def test_the_head_is_seen_turned_about_its_own_vertical(self, source):
        head = FLAMEModel()
        for degrees in (-20, 35):
            view = orbit_view(head, source, np.radians(degrees))
            seen = seen_from(source.transform_matrix, view)
            c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            # p @ turn @ R: the head's own points turned about +y, z towards +x.
            turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
            np.testing.assert_allclose(seen[:, :3], turn @ source.transform_matrix[:, :3], atol=1e-6)
            middle = head.landmarks(head.evaluate(source))[list(LANDMARKS_68)].mean(0)
            places = [to_pixels(to_camera(middle[None], t)) for t in (source.transform_matrix, seen)]
            np.testing.assert_allclose(*places, atol=1e-3)

    def test_yaw_of_a_frontal_head_at_known_frames(self, source, clip):
        front = np.append(np.diag([-1.0, 1.0, -1.0]), [[0], [0], [8.5]], 1).astype(np.float32)
        source = replace(source, transform_matrix=front)
        still = replace(clip, transform_matrix=np.tile(front, (9, 1, 1)), times=tuple(Fraction(i, 2) for i in range(9)))
        motion = orbit(source, replace(still, fps=Fraction(2)), FLAMEModel(), 20)
        seen = np.stack([seen_from(frame.transform_matrix, frame.view) for frame in motion])
        half = 20 * np.sqrt(0.5)
        yaw = np.degrees(head_angles(seen[..., :3]))[:, 1]
        np.testing.assert_allclose(yaw, [0, half, 20, half, 0, -half, -20, -half, 0], atol=1e-4)
        assert orbit(source, still, FLAMEModel(), 0) is still

    def test_the_camera_does_not_follow_the_motion(self, source, clip):
        motion = orbit(source, clip, FLAMEModel(), 25)
        np.testing.assert_array_equal(motion.transform_matrix, clip.transform_matrix)
        np.testing.assert_allclose(motion.view[0], np.eye(3, 4), atol=1e-9)
        turns = degrees_between(np.eye(3), motion.view[..., :3])
        np.testing.assert_allclose(turns, np.abs(25 * np.sin(2 * np.pi * np.arange(9) / 9)), atol=1e-5)

    def test_a_view_moves_all_that_is_drawn(self, tmp_path):
        """The avatar under a view is the avatar whose head and shoulders were moved by it."""
        from core.models.LiftedAvatar.models import LiftedAvatar

        run = Pipeline(Options(PORTRAIT, tracked(tmp_path / "driver", 3), orbit=20, quiet=True))
        frame, model, avatar = run.motion[1], run.components.model, run.avatar
        assert isinstance(model, LiftedAvatar)
        vertices = run.components.head.evaluate(frame)
        rig = avatar.surface.rig
        moved = replace(rig, anchor=seen_from(rig.anchor, frame.view).astype(np.float64))
        same = moved.pose(vertices, seen_from(frame.transform_matrix, frame.view))
        viewed = to_camera(rig.pose(vertices, frame.transform_matrix, view=frame.view), frame.view)
        np.testing.assert_allclose(viewed, same, atol=1e-5)
        plain = run.draw(replace(frame, view=None)).clone()
        np.testing.assert_allclose(run.draw(replace(frame, view=np.eye(3, 4))), plain, atol=2e-3)
        assert float((run.draw(frame) - plain).abs().mean()) > 0.02

    def test_eyes_that_look_at_the_viewer_follow_the_camera(self, tmp_path):
        driver, side = tracked(tmp_path / "driver", 8), 15
        flags = {"gaze_correct": True, "gaze_target": "camera", "gaze_strength": 1.0, "take": "expression"}
        still, moved = (Pipeline(Options(PORTRAIT, driver, orbit=d, quiet=True, **flags)).motion for d in (0, side))
        yaw = np.degrees(moved.eyecode - still.eyecode)[:, [1, 4]].mean(1)  # of both eyes, to their own left
        # The head is seen turned to its own left by the angle: the eyes turn as far back.
        np.testing.assert_allclose(yaw, -side * np.sin(2 * np.pi * np.arange(8) / 8), atol=2.5)


@pytest.mark.parametrize("values", [{"orbit": 61}, {"orbit": -1.0}, {"take": "half"}])
def test_limits(values):
    with pytest.raises(UserError, match="must be"):
        Options(Path("a"), Path("b"), **values)
