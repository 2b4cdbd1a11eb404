"""The Laplacian pyramid gives back its picture, by the paper's kernel; Sobel's edges on a fixed scale."""

import pytest
import torch

from core.models.modules.detail_enhancer import LaplacianPyramid, SobelEdgeDetector


@pytest.mark.parametrize("size", [(64, 64), (63, 50), (17, 129), (5, 9), (3, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_pyramid_gives_back_what_it_was_built_from(size, dtype):
    image = torch.rand(2, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(0))
    pyramid = LaplacianPyramid(4)
    levels = pyramid.build(image)
    assert (pyramid.collapse(levels) - image).abs().max() < 1e-6
    assert all(level.shape[2:] == tuple(-(-s // 2**i) for s in size) for i, level in enumerate(levels))


def test_the_pyramid_has_the_levels_asked_for_and_no_detail_where_there_is_none():
    levels = LaplacianPyramid(4).build(torch.full((1, 1, 64, 48), 0.3, dtype=torch.float64))
    assert len(levels) == 4
    assert all(band.abs().max() < 1e-12 for band in levels[:-1])
    assert (levels[-1] - 0.3).abs().max() < 1e-12


def test_reduce_is_the_binomial_filter_of_the_paper():
    impulse = torch.zeros(1, 1, 17, 17, dtype=torch.float64)
    impulse[..., 8, 8] = 1
    reduced = LaplacianPyramid().reduce(impulse)[0, 0]
    row = torch.tensor([1, 6, 1], dtype=torch.float64) / 16
    assert torch.allclose(reduced[3:6, 3:6], torch.outer(row, row))
    assert reduced.sum() == pytest.approx(0.25)


def test_the_edge_of_a_ramp_is_its_slope_on_a_fixed_scale():
    slope, scale = 0.01, 0.03
    ramp = torch.arange(20, dtype=torch.float64).mul(slope).expand(1, 3, 15, 20)
    detector = SobelEdgeDetector(scale)
    inside = detector(ramp)[..., 1:-1]
    assert torch.allclose(inside, torch.full_like(inside, slope**2 / (slope**2 + scale**2)))
    assert torch.allclose(detector(ramp.transpose(2, 3))[..., 1:-1, :], inside.transpose(2, 3))
    assert list(detector.state_dict()) == []
