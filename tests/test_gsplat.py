"""gsplat, which draws on CUDA: what the engine hands to it, by a stand-in and by gsplat's own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.models.rasterizer import covariances, gsplat_engine, render_gaussian
from core.models.rasterizer.projection import LOW_PASS
from tests.test_rasterizer import CAMERA, FACING, GOLDEN, params, scene


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
    return gsplat_engine.draw(rasterization, *scene, cams, bg, (12.0, 12.0), size, LOW_PASS)


def golden(name):
    """A scene of the golden numbers: Gaussians, transform, size and background."""
    z = np.load(GOLDEN / f"{name}.npz")
    names = {"xyz": "means", "colors": "features", "scales": "scales", "rotations": "quats", "opacities": "opacities"}
    gs = {key: torch.from_numpy(z[stored]).float() for key, stored in names.items()}
    gs["opacities"] = gs["opacities"].reshape(-1, 1)
    transform, background = (torch.from_numpy(z[n]).float() for n in ("transform", "background"))
    return gs, transform, tuple(z["size"].tolist()), background


def relative(got, want):
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("name", ["raster_64x64", "raster_96x128", "raster_edge_50x70"])
def test_gsplat_is_given_the_scene_as_it_is(name):
    """Camera, axes, pixel centres, quaternions as they come, background: by what gsplat says that it takes."""
    gs, transform, size, background = golden(name)
    batch = {k: v[None] for k, v in gs.items()}
    got = drawn_by(gsplat_stand_in, batch, transform[None], size, background)
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


COMPILED = (1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257, 512, 513)  # channels that gsplat 1.5 draws


class Kernels:
    """gsplat's four CUDA functions on the CPU, with its arguments: its own torch twins, and what they leave to CUDA.

    Each asks of its inputs what the function in C++ does.
    """

    def __init__(self, own) -> None:
        self._own = own
        self.passes: list[int] = []  # channels of each

    def __call__(self, name):
        return getattr(self, name)

    def projection_ewa_3dgs_fused_fwd(
        self, means, covars, quats, scales, opacities, viewmats, Ks, width, height, eps2d, near, far, clip, *rest
    ):
        ready(means, covars, opacities, viewmats, Ks)
        assert quats is None
        assert scales is None
        assert clip == 0
        assert rest == (False, "CameraModelType.PINHOLE")
        return self._own._fully_fused_projection(
            means, covars[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].unflatten(-1, (3, 3)), viewmats, Ks, width, height, eps2d,
            near, far,
        )  # fmt: skip

    def intersect_tile(self, means2d, radii, depths, image_ids, gaussian_ids, images, tile, columns, rows, *rest):
        ready(means2d, depths)
        assert image_ids is None
        assert gaussian_ids is None
        assert rest == (True, False), "sorted, in one piece"
        assert images == means2d.shape[:-2].numel()
        return self._own._isect_tiles(means2d, radii, depths, tile, columns, rows)

    def intersect_offset(self, isect_ids, images, columns, rows):
        return self._own._isect_offset_encode(isect_ids, images, columns, rows)

    def rasterize_to_pixels_3dgs_fwd(
        self, means2d, conics, colors, opacities, backgrounds, masks, width, height, tile, offsets, flatten_ids
    ):
        """The closed form of a pixel, front to back; gsplat's own twin asks CUDA which Gaussians it meets."""
        ready(means2d, conics, colors, opacities, *([] if backgrounds is None else [backgrounds]))
        assert masks is None
        assert offsets.dtype == flatten_ids.dtype == torch.int32
        channels = colors.shape[-1]
        assert channels in COMPILED
        self.passes.append(channels)
        of_image = means2d.shape[:-2]
        rows, columns = offsets.shape[-2:]
        ends = [*offsets.flatten().tolist(), len(flatten_ids)]
        images = torch.zeros(of_image.numel(), rows * tile, columns * tile, channels)
        light = torch.ones(of_image.numel(), rows * tile, columns * tile)
        at, form, color = means2d.reshape(-1, 2), conics.reshape(-1, 3), colors.reshape(-1, channels)
        opacity = opacities.flatten()
        y, x = (n.reshape(-1, 1) + 0.5 for n in torch.meshgrid(torch.arange(tile), torch.arange(tile), indexing="ij"))
        for k in range(of_image.numel() * rows * columns):
            image, row, column = k // (rows * columns), tile * (k // columns % rows), tile * (k % columns)
            of_tile = flatten_ids[ends[k] : ends[k + 1]].long()
            dx, dy = at[of_tile, 0] - (x + column), at[of_tile, 1] - (y + row)
            a, b, c = form[of_tile].unbind(1)
            sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
            alpha = (opacity[of_tile] * torch.exp(-sigma)).clamp_max(0.999)
            alpha = torch.where((sigma < 0) | (alpha < 1 / 255), 0, alpha)
            after = (1 - alpha).cumprod(1)  # what is left behind each
            alpha = torch.where(after > 1e-4, alpha, 0)  # and from the first that would leave less, nothing is added
            after = (1 - alpha).cumprod(1)
            before = torch.cat([torch.ones(tile * tile, 1), after], 1)
            place = image, slice(row, row + tile), slice(column, column + tile)
            images[place] = ((alpha * before[:, :-1]) @ color[of_tile]).reshape(tile, tile, channels)
            light[place] = before[:, -1].reshape(tile, tile)
        images, light = images[:, :height, :width], light[:, :height, :width, None]
        if backgrounds is not None:
            images = images + light * backgrounds.reshape(-1, 1, 1, channels)
        images, alphas = (n.reshape(*of_image, *n.shape[1:]).contiguous() for n in (images, 1 - light))
        return images, alphas, torch.zeros(*of_image, height, width, dtype=torch.int32)


