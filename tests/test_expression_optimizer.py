"""Expression codes: the driver's neutral goes, motion stays, region by region; single pictures, types, PCA."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from core.libs.expression_optimizer import ExpressionOptimizer, region_shares
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model.regions import face_regions
from core.libs.flame_model.topology import REGIONS
from core.libs.retargeting.neutral import MOTION_SHARE, resting_frames


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def clip(random) -> np.ndarray:
    """(200, 100): a laugh first and for longest, rest in 30 % of the frames, a few blinks. `REST` is its neutral."""
    codes = REST + random.normal(0, 0.05, (200, 100))
    laugh = np.zeros(100)
    laugh[[2, 31, 75]] = 5, 3, 4
    codes[:140] += laugh * random.uniform(0.5, 1.2, (140, 1)) + random.normal(0, 0.4, (140, 100))
    codes[150:153, 20:25] += 8
    return codes


REST = np.linspace(-1, 1, 100) ** 3


FITTED = 0.05


@pytest.fixture
def fitted(clip) -> ExpressionOptimizer:
    optimizer = ExpressionOptimizer()
    optimizer.fit_neutral(clip)
    return optimizer


class TestNeutral:
    def test_it_is_the_rest_and_not_the_mean_nor_the_first_frame(self, clip):
        neutral = ExpressionOptimizer().fit_neutral(clip)
        assert np.abs(neutral - REST).max() < FITTED
        assert np.abs(clip.mean(0) - REST).max() > 1
        assert np.abs(np.median(clip, 0) - REST).max() > 1
        assert np.abs(clip[0] - REST).max() > 1

    def test_the_order_of_the_frames_is_nothing_to_it(self, clip, random):
        before = ExpressionOptimizer().fit_neutral(clip)
        after = ExpressionOptimizer().fit_neutral(clip[random.permutation(len(clip))])
        np.testing.assert_allclose(after, before, atol=1e-9)

    def test_of_two_states_held_the_calmer_one_is_taken(self, random):
        calm, grin = random.normal(0, 0.05, (40, 100)), 1 + random.normal(0, 0.05, (60, 100))
        assert np.abs(ExpressionOptimizer().fit_neutral(np.concatenate([grin, calm]))).max() < FITTED

    def test_damaged_frames_are_left_out(self, clip):
        clip[::7] = np.nan
        assert np.abs(ExpressionOptimizer().fit_neutral(clip) - REST).max() < FITTED

    def test_long_clips_are_sampled(self, clip):
        long = np.repeat(clip, 10, axis=0)
        assert np.abs(ExpressionOptimizer().fit_neutral(long) - REST).max() < FITTED
        assert len(resting_frames(long)) == 0.15 * len(long)

    def test_one_frame_is_not_enough(self, clip):
        with pytest.raises(ValueError, match="at least 2"):
            ExpressionOptimizer().fit_neutral(clip[:1])
        with pytest.raises(ValueError, match="at least 2"):
            ExpressionOptimizer().fit_neutral(np.full((5, 100), np.nan))


class TestRelative:
    def test_the_resting_face_is_the_sources_by_how_much_a_region_tells(self, fitted):
        own = np.full(100, 2.0)
        out = fitted.optimize_expression(fitted.neutral, own)
        for name, sensitivity in {"global": 1, "eyes": 0.9, "nose": 0.95, "mouth": 0.7, "brows": 0.85}.items():
            part, share = slice(*REGIONS[name]), 0.8 + 0.2 * sensitivity
            np.testing.assert_allclose(out[part], share * own[part] + (1 - share) * fitted.neutral[part], err_msg=name)

    def test_the_weights_blend(self, fitted):
        own = np.ones(100)
        for weights, share in (((1, 0), 1.0), ((0, 1), 0.7), ((2, 2), 0.85)):
            optimizer = ExpressionOptimizer(100, 50, *weights)
            optimizer.neutral = fitted.neutral
            out = optimizer.optimize_expression(fitted.neutral, own)
            mouth = slice(*REGIONS["mouth"])
            np.testing.assert_allclose(out[mouth], share * own[mouth] + (1 - share) * fitted.neutral[mouth])

    def test_motion_keeps_its_amplitude_in_every_region(self, fitted, random):
        own, move = random.normal(0, 1, 100), random.normal(0, 1, (30, 100))
        still = fitted.optimize_expression(fitted.neutral, own)
        moved = fitted.optimize_expression(fitted.neutral + move, own)
        np.testing.assert_allclose(moved - still, move, atol=1e-12)

    def test_gain(self, fitted, random):
        twice = ExpressionOptimizer(gain=2)
        twice.neutral = fitted.neutral
        own, move = random.normal(0, 1, 100), random.normal(0, 1, 100)
        moved = twice.optimize_expression(fitted.neutral + move, own)
        np.testing.assert_allclose(moved - twice.optimize_expression(fitted.neutral, own), 2 * move, atol=1e-12)

    @pytest.mark.parametrize("settings", [{"preserve_identity": False}, {"identity_features": None}])
    def test_without_an_identity_the_drivers_stays(self, fitted, clip, settings):
        settings = {"identity_features": np.full(100, 3.0)} | settings
        np.testing.assert_allclose(fitted.optimize_expression(clip, **settings), clip, atol=1e-12)

    def test_codes_end_at_the_limit(self):
        codes = np.linspace(-60, 60, 121)[:, None] * np.ones(100)
        out = ExpressionOptimizer(limit=12).optimize_expression(codes)
        inside = np.abs(codes) <= 8
        np.testing.assert_array_equal(out[inside], codes[inside])
        assert (np.diff(out, axis=0) >= 0).all()
        assert 11.9 < np.abs(out).max() <= 12


class TestOnePicture:
    def test_a_smile_is_taken_over(self):
        smile = np.zeros(100)
        smile[:40] = 2
        out = ExpressionOptimizer().optimize_expression(smile, np.zeros(100))
        assert (out[:40] > MOTION_SHARE * 2 - 1e-9).all()

    def test_a_smile_on_a_smile_is_one_smile(self):
        smile = np.full(100, 2.0)
        np.testing.assert_allclose(ExpressionOptimizer().optimize_expression(smile, smile), smile)

    def test_no_smile_takes_a_smile_away(self):
        out = ExpressionOptimizer().optimize_expression(np.zeros(100), np.full(100, 2.0))
        assert np.abs(out).max() <= 2 * (1 - MOTION_SHARE) + 1e-9


class TestArrays:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(100,), (1, 100), (7, 100)])
    def test_tensors_come_back_as_they_were(self, fitted, dtype, shape):
        code = torch.linspace(-1, 1, 100, dtype=dtype).expand(shape).clone().requires_grad_()
        out = fitted.optimize_expression(code, torch.ones(100))
        assert (out.shape, out.dtype, out.device) == (code.shape, code.dtype, code.device)
        twin = fitted.optimize_expression(code.detach().double().numpy(), np.ones(100))
        np.testing.assert_allclose(out.double(), twin, atol=2e-3 if dtype == torch.float16 else 1e-6)

    def test_one_frame_is_as_one_of_many(self, fitted, clip):
        own = np.stack([REST, *clip[:4]])
        many = fitted.optimize_expression(clip[:5].astype(np.float32), own)
        assert many.dtype == np.float32
        for i in range(5):
            one = fitted.optimize_expression(clip[i].astype(np.float32), own[i])
            np.testing.assert_array_equal(one, many[i])

    def test_fit_neutral_keeps_the_kind(self, clip):
        neutral = ExpressionOptimizer().fit_neutral(torch.from_numpy(clip).float())
        assert neutral.dtype == torch.float32
        assert neutral.shape == (100,)

    def test_what_is_wrong_is_said(self, fitted):
        with pytest.raises(ValueError, match=r"100.*\(99,\)"):
            fitted.optimize_expression(np.zeros(99))
        with pytest.raises(ValueError, match="not finite"):
            fitted.optimize_expression(np.full(100, np.nan))
        with pytest.raises(ValueError, match="do not go with"):
            fitted.optimize_expression(np.zeros((4, 100)), np.zeros((3, 100)))
        for settings in ({"n_exp": 0}, {"gain": -1}, {"limit": 0}, {"global_weight": 0, "local_weight": 0}):
            with pytest.raises(ValueError, match="must"):
                ExpressionOptimizer(**settings)


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")
class TestPCA:
    def test_noise_beside_the_components_goes_and_a_blink_stays(self, random):
        axes = np.linalg.qr(random.normal(size=(100, 100)))[0]
        clean = random.normal(0, 2, (300, 10)) @ axes[:, :10].T
        blink = 8 * axes[:, 50]
        clean[[60, 61, 200]] += blink
        noisy = clean + random.normal(0, 0.1, clean.shape)
        optimizer = ExpressionOptimizer(n_pca_components=10, use_pca=True)
        optimizer.fit_neutral(noisy)
        out = optimizer.optimize_expression(noisy)
        quiet = np.ones(300, bool)
        quiet[[60, 61, 200]] = False
        assert np.square(out - clean)[quiet].mean() < 0.3 * np.square(noisy - clean)[quiet].mean()
        assert ((out - clean + blink)[~quiet] @ axes[:, 50] / 8 > 0.95).all()


class TestRegions:
    def test_the_open_heads_codes_belong_to_one_region_each(self):
        shares = region_shares(100, FLAMEModel())
        for column, name in enumerate(("eyes", "nose", "mouth", "brows", "cheeks", "global")):
            expected = np.zeros(100)
            expected[slice(*REGIONS[name])] = 1
            np.testing.assert_array_equal(shares[:, column], expected)

    def test_shares_are_read_off_what_directions_move(self):
        head = FLAMEModel()
        regions = face_regions(head)
        directions = torch.zeros(len(head.template), 3, 400)
        mouth, brow, back = (int(regions["mouth"].argmax()), int(regions["brows"].argmax()), 700)
        directions[mouth, 1, 300], directions[brow, 2, 301], directions[back, 0, 302] = 1, -2, 3
        head.directions, head.kind = directions, "flame"
        shares = region_shares(100, head, regions)
        np.testing.assert_allclose(shares.sum(1), 1)
        assert shares[0, 2] > 0.9  # mouth
        assert shares[1, 3] > 0.9  # brows
        assert shares[2, 5] == 1  # the whole face's: the back of the head is in no region

    def test_the_heads_own_ranges_come_out_of_its_directions(self):
        # Without the indices being told: the codes built for a region move it more than any other region's codes do.
        head = FLAMEModel()
        shares = region_shares(100, head, face_regions(head))
        for column, name in enumerate(("eyes", "nose", "mouth", "brows", "cheeks")):
            start, stop = REGIONS[name]
            others = np.delete(shares[20:, column], np.arange(start - 20, stop - 20))
            assert shares[start:stop, column].mean() > 2 * others.mean(), name
