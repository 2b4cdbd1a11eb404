"""The rasterizer: golden numbers, the torch twin against the numba kernels, and properties of both rules."""

from __future__ import annotations

import math
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
    gsplat_engine,
    is_compiled,
    render_gaussian,
    splat_surface,
    warm_up,
)
from core.models.rasterizer.render import ALPHA_BLUR

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


def gsplat_stand_in(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **rest):
    """What `gsplat.rasterization` takes and gives, for one camera to each scene, every Gaussian on every pixel.

    Column vectors, x right, y down, pixel centres at halves; covariances of any rotation; alpha capped at 0.999.
    """
    near_plane, eps2d, packed, backgrounds, covars = (
        rest[name] for name in ("near_plane", "eps2d", "packed", "backgrounds", "covars")
    )
    B, N, D = colors.shape
    shapes = {"means": (B, N, 3), "opacities": (B, N), "viewmats": (B, 1, 4, 4), "Ks": (B, 1, 3, 3)}
    for name, shape in {**shapes, "covars": (B, N, 3, 3)}.items():
        value = locals()[name]
        assert value.shape == shape, f"{name}: {tuple(value.shape)}"
        assert value.dtype == torch.float32, name
    assert quats is None, "gsplat normalises quaternions"
    assert scales is None
    assert not packed, "the packed form takes no batch"
    assert backgrounds is None or backgrounds.shape == (B, 1, D)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    images, alphas = [], []
    for b in range(B):
        R, t, K = viewmats[b, 0, :3, :3], viewmats[b, 0, :3, 3], Ks[b, 0]
        assert torch.equal(viewmats[b, 0, 3], torch.tensor([0.0, 0, 0, 1]))
        q = (R @ means[b].T).T + t
        image, T = torch.zeros(height, width, D), torch.ones(height, width)
        going = torch.ones(height, width, dtype=torch.bool)
        for i in torch.argsort(q[:, 2], stable=True).tolist():
            z = q[i, 2]
            if z < near_plane:
                continue
            u, v = K[0, 0] * q[i, 0] / z + K[0, 2], K[1, 1] * q[i, 1] / z + K[1, 2]
            across, down = 1.3 * 0.5 * width / K[0, 0], 1.3 * 0.5 * height / K[1, 1]
            a, c = (q[i, 0] / z).clamp(-across, across), (q[i, 1] / z).clamp(-down, down)
            J = torch.tensor([[K[0, 0] / z, 0, -K[0, 0] * a / z], [0, K[1, 1] / z, -K[1, 1] * c / z]])
            flat = torch.linalg.inv(J @ R @ covars[b, i] @ R.T @ J.T + eps2d * torch.eye(2))
            dx, dy = x - u, y - v
            power = 0.5 * (flat[0, 0] * dx * dx + flat[1, 1] * dy * dy) + flat[0, 1] * dx * dy
            alpha = (opacities[b, i] * torch.exp(-power)).clamp(max=0.999)
            alpha = torch.where((power >= 0) & (alpha >= 1 / 255), alpha, 0)
            going &= T * (1 - alpha) > 1e-4
            alpha = alpha * going
            image += (alpha * T)[..., None] * colors[b, i]
            T = T * (1 - alpha)
        images.append(image if backgrounds is None else image + T[..., None] * backgrounds[b, 0])
        alphas.append(1 - T[..., None])
    return torch.stack(images)[:, None], torch.stack(alphas)[:, None], {}


def drawn_by(rasterization, gs, cams, size, bg):
    """`gsplat_engine.draw` of scenes in batches."""
    cov = covariances(gs["scales"], gs["rotations"])
    scene = (gs["xyz"], cov, gs["colors"], gs["opacities"][..., 0])
    return gsplat_engine.draw(rasterization, *scene, cams, bg, (12.0, 12.0), size, ALPHA_BLUR)


