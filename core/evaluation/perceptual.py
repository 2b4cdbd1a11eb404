"""Metrics that need learned weights: they are reported where the weights are there and never replaced by others.

Nothing is downloaded. LPIPS wants the package `lpips` (which wants torchvision) and AlexNet's weights where torch.hub
keeps them; identity wants SFace's ONNX file from OpenCV's model zoo in the assets folder.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from core.evaluation.pictures import unit_pair

ALEXNET = "alexnet-owt-7be5be79.pth"
SFACE = Path("assets/face_recognition_sface_2021dec.onnx")

PictureMetric = Callable[[np.ndarray, np.ndarray], float]
FaceMetric = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]


def lpips_metric() -> PictureMetric | None:
    """LPIPS with AlexNet (Zhang, Isola, Efros, Shechtman, Wang 2018), a learned distance: smaller is better.

    Returns:
        A function of two pictures (H, W, 3), or None where the package or the weights are not there.
    """
    if find_spec("lpips") is None or find_spec("torchvision") is None:
        return None
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET).is_file():
        return None
    import lpips

    network = lpips.LPIPS(net="alex", verbose=False).eval()

    def measure(image: np.ndarray, truth: np.ndarray) -> float:
        a, b = (torch.from_numpy(x).permute(2, 0, 1)[None] * 2 - 1 for x in unit_pair(image, truth))
        with torch.no_grad():
            return float(network(a, b))

    return measure


def identity_metric(weights: Path = SFACE) -> FaceMetric | None:
    """Cosine of two faces' embeddings, SFace (Zhong, Deng, Hu, Zhao, Li, Wen 2021), 1 where they are the same.

    Returns:
        A function of a picture (H, W, 3) uint8, its points (478, 2 or 3), another picture and its points; or None where
        the weights are not there.
    """
    if not weights.is_file():
        return None
    network = cv2.FaceRecognizerSF.create(str(weights), "")

    def embedded(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        face = network.alignCrop(np.ascontiguousarray(image[..., ::-1]), face_row(points))
        return network.feature(face).copy()

    def measure(image: np.ndarray, points: np.ndarray, other: np.ndarray, other_points: np.ndarray) -> float:
        pair = embedded(image, points), embedded(other, other_points)
        return float(network.match(*pair, cv2.FaceRecognizerSF_FR_COSINE))

    return measure


def face_row(points: np.ndarray) -> np.ndarray:
    """(1, 15) float32: a face as OpenCV's detector YuNet would report it, from points (478, 2 or 3).

    Box x, y, width, height; then right eye, left eye, nose tip, right and left mouth corner (the person's); a score.
    """
    places = np.asarray(points, np.float32)[:, :2]
    low, high = places[:468].min(0), places[:468].max(0)
    five = places[[468, 473, 4, 61, 291]]
    return np.concatenate([low, high - low, five.ravel(), [1.0]]).astype(np.float32)[None]
