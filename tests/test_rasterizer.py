"""The rasterizer: golden numbers, the torch twin against the numba kernels, and properties of both rules."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from core.errors import UserError
from core.models.rasterizer import (
    RasterWorkspace,
    SurfaceSettings,
    covariances,
    is_compiled,
    render_gaussian,
    splat_surface,
    warm_up,
)

GOLDEN = Path(__file__).parent / "golden"
CAMERA = torch.tensor([[0.96, 0.0, 0.28, 0.02], [0.0, 1.0, 0.0, -0.01], [-0.28, 0.0, 0.96, 9.5]])
FACING = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 9.5]])  # head space is camera space, 9.5 away
PIXEL = 9.5 / (6 * 64)  # head units of a pixel of a 64 x 64 picture at that distance


def params(size, focal=12.0):
    return {"focal_x": focal, "focal_y": focal, "size": size}


def scene(seed, n, channels):
    """Random Gaussians: in front of each other, partly off screen, partly behind the camera or just before it."""
    g = torch.Generator().manual_seed(seed)
    xyz = torch.randn(n, 3, generator=g) * torch.tensor([0.7, 0.7, 0.06])
    xyz[: n // 10] *= 20
    xyz[n // 10 : n // 5, 2] -= 9.5
    return {
        "xyz": xyz,
        "colors": torch.rand(n, channels, generator=g),
        "opacities": torch.rand(n, 1, generator=g),
        "scales": torch.exp(-5.5 + 3 * torch.rand(n, 3, generator=g)),
        "rotations": torch.nn.functional.normalize(torch.randn(n, 4, generator=g), dim=-1),
    }


def sheet(depth, color, spacing=1.0, opacity=1.0, side=80, sigma=0.55):
    """A plane of Gaussians that faces the camera: `spacing` pixels of a 64 x 64 picture apart, `depth` behind 0."""
    s = (torch.arange(side) - (side - 1) / 2 + 0.13) * spacing * PIXEL
    y, x = torch.meshgrid(s, s, indexing="ij")
    n = side * side
    variance = (sigma * spacing * PIXEL) ** 2
    return {
        "xyz": torch.stack([x, y, torch.full_like(x, depth)], -1).reshape(n, 3),
        "colors": torch.tensor(color).expand(n, -1),
        "opacities": torch.full((n, 1), opacity),
        "covariances": torch.tensor([variance, 0, 0, variance, 0, variance / 9]).expand(n, -1),
    }


def both(a, b):
    return {k: torch.cat([a[k], b[k]]) for k in a}


def surface(gs, size=(64, 64), **keywords):
    return render_gaussian(gs, FACING, params(size), rule="surface", with_maps=True, **keywords)


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("name", ["raster_64x64", "raster_96x128", "raster_edge_50x70"])
def test_alpha_matches_golden(name, engine):
    z = np.load(GOLDEN / f"{name}.npz")
    gs = {"xyz": z["means"], "colors": z["features"], "scales": z["scales"], "rotations": z["quats"]}
    gs["opacities"] = z["opacities"]
    plain = render_gaussian(gs, z["transform"], params(z["size"]), engine=engine)
    over = render_gaussian(gs, z["transform"], params(z["size"]), z["background"], engine=engine)
    image = plain["images"][0].numpy()
    np.testing.assert_allclose(image[:, ::7, ::7], z["image_strided"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(image[0, ::3, ::3], z["first_channel_3"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(1 - plain["alphas"][0, 0, ::3, ::3].numpy(), z["final_T_3"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(over["images"][0, :, ::14, ::14].numpy(), z["image_bg_14"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("rule", ["alpha", "surface"])
@pytest.mark.parametrize(("channels", "size"), [(1, (64, 64)), (3, (40, 70)), (7, (70, 37)), (32, (33, 65))])
def test_numba_equals_its_twin(rule, channels, size):
    gs = scene(channels, 300, channels)
    background = torch.linspace(0.2, 0.9, channels)
    fast, slow = (
        render_gaussian(gs, CAMERA, params(size), background, rule=rule, engine=engine, with_maps=True)
        for engine in ("numba", "torch")
    )
    assert fast.keys() == slow.keys()
    assert 0.02 < slow["alphas"].mean() < 0.9
    assert fast["images"].shape == (1, channels, *size)
    for name in fast:
        torch.testing.assert_close(fast[name], slow[name], rtol=1e-5, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("rule", ["alpha", "surface"])
def test_bytes_do_not_depend_on_the_number_of_threads(rule):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core")
    gs = scene(5, 2000, 4)
    before = numba.get_num_threads()
    try:
        pictures = []
        for threads in (1, 2, 2):
            numba.set_num_threads(threads)
            drawn = render_gaussian(gs, CAMERA, params([100, 128]), rule=rule)
            pictures.append(torch.cat([drawn["images"], drawn["alphas"]], 1).numpy().tobytes())
    finally:
        numba.set_num_threads(before)
    assert pictures[0] == pictures[1] == pictures[2]


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_one_gaussian_has_the_closed_form(engine):
    """x = +3 px in camera space is left of the middle; its profile is o exp(-r^2 / (2 (sigma^2 + low-pass)))."""
    sigma, opacity = 1.4, 0.7
    variance = (sigma * PIXEL) ** 2
    gs = {
        "xyz": torch.tensor([[3 * PIXEL, 2 * PIXEL, 0.0]]),
        "colors": torch.tensor([[0.25, 0.5]]),
        "opacities": torch.tensor([[opacity]]),
        "covariances": torch.tensor([[variance, 0, 0, variance, 0, variance]]),
    }
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    r2 = (x - (31.5 - 3)) ** 2 + (y - (31.5 - 2)) ** 2

    profile = opacity * torch.exp(-0.5 * r2 / (sigma**2 + 0.3))
    expected = torch.where(profile >= 1 / 255, profile, 0)
    drawn = render_gaussian(gs, FACING, params([64, 64]), engine=engine)
    torch.testing.assert_close(drawn["alphas"][0, 0], expected, rtol=0, atol=2e-4)
    torch.testing.assert_close(drawn["images"][0, 1], 0.5 * expected, rtol=0, atol=2e-4)

    end = math.exp(-0.5 * 2.6**2)
    profile = opacity * (torch.exp(-0.5 * r2 / (sigma**2 + 0.05)) - end).clamp(min=0) / (1 - end)
    drawn = surface(gs, engine=engine)
    torch.testing.assert_close(drawn["weights"][0, 0], profile, rtol=0, atol=2e-4)
    torch.testing.assert_close(drawn["images"][0, 0], 0.25 * profile, rtol=0, atol=2e-4)


def test_surface_of_one_colour_has_that_colour():
    color = [0.3, 0.8, 0.1]
    drawn = surface(sheet(0.0, color, side=40), bg_color=torch.tensor([1.0, 0.0, 0.5]))
    alpha = drawn["alphas"]
    assert alpha[0, 0, 20:44, 20:44].min() == 1
    assert alpha[0, 0, :8].max() == 0
    expected = alpha * torch.tensor(color)[:, None, None] + (1 - alpha) * torch.tensor([1, 0, 0.5])[:, None, None]
    torch.testing.assert_close(drawn["images"], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("spacing", [0.7, 1.0, 2.7])
def test_hidden_sheet_leaves_no_trace(spacing):
    """Beyond the window the far sheet changes not one bit, however far apart the near sheet's Gaussians are."""
    near = sheet(0.0, [0.2, 0.9], spacing, side=120)
    alone = surface(near)
    window = SurfaceSettings().z_window
    hidden = surface(both(near, sheet(window * 1.01, [1.0, 0.0])))
    assert alone["alphas"].min() == 1
    assert torch.equal(alone["images"], hidden["images"])
    seen = surface(both(near, sheet(window * 0.4, [1.0, 0.0])))
    assert (alone["images"] - seen["images"]).abs().min() > 0.1


