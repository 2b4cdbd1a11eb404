"""What is measured about a clip over time: whether it flickers, trembles, looks and turns as the truth does."""

from __future__ import annotations

import cv2
import numpy as np

from core.evaluation.pictures import ssim
from core.evaluation.points import (
    LANDMARKS_68,
    akd,
    angle_between_gazes,
    brow_height,
    expression,
    eye_opening,
    gaze_angles,
    head_angles,
    mouth_opening,
    rotation_between,
)


def backward_flow(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: from every pixel of a picture, how many pixels away it was in the one before.

    Dense inverse search (Kroeger, Timofte, Dai, Van Gool 2016), OpenCV's with its medium preset, on grey pictures
    (H, W, 3) uint8.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (now, before)]
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture before (H, W, 3), moved to where things are now along `backward_flow` (H, W, 2)."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def temporal_stability(now: np.ndarray, before: np.ndarray, truth_flow: np.ndarray) -> float:
    """`ssim` between a frame and its predecessor warped by the truth's `backward_flow`: 1 where nothing flickers.

    What moves as the truth moves costs nothing; flicker, trembling, and motion that the truth has not, do. After the
    warping error of Lai et al. (Learning Blind Video Temporal Consistency, 2018), with SSIM for the squared error.
    """
    return ssim(now, warped(before, truth_flow))


def squared_jitter(points: np.ndarray) -> np.ndarray:
    """(T,) px^2: the mean over `LANDMARKS_68` of the squared second difference over time of points (T, 478, 2 or 3).

    The root of its mean over time is the jitter in px. The value of a frame is centred on it; the first and the last
    have none (NaN), nor have those beside a frame without a face.
    """
    places = np.asarray(points, np.float64)[:, list(LANDMARKS_68), :2]
    values = np.full(len(places), np.nan)
    if len(places) > 2:
        second = places[2:] - 2 * places[1:-1] + places[:-2]
        values[1:-1] = np.square(second).sum(-1).mean(-1)
    return values


def jitter(points: np.ndarray) -> float:
    """RMS second difference in px of points (T, 478, 2 or 3) over time and `LANDMARKS_68`; white noise of s px in x and
    in y gives s * sqrt(12)."""
    values = squared_jitter(points)
    return float(np.sqrt(np.nanmean(values))) if np.isfinite(values).any() else float("nan")


def gaze_error(points: np.ndarray, truth: np.ndarray, same_person: bool = True) -> np.ndarray:
    """(T,) degrees between where the eyes of points (T, 478, 3) and those of the truth look, in their heads' frames.

    Args:
        points, truth: (T, 478, 3), NaN where there is no face.
        same_person: False counts each from its own median over time, because eyes differ in where their middle is.
    """
    mine, theirs = gaze_angles(points), gaze_angles(truth)
    return angle_between_gazes(*((mine, theirs) if same_person else _centred(mine, theirs)))


def pose_error(points: np.ndarray, truth: np.ndarray, same_person: bool = True) -> np.ndarray:
    """(T,) degrees by which the heads of points (T, 478, 3) are turned against the truth's.

    The angle of the one rotation between both faces. With `same_person` False the length of the difference in yaw,
    pitch and roll, each counted from its own median over time: another person's photo starts from another pose.
    """
    if same_person:
        return rotation_between(points, truth)
    mine, theirs = _centred(head_angles(points), head_angles(truth))
    return np.linalg.norm(mine - theirs, axis=-1)


def expression_error(points: np.ndarray, truth: np.ndarray, same_person: bool = True) -> np.ndarray:
    """(T,): RMS over the six measures of `expression` of the difference to the truth's.

    In hundredths of the distance between the outer eye corners. With `same_person` False each measure counts from its
    own median over time: one face's usual mouth is wider than the other's, its motion is to be the same.
    """
    mine, theirs = expression(points), expression(truth)
    if not same_person:
        mine, theirs = _centred(mine, theirs)
    return 100 * np.sqrt(np.square(mine - theirs).mean(-1))


def point_columns(points: np.ndarray, truth: np.ndarray, same_person: bool = True) -> dict[str, np.ndarray]:
    """What points (T, 478, 3) of a result and of the truth, NaN where there is no face, say of every frame.

    This is the one place that says what mouth, lids, brows and gaze of two faces are compared by. NaN where one of both
    has no face, and in self-reenactment in the first frame, which is the photo.
    """
    both = np.isfinite(points[:, 0, 0]) & np.isfinite(truth[:, 0, 0])
    both[0] &= not same_person
    columns = {"jitter2": squared_jitter(points), "jitter2_truth": squared_jitter(truth)}
    mine, theirs = points[both], truth[both]
    values = {
        "gaze_error": gaze_error(mine, theirs, same_person),
        "pose_error": pose_error(mine, theirs, same_person),
        "expression_error": expression_error(mine, theirs, same_person),
    }
    if same_person:
        values["akd"] = np.array([akd(a, b) for a, b in zip(mine, theirs, strict=True)])
    for name, measure in _MEASURES.items():
        values[name], values[f"{name}_truth"] = measure(mine), measure(theirs)
    for name, value in values.items():
        columns[name] = np.full((len(points), *value.shape[1:]), np.nan)
        columns[name][both] = value
    return columns


_MEASURES = {"mouth": mouth_opening, "lids": eye_opening, "brows": brow_height, "gaze": gaze_angles}


def _centred(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both minus their medians over the frames (T, ...) that both have."""
    both = np.isfinite(mine).all(-1) & np.isfinite(theirs).all(-1)
    if not both.any():
        return mine, theirs
    return mine - np.median(mine[both], 0), theirs - np.median(theirs[both], 0)
