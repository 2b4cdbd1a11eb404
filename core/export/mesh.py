"""The proxy mesh as a textured mesh whose motion is a sum of morph targets, which every glTF viewer plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from core.export.moment import lifted
from core.export.splats import RIGHT_UP_BACK
from core.libs.flame_model import topology as topo
from core.models.LiftedAvatar.models import Avatar
from core.models.LiftedAvatar.rig import Rig
from core.pipeline import Pipeline


@dataclass(frozen=True)
class MeshSettings:
    """Of `animated_mesh`.

    Attributes:
        most_targets: morph targets; glTF viewers take textures of them, or eight at a time where they are old.
        error: root mean square of what the targets leave of the motion, head units, at which no more are added;
            .0005 of them are a sixth of a pixel of a 512-pixel picture.
        least_matte: share of the person in a triangle's points, below which it is left out.
    """

    most_targets: int = 48
    error: float = 5e-4
    least_matte: float = 0.02


_SETTINGS = MeshSettings()


@dataclass(frozen=True)
class AnimatedMesh:
    """M points, F triangles, K morph targets, T moments; x right, y up, z to the viewer.

    Attributes:
        points: (M, 3) float32 as in the photo. triangles: (F, 3), counterclockwise from the front.
        texture_coordinates: (M, 2) float32, from the upper left. texture: (H, W, 4) uint8 RGBA.
        targets: K displacements (M, 3) float32. names: of the targets.
        times: (T,) seconds. weights: (T, K) of the targets; both None where nothing moves.
        error: root mean square of what the targets leave of the motion, in the points' unit.
    """

    points: np.ndarray
    triangles: np.ndarray
    texture_coordinates: np.ndarray
    texture: np.ndarray
    targets: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    error: float = 0.0


def animated_mesh(
    pipeline: Pipeline, unit: float = 1.0, moves: bool = True, settings: MeshSettings = _SETTINGS
) -> AnimatedMesh:
    """The avatar of a run as a mesh under the photo's texture.

    Its morph targets are the principal components of how its points move in the run; without motion (`moves` False) the
    directions of the head's expression codes, with which a program can move it. Mouth and irises, which the renderer
    paints, and what it fills in where the photo shows nothing are not in it: the mesh has the photo's own pixels.

    Args:
        unit: what a head unit is in the points.
    """
    avatar, source = lifted(pipeline), pipeline.source
    mesh, rig = avatar.surface.rig.mesh, _solid(avatar)
    centre = source.frame.transform_matrix[:, 3].astype(np.float64)
    rest = _placed(mesh.points, centre, unit)
    names: tuple[str, ...]
    if moves:
        moved = [_placed(points, centre, unit) for points in _moving_points(pipeline, avatar)]
        offsets = np.stack(moved) - rest
        targets, weights, error = principal_targets(offsets, settings.most_targets, settings.error * unit)
        times = np.array([float(time - pipeline.motion.times[0]) for time in pipeline.motion.times])
        names = tuple(f"motion {k + 1}" for k in range(len(targets)))
    else:
        frame, head = source.frame, pipeline.components.head
        directions = []
        for k in range(settings.most_targets):
            expression = frame.expcode.copy()
            expression[k] += 1
            face = head.evaluate(replace(frame, expcode=expression))[: topo.N_POINTS]
            directions.append(_placed(rig.pose(face, frame.transform_matrix), centre, unit))
        still = _placed(rig.pose(head.evaluate(frame)[: topo.N_POINTS], frame.transform_matrix), centre, unit)
        targets = tuple((points - still).astype(np.float32) for points in directions)
        used = [k for k, target in enumerate(targets) if np.abs(target).max() > 1e-6 * unit]
        targets, names = tuple(targets[k] for k in used), tuple(f"expression {k + 1}" for k in used)
        times, weights, error = None, None, 0.0
    side = len(source.image)
    texture = np.concatenate([source.image, np.rint(255 * source.matte[..., None]).astype(np.uint8)], 2)
    return AnimatedMesh(
        points=rest.astype(np.float32),
        triangles=_of_the_person(mesh.triangles, mesh.pixels, source.matte, settings.least_matte),
        texture_coordinates=((mesh.pixels + 0.5) / side).astype(np.float32),
        texture=texture,
        targets=targets,
        names=names,
        times=times,
        weights=weights,
        error=error,
    )


def principal_targets(offsets: np.ndarray, most: int, error: float) -> tuple[tuple[np.ndarray, ...], np.ndarray, float]:
    """Displacements (T, M, 3) as a sum of at most so many targets (M, 3), by weights (T, K) of about 1 at most.

    Returns targets, weights and the root mean square over points of what is left; no more targets than `error` needs.
    """
    T, M = offsets.shape[:2]
    u, s, v = np.linalg.svd(offsets.reshape(T, -1), full_matrices=False)
    left = np.sqrt(np.maximum((s**2).sum() - np.concatenate([[0], np.cumsum(s**2)]), 0) / (T * M))
    count = min(int(np.argmax(left <= error)) if (left <= error).any() else len(s), most, len(s))
    weights = u[:, :count] * s[:count]
    largest = np.maximum(np.abs(weights).max(0), 1e-12) if count else np.ones(0)
    targets = tuple((v[k] * largest[k]).reshape(M, 3).astype(np.float32) for k in range(count))
    return targets, weights / largest, float(left[count])


def _moving_points(pipeline: Pipeline, avatar: Avatar) -> Iterator[np.ndarray]:
    head = pipeline.components.head
    rig = _solid(avatar)
    for frame in pipeline.motion:
        face = head.evaluate(frame)[: topo.N_POINTS]
        yield rig.pose(face, frame.transform_matrix, frame.torso_motion)


def _solid(avatar: Avatar) -> Rig:
    """Its rig without what depends on the camera."""
    return replace(avatar.surface.rig, sides=None)


def _placed(points: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    return (points - centre) @ RIGHT_UP_BACK.T * unit


def _of_the_person(triangles: np.ndarray, pixels: np.ndarray, matte: np.ndarray, least: float) -> np.ndarray:
    """The triangles (F, 3) any point or middle of which lies on the person."""
    at = np.clip(np.rint(pixels).astype(int), 0, len(matte) - 1)
    middle = np.clip(np.rint(pixels[triangles].mean(1)).astype(int), 0, len(matte) - 1)
    on = (matte[at[:, 1], at[:, 0]] > least)[triangles].any(1) | (matte[middle[:, 1], middle[:, 0]] > least)
    return triangles[on]
