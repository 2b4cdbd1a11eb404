"""Anything that may come: the parameter-space tools keep it finite and within limits, the readers take or refuse it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from fuzz_readers import fuzz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_head import a_clip, a_frame

from core.data.records import HELD, INTERPOLATED, SEEN, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.flame_model import FLAMEModel
from core.libs.gaze_corrector import GazeCorrector
from core.libs.geometry import head_rotation
from core.libs.retargeting.expression import transfer_expression
from core.libs.retargeting.gaze import transfer_gaze
from core.libs.retargeting.openings import FaceOpenings
from core.libs.retargeting.stage import Retargeting
from core.libs.temporal_smoother import TemporalSmoother

# The same examples on every machine; `make fuzz` draws others, and more of them.
settings.register_profile(
    "short",
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("long", settings.get_profile("short"), max_examples=400, derandomize=False)
settings.load_profile(os.environ.get("FUZZ", "short"))

WINDOWS = st.sampled_from([1, 5, 10, 1000])
EXTREME = 300.0  # standard deviations, radians, head units: absurd for a face, legal for a file


@st.composite
def clips(draw: st.DrawFn, shortest: int = 1, extreme: float = EXTREME) -> TrackedSequence:
    """Drivers: usual ones, still ones, ones that jump, and ones with absurd numbers, in any mixture."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = [a_frame(random, draw(st.sampled_from([0.0, 0.5, 8.0])), 80.0) for _ in range(draw(st.integers(1, 9)))]
    while len(frames) < shortest or draw(st.booleans()):
        frames.append(draw(st.sampled_from(frames)))  # what repeats has no noise to measure
        if len(frames) > 40:
            break
    clip = a_clip(frames, random.choice([SEEN, SEEN, INTERPOLATED, HELD], len(frames)).astype(np.int8))
    if not (clip.status == SEEN).any():
        clip.status[0] = SEEN
    values = {name: value.copy() for name, value in clip.parameters.items()}
    for name in draw(st.sets(st.sampled_from(["expcode", "eyecode", "posecode", "shift"]), max_size=3)):
        at = random.integers(0, len(frames), 2)
        size = draw(st.sampled_from([1e-30, 1.0, np.pi, extreme]))
        if name == "shift":
            values["transform_matrix"][at, :, 3] += random.uniform(-1, 1, (2, 3)) * min(size, 7.0)
        elif name == "posecode":
            values[name][at, 3:] = random.uniform(-1, 1, (2, 3)) * size
        else:
            values[name][at] = random.uniform(-1, 1, values[name][at].shape) * size
    if draw(st.booleans()):  # half a turn between two frames
        values["transform_matrix"][-1, :, :3] = (
            head_rotation(np.array([0, np.pi, 0])) @ frames[0].transform_matrix[:, :3]
        )
    return clip.with_parameters(values)


def photos() -> st.SearchStrategy[TrackedFrame]:
    return st.integers(0, 1000).map(lambda seed: a_frame(np.random.default_rng(seed)))


def assert_legal(out: TrackedSequence, given: TrackedSequence) -> None:
    assert len(out) == len(given)
    assert out.times == given.times
    for name, value in out.parameters.items():
        assert np.isfinite(value).all(), name
    R = out.transform_matrix[:, :, :3].astype(np.float64)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.tile(np.eye(3), (len(R), 1, 1)), atol=1e-4)
    assert (np.linalg.det(R) > 0).all()


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@given(clips(), st.booleans(), st.sampled_from([0.0, 0.3, 1.0, 4.0]), st.sampled_from([0.01, 0.5, 1.0]), WINDOWS)
def test_smoothing_a_clip(clip, kalman, strength, alpha, window):
    smoother = TemporalSmoother(alpha, window, kalman, strength=strength)
    out = smoother.smooth_sequence(clip.parameters)
    assert_legal(clip.with_parameters(out), clip)
    for name in ("expcode", "eyecode", "posecode"):
        low, high = clip.parameters[name].min(0), clip.parameters[name].max(0)
        room = (high - low) * 0.5 + 1e-4 + 1e-5 * np.abs(clip.parameters[name]).max()
        if name == "expcode":  # not a rotation: a weighted sum of what came, which may swing beyond it a little
            assert (out[name] >= low - room).all()
            assert (out[name] <= high + room).all()
        else:
            assert np.abs(out[name]).max() <= max(np.abs(clip.parameters[name]).max() * 1.5, 2 * np.pi) + 1e-3
    if strength == 0:
        for name, value in clip.parameters.items():
            np.testing.assert_array_equal(out[name], value)


@given(clips(), st.booleans(), st.sampled_from([0.01, 0.5, 1.0]), WINDOWS, st.booleans())
def test_smoothing_live(clip, kalman, alpha, window, late):
    smoother = TemporalSmoother(alpha, window, kalman, fixed_lag=late)
    for frame in clip:
        out = smoother.smooth({name: getattr(frame, name) for name in clip.parameters})
        for name, value in out.items():
            assert np.isfinite(value).all(), name


