"""Filters that are fitted to the truth: never further from it than what they filter."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_head import a_clip, a_frame

from core.data.records import TrackedSource
from core.evaluation.conditions import PARTS, Condition, PoorDriverSettings
from core.evaluation.oracles import best_filter, best_smoothing
from core.evaluation.variants import BEST_FILTER, BEST_SMOOTHING, TRUE_TRACK, standard_variants, variants_under
from core.libs.geometry import head_rotation

FRAMES = 60


@pytest.fixture(scope="module")
def clean():
    """A head that nods slowly, with one code that moves slowly and one that jumps."""
    base = a_frame(np.random.default_rng(0))
    time = np.arange(FRAMES) / 25
    frames = []
    for t in time:
        code = base.expcode.copy()
        code[:2] = np.sin(2 * np.pi * 0.4 * t), np.sign(np.sin(2 * np.pi * 3 * t + 0.1))
        turn = head_rotation(np.array([0.2 * np.sin(2 * np.pi * 0.5 * t), 0, 0]))
        transform = np.concatenate([turn, base.transform_matrix[:, 3:]], 1).astype(np.float32)
        frames.append(replace(base, expcode=code, transform_matrix=transform))
    return a_clip(frames)


def test_a_clean_track_stays(clean):
    same = best_smoothing(clean, clean)
    for name, values in clean.parameters.items():
        np.testing.assert_allclose(getattr(same, name), values, atol=1e-5, err_msg=name)


def test_noise_is_smoothed_as_far_as_the_motion_allows_and_offsets_go(clean):
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.4, clean.expcode.shape).astype(np.float32)
    best = best_smoothing(replace(clean, expcode=clean.expcode + noise + 2), clean)
    left = np.std(best.expcode - clean.expcode, axis=0)
    assert left[0] < 0.5 * noise[:, 0].std()  # slow
    assert 0.7 * noise[:, 1].std() < left[1] <= 1.01 * noise[:, 1].std()  # it jumps
    assert left[2:].mean() < 0.2 * noise[:, 2:].std()  # still
    np.testing.assert_allclose((best.expcode - clean.expcode).mean(0), 0, atol=1e-5)


def test_a_constant_turn_and_shift_go(clean):
    # head_rotation itself faces the camera
    turn = head_rotation(np.zeros(3)).T @ head_rotation(np.radians([2.0, -3.0, 1.0]))
    shift = np.array([0.01, 0.02, -0.1])
    poses = clean.transform_matrix
    off = np.concatenate([poses[..., :3] @ turn, poses[..., 3:] + shift[:, None]], -1).astype(np.float32)
    best = best_smoothing(replace(clean, transform_matrix=off), clean)
    np.testing.assert_allclose(best.transform_matrix, poses, atol=0.01)  # the shift alone is .1


def test_the_best_filter_sharpens_a_blurred_photo():
    random = np.random.default_rng(2)
    image = cv2.GaussianBlur(random.integers(0, 255, (96, 96, 3)).astype(np.uint8), (0, 0), 1.0)
    matte = np.zeros((96, 96), np.float32)
    matte[16:80, 16:80] = 1
    sharp = TrackedSource(a_frame(random), image, matte, 8, np.ones((96, 96), bool))
    soft = replace(sharp, image=cv2.GaussianBlur(image, (0, 0), 0.8))
    found = best_filter(soft, sharp)
    person = matte > 0

    def error(source: TrackedSource) -> float:
        return float(np.square(source.image[person].astype(float) - image[person]).mean())

    assert error(found) < 0.1 * error(soft)
    assert error(best_filter(sharp, sharp)) < 0.5


def test_each_part_of_a_poor_driver_can_be_alone():
    whole = PoorDriverSettings()
    assert whole.only(PARTS) == whole
    dropped = whole.only(["dropped"])
    assert (dropped.dropped, dropped.height, dropped.shutter, dropped.gain, dropped.exposure) == (0.1, None, 0, 1, 1)
    assert whole.only(["small", "dim"]).crf == dropped.crf < 10
    some = Condition("poor-driver", 3, ("dropped", "dim"))
    assert (some.name, some.title) == ("poor-driver3-dim-dropped", "poor driver 3, dim and dropped")
    assert Condition("poor-driver", 3).title == "poor driver 3"


def test_filters_are_measured_beside_the_oracles():
    variants = standard_variants()

    def names(*condition) -> list[str]:
        return [variant.name for variant in variants_under(Condition(*condition), variants)]

    assert names("poor-driver", 0)[-1] == BEST_SMOOTHING
    assert names("poor-photo", 0)[-1] == BEST_FILTER
    assert names("poor-driver", 0, ("dropped",))[-1] == TRUE_TRACK
    assert "true pose" not in names("poor-driver", 0, ("dropped",))