def test_window_fades_instead_of_switching():
    near = sheet(0.0, [0.0])
    window = SurfaceSettings().z_window
    far = [surface(both(near, sheet(d * window, [1.0])))["images"].mean() for d in np.linspace(0.4, 1.1, 36)]
    steps = np.diff(far)
    assert steps.max() <= 1e-5  # ever fainter with depth
    assert -steps.min() < 0.08 * (far[0] - far[-1])  # in small steps: 1.5 / 25 at the steepest point of a smoothstep


def test_faint_gaussians_hide_nothing():
    back = sheet(0.5, [1.0])
    faint = surface(both(sheet(0.0, [0.0], opacity=0.05), back))
    solid = surface(both(sheet(0.0, [0.0], opacity=0.95), back))
    assert faint["images"][0, 0, 32, 32] > 0.9
    assert solid["images"].max() == 0
    assert solid["depths"].max() < 9.6 < faint["depths"].min()


def test_hot_path_is_the_same_picture_and_reuses_its_buffers():
    gs = scene(9, 500, 4)
    cov = covariances(gs["scales"], gs["rotations"]).numpy()
    arrays = [gs["xyz"].numpy(), cov, gs["colors"].numpy(), gs["opacities"].numpy()[:, 0]]
    expected = render_gaussian(gs, CAMERA, params([48, 80]), rule="surface")
    work = RasterWorkspace()
    image, alpha = splat_surface(*arrays, (48, 80), 12.0, work, transform=CAMERA.numpy())
    assert np.array_equal(image, expected["images"][0].permute(1, 2, 0).numpy())
    assert np.array_equal(alpha, expected["alphas"][0, 0].numpy())
    again, _ = splat_surface(*arrays, (48, 80), 12.0, work, transform=CAMERA.numpy())
    assert np.shares_memory(image, again)

    R, t = CAMERA[:, :3], CAMERA[:, 3]
    arrays[0] = (gs["xyz"] @ R + t).numpy()
    S = R.T @ gs_matrix(cov) @ R
    arrays[1] = S[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]].numpy()
    camera_space, _ = splat_surface(*arrays, (48, 80))
    np.testing.assert_allclose(camera_space, expected["images"][0].permute(1, 2, 0), rtol=0, atol=1e-4)


