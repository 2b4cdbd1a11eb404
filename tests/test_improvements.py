"""How the four improvements compose in a run: each in its place, on the last one's result, and nothing else changed."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from core.components import Components, default_components
from core.data.records import TrackedSequence
from core.evaluation.tracking_noise import add_tracking_noise
from core.libs.expression_optimizer import ExpressionOptimizer
from core.libs.flame_model.topology import EYE_PAIRS, INNER_LIPS, LEFT_EYE, RIGHT_EYE
from core.libs.gaze_corrector import GazeCorrector
from core.libs.geometry import to_camera, to_pixels
from core.libs.retargeting.expression import transfer_expression
from core.libs.retargeting.gaze import steady_gaze, transfer_gaze
from core.libs.retargeting.stage import Retargeting
from core.libs.temporal_smoother import TemporalSmoother
from core.models.modules.detail_enhancer import DetailEnhancer, face_matte, source_detail_fade
from core.models.request import DrawRequest
from core.options import IMPROVEMENTS, Options
from core.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "demos/examples/1.jpg"
FRAMES = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The first second of the demo's driver, tracked badly."""
    track = TrackedSequence.load(ROOT / "demos/drivers/obama")
    cut = track.take(np.arange(FRAMES))
    folder = tmp_path_factory.mktemp("driver")
    add_tracking_noise(replace(cut, shapecode=track.shapecode[:1], crops=None)).save(folder)
    return folder


@pytest.fixture(scope="module")
def parts(folder) -> Components:
    parts = default_components(Options(PHOTO, folder))
    source = parts.track_source(PHOTO, False)
    return replace(parts, track_source=lambda path, force: source)


@pytest.fixture(scope="module")
def runs(folder, parts):
    """Pipelines by the flags that are on, made once."""
    made: dict[frozenset[str], Pipeline] = {}

    def run(*flags: str) -> Pipeline:
        key = frozenset(flags)
        if key not in made:
            options = Options(PHOTO, folder, quiet=True, background="black", **dict.fromkeys(flags, True))
            made[key] = Pipeline(options, parts)
        return made[key]

    return run


SMOOTH, DETAIL, EXPRESSION, GAZE = IMPROVEMENTS


def test_nothing_on_is_the_bare_avatar(runs, parts):
    run = runs()
    frame = run.motion[5]
    vertices = parts.head.evaluate(frame)
    assert torch.equal(
        run.draw(frame),
        parts.model.render(
            run.avatar,
            DrawRequest(vertices, frame.transform_matrix, 0, frame.torso_motion, mouth=frame.mouth_interior),
        ),
    )
    plain = Retargeting().run(run.source.frame, run.driver.track, parts.head)
    for name, values in plain.parameters.items():
        np.testing.assert_array_equal(getattr(run.motion, name), values, err_msg=name)


def test_all_on_is_each_in_turn(runs, parts):
    run = runs(*IMPROVEMENTS)
    source, head = run.source, parts.head
    track = run.driver.track
    track = track.with_parameters(TemporalSmoother(fps=float(track.fps)).smooth_sequence(track.parameters))
    motion = Retargeting().run(source.frame, track, head)
    motion = transfer_expression(ExpressionOptimizer(head=head), source.frame, track, motion, head)
    corrector = GazeCorrector()
    motion = transfer_gaze(source.frame, track, motion, head, corrector)
    for name, values in motion.parameters.items():
        np.testing.assert_allclose(getattr(run.motion, name), values, atol=1e-6, err_msg=name)

    def points(frame):
        return to_pixels(to_camera(head.landmarks(head.evaluate(frame)), frame.transform_matrix))

    photo = torch.from_numpy(source.shown()[0].astype(np.float32) / 255).permute(2, 0, 1)
    corrector.enhancer.set_source(photo, points(source.frame))
    frame = run.motion[7]
    fade = source_detail_fade(source.frame.transform_matrix, frame.transform_matrix)
    told = {"torso_motion": frame.torso_motion, "mouth": frame.mouth_interior}
    request = DrawRequest(head.evaluate(frame), frame.transform_matrix, fade, **told)
    drawn = parts.model.render(run.avatar, request)[None]
    holes = [points(frame)[list(ring)] for ring in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]
    sharp = DetailEnhancer()(drawn, 1.0, face_matte(points(frame), (512, 512), holes))
    clear = corrector.enhance_eye_region(sharp, points(frame)[None])
    assert torch.equal(run.draw(frame), clear[0])
    assert not torch.equal(sharp, drawn)