@given(clips(), photos(), st.sampled_from(["relative", "absolute"]))
def test_motion(head, clip, photo, mode):
    out = Retargeting(mode).run(photo, clip, head)
    assert_legal(out, clip)
    np.testing.assert_array_equal(out.shapecode, photo.shapecode[None])


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 30.0, 1e4]), st.sampled_from([0.0, 1.0, 3.0]))
def test_expression_codes(seed, size, gain):
    random = np.random.default_rng(seed)
    codes = (random.normal(size=(7, 100)) * size).astype(np.float32)
    optimizer = ExpressionOptimizer(gain=gain)
    optimizer.fit_neutral(codes)
    own = (random.normal(size=100) * min(size, 30)).astype(np.float32)
    for out in (
        optimizer.optimize_expression(codes, own),
        ExpressionOptimizer(gain=gain).optimize_expression(codes, own),
    ):
        assert out.shape == codes.shape
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 20.0


@given(clips(), photos(), st.sampled_from([0.0, 1.0, 3.0]))
def test_expression(head, clip, photo, gain):
    motion = Retargeting("relative").run(photo, clip, head)
    out = transfer_expression(ExpressionOptimizer(gain=gain, head=head), photo, clip, motion, head)
    assert_legal(out, clip)
    assert np.abs(out.expcode).max() <= 20.0
    np.testing.assert_array_equal(out.transform_matrix, motion.transform_matrix)


def grimaces(seed: int, sizes: Iterable[float], rest: int = 4) -> tuple[TrackedFrame, TrackedSequence]:
    """A photo, and a driver that rests for some frames and then makes one face at these sizes."""
    random = np.random.default_rng(seed)
    photo, still, face = a_frame(random), a_frame(random, 0.3), a_frame(random, 1.0)
    faces = [replace(face, expcode=face.expcode * np.float32(size)) for size in sizes]
    return photo, a_clip([still] * rest + faces)


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(1, 20)] * 3))
def test_expression_at_its_limit_has_lips_and_lids_where_they_are_without(head, seed, sizes):
    photo, clip = grimaces(seed, sizes)
    out, free = (
        transfer_expression(ExpressionOptimizer(limit=limit, head=head), photo, clip, clip, head)
        for limit in (20.0, 1e6)
    )
    assert np.abs(out.expcode).max() <= 20.0
    face = FaceOpenings(head, head.openings, photo)
    gaps, wanted = (face.gaps(m.expcode.astype(float), m.posecode[:, 3:])[:, :3] for m in (out, free))
    assert (np.abs(gaps - wanted) / [face.width, *face.reference[1:]]).max() < 0.05
    usual = np.abs(free.expcode).max(1) < 10  # what is far from the limit does not know of it
    np.testing.assert_allclose(out.expcode[usual], free.expcode[usual], atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([5.0, 20.0]))
def test_expression_comes_to_its_limit_without_a_jump(head, seed, limit):
    steps = np.linspace(0, 0.001, 41)
    photo, clip = grimaces(seed, limit * np.concatenate([start + steps for start in (0.1, 0.3, 1.0)]), rest=150)
    out = transfer_expression(ExpressionOptimizer(limit=limit, head=head), photo, clip, clip, head).expcode[150:]
    given_steps = np.abs(np.diff(clip.expcode[150:].reshape(3, 41, -1), axis=1)).max()
    assert np.abs(np.diff(out.reshape(3, 41, -1), axis=1)).max() < 40 * given_steps  # a lid that closes is steep


@given(clips(extreme=20.0), photos(), st.sampled_from([0.0, 0.7, 1.0]), st.sampled_from(["driver", "camera"]))
def test_gaze(head, clip, photo, strength, target):
    motion = Retargeting("relative").run(photo, clip, head)
    out = transfer_gaze(photo, clip, motion, head, GazeCorrector(strength), target)
    assert_legal(out, clip)
    if strength == 1.0:
        turned = np.linalg.norm(out.eyecode.reshape(-1, 2, 3), axis=2)
        assert np.degrees(turned).max() < 70
    if strength == 0.0:
        np.testing.assert_allclose(out.eyecode, motion.eyecode, atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-20, 1.0, 1e4, 1e20]))
def test_gaze_targets_of_any_length(seed, size):
    random = np.random.default_rng(seed)
    code = torch.from_numpy(random.uniform(-0.6, 0.6, (5, 6)))
    target = torch.from_numpy(random.normal(size=(5, 3)) * size)
    out = GazeCorrector(1.0).correct_gaze(code, target_gaze=target)
    assert torch.isfinite(out).all()
    assert np.degrees(out.abs().max().item()) < 60


@given(st.data())
def test_what_is_not_finite_is_refused_or_mended(data):
    clip = data.draw(clips(shortest=3))
    name = data.draw(st.sampled_from(["expcode", "eyecode", "posecode", "transform_matrix"]))
    values = clip.parameters[name].copy()
    values[data.draw(st.integers(0, len(clip) - 1))] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    broken = replace(clip, **{name: values})
    try:
        out = TemporalSmoother().smooth_sequence(broken.parameters)
    except UserError:
        return
    assert all(np.isfinite(value).all() for value in out.values())


def test_readers_survive_files_with_changed_bytes(tmp_path):
    found = fuzz(250, 0, tmp_path)
    assert sum(found.ends.values()) == 250
    assert found.faults == []