def gs_matrix(cov):
    return torch.as_tensor(cov)[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)


def test_large_gaussians_outgrow_the_list_of_bands():
    gs = scene(3, 6, 3) | {"scales": torch.full((6, 3), 3.0)}
    fast, slow = (surface(gs, (200, 40), engine=engine)["weights"] for engine in ("numba", "torch"))
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 2047, 2049])
def test_any_number_of_gaussians_is_drawn(n):
    """They are projected sixteen at a time, and 2,048 by one task."""
    gs = scene(5, n, 4)
    fast, slow = (surface(gs, engine=engine)["images"] for engine in ("numba", "torch"))
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=2e-4)


def test_batch_is_each_picture_by_itself():
    a, b = scene(1, 100, 3), scene(2, 100, 3)
    cams = torch.stack([FACING, CAMERA])
    for rule in ("alpha", "surface"):
        together = render_gaussian({k: torch.stack([a[k], b[k]]) for k in a}, cams, params([32, 48]), rule=rule)
        shared = render_gaussian(a, cams, params([32, 48]), rule=rule)
        for k, gs in enumerate((a, b)):
            alone = render_gaussian({n: v.numpy() for n, v in gs.items()}, cams[k].numpy(), params([32, 48]), rule=rule)
            assert torch.equal(together["images"][k], alone["images"][0])
        assert torch.equal(shared["images"][0], together["images"][0])
        assert torch.equal(shared["images"][1], render_gaussian(a, CAMERA, params([32, 48]), rule=rule)["images"][0])


