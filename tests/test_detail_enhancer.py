"""Detail: every band by the formula, the compiled path and its torch twin, and what is left alone."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve1d, maximum_filter, minimum_filter, sobel, uniform_filter
from textures import batch, disc, texture

from core.models.modules.detail_enhancer import (
    DetailEnhancer,
    LaplacianPyramid,
    attention_scales,
    face_mask,
    face_matte,
)


def test_strength_zero_is_the_identity_to_the_bit_and_nothing_is_stored():
    image = batch(texture(40, 50))
    assert torch.equal(DetailEnhancer(enhancement_strength=0)(image), image)
    assert torch.equal(DetailEnhancer()(image, strength_multiplier=0.0), image)
    enhancer = DetailEnhancer()
    assert not torch.equal(enhancer(image), image)
    assert list(enhancer.state_dict()) == []
    assert list(enhancer.parameters()) == []
    enhancer.load_state_dict({}, strict=True)


@pytest.mark.parametrize("size", [(96, 120), (65, 93), (33, 40), (9, 8), (7, 8)])
@pytest.mark.parametrize("levels", [2, 4, 6])
def test_the_fast_path_is_its_torch_twin(size, levels):
    enhancer = DetailEnhancer(levels)
    image = torch.cat([batch(texture(*size, seed)) for seed in range(2)])
    matte = disc(*size, 0.45 * min(size)).expand(2, -1, -1, -1).contiguous()
    for where in (None, matte):
        for picture in (image, image.contiguous(memory_format=torch.channels_last)):
            fast = enhancer(picture, 2.0, where)
            assert fast.dtype == picture.dtype
            assert fast.stride() == picture.stride()
            assert (fast - enhancer._with_torch(picture, 0.6, where)).abs().max() < 2e-6
    if min(size) > 60:
        assert (enhancer(image, 2.0, matte) - image).abs().max() > 0.002  # there is something to compare


def numpy_pyramid(luma: np.ndarray, bands: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Luminances and bands by SciPy, of pictures whose sides divide by 2^bands; the last luminance is G[N]."""
    row = np.array([1, 4, 6, 4, 1]) / 16

    def both_ways(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return convolve1d(convolve1d(image, kernel, 0, mode="mirror"), kernel, 1, mode="mirror")

    gaussians, laplacians = [luma], []
    for _ in range(bands):
        gaussians.append(both_ways(gaussians[-1], row)[::2, ::2])
        laplacians.append(gaussians[-2] - numpy_expanded(gaussians[-1]))
    return gaussians, laplacians


def numpy_expanded(image: np.ndarray) -> np.ndarray:
    """Twice the size: zeros between, then the binomial; mirrored before the first pixel, repeated after the last."""
    row = np.array([1, 4, 6, 4, 1]) / 8
    padded = np.pad(np.pad(image, ((1, 0), (1, 0)), mode="reflect"), ((0, 1), (0, 1)), mode="edge")
    spaced = np.zeros(tuple(2 * s for s in padded.shape))
    spaced[::2, ::2] = padded
    spaced = convolve1d(convolve1d(spaced, row, 0, mode="constant"), row, 1, mode="constant")
    return spaced[2:-2, 2:-2]


@pytest.mark.parametrize("levels", [1, 2, 4, 5])
@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_every_band_is_the_formulas(levels, beta):
    """enhanced[i] = band[i] (1 + beta attention[i] (1 + edge[i])), computed again in numpy; the low-pass rest stays."""
    luma = texture(128, 160, 1)[..., 0].astype(np.float64)
    gaussians, bands = numpy_pyramid(luma, levels)
    enhancer = DetailEnhancer(levels, enhancement_strength=beta)
    out = [level[0, 0].numpy() for level in enhancer.enhanced_bands(torch.from_numpy(luma)[None, None], beta)]
    assert len(out) == levels + 1
    for i, band in enumerate(bands):
        flat, strong, core = attention_scales(i)
        c2 = uniform_filter(np.abs(band), 5, mode="mirror") ** 2
        attention = c2 / (c2 + flat**2) * strong**2 / (c2 + strong**2) * band**2 / (band**2 + core**2)
        m2 = (sobel(gaussians[i], 0, mode="mirror") / 8) ** 2 + (sobel(gaussians[i], 1, mode="mirror") / 8) ** 2
        edge = m2 / (m2 + 0.03**2)
        assert 0 <= attention.min() <= attention.max() <= 1
        assert 0 <= edge.min() <= edge.max() <= 1
        wanted = band * (1 + beta * attention * (1 + edge))
        np.testing.assert_allclose(out[i], wanted, atol=1e-12)
        assert np.abs(wanted - band).max() > 1e-3 * np.abs(band).max()  # there is something to compare
    np.testing.assert_allclose(out[-1], gaussians[-1], atol=1e-12)
    # And the picture is their sum, where nothing bounds it.
    total = gaussians[-1]
    for i in reversed(range(levels)):
        total = out[i] + numpy_expanded(total)
    picture = batch(luma.astype(np.float32))
    changed = enhancer(picture)[0, 0].numpy()
    around = [f(luma, 3, mode="nearest") for f in (maximum_filter, minimum_filter)]
    room = 0.1 * (around[0] - around[1])
    wanted = np.clip(np.clip(total, around[1] - room, around[0] + room), 0, 1)
    np.testing.assert_allclose(changed, wanted, atol=3e-6)


def test_every_level_acts_on_structures_of_its_own_size():
    """A level more raises coarser structures too, and leaves fine ones to the finer bands."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    waves = [0.5 + a * np.sin(2 * np.pi * x / p) * np.sin(2 * np.pi * y / p) for p, a in ((4, 0.04), (64, 0.02))]
    fine, coarse = (batch(w.astype(np.float32)) for w in waves)
    outs = {n: (DetailEnhancer(n)(fine), DetailEnhancer(n)(coarse)) for n in range(2, 7)}
    inside = slice(64, -64)
    raised = {
        n: [float((o - i)[..., inside, inside].std()) for o, i in zip(outs[n], (fine, coarse), strict=True)]
        for n in outs
    }
    assert all(not torch.equal(outs[n][1], outs[n + 1][1]) for n in range(2, 6))
    assert raised[2][0] > 1e-3
    assert all(abs(raised[n][0] - raised[2][0]) < 0.05 * raised[2][0] for n in outs)  # two levels are all it needs
    assert raised[2][1] < 0.2 * raised[6][1]  # what is 64 pixels long is not theirs
    assert raised[4][1] < raised[5][1] + 1e-9


def test_the_pipelines_way_is_the_same_to_the_bit():
    """In place, with the mask of a face in 8 bits."""
    image, enhancer = batch(texture(200, 180)), DetailEnhancer()
    points = np.array([[40, 30], [140, 40], [150, 160], [60, 170], [90, 90]], float)
    holes = [np.array([[80, 120], [110, 120], [95, 135]], float)]
    for layout in (image, image.contiguous(memory_format=torch.channels_last)):
        expected = enhancer(layout, 1.5, face_matte(points, (200, 180), holes))
        picture = (
            layout[0].permute(1, 2, 0).numpy().copy() if layout is image else layout[0].clone().permute(1, 2, 0).numpy()
        )
        enhancer.enhance_face(picture, face_mask(points, (200, 180), holes), 1.5)
        assert np.array_equal(picture, expected[0].permute(1, 2, 0).numpy())
        assert not np.array_equal(picture, image[0].permute(1, 2, 0).numpy())
        before = picture.copy()
        enhancer.enhance_face(picture, face_mask(points, (200, 180), holes), 0.0)
        assert np.array_equal(picture, before)


def test_every_type_and_every_picture_of_a_batch_by_itself():
    enhancer = DetailEnhancer()
    images = torch.cat([batch(texture(48, 40, seed)) for seed in range(3)])
    expected = enhancer(images)
    assert torch.equal(torch.cat([enhancer(image[None]) for image in images]), expected)
    double, half = enhancer(images.double()), enhancer(images.half())
    assert (double.dtype, half.dtype) == (torch.float64, torch.float16)
    assert (double - expected).abs().max() < 2e-6
    assert (half.float() - expected).abs().max() < 2e-3
    image = images.double().requires_grad_()
    enhancer(image).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_too_small_a_picture_comes_back_and_a_wrong_one_is_refused():
    enhancer = DetailEnhancer()
    tiny = torch.rand(1, 3, 3, 5)
    assert torch.equal(enhancer(tiny), tiny)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        enhancer(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="matte"):
        enhancer(torch.rand(1, 3, 8, 8), 1.0, torch.rand(1, 1, 4, 4))
    with pytest.raises(ValueError, match="strength"):
        enhancer(torch.rand(1, 3, 8, 8), float("nan"))
    with pytest.raises(ValueError, match="strength"):
        DetailEnhancer(enhancement_strength=-1)
    with pytest.raises(ValueError, match="num_levels"):
        DetailEnhancer(num_levels=0)
    with pytest.raises(ValueError, match="num_levels"):
        LaplacianPyramid(num_levels=1)


@pytest.mark.parametrize("height", [0.05, 0.2, 0.8])
@pytest.mark.parametrize("softness", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("multiplier", [1.0, 4.0])
def test_a_step_gets_steeper_and_overshoots_by_at_most_a_tenth(height, softness, multiplier):
    step = np.full((64, 96), 0.1, np.float32)
    step[:, 48:] += height
    if softness:
        step = cv2.GaussianBlur(step, (0, 0), softness)
    out = DetailEnhancer()(batch(step), multiplier)[0, 0].numpy()
    assert out.max() <= 0.1 + 1.1001 * height
    assert out.min() >= 0.1 - 0.1001 * height
    energy = [np.square(np.diff(image, axis=1)).sum() for image in (step, out)]
    assert energy[1] > 1.01 * energy[0]


def test_noise_is_not_amplified():
    noise = 0.5 + np.random.default_rng(0).normal(0, 2 / 255, (128, 128, 3)).astype(np.float32)
    out = DetailEnhancer()(batch(noise))
    assert out.std() < 1.01 * noise.std()
    assert DetailEnhancer()(batch(noise), 3.0).std() < 1.03 * noise.std()


def test_jpeg_blocks_are_not_amplified():
    y, x = np.mgrid[:128, :128].astype(np.float32)
    picture = 0.35 + 0.3 * x / 128 + 0.03 * np.sin(y / 5) + 0.02 * np.cos((x + 2 * y) / 7)
    picture[40:90, 40:90] = texture(50, 50)[..., 0]
    file = io.BytesIO()
    Image.fromarray((np.stack([picture] * 3, -1) * 255 + 0.5).astype(np.uint8)).save(file, "JPEG", quality=40)
    coded = np.asarray(Image.open(file)).astype(np.float32) / 255
    out = DetailEnhancer()(batch(coded))[0].permute(1, 2, 0).numpy()
    flat = np.ones((128, 128), bool)
    flat[24:106, 24:106] = False  # the rest is smooth but for the blocks
    boundary = np.arange(127) % 8 == 7

    def energy(image: np.ndarray) -> tuple[float, float]:
        steps, counted = np.square(np.diff(image[..., 1], axis=1)), flat[:, 1:]
        both = (steps[:, where][counted[:, where]].mean() for where in (boundary, ~boundary))
        return tuple(map(float, both))

    (at_blocks, between), (out_at_blocks, out_between) = energy(coded), energy(out)
    assert at_blocks > 1.5 * between  # there are blocks to amplify
    assert out_at_blocks < 1.05 * at_blocks
    assert out_at_blocks / out_between < 1.05 * at_blocks / between
    assert np.abs(out - coded)[40:90, 40:90].max() > 0.008  # while detail is raised


def test_the_edge_of_the_matte_is_left_alone():
    matte = disc(160, 160, 60.0)
    person = batch(texture(160, 160))
    picture = person * matte  # on black, as rendered
    out = DetailEnhancer()(picture, 3.0, matte)
    y, x = np.mgrid[:160, :160]
    away = 60 - np.hypot(y - 80, x - 80)  # pixels inside the matte
    changed = (out != picture).any(1)[0].numpy()
    assert not changed[away < 6].any()
    assert changed[away > 25].mean() > 0.9
    assert torch.equal(DetailEnhancer()(picture, 3.0, torch.zeros_like(matte)), picture)


def test_a_gain_depends_on_its_place_and_not_on_the_frame_around_it():
    image = texture(128, 230)
    flash = image.copy()
    flash[:, 200:] = np.float32([1, 0, 1])  # four bands reach 105 pixels
    flash[::2, 200:] = 0
    plain, lit = (DetailEnhancer()(batch(i))[0].numpy() for i in (image, flash))
    assert np.array_equal(plain[..., :90], lit[..., :90])


def test_gains_are_continuous_in_brightness_and_place():
    """No flicker: what is added follows the picture; a change of the light by 1 % changes it by about as little."""
    enhancer, image = DetailEnhancer(), texture(128, 128) * 0.8
    added = (enhancer(batch(image)) - batch(image))[0]
    most, mean = added.abs().max(), added.std()
    for share in (1e-3, 1e-2):
        darker = batch(image * np.float32(1 - share))
        assert ((enhancer(darker) - darker)[0] - added).abs().max() < 5 * share * most
    for step in (1, 2, 3):
        moved = batch(np.roll(image, step, 1))
        difference = (enhancer(moved) - moved)[0] - torch.roll(added, step, 2)
        assert difference[..., 24:-24].std() < 0.1 * mean
    # Half a pixel: what is added to the picture in between lies between what is added to its neighbours.
    between = batch((image + np.roll(image, 1, 1)) / 2)
    halfway = (added + torch.roll(added, 1, 2)) / 2
    assert ((enhancer(between) - between)[0] - halfway)[..., 24:-24].std() < 0.5 * mean


def test_a_moving_matte_does_not_move_the_pyramid():
    """The box that is worked on follows the matte; what is far inside must not feel where it begins."""
    image, matte = batch(texture(160, 200)), disc(160, 200, 60.0)
    first = DetailEnhancer()(image, 1.0, matte)
    for step in (1, 2, 3, 5):
        second = DetailEnhancer()(image, 1.0, torch.roll(matte, step, 3))
        assert (first - second)[..., 60:100, 80:120].abs().max() < 1e-5


def test_the_face_matte_is_the_hull_without_its_holes():
    square = np.array([[10, 10], [50, 10], [50, 40], [10, 40], [30, 20]], float)
    hole = np.array([[25, 20], [35, 20], [35, 30], [25, 30]], float)
    matte = face_matte(square, (60, 70), [hole])[0, 0].numpy()
    assert matte.shape == (60, 70)
    assert matte[15, 15] == matte[38, 48] == 1
    assert matte[25, 30] == matte[5, 30] == matte[25, 60] == 0
    with pytest.raises(ValueError, match="finite"):
        face_matte(np.full((4, 2), np.nan), (8, 8))
