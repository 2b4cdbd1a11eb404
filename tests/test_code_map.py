"""FLAME's codes on the open head, where FLAME is made so that the right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_flame import face_like_flame, write_flame
from synthetic_head import a_clip, a_frame

from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.code_map import CodeMap, main
from core.libs.flame_model.topology import LANDMARKS_68
from core.libs.geometry import to_camera, to_pixels

TURN = Rotation.from_euler("x", 4, degrees=True).as_matrix()
SCALE, SHIFT = 1.1, np.array([0.002, -0.01, 0.005])  # metres


def mix() -> np.ndarray:
    """(100, 100) orthonormal: FLAME's directions in the open head's."""
    return np.linalg.qr(np.random.default_rng(5).normal(size=(100, 100)))[0]


@pytest.fixture(scope="module")
def flame_file(tmp_path_factory):
    """The open head's face on a mesh of other points, of another size, elsewhere, with its directions mixed."""
    arrays = face_like_flame()
    place = {name: arrays[name].astype(np.float64) for name in ("v_template", "shapedirs", "posedirs")}
    expression = np.einsum("vck,kj->vcj", place["shapedirs"][..., 300:], mix())
    directions = np.concatenate([place["shapedirs"][..., :300], expression], -1)
    arrays["v_template"] = (SCALE * place["v_template"] @ TURN + SHIFT).astype(np.float32)
    arrays["shapedirs"] = (SCALE * np.einsum("vck,cd->vdk", directions, TURN)).astype(np.float32)
    arrays["posedirs"] = np.zeros_like(arrays["posedirs"])
    return write_flame(tmp_path_factory.mktemp("flame") / "FLAME_with_eye.pt", arrays)


@pytest.fixture(scope="module")
def fitted(flame_file) -> CodeMap:
    return CodeMap.fit(FLAMEModel(path=flame_file), FLAMEModel())


def test_what_directions_move_is_explained(fitted):
    assert fitted.explained["expression"] > 0.97
    assert fitted.explained["jaw opening"] > 0.97
    assert min(share for name, share in fitted.explained.items() if name.startswith("expression")) > 0.9


def test_the_similarity_is_found(fitted):
    assert fitted.scale == pytest.approx(1 / SCALE, rel=0.01)
    np.testing.assert_allclose(fitted.turn, TURN.T, atol=0.01)


def test_codes_come_back_as_far_as_they_move_the_face(fitted):
    # The open head's directions are not orthogonal, and the damping chooses among codes that do the same.
    directions = FLAMEModel().directions.numpy()[:468, :, 300:].reshape(-1, 100)
    truth = np.random.default_rng(6).normal(size=(50, 100))
    got = truth @ mix() @ fitted.matrix[:, :100].T  # FLAME's codes are mix.T @ the open ones
    wanted = truth @ directions.T
    left = wanted - got[:, :100] @ directions.T
    assert (left**2).sum() < 0.05 * (wanted**2).sum()
    assert np.abs(got[:, 100:]).max() < 0.02  # no jaw


def test_a_clip_is_seen_alike(fitted, flame_file):
    """Pose, expression, jaw and eyes together: the landmarks lie where FLAME has them in the picture."""
    random = np.random.default_rng(7)
    frames = [replace(a_frame(random, 0.7), shapecode=np.zeros(300, np.float32), head="flame") for _ in range(12)]
    track = replace(a_clip(frames), head="flame")
    flame, head = FLAMEModel(path=flame_file), FLAMEModel()
    moved = fitted.run(track)
    assert (moved.head, moved.absent) == ("open", ())
    np.testing.assert_array_equal(moved.eyecode, track.eyecode)
    marks = list(LANDMARKS_68[17:])
    off, moves = [], []
    still = replace(track, expcode=0 * track.expcode, posecode=0 * track.posecode)
    for theirs, ours, rest in zip(track, moved, still, strict=True):
        pixels = [
            to_pixels(to_camera(model.landmarks(model.evaluate(frame))[marks], frame.transform_matrix))
            for model, frame in ((flame, theirs), (head, ours), (flame, rest))
        ]
        off.append(np.linalg.norm(pixels[0] - pixels[1], axis=-1))
        moves.append(np.linalg.norm(pixels[0] - pixels[2], axis=-1))
    assert np.sqrt(np.mean(np.square(off))) < 2.0  # pixels of a face about 250 wide
    assert np.mean(np.square(off)) < 0.15 * np.mean(np.square(moves))


def test_a_turn_from_the_front_stays_one(fitted):
    track = replace(a_clip([replace(a_frame(np.random.default_rng(8)), head="flame")] * 2), head="flame")
    front = np.append(np.diag([-1.0, 1.0, -1.0]), [[0], [0], [9]], 1).astype(np.float32)
    still = replace(track, transform_matrix=np.tile(front, (2, 1, 1)), absent=("posecode", "transform_matrix"))
    moved = fitted.run(still)
    np.testing.assert_allclose(moved.transform_matrix, still.transform_matrix, atol=1e-6)
    assert moved.absent == ("transform_matrix",)


def test_nothing_moves_nothing(fitted):
    frame = replace(a_frame(np.random.default_rng(9), 0), posecode=np.zeros(6, np.float32), head="flame")
    moved = fitted.run(replace(a_clip([frame]), head="flame"))
    assert not moved.expcode.any()
    assert not moved.posecode.any()


def test_the_command(flame_file, tmp_path, monkeypatch, capsys):
    assert main(["--flame", str(flame_file)]) == 0
    assert "jaw opening" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "python -m core.assets" in said


def test_other_heads_are_refused(fitted):
    with pytest.raises(ValueError, match="flame head"):
        fitted.run(a_clip([a_frame(np.random.default_rng(1))]))
    with pytest.raises(ValueError, match="from FLAME"):
        CodeMap.fit(FLAMEModel(), FLAMEModel())
