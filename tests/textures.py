"""Pictures that the tests of detail share."""

import cv2
import numpy as np
import torch

MARGIN = 96


def batch(image: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, 3) to (1, 3, H, W) float32."""
    image = np.stack([image] * 3, -1) if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) in about 0.2 .. 0.8: structures of all sizes, no two channels alike."""
    random = np.random.default_rng(seed)
    sizes = ((1.0, 0.04), (2.5, 0.12), (8.0, 0.4))
    noise = sum(a * s * cv2.GaussianBlur(random.normal(size=(height, width, 3)), (0, 0), s) for s, a in sizes)
    return np.clip(0.5 + noise, 0, 1).astype(np.float32)


def disc(height: int, width: int, radius: float) -> torch.Tensor:
    """(1, 1, H, W): a soft disc in the middle."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - height / 2, x - width / 2)
    return torch.from_numpy(np.clip(radius - away + 0.5, 0, 1).astype(np.float32))[None, None]
