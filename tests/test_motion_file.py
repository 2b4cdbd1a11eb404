"""Files of FLAME codes as drivers: what is read, what it means, and what a run makes of it."""

from __future__ import annotations

import pickle
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_flame import face_like_flame, write_flame
from synthetic_head import a_frame
from test_pipeline import fakes, photo, run  # noqa: F401

from core.data.image import kind_of
from core.data.motion_file import FRONT, read_motion, sound_beside
from core.data.records import TrackedSequence
from core.data.video import VideoReader
from core.errors import UserError
from core.libs.flame_model import FLAMEModel
from core.libs.geometry import head_angles
from core.libs.retargeting.stage import Retargeting

ROOT = Path(__file__).parents[1]
HEAD = FLAMEModel()
FRAMES = 7


def codes(frames: int = FRAMES, turn: float = 0.1) -> np.ndarray:
    """(N, 106) of a talking head that turns."""
    random = np.random.default_rng(3)
    out = random.normal(0, 0.5, (frames, 106)).astype(np.float32)
    out[:, 100:103] = turn * random.normal(size=(frames, 3))
    out[:, 103:] = [[0.1, 0, 0]]
    return out


def write(folder: Path, form: str, content: object) -> Path:
    path = folder / f"speech.{form}"
    if form == "npz":
        np.savez(path, **(content if isinstance(content, dict) else {"arr_0": content}))
    elif form == "npy":
        np.save(path, content)
    elif form == "pt":
        as_tensor = torch.from_numpy
        torch.save(
            {name: as_tensor(np.asarray(value)) for name, value in content.items()}
            if isinstance(content, dict)
            else as_tensor(content),
            path,
        )
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def tone(path: Path, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((9000 * np.sin(np.arange(round(16000 * seconds)) * 0.1)).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("form", ["npz", "npy", "pt", "pkl"])
def test_one_array_is_expression_turn_and_jaw(tmp_path, form):
    path = write(tmp_path, form, codes())
    assert kind_of(path) == kind_of(path.rename(tmp_path / "no_ending")) == "motion"
    track = read_motion(tmp_path / "no_ending")
    np.testing.assert_array_equal(track.expcode, codes()[:, :100])
    np.testing.assert_array_equal(track.posecode[:, 3:], codes()[:, 103:])
    assert (len(track), track.fps, track.head) == (FRAMES, 25, "flame")
    assert track.absent == ("eyecode", "transform_matrix")


@pytest.mark.parametrize("form", ["npz", "pt", "pkl"])
@pytest.mark.parametrize("names", [("expcode", "posecode"), ("exp", "pose"), ("expression", "pose")])
def test_named_arrays(tmp_path, form, names):
    transform = np.tile(np.append(FRONT, [[0.1], [0.2], [9]], 1), (FRAMES, 1, 1))
    content = dict(zip(names, (codes()[:, :100], codes(turn=0)[:, 100:]), strict=True))
    content |= {"eyecode": np.full((FRAMES, 6), 0.1), "shapecode": np.arange(300) / 300, "fps": np.array(30)}
    track = read_motion(write(tmp_path, form, content | {"transform_matrix": transform, "note": np.zeros(3)}))
    np.testing.assert_array_equal(track.expcode, codes()[:, :100])
    np.testing.assert_allclose(track.transform_matrix, transform, atol=1e-6)
    np.testing.assert_allclose(track.shapecode[0], np.arange(300) / 300, atol=1e-6)
    assert (track.fps, track.times[1], track.absent) == (30, Fraction(1, 30), ())
    assert read_motion(write(tmp_path, form, {names[0]: codes()[:, :100]})).absent == (
        "posecode",
        "eyecode",
        "transform_matrix",
    )


def test_other_types_and_a_batch_of_one(tmp_path):
    expected = codes()
    for name, value in {
        "double": torch.from_numpy(expected).double(),
        "batch": torch.from_numpy(expected)[None],
        "half": torch.from_numpy(expected).bfloat16(),
        "parameter": torch.nn.Parameter(torch.from_numpy(expected)),
    }.items():
        torch.save(value, tmp_path / f"{name}.pt")
        track = read_motion(tmp_path / f"{name}.pt")
        np.testing.assert_allclose(track.expcode, expected[:, :100], rtol=1e-2 if name == "half" else 1e-6)
    torch.save(torch.from_numpy(expected), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_motion(tmp_path / "old.pt").expcode, expected[:, :100])


def test_a_rate_that_is_no_whole_number(tmp_path):
    content = {"expcode": codes()[:, :100], "fps": 30000 / 1001}
    assert read_motion(write(tmp_path, "pkl", content)).fps == Fraction(30000, 1001)


def test_the_turn_of_the_pose_becomes_the_transform(tmp_path):
    # FLAME turns p to G p (columns); from the front that is seen under p @ G.T @ FRONT, as ARTalk's renderer has it.
    track = read_motion(write(tmp_path, "npy", codes()))
    G = Rotation.from_rotvec(codes()[:, 100:103].astype(np.float64)).as_matrix()
    np.testing.assert_allclose(track.transform_matrix[..., :3], np.swapaxes(G, 1, 2) @ FRONT, atol=1e-6)
    assert not track.posecode[:, :3].any()
    # About +y the face turns to its own left, which is the right of the picture.
    turned = codes()
    turned[:, 100:103] = [0, np.radians(20), 0]
    angles = head_angles(read_motion(write(tmp_path, "npy", turned)).transform_matrix[..., :3])
    np.testing.assert_allclose(np.degrees(angles), np.tile([0, 20, 0], (FRAMES, 1)), atol=1e-4)
    # The same with a transform of its own.
    own = np.tile(np.append(Rotation.from_euler("y", 0.3).as_matrix() @ FRONT, [[0], [0], [8]], 1), (FRAMES, 1, 1))
    content = {"expcode": codes()[:, :100], "posecode": codes()[:, 100:], "transform_matrix": own}
    both = read_motion(write(tmp_path, "npz", content)).transform_matrix
    np.testing.assert_allclose(both[..., :3], np.swapaxes(G, 1, 2) @ own[..., :3], atol=1e-6)


class TestTransfer:
    """What a file says nothing of is the photo's."""

    @pytest.fixture
    def source(self):
        return replace(a_frame(np.random.default_rng(4)), head="flame")

    def test_a_head_that_does_not_turn_stays_where_the_photo_has_it(self, tmp_path, source):
        driver = read_motion(write(tmp_path, "npy", codes(turn=0)))
        for frames, exact in (("absolute", True), ("relative", False)):
            motion = Retargeting(frames).run(source, driver, HEAD)
            expected = np.tile(source.transform_matrix, (FRAMES, 1, 1))
            np.testing.assert_allclose(motion.transform_matrix, expected, atol=0 if exact else 1e-5)
            np.testing.assert_array_equal(motion.eyecode, np.tile(source.eyecode, (FRAMES, 1)))
        absolute = Retargeting("absolute").run(source, driver, HEAD)
        np.testing.assert_array_equal(absolute.expcode, driver.expcode)

    def test_a_turn_is_added_to_the_photos_pose(self, tmp_path, source):
        driver = read_motion(write(tmp_path, "npy", codes()))
        motion = Retargeting("absolute").run(source, driver, HEAD)
        G = Rotation.from_rotvec(codes()[:, 100:103].astype(np.float64)).as_matrix()
        expected = np.swapaxes(G, 1, 2) @ source.transform_matrix[:, :3]
        np.testing.assert_allclose(motion.transform_matrix[..., :3], expected, atol=1e-5)
        np.testing.assert_array_equal(motion.transform_matrix[..., 3], np.tile(source.transform_matrix[:, 3], (7, 1)))

    def test_one_frame_turns_and_does_not_shift(self, tmp_path, source):
        still = replace(source, transform_matrix=np.append(FRONT, [[0.1], [0.2], [8]], 1).astype(np.float32))
        one = codes(1)
        one[:, 100:103] = [0, 0.02, 0]
        motion = Retargeting("relative").run(still, read_motion(write(tmp_path, "npy", one)), HEAD)
        np.testing.assert_allclose(motion.transform_matrix[0, :, 3], [0.1, 0.2, 8], atol=1e-6)
        assert head_angles(motion.transform_matrix[0, :, :3])[1] == pytest.approx(0.02, rel=1e-2)
        np.testing.assert_array_equal(motion.eyecode[0], still.eyecode)

    def test_without_a_jaw_it_is_the_photos(self, tmp_path, source):
        driver = read_motion(write(tmp_path, "npz", {"expcode": codes()[:, :100]}))
        motion = Retargeting().run(source, driver, HEAD)
        np.testing.assert_array_equal(motion.posecode, np.tile(source.posecode, (FRAMES, 1)))


def test_what_is_absent_is_kept_in_a_folder(tmp_path):
    track = read_motion(write(tmp_path, "npy", codes()))
    track.save(tmp_path / "folder")
    assert TrackedSequence.load(tmp_path / "folder").absent == track.absent


@pytest.fixture
def network(monkeypatch):
    """Stand-ins that take FLAME's codes, as the network does."""
    head = fakes().head
    head.kind = "flame"
    return fakes(head=head)


def test_a_video_at_the_files_rate_with_the_sound_beside_it(tmp_path, photo, network):  # noqa: F811
    path = write(tmp_path, "npz", {"expcode": codes(30)[:, :100], "fps": 30})
    assert not VideoReader(run(photo, path, network).output).has_audio
    sound = tone(tmp_path / "speech.WAV")
    assert sound_beside(path) == sound
    report = run(photo, path, network)
    reader = VideoReader(report.output)
    assert (reader.fps, report.frames, reader.has_audio) == (30, 30, True)
    other = tone(tmp_path / "other.wav", 0.1)
    assert len(run(photo, path, network, audio=other).output.read_bytes()) < report.output.stat().st_size + 10_000
    with pytest.raises(UserError, match="is an input of this run"):
        run(photo, path, network, audio=other.rename(tmp_path / "b.mp4"), output=tmp_path / "b.mp4")


def test_sound_of_another_file_for_a_video(tmp_path, photo):  # noqa: F811
    from faces import face_clip, save_clip

    clip = save_clip(tmp_path / "clip.mp4", face_clip(4))
    assert not VideoReader(run(photo, clip).output).has_audio
    assert VideoReader(run(photo, clip, audio=tone(tmp_path / "a.wav")).output).has_audio


def test_the_built_in_avatar_plays_codes_through_the_map(tmp_path, monkeypatch):
    from core.options import Options
    from core.pipeline import Pipeline

    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "npy", codes(turn=0.02))
    options = Options(ROOT / "demos/examples/1.jpg", path, quiet=True)
    with pytest.raises(UserError, match=r"FLAME_with_eye\.pt, which is not there; .*python -m core\.assets"):
        _ = Pipeline(options).motion
    (tmp_path / "assets").mkdir()
    write_flame(tmp_path / "assets/FLAME_with_eye.pt", face_like_flame())
    pipeline = Pipeline(options)
    motion = pipeline.motion
    assert motion.head == "open"
    moved = [pipeline.components.head.evaluate(frame) for frame in motion]
    assert np.ptp(moved, axis=0).max() > 0.01  # the face does something
    assert next(pipeline.frames()).image.std() > 20
