"""Eyes in pictures: contrast and edges of the photo, where eyes are open and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gazes import plain_face
from synthetic_head import seen_points

from core.data.records import TrackedFrame
from core.libs.flame_model import FLAMEModel
from core.libs.flame_model import topology as topo
from core.libs.gaze_corrector import EyeEnhancer, GazeCorrector


@pytest.fixture(scope="module")
def head() -> FLAMEModel:
    return FLAMEModel()


@pytest.fixture
def plain() -> TrackedFrame:
    return plain_face()


class TestEnhancer:
    @pytest.fixture
    def picture(self, head, plain):
        """A photo with textured eyes (3, 512, 512), a blurred rendering of it, and its points."""
        frame = replace(plain, transform_matrix=np.float32([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 8.5]]))
        points = seen_points(head, frame)[:, :2]
        random = np.random.default_rng(0)
        import cv2

        grey = cv2.GaussianBlur(random.uniform(0, 1, (512, 512)).astype(np.float32), (0, 0), 2)
        photo = np.repeat(grey[..., None], 3, 2)
        photo = np.clip(0.5 + 2 * (photo - 0.5), 0, 1)
        blurred = cv2.GaussianBlur(photo, (0, 0), 1.2)
        return *(torch.from_numpy(p).permute(2, 0, 1)[None] for p in (photo, blurred)), points[None]

    def box(self, points: np.ndarray) -> tuple[slice, slice]:
        eye = points[0, list(topo.LEFT_EYE)]
        (x0, y0), (x1, y1) = eye.min(0).astype(int), eye.max(0).astype(int)
        return slice(y0, y1 + 1), slice(x0, x1 + 1)

    def test_off_and_strength_zero_are_the_identity(self, picture):
        _, image, points = picture
        assert GazeCorrector(enhance_eyes=False).enhance_eye_region(image, points) is image
        assert torch.equal(EyeEnhancer(contrast=0.0)(image, points), image)

    def test_shut_hidden_and_unknown_eyes_stay(self, picture):
        _, image, points = picture
        shut, unknown = points.copy(), np.full_like(points, np.nan)
        for upper, lower in (*topo.EYE_PAIRS["left"], *topo.EYE_PAIRS["right"]):
            shut[:, upper] = shut[:, lower]
        assert torch.equal(EyeEnhancer()(image, shut), image)
        assert torch.equal(EyeEnhancer()(image, unknown), image)
        assert torch.equal(EyeEnhancer()(image, points + 2000), image)

    def test_contrast_rises_in_the_eyes_and_nowhere_else(self, picture):
        _, image, points = picture
        before = image.clone()
        out = EyeEnhancer()(image, points)
        assert torch.equal(image, before)  # what was given is not written to
        rows, columns = self.box(points)
        energy = [i[0, :, rows, columns].diff(dim=-1).square().mean() for i in (image, out)]
        assert energy[1] > 1.1 * energy[0]
        changed = (out != image).any(1)[0]
        width = np.linalg.norm(points[0, 263] - points[0, 362])
        y, x = np.nonzero(changed.numpy())
        eyes = np.stack([points[0, [263, 362]].mean(0), points[0, [33, 133]].mean(0)])
        away = np.linalg.norm(np.stack([x, y], -1)[:, None] - eyes, axis=-1).min(1)
        assert away.max() < 1.05 * width

    def test_the_mask_goes_with_the_eyes(self, picture):
        _, image, points = picture
        moved = EyeEnhancer()(image.roll((30, -20), (2, 3)), points + np.array([-20, 30]))
        np.testing.assert_allclose(moved, EyeEnhancer()(image, points).roll((30, -20), (2, 3)), atol=1e-5)

    def test_the_photo_gives_back_what_the_rendering_lost(self, picture):
        photo, image, points = picture
        enhancer = EyeEnhancer(contrast=0.0, detail=1.0)
        enhancer.set_source(photo[0], points[0])
        x, y = points[0, 473].astype(int)
        iris = (0, slice(None), slice(y - 4, y + 5), slice(x - 4, x + 5))
        error = [(i - photo)[iris].square().mean() for i in (image, enhancer(image, points))]
        assert error[1] < 0.3 * error[0]

    @pytest.mark.parametrize("factor", [0.8, 1.0, 1.5])
    def test_contrast_comes_to_the_photos_from_both_sides(self, picture, factor):
        photo, _, points = picture
        photo = 0.5 + 0.3 * (photo - 0.5)  # far from black and white, where nothing is cut off
        frame = 0.5 + factor * (photo - 0.5)
        enhancer = EyeEnhancer(contrast=1.0, detail=0.0)
        enhancer.set_source(photo[0], points[0])
        before, after = (
            self.sharpness(i, points) / self.sharpness(photo, points) for i in (frame, enhancer(frame, points))
        )
        assert before == pytest.approx(factor, abs=1e-3)
        assert 0.9 < after < 1.3

    def test_what_was_sharpened_is_not_sharpened_again(self, picture):
        photo, image, points = picture
        knowing, blind = EyeEnhancer(), EyeEnhancer()
        knowing.set_source(photo[0], points[0])
        grown = []
        for enhancer in (knowing, blind):
            once = enhancer(image, points)
            grown.append(self.sharpness(enhancer(once, points), points) / self.sharpness(once, points))
        assert grown[0] - 1 < 0.6 * (grown[1] - 1)

    def sharpness(self, image: torch.Tensor, points: np.ndarray) -> float:
        """Root mean square of the gradient about the middle of the left eye."""
        rows, columns = self.box(points)
        middle = image[0, 0, rows, columns][:, 8:-8]
        return float(middle.diff(dim=-1).square().mean().sqrt())

    def test_another_photo_is_not_pasted(self, picture):
        photo, image, points = picture
        enhancer = EyeEnhancer(contrast=0.0)
        enhancer.set_source(1 - photo[0], points[0])
        assert torch.equal(enhancer(image, points), image)

    @pytest.mark.parametrize("known", [False, True])
    def test_the_compiled_way_is_the_reference(self, picture, known):
        photo, image, points = picture
        enhancer = EyeEnhancer()
        if known:
            enhancer.set_source(photo[0], points[0])
        turn = np.array([[0.98, 0.17], [-0.17, 0.98]])
        for moved in (points, points * [1, 0.9] + [4.3, 20.2], points @ turn, points - [200, 0], points * 0.3):
            expected = enhancer._with_numpy(image, moved)
            for layout in (image, image.contiguous(memory_format=torch.channels_last)):
                np.testing.assert_allclose(enhancer(layout, moved), expected, atol=2e-5)
                own = layout[0].clone().permute(1, 2, 0).numpy()
                enhancer.enhance(own, moved[0].astype(np.float64))
                np.testing.assert_array_equal(own.transpose(2, 0, 1), enhancer(layout, moved)[0])
        assert (enhancer(image, points) - image).abs().max() > 0.02  # there is something to compare
        assert (enhancer(image.double(), points) - enhancer(image, points)).abs().max() < 2e-5

    def test_flat_noise_is_not_amplified(self, picture):
        _, image, points = picture
        noisy = 0.5 + 0.004 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
        out = EyeEnhancer()(noisy, points)
        rows, columns = self.box(points)
        assert out[0, :, rows, columns].std() < 1.15 * noisy[0, :, rows, columns].std()
