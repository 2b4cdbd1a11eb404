"""LPIPS, with made-up weights in files of the published layout, against its formula written out a second time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.errors import UserError
from core.evaluation import metrics
from core.evaluation.lpips import ALEXNET, LINEAR, load_lpips

SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
STEPS = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path, random = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    features, linear = {"classifier.1.weight": torch.zeros(2, 2)}, {}
    for number, (place, (out, into, size)) in enumerate(SHAPES.items()):
        spread = (into * size * size) ** -0.5
        features[f"features.{place}.weight"] = spread * torch.randn((out, into, size, size), generator=random)
        features[f"features.{place}.bias"] = 0.1 * torch.randn(out, generator=random)
        linear[f"lin{number}.model.1.weight"] = torch.rand((1, out, 1, 1), generator=random)
    torch.save(features, path / ALEXNET)
    torch.save(linear, path / LINEAR)
    return path


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, 256, (96, 80, 3), np.uint8)
    return np.clip(truth + random.normal(0, 20, truth.shape), 0, 255).astype(np.uint8), truth


def written_out(folder: Path, image: np.ndarray, truth: np.ndarray) -> float:
    features, linear = (torch.load(folder / name, weights_only=True) for name in (ALEXNET, LINEAR))
    answers = []
    for picture in (image, truth):
        x = torch.from_numpy(picture / 127.5 - 1).permute(2, 0, 1)[None].float()
        shift, scale = torch.tensor([-0.03, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.45])
        x = (x - shift[:, None, None]) / scale[:, None, None]
        layers = []
        for place, (step, margin) in STEPS.items():
            if place in (3, 6):
                x = functional.max_pool2d(x, kernel_size=3, stride=2)
            weight, bias = features[f"features.{place}.weight"], features[f"features.{place}.bias"]
            x = functional.conv2d(x, weight, bias, stride=step, padding=margin).clamp_min(0)
            layers.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        answers.append(layers)
    total = 0.0
    for number, (a, b) in enumerate(zip(*answers, strict=True)):
        total += functional.conv2d((a - b) ** 2, linear[f"lin{number}.model.1.weight"]).mean().item()
    return total


def test_it_is_its_formula(folder, pictures):
    measure = metrics.lpips_metric(folder)
    assert measure is not None
    assert measure(*pictures) == pytest.approx(written_out(folder, *pictures), rel=1e-4)
    assert measure(*pictures) == pytest.approx(measure(*pictures[::-1]), rel=1e-5)
    assert measure(pictures[1], pictures[1]) == 0
    assert measure(pictures[0] / 255, pictures[1] / 255) == pytest.approx(measure(*pictures), rel=1e-3)


def test_files_that_are_not_there_or_others_are_refused(folder, tmp_path):
    assert metrics.lpips_metric(None) is None
    with pytest.raises(UserError, match=r"does not exist: put alexnet"):
        load_lpips(tmp_path)
    (tmp_path / ALEXNET).write_bytes((folder / ALEXNET).read_bytes())
    (tmp_path / LINEAR).write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_lpips(tmp_path)
    torch.save({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, tmp_path / LINEAR)
    with pytest.raises(UserError, match=r"lack weights\.1"):
        load_lpips(tmp_path)
    torch.save({f"lin{n}.model.1.weight": torch.ones(1, 64, 1, 1) for n in range(5)}, tmp_path / LINEAR)
    with pytest.raises(UserError, match="is another network"):
        load_lpips(tmp_path)