@pytest.mark.parametrize("others", [c for n in range(4) for c in combinations((SMOOTH, DETAIL, GAZE), n)])
def test_expression_does_the_same_whatever_else_is_on(runs, others):
    """It alone sets expression and jaw; smoothing comes before it, gaze sets the eyes."""
    before = [name for name in others if name == SMOOTH]
    motion, alone = runs(EXPRESSION, *others).motion, runs(EXPRESSION, *before).motion
    np.testing.assert_array_equal(motion.expcode, alone.expcode)
    np.testing.assert_array_equal(motion.posecode, alone.posecode)
    if GAZE not in others:
        np.testing.assert_array_equal(motion.eyecode, runs(*before).motion.eyecode)
    np.testing.assert_array_equal(motion.transform_matrix, runs(*before).motion.transform_matrix)


def test_detail_touches_no_parameter(runs):
    for name, values in runs(DETAIL).motion.parameters.items():
        np.testing.assert_array_equal(getattr(runs().motion, name), values)


def test_gaze_sets_the_eyes_alone(runs):
    with_gaze, without = runs(GAZE).motion, runs().motion
    for name, values in without.parameters.items():
        same = np.array_equal(getattr(with_gaze, name), values)
        assert same == (name != "eyecode"), name


def test_absolute_eyes_are_steadied_and_not_turned_elsewhere(folder, parts):
    absolute = default_components(Options(PHOTO, folder, motion="absolute"))
    parts = replace(absolute, track_source=parts.track_source)
    options = Options(PHOTO, folder, quiet=True, motion="absolute")
    off, on = (Pipeline(o, parts) for o in (options, replace(options, gaze_correct=True)))
    wanted = steady_gaze(off.source.frame, off.motion, parts.head, GazeCorrector())
    np.testing.assert_allclose(on.motion.eyecode, wanted.eyecode, atol=1e-6)
    assert not np.array_equal(on.motion.eyecode, off.motion.eyecode)


def test_a_strength_of_nothing_is_off(folder, parts, runs):
    nothing = {"smooth_strength": 0, "detail_strength": 0, "gaze_strength": 0, "no_eye_enhance": True}
    flags = dict.fromkeys((SMOOTH, DETAIL, GAZE), True)
    run, plain = Pipeline(Options(PHOTO, folder, quiet=True, background="black", **flags, **nothing), parts), runs()
    for name, values in plain.motion.parameters.items():
        if name != "shapecode":
            np.testing.assert_allclose(getattr(run.motion, name), values, atol=2e-6, err_msg=name)
    assert float((run.draw(run.motion[3]) - plain.draw(plain.motion[3])).abs().max()) < 2e-3


def test_a_track_that_came_smoothed_keeps_its_pose(folder, parts, tmp_path):
    replace(TrackedSequence.load(folder), smoothed=True).save(tmp_path / "smoothed")
    options = Options(PHOTO, tmp_path / "smoothed", quiet=True)
    off, on = (Pipeline(o, parts) for o in (options, replace(options, temporal_smooth=True)))
    np.testing.assert_array_equal(on.motion.transform_matrix, off.motion.transform_matrix)
    np.testing.assert_array_equal(on.motion.eyecode, off.motion.eyecode)
    assert not np.array_equal(on.motion.expcode, off.motion.expcode)


def test_a_frame_is_the_same_whatever_was_drawn_before(runs, parts):
    """Detail and shut lids are put into colours that are kept from frame to frame."""
    run = runs(DETAIL)
    frame, avatar = run.motion[3], run.avatar
    vertices = parts.head.evaluate(frame)
    shut = vertices.copy()
    for side in ("left", "right"):
        for upper, lower in EYE_PAIRS[side]:
            shut[upper] = shut[lower]

    def drawn(shape: np.ndarray, detail: float) -> torch.Tensor:
        return parts.model.render(avatar, DrawRequest(shape, frame.transform_matrix, detail, frame.torso_motion))

    cases = [(vertices, 0.0), (vertices, 0.7), (shut, 0.0), (shut, 0.7), (shut, 0.2)]
    first = [drawn(*case) for case in cases]
    assert not any(torch.equal(a, b) for a, b in combinations(first, 2))
    for order in ((4, 3, 2, 1, 0), (2, 0, 4, 1, 3)):
        for k in order:
            assert torch.equal(drawn(*cases[k]), first[k])