def ready(*inputs):
    """What gsplat's C++ asks of a tensor, its place apart, and what it takes for granted."""
    for value in inputs:
        assert value.is_contiguous()
        assert value.dtype == torch.float32


@pytest.fixture
def gsplat_on_cpu(monkeypatch):
    """The real `gsplat.rasterization`, only its kernels replaced; None of its Python is."""
    gsplat = pytest.importorskip("gsplat")
    kernels = Kernels(pytest.importorskip("gsplat.cuda._torch_impl"))
    monkeypatch.setattr("gsplat.cuda._wrapper._make_lazy_cuda_func", kernels)
    monkeypatch.setattr("gsplat.cuda._wrapper._make_lazy_cuda_obj", lambda name: name)
    return gsplat.rasterization, kernels


@pytest.mark.parametrize(
    ("channels", "passes"),
    [(32, [32]), (40, [32, 8]), (35, [32, 3]), (7, [8]), (2, [2])],  # the network's, with detail, and padded ones
)
@torch.inference_mode()
def test_gsplats_own_code_draws_what_we_draw(channels, passes, gsplat_on_cpu):
    """All of gsplat's Python on the arguments of the engine, in the mode that frames are drawn in."""
    rasterization, kernels = gsplat_on_cpu
    gs, background = scene(6, 500, channels), torch.linspace(0.1, 1, channels)
    for color in (background, torch.zeros(channels)):
        got = drawn_by(rasterization, {k: v[None] for k, v in gs.items()}, CAMERA[None], (64, 96), color)
        want = render_gaussian(gs, CAMERA, params([64, 96]), color, engine="numba")
        assert want["alphas"].mean() > 0.2
        assert got["images"].shape == want["images"].shape
        assert relative(got["images"], want["images"]) < 2e-3
        assert relative(got["alphas"], want["alphas"]) < 2e-3
    assert kernels.passes == 2 * passes


@torch.inference_mode()
def test_gsplats_own_code_draws_batches(gsplat_on_cpu):
    a, b = scene(1, 150, 32), scene(2, 150, 32)
    cams, background = torch.stack([FACING, CAMERA]), torch.linspace(0, 1, 32)
    got = drawn_by(gsplat_on_cpu[0], {k: torch.stack([a[k], b[k]]) for k in a}, cams, (40, 70), background)["images"]
    for k, gs in enumerate((a, b)):
        want = render_gaussian(gs, cams[k], params([40, 70]), background)["images"][0]
        assert relative(got[k], want) < 2e-3


@pytest.mark.parametrize("name", ["raster_64x64", "raster_96x128", "raster_edge_50x70"])
def test_gsplats_own_code_draws_the_golden_scenes(name, gsplat_on_cpu):
    """Quaternions that are not of unit length among them."""
    gs, transform, size, background = golden(name)
    got = drawn_by(gsplat_on_cpu[0], {k: v[None] for k, v in gs.items()}, transform[None], size, background)["images"]
    assert relative(got, render_gaussian(gs, transform, params(size), background)["images"]) < 2e-3


@pytest.mark.parametrize("turn", ["as it is", "behind the camera", "empty"])
def test_gsplats_own_code_draws_nothing(turn, gsplat_on_cpu):
    gs = scene(1, 20, 3)
    if turn == "behind the camera":
        gs["xyz"] = gs["xyz"] - torch.tensor([0, 0, 200.0])
    gs["opacities"] = gs["opacities"] * (turn != "as it is") + 1e-3
    gs = {k: v[None, : 0 if turn == "empty" else None] for k, v in gs.items()}
    background = torch.tensor([0.5, 0.25, 0.0])
    drawn = drawn_by(gsplat_on_cpu[0], gs, FACING[None], (20, 30), background)
    assert (drawn["images"] == background[:, None, None]).all()
    assert (drawn["alphas"] == 0).all()


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