def relative(got, want):
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("name", ["raster_64x64", "raster_96x128", "raster_edge_50x70"])
def test_gsplat_is_given_the_scene_as_it_is(name):
    """Camera, axes, pixel centres, quaternions as they come, background: by what gsplat says that it takes."""
    z = np.load(GOLDEN / f"{name}.npz")
    names = {"xyz": "means", "colors": "features", "scales": "scales", "rotations": "quats", "opacities": "opacities"}
    gs = {key: torch.from_numpy(z[stored]).float()[None] for key, stored in names.items()}
    gs["opacities"] = gs["opacities"].reshape(1, -1, 1)
    background, transform, size = (torch.from_numpy(z[n]) for n in ("background", "transform", "size"))
    size, background = tuple(size.tolist()), background.float()
    got = drawn_by(gsplat_stand_in, gs, transform.float()[None], size, background)
    want = render_gaussian(gs, transform, params(size), background, engine="torch")
    assert got["images"].shape == want["images"].shape
    assert relative(got["images"], want["images"]) < 2e-3
    assert relative(got["alphas"], want["alphas"]) < 2e-3


def test_gsplat_draws_batches_and_channels_side_by_side():
    a, b = scene(1, 60, 40), scene(2, 60, 40)
    both_scenes = {k: torch.stack([a[k], b[k]]) for k in a}
    cams = torch.stack([FACING, CAMERA])
    got = drawn_by(gsplat_stand_in, both_scenes, cams, (24, 40), torch.linspace(0, 1, 40))["images"]
    assert got.is_contiguous(memory_format=torch.channels_last), "convolutions would copy it"
    for k, gs in enumerate((a, b)):
        want = render_gaussian(gs, cams[k], params([24, 40]), torch.linspace(0, 1, 40), engine="torch")["images"][0]
        assert relative(got[k], want) < 2e-3


def test_gsplat_projects_where_we_do():
    """gsplat's own projection in torch, which needs no GPU, under the camera that the engine makes."""
    own = pytest.importorskip("gsplat.cuda._torch_impl")
    gs, seen = scene(8, 200, 1), {}

    def catch(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **rest):
        camera = own._fully_fused_projection(
            means[0], rest["covars"][0], viewmats[0], Ks[0], width, height, rest["eps2d"], rest["near_plane"]
        )
        seen.update(zip(("radii", "pixels", "depths"), camera[:3], strict=True))
        return torch.zeros(1, 1, height, width, 1), torch.zeros(1, 1, height, width, 1), {}

    drawn_by(catch, {k: v[None] for k, v in gs.items()}, CAMERA[None], (64, 96), torch.zeros(1))
    at = gs["xyz"] @ CAMERA[:, :3] + CAMERA[:, 3]
    column = ((1 - 12 * at[:, 0] / at[:, 2]) * 96 - 1) / 2  # section 8 of the specification, centres at integers
    row = ((1 - 12 * at[:, 1] / at[:, 2]) * 64 - 1) / 2
    kept = (seen["radii"][0] > 0).all(-1)
    assert 50 < kept.sum() < 200
    torch.testing.assert_close(seen["pixels"][0][kept], torch.stack([column, row], 1)[kept] + 0.5, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(seen["depths"][0][kept], at[kept, 2], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("channels", [32, 40])
def test_gsplat_agrees(channels):
    pytest.importorskip("gsplat")
    gs = scene(6, 400, channels)
    background = torch.linspace(0, 1, channels)
    fast = render_gaussian({k: v.cuda() for k, v in gs.items()}, CAMERA, params([64, 96]), background)["images"]
    slow = render_gaussian(gs, CAMERA, params([64, 96]), background, engine="torch")["images"]
    assert fast.is_cuda
    assert relative(fast.cpu(), slow) < 2e-3


def test_warm_up_compiles():
    assert warm_up(("surface", "alpha"), (3,)) >= 0
    assert is_compiled("surface")
    assert is_compiled("alpha")
