"""Metrics that need learned weights: they are reported where the weights are there and never replaced by others.

Nothing is downloaded. LPIPS wants a folder with two files, see `core.evaluation.lpips`; CSIM wants a face recognition
network in the assets folder, as an ONNX file: ArcFace as InsightFace publishes it (`w600k_r50.onnx` of its package
`buffalo_l`), or SFace from OpenCV's model zoo. All have licences of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.errors import UserError

ARCFACE = Path("assets/w600k_r50.onnx")
SFACE = Path("assets/face_recognition_sface_2021dec.onnx")
_ARCFACE_SIDE = 112
# Where ArcFace's crop has the eyes, the nose tip and the corners of the mouth, left in the picture first.
_ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_FIVE = (468, 473, 4, 61, 291)  # the same of the tracker's points: the person's right is left in the picture

PictureMetric = Callable[[np.ndarray, np.ndarray], float]
FaceMetric = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]


def lpips_metric(folder: Path | None) -> PictureMetric | None:
    """LPIPS of two pictures (H, W, 3), with the weights of a folder; None without one. See `core.evaluation.lpips`."""
    if folder is None:
        return None
    from core.evaluation.lpips import distance, load_lpips  # they load torch

    return partial(distance, load_lpips(folder))


def csim_metric(model: Path | None = None) -> FaceMetric | None:
    """CSIM: the cosine of two faces' identity embeddings, 1 where they are the same.

    As in Zakharov, Shysheya, Burkov, Lempitsky (Few-Shot Adversarial Learning of Realistic Neural Talking Head Models,
    2019), who compare the result with the photo of the person by ArcFace (Deng, Guo, Xue, Zafeiriou 2019). Figures of
    different networks are not to be compared.

    Args:
        model: an ONNX file; one with `sface` in its name is read as SFace (Zhong, Deng, Hu, Zhao, Li, Wen 2021), any
            other as ArcFace's, which takes an aligned face of 112 x 112 as RGB in -1..1. None: ArcFace's usual file in
            the assets folder, else SFace's.

    Returns:
        A function of a picture (H, W, 3) uint8, its points (478, 2 or 3), another picture and its points; or None where
        the file is not there. UserError where it is no such network.
    """
    model = next((path for path in (ARCFACE, SFACE) if path.is_file()), SFACE) if model is None else model
    if not model.is_file():
        return None
    embedded = _sface(model) if "sface" in model.name.lower() else _arcface(model)

    def measure(image: np.ndarray, points: np.ndarray, other: np.ndarray, other_points: np.ndarray) -> float:
        a, b = embedded(image, points), embedded(other, other_points)
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))

    return measure


def aligned_face(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(112, 112, 3): the face of a picture (H, W, 3) as ArcFace wants it, from its points (478, 2 or 3).

    By the similarity that brings five points nearest to their places, in least squares.
    """
    here = np.asarray(points, np.float64)[list(_FIVE), :2]
    # As complex numbers a similarity is z -> a z + b.
    z, w = here @ [1, 1j], _ARCFACE_POINTS @ [1, 1j]
    centred = z - z.mean()
    a = (centred.conj() @ w) / (np.abs(centred) ** 2).sum()
    b = w.mean() - a * z.mean()
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    return cv2.warpAffine(image, matrix, (_ARCFACE_SIDE, _ARCFACE_SIDE), flags=cv2.INTER_LINEAR)


def _arcface(model: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    network = _loaded(model, lambda: cv2.dnn.readNetFromONNX(str(model)))

    def embedded(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        face = aligned_face(image, points).astype(np.float32) / 127.5 - 1
        network.setInput(np.ascontiguousarray(face.transpose(2, 0, 1))[None])
        return network.forward().astype(np.float64).ravel()

    return embedded


def _sface(model: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    network = _loaded(model, lambda: cv2.FaceRecognizerSF.create(str(model), ""))

    def embedded(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        face = network.alignCrop(np.ascontiguousarray(image[..., ::-1]), face_row(points))
        return network.feature(face).astype(np.float64).ravel()

    return embedded


def _loaded(model: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except cv2.error as error:
        raise UserError(f"{model}: no face recognition network that OpenCV can read: give an ONNX file") from error


def face_row(points: np.ndarray) -> np.ndarray:
    """(1, 15) float32: a face as OpenCV's detector YuNet would report it, from points (478, 2 or 3).

    Box x, y, width, height; then right eye, left eye, nose tip, right and left mouth corner (the person's); a score.
    """
    places = np.asarray(points, np.float32)[:, :2]
    low, high = places[:468].min(0), places[:468].max(0)
    five = places[list(_FIVE)]
    return np.concatenate([low, high - low, five.ravel(), [1.0]]).astype(np.float32)[None]
