"""LiftedAvatar: the built-in avatar. No training, no download, no GPU.

Every pixel of the person in the photo becomes one Gaussian on a sheet through the tracked head (`lifting`); the driver
moves the sheet and the sheet carries the Gaussians (`binding`); the rasterizer's `surface` rule draws them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import torch

from core.data.records import FOCAL, IMAGE_SIZE, TrackedSource
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import NECK, seen_from, sway, to_camera, to_pixels
from core.libs.mesh import Sheet, cover, lift
from core.models.LiftedAvatar.batch import SourceCache, draw_batch
from core.models.LiftedAvatar.binding import carry, compose, pixel_spread
from core.models.LiftedAvatar.chin import unfold_chin
from core.models.LiftedAvatar.detail import detail_weight, missing_detail
from core.models.LiftedAvatar.eyes import Iris, draw_iris, lid_gap, shut_lids, split_eyes
from core.models.LiftedAvatar.filling import fill
from core.models.LiftedAvatar.fringe import without_fringe
from core.models.LiftedAvatar.handover import closed, find_rim, haste, outline
from core.models.LiftedAvatar.lids import Lids, close_lids, closing, paint_lids
from core.models.LiftedAvatar.mouth import Mouth, build_mouth, draw_mouth
from core.models.LiftedAvatar.mouth import warm_up as warm_up_mouth
from core.models.LiftedAvatar.unseen import facing, normals
from core.models.rasterizer import RasterWorkspace, SurfaceSettings, splat_surface, warm_up


@dataclass(frozen=True)
class LiftedSettings:
    """Numbers of the avatar; lengths in pixels of the source crop unless said otherwise.

    Attributes:
        sigma: of a Gaussian. blur: added to the projected covariance, px^2.
        neck_reach: head units that the neck moves before the shoulders follow, where theirs is a guess.
        followed_neck_reach: the same, where the driver's shoulders were followed.
        matte_floor: pixels fainter than this are not lifted.
        z_window: head units; see `SurfaceSettings`.
        fill_weight: weight of a filling's Gaussians, against 1 of the photo's, until it takes over.
    """

    sigma: float = 0.55
    blur: float = 0.05
    neck_reach: float = 0.3
    followed_neck_reach: float = 1.0
    matte_floor: float = 0.02
    z_window: float = 0.05
    fill_weight: float = 0.12


@dataclass(frozen=True)
class Avatar:
    """One person, ready to be moved. Arrays of N Gaussians are in the row-major order of their pixels."""

    sheet: Sheet
    triangles: np.ndarray  # (F + G, 3) those of the sheet, then the filled ones again
    at_source: np.ndarray  # (478, 3) the face's points in head space, in the source's own expression
    around: np.ndarray  # (M - 478, 3) the surroundings in head space
    anchor: np.ndarray  # (3, 4) the head's place when the shoulders stand as in the photo
    spread: np.ndarray  # (F + G, 3, 2)
    owner: np.ndarray  # (N,)
    weights: np.ndarray  # (N, 3)
    colors: np.ndarray  # (N, 4) RGB in 0..1, then the matte
    detail: np.ndarray  # (N, 4) added to the colours where the photo's own detail is asked for; the matte has none
    haste: (
        np.ndarray
    )  # (N,) power of the photo's share in a Gaussian's weight; 0: weighs 1; -1..0: need of a filling; -2, -3: a rim
    outline: np.ndarray  # (M,) 1 and 2 for points whose share of the photo counts for a rim, by its side; else 0
    closed: np.ndarray  # (M,) points of the face that no filling surrounds: there the photo's share stays 1
    buffers: dict[str, np.ndarray] = field(repr=False)
    workspace: RasterWorkspace = field(repr=False)
    mouth: Mouth = field(repr=False)
    irises: list[Iris] = field(repr=False)
    lids: np.ndarray  # (2,) how far the eyes are open in the photo
    shut: list[Lids] = field(repr=False)
    varied: tuple[int, int] = (
        0,
        0,
    )  # first and last + 1 of the Gaussians with detail and the lids'


class LiftedAvatar:
    """Builds avatars from tracked photos and draws them.

    Args:
        background: RGB in 0..1 behind the person.
        settings: see `LiftedSettings`.
        head: the open head of a run; the built-in one where it is left out.
    """

    name = "lifted"

    def __init__(
        self,
        background: tuple[float, float, float] = (0.0, 0.0, 0.0),
        settings: LiftedSettings | None = None,
        head: OpenHead | None = None,
    ) -> None:
        self.settings = settings or LiftedSettings()
        self.background = np.array(background, np.float32)
        self._head = head or OpenHead()
        self._mirror = self._head.mirror
        self.sources = SourceCache()
        self._surface = SurfaceSettings(blur=self.settings.blur, z_window=self.settings.z_window, full_weight=0.2)

    @property
    def vertices(self) -> int:
        """How many the open head has."""
        return len(self._head.template)

    def warm_up(self) -> float:
        """Compile the kernels, or load them from the cache on disk; returns the seconds that took."""
        start = time.perf_counter()
        warm_up(rules=("surface",), channels=(4,))
        points = np.ones((3, 3), np.float32)
        triangle = np.array([[0, 1, 2]], np.int32)
        cover(np.zeros((3, 2)), np.ones(3), triangle, 1)
        one = np.zeros(1, np.int32)
        spread = np.zeros((1, 3, 2), np.float32)
        out = points[:1].copy(), np.zeros((1, 6), np.float32), np.zeros(1, np.float32)
        power, shut = np.ones(1, np.float32), np.zeros(3, bool)
        carry(points, triangle, 1, spread, 0.5, one, points[:1], power, np.zeros(3, np.int8), shut, 0.1, *out)
        compose(np.zeros((1, 1, 4), np.float32), self.background, np.zeros((1, 1, 3), np.float32))
        warm_up_mouth()
        return time.perf_counter() - start

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None) -> Avatar:
        """The avatar of a person. `anchor` (3, 4): where the head is when the shoulders stand as in the photo."""
        frame, settings = source.frame, self.settings
        vertices = self._head.evaluate(frame)
        side = len(source.image)
        sheet = lift(vertices, frame.transform_matrix, self._head.faces.numpy(), side, source.margin)
        owner, weights = cover(sheet.pixels, sheet.points[:, 2], sheet.triangles, side)
        image = without_fringe(source.image.astype(np.float32) / 255, source.matte)
        rim = find_rim(sheet, owner, image, source.matte)
        kept = (source.matte > settings.matte_floor) & (owner >= 0) & source.inside
        # Where the face turns away its outline overshoots the person: what is not surely skin there is left to `fill`.
        doubt = 1 - cv2.erode(source.matte, np.ones((5, 5)))
        turned_away = (owner >= 0) & _turned_away(sheet)[owner]
        kept &= ~(turned_away & (doubt > 0.1))
        rotation, shift = frame.transform_matrix[:, :3].astype(np.float64), frame.transform_matrix[:, 3]
        in_head = (sheet.points - shift) @ rotation.T
        at_rest = replace(frame, expcode=0 * frame.expcode, posecode=0 * frame.posecode, eyecode=0 * frame.eyecode)
        mouth = build_mouth(
            self._head.evaluate(at_rest)[: topo.N_POINTS],
            self._head.joints(frame)[2],
            vertices[: topo.N_POINTS],
            image,
            sheet.pixels[: topo.N_POINTS],
            frame.transform_matrix,
            source.margin,
        )
        opening = lid_gap(vertices)
        shut = paint_lids(image, sheet.pixels[: topo.N_POINTS], kept, opening)
        image, irises = split_eyes(image, sheet.pixels[: topo.N_POINTS])
        image = np.concatenate([image, source.matte[..., None]], -1)
        photo = image[kept]
        filling = fill(
            sheet.points,
            sheet.pixels,
            sheet.triangles,
            owner,
            rim,
            kept,
            image,
            doubt > 0.1,
            self._mirror,
            FOCAL * IMAGE_SIZE / 2 / float(shift[2]),
        )
        n_photo, n_fill = len(photo), len(filling.owner)
        n = n_photo + n_fill
        avatar = Avatar(
            sheet,
            np.concatenate([sheet.triangles, sheet.triangles[filling.triangles]]),
            _still_eyes(in_head[: topo.N_POINTS]),
            in_head[topo.N_POINTS :],
            (frame.transform_matrix if anchor is None else anchor).astype(np.float64),
            np.concatenate([pixel_spread(sheet.pixels, sheet.triangles), filling.spread]).astype(np.float32),
            np.concatenate([owner[kept], len(sheet.triangles) + filling.owner]).astype(np.int32),
            np.concatenate([weights[kept], filling.weights]).astype(np.float32),
            np.concatenate([photo, filling.colors]).astype(np.float32),
            np.zeros((n, photo.shape[1]), np.float32),
            np.concatenate(
                [
                    haste(sheet, owner, rim, doubt, filling.triangles)[kept],
                    -np.maximum(filling.need, 1e-3).astype(np.float32),
                ]
            ),
            outline(sheet, rim),
            closed(sheet, filling.triangles),
            {name: np.empty((n, *shape), np.float32) for name, shape in (("xyz", (3,)), ("cov", (6,)), ("opacity", ()))}
            | {"colors": np.concatenate([photo, filling.colors]).astype(np.float32)},
            RasterWorkspace(),
            mouth,
            irises,
            opening,
            shut,
        )

        def draw(colors: np.ndarray) -> np.ndarray:
            return self._splat(avatar, sheet.points, (side, side), FOCAL * IMAGE_SIZE / side, colors)[0][kept]

        weight = detail_weight(source.matte, np.where(kept, owner, -1), sheet)[kept]
        avatar.detail[:] = missing_detail(photo, avatar.colors, draw, weight)
        varied = np.concatenate([np.flatnonzero(avatar.detail.any(1)), *(lid.index for lid in shut)])
        return replace(avatar, varied=(int(varied.min()), int(varied.max()) + 1) if len(varied) else (0, 0))

    def render(
        self,
        avatar: Avatar,
        vertices: np.ndarray,
        transform_matrix: np.ndarray,
        detail: float = 0.0,
        torso: np.ndarray | None = None,
        view: np.ndarray | None = None,
        mouth: np.ndarray | None = None,
    ) -> torch.Tensor:
        """The picture (3, 512, 512) in 0..1 of the head's vertices (V, 3) under a transform (3, 4).

        `torso` (4,): how the shoulders moved since the avatar's anchor, see `TrackedFrame`; None: only as the neck
        takes them along. `detail`: how much of the photo's own detail is added, 0 to 1; see `source_detail_fade`.
        `view` (3, 4): from the camera of transform and anchor to the one that draws; None: the same one.
        `mouth` (4,): what the driver's mouth shows between its lips, see `TrackedFrame`; None: what is usual.
        """
        colors, varied = avatar.colors, slice(*avatar.varied)
        if detail and varied.stop:  # the splat is linear in the colours: one pass draws both
            colors = avatar.buffers["colors"]
            cv2.scaleAdd(avatar.detail[varied], float(detail), avatar.colors[varied], dst=colors[varied])
        face = unfold_chin(shut_lids(vertices[: topo.N_POINTS], avatar.lids), avatar.at_source)
        vertices = np.concatenate([face, vertices[topo.N_POINTS :]])
        if closing(avatar.shut, gaps := lid_gap(vertices)):
            if colors is avatar.colors:
                colors = avatar.buffers["colors"]
                np.copyto(colors[varied], avatar.colors[varied])
            close_lids(colors, avatar.shut, gaps)
        points = self.move(avatar, vertices, transform_matrix, torso)
        if view is not None:
            points, transform_matrix = to_camera(points, view), seen_from(transform_matrix, view)
        image, _ = self._splat(avatar, points, (IMAGE_SIZE, IMAGE_SIZE), FOCAL, colors)
        face = vertices[: topo.N_POINTS].astype(np.float64)
        pixels = to_pixels(to_camera(face, transform_matrix))
        draw_mouth(image, avatar.mouth, face, pixels, transform_matrix, mouth)
        for iris in avatar.irises:
            draw_iris(image, iris, pixels)
        rgb = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
        compose(image, self.background, rgb)
        return torch.from_numpy(rgb).permute(2, 0, 1)

    def forward_expression(
        self, batch: Mapping[str, Any], enable_detail_enhance: bool = False, detail_strength: float = 1.0
    ) -> dict[str, torch.Tensor]:
        """Frames of one person, called as the network's `forward_expression`; see `draw_batch`."""
        return draw_batch(self, batch, enable_detail_enhance, detail_strength)

    def move(
        self, avatar: Avatar, vertices: np.ndarray, transform: np.ndarray, torso: np.ndarray | None = None
    ) -> np.ndarray:
        """The sheet's points in the camera frame (M, 3) for the head's vertices under a transform."""
        transform = transform.astype(np.float64)
        face = _still_eyes(vertices[: topo.N_POINTS].astype(np.float64))
        moved = (face - avatar.at_source)[list(topo.FACE_OVAL)]
        around = avatar.around + avatar.sheet.follow @ moved
        head = to_camera(np.concatenate([face, around]), transform)
        still = to_camera(np.concatenate([avatar.around, NECK[None]]), avatar.anchor)
        if torso is not None:
            still = sway(still, still[-1], torso)
        neck, still = to_camera(NECK[None], transform) - still[-1], still[:-1]
        # A neck reaches only so far: the shoulders stand still for small moves and go along with large ones.
        length = np.linalg.norm(neck)
        reach = self.settings.neck_reach if torso is None else self.settings.followed_neck_reach
        still = still + neck * (1 - reach * np.tanh(length / reach) / max(length, 1e-9))
        share = avatar.sheet.torso[topo.N_POINTS :, None]
        head[topo.N_POINTS :] = head[topo.N_POINTS :] * (1 - share) + still * share
        return head

    def _splat(
        self, avatar: Avatar, points: np.ndarray, size: tuple[int, int], focal: float, colors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        carry(
            points.astype(np.float32),
            avatar.triangles,
            len(avatar.sheet.triangles),
            avatar.spread,
            self.settings.sigma,
            avatar.owner,
            avatar.weights,
            avatar.haste,
            avatar.outline,
            avatar.closed,
            self.settings.fill_weight,
            avatar.buffers["xyz"],
            avatar.buffers["cov"],
            avatar.buffers["opacity"],
        )
        return splat_surface(
            avatar.buffers["xyz"],
            avatar.buffers["cov"],
            colors,
            avatar.buffers["opacity"],
            size,
            focal,
            avatar.workspace,
            settings=self._surface,
        )


def _turned_away(sheet: Sheet) -> np.ndarray:
    """(F,) the triangles of the face that the photo sees at more than about 70 degrees."""
    return (facing(normals(sheet.points, sheet.triangles)) < 0.35) & (sheet.triangles < topo.N_FACE).all(1)


def _still_eyes(face: np.ndarray) -> np.ndarray:
    """The face with the irises' centres in the middle of the lids: the white of the eye does not turn with the gaze."""
    face = face.copy()
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        face[iris[0]] = face[list(ring)].mean(0)
    return face