@pytest.mark.parametrize("rule", ["alpha", "surface"])
@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_nothing_to_draw_is_background(rule, engine):
    empty = {k: v[:0] for k, v in scene(1, 10, 2).items()}
    behind = scene(1, 10, 2)
    behind["xyz"] = behind["xyz"] - torch.tensor([0, 0, 200.0])
    for gs in (empty, behind):
        drawn = render_gaussian(gs, FACING, params([20, 30]), torch.tensor([0.5, 0.25]), rule=rule, engine=engine)
        assert (drawn["images"][0, 0] == 0.5).all()
        assert (drawn["images"][0, 1] == 0.25).all()
        assert (drawn["alphas"] == 0).all()


@pytest.mark.parametrize("rule", ["alpha", "surface"])
def test_gaussians_that_are_not_finite_are_dropped(rule):
    clean = scene(4, 200, 3)
    spoilt = {k: torch.cat([v, v[:3]]) for k, v in clean.items()}
    spoilt["xyz"][200] = math.nan
    spoilt["scales"][201] = math.inf
    spoilt["opacities"][202] = math.nan
    pictures = [render_gaussian(gs, CAMERA, params([64, 64]), rule=rule)["images"] for gs in (clean, spoilt)]
    assert torch.equal(*pictures)


def test_quaternions_are_used_as_given():
    q = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    diagonal = covariances(torch.tensor([1.0, 2.0, 3.0]).expand(3, 3), q)[:, [0, 3, 5]]
    assert diagonal.tolist() == [[1, 4, 9], [1, 4, 9], [1, 49 * 4, 49 * 9]]


def test_wrong_input_is_named():
    gs = scene(1, 10, 3)
    with pytest.raises(AssertionError, match=r"opacities must be \(10, 1\) or \(B, 10, 1\), got \(10,\)"):
        render_gaussian(gs | {"opacities": torch.ones(10)}, FACING, params([8, 8]))
    with pytest.raises(AssertionError, match=r"cam_matrix must be \(3, 4\).*got \(4, 4\)"):
        render_gaussian(gs, torch.eye(4), params([8, 8]))
    with pytest.raises(AssertionError, match="cam_matrix must be finite"):
        render_gaussian(gs, FACING * math.nan, params([8, 8]))
    with pytest.raises(AssertionError, match="bg_color must be"):
        render_gaussian(gs, FACING, params([8, 8]), torch.zeros(4))
    with pytest.raises(AssertionError, match="rule must be one of"):
        render_gaussian(gs, FACING, params([8, 8]), rule="beta")
    with pytest.raises(UserError, match="alpha rule only"):
        render_gaussian(gs, FACING, params([8, 8]), rule="surface", engine="gsplat")
    with pytest.raises(ValueError, match="cutoff"):
        SurfaceSettings(cutoff=9)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="needs an NVIDIA GPU"):
            render_gaussian(gs, FACING, params([8, 8]), engine="gsplat")


def test_warm_up_compiles():
    assert warm_up(("surface", "alpha"), (3,)) >= 0
    assert is_compiled("surface")
    assert is_compiled("alpha")


def test_a_kernel_is_compiled_again_when_what_it_inlines_has_changed(tmp_path, monkeypatch):
    """Numba's cache on disk looks at the kernel's own file only."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    part, whole = tmp_path / "kernel_part.py", tmp_path / "kernel_whole.py"
    whole.write_text(
        "import kernel_part\nfrom numba import prange\nfrom core.models.rasterizer.compiled import kernel\n\n"
        "@kernel(kernel_part)\ndef fill(out):\n    for i in prange(len(out)):\n        out[i] = kernel_part.value(i)\n"
    )
    for line, kept in (("i + 1", 0), ("i + 1", 1), ("3 * i + 1", 0)):
        part.write_text(f"from numba import njit\n\n@njit(inline='always')\ndef value(i):\n    return {line}\n")
        for name in ("kernel_part", "kernel_whole"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        fill = importlib.import_module("kernel_whole").fill
        out = np.zeros(4)
        fill(out)
        assert out[3] == {"i + 1": 4, "3 * i + 1": 10}[line]
        assert sum(fill.stats.cache_hits.values()) == kept
