"""LiftedAvatar: the built-in avatar. No training, no download, no GPU.

Every pixel of the person in the photo becomes one Gaussian on a proxy mesh through the tracked head; the driver moves
the mesh and the mesh moves the Gaussians; the rasterizer's `surface` rule draws them. What the photo does not show, or
shows in one state only, are layers: see `layers`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from core.data.record_arrays import from_arrays, to_arrays
from core.data.records import TrackedSource
from core.errors import UserError
from core.libs.face_measures import signed_lid_ratio
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.libs.mesh import build_proxy_mesh, find_not_skin, rasterize_mesh, triangle_normals
from core.models.LiftedAvatar.batch import SourceCache, draw_batch
from core.models.LiftedAvatar.binding import Binding, Role, barycentric_jacobian
from core.models.LiftedAvatar.border import border_fade
from core.models.LiftedAvatar.chin import ChinLayer
from core.models.LiftedAvatar.composite import composite, cut_out
from core.models.LiftedAvatar.decontaminate import decontaminate_colors
from core.models.LiftedAvatar.detail import detail_weight, missing_detail
from core.models.LiftedAvatar.edges import Antialiasing
from core.models.LiftedAvatar.eyes import IrisLayer
from core.models.LiftedAvatar.eyes import warm_up as warm_up_irises
from core.models.LiftedAvatar.folds import FoldLayer, tint_folds
from core.models.LiftedAvatar.fringe import FringeWeights
from core.models.LiftedAvatar.inpaint import (
    Inpainting,
    all_photo_points,
    find_fringe,
    find_loose_rim,
    inpaint,
    photo_roles,
    silhouette_points,
)
from core.models.LiftedAvatar.inpaint.visibility import turned_away
from core.models.LiftedAvatar.join import join_photo
from core.models.LiftedAvatar.layers import Layer, Photo, Shot
from core.models.LiftedAvatar.lids import LidLayer
from core.models.LiftedAvatar.mouth import warm_up as warm_up_mouth
from core.models.LiftedAvatar.mouth.layer import MouthLayer
from core.models.LiftedAvatar.rig import Rig, rest_eyes
from core.models.LiftedAvatar.settings import LiftedSettings
from core.models.LiftedAvatar.sides import SideDepth
from core.models.LiftedAvatar.smooth_parts import SmoothParts
from core.models.LiftedAvatar.surface import Scratch, SurfaceLayer, splat
from core.models.rasterizer import SurfaceSettings, warm_up
from core.models.request import DrawRequest

# The order, of building and of drawing: those that move the face or change the Gaussians' colours, then the Gaussians,
# then those that are painted over them.
LAYERS_BELOW: tuple[type[Layer], ...] = (FoldLayer, LidLayer, ChinLayer)
LAYERS_ABOVE: tuple[type[Layer], ...] = (MouthLayer, IrisLayer)


@dataclass(frozen=True)
class Avatar:
    """One person, ready to be moved.

    Attributes:
        camera: of the photo's shown crop.
        surface: the Gaussians, which are one of the layers.
        layers: all of them in the order in which they are drawn.
        share: (S, S) float32 in 0..1, how much of a pixel of the photo's wide crop is drawn where the person joins the
            whole photo; None where they do not.
        moves: (S, S) float32 in 0..1, how much of the head's motion such a pixel takes part in; None as well.
    """

    camera: Camera
    surface: SurfaceLayer
    layers: tuple[Layer, ...]
    share: np.ndarray | None = None
    moves: np.ndarray | None = None

    def on(self, surface: SurfaceLayer) -> Avatar:
        """The same with other Gaussians, or other buffers of them."""
        layers = tuple(surface if isinstance(layer, SurfaceLayer) else layer for layer in self.layers)
        return replace(self, surface=surface, layers=layers)


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
        numbers = self.settings
        self._raster = SurfaceSettings(blur=numbers.blur, z_window=numbers.z_window, full_weight=numbers.full_weight)

    @property
    def vertices(self) -> int:
        """How many the open head has."""
        return len(self._head.template)

    def warm_up(self) -> float:
        """Compile the kernels, or load them from the cache on disk; returns the seconds that took."""
        start = time.perf_counter()
        warm_up(rules=("surface",), channels=(4,))
        pixels, triangles = np.array([[0.0, 0], [4, 0], [0, 4]]), np.array([[0, 1, 2]], np.int32)
        rasterize_mesh(pixels, np.ones(3), triangles, 1)
        one = np.ones(1, np.float32)
        binding = Binding(
            triangles=triangles,
            n_mesh=1,
            jacobian=barycentric_jacobian(pixels, triangles),
            face=np.zeros(1, np.int32),
            bary_coords=np.ones((1, 3), np.float32) / 3,
            role=np.zeros(1, np.int8),
            fade_exponent=one,
            need=one,
            silhouette=np.zeros(3, np.int8),
            all_photo=np.zeros(3, bool),
        )
        one_color = np.ones((1, 4), np.float32)
        points, camera = np.concatenate([pixels * 1e-3, np.full((3, 1), 9.0)], 1), Camera(16)
        smooth = self._smooth(binding, pixels, np.ones((1, 1), bool))
        image, alpha, depth, blocks = self._splat(
            points, binding, one_color, camera, camera, Scratch(one_color), smooth
        )
        Antialiasing(self.settings.edges).run(image, alpha, depth, self._raster.z_window, blocks)
        one_pixel = np.zeros((1, 1, 4), np.float32)
        composite(one_pixel, self.background, np.zeros((1, 1, 3), np.float32))
        cut_out(one_pixel, one_pixel.copy())
        tint_folds(one_color.copy(), np.zeros(1, np.int32), np.zeros((1, 1), np.float32), one, 1.0, 1.0, one.repeat(3))
        warm_up_mouth()
        warm_up_irises()
        return time.perf_counter() - start

    def encode(self, source: TrackedSource, anchor: np.ndarray | None = None, camera: Camera | None = None) -> Avatar:
        """The avatar of a person.

        Args:
            source: the tracked photo.
            anchor: (3, 4) where the head is when the shoulders stand as in the photo; None: where it is there.
            camera: of the photo's shown crop; None: of the usual focal length and as large as that crop.
        """
        camera = camera or Camera(len(source.image) - 2 * source.margin)
        photo = self._lift(source, camera)
        built = []
        for kind in (*LAYERS_BELOW, *LAYERS_ABOVE):
            layer, photo = kind.build(photo)  # what is left goes to the next one, and in the end to the Gaussians
            built.append(layer)
        surface = self._surface(photo, photo.transform if anchor is None else anchor)
        below = len(LAYERS_BELOW)
        share, moves = (None, None) if photo.join is None else (photo.join.share, photo.join.moves)
        layers = *built[:below], surface, *built[below:]
        return Avatar(camera=camera, surface=surface, layers=layers, share=share, moves=moves)

    def another(self, avatar: Avatar) -> Avatar:
        """The same person with buffers of their own: drawn by another thread at the same time, to the same bytes."""
        surface = avatar.surface
        return avatar.on(replace(surface, scratch=Scratch(surface.colors), edges=Antialiasing(self.settings.edges)))

    def made_by(self) -> tuple[str, ...]:
        """What an avatar depends on besides photo and code: the settings, and the head's file."""
        return repr(self.settings), hashlib.sha256(self._head.path.read_bytes()).hexdigest()

    def pack(self, avatar: Avatar) -> dict[str, np.ndarray]:
        """An avatar as named arrays, without its buffers."""
        return to_arrays(avatar.on(replace(avatar.surface, scratch=None, edges=None)))

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Avatar:
        """The avatar that `pack` took apart. UserError where the arrays are of something else."""
        avatar = from_arrays(arrays)
        if not isinstance(avatar, Avatar):
            raise UserError("no avatar")
        return self.another(avatar)

    def at(self, avatar: Avatar, anchor: np.ndarray) -> Avatar:
        """The same, buffers included, at another anchor (3, 4): all of an avatar that a driver tells."""
        surface = avatar.surface
        return avatar.on(replace(surface, rig=replace(surface.rig, anchor=anchor.astype(np.float64))))

    def render(self, avatar: Avatar, request: DrawRequest) -> torch.Tensor:
        """The picture (3, H, W) in 0..1 over the background colour."""
        image = self._draw(avatar, request)
        rgb = np.empty((*image.shape[:2], 3), np.float32)
        composite(image, self.background, rgb)
        return torch.from_numpy(rgb).permute(2, 0, 1)

    def draw_foreground(self, avatar: Avatar, request: DrawRequest) -> torch.Tensor:
        """The person alone, straight RGB and matte (4, H, W) in 0..1."""
        image = self._draw(avatar, request)
        person = avatar.surface.scratch.pictures.get(image.shape)
        cut_out(image, person)
        return torch.from_numpy(person).permute(2, 0, 1)

    def _draw(self, avatar: Avatar, request: DrawRequest) -> np.ndarray:
        """RGB and matte (H, W, 4) as the layers leave them, holes included."""
        shot = Shot(
            camera=request.camera or avatar.camera,
            face=request.vertices[: topo.N_POINTS],
            transform=request.transform,
            view=request.view,
            torso_motion=request.torso_motion,
            mouth=request.mouth,
            colors=avatar.surface.tinted(request.detail),
            scratch=avatar.surface.scratch.colors,
            detail=request.detail,
        )
        for layer in avatar.layers:
            layer.draw(shot)
        assert shot.image is not None  # the surface layer has drawn
        return shot.image

    def forward_expression(
        self, batch: Mapping[str, Any], enable_detail_enhance: bool = False, detail_strength: float = 1.0
    ) -> dict[str, torch.Tensor]:
        """Frames of one person, called as the network's `forward_expression`; see `draw_batch`."""
        return draw_batch(self, batch, enable_detail_enhance, detail_strength)

    def _lift(self, source: TrackedSource, camera: Camera) -> Photo:
        """The photo on its proxy mesh: the surface, the matte with what it leaves in doubt, the silhouette fringe."""
        frame, settings = source.frame, self.settings
        vertices = self._head.evaluate(frame)
        at_rest = replace(frame, expcode=0 * frame.expcode, posecode=0 * frame.posecode, eyecode=0 * frame.eyecode)
        mesh = build_proxy_mesh(vertices, frame.transform_matrix, self._head.faces.numpy(), camera, source.margin)
        pix_to_face, bary_coords = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, len(source.image))
        if source.foreground is None:
            image = decontaminate_colors(
                source.image.astype(np.float32) / 255, source.matte, camera.scale, settings.decontamination
            )
        else:
            image = source.foreground.astype(np.float32) / 255
        kept = (source.matte > settings.matte_floor) & (pix_to_face >= 0) & source.inside
        # Where the face turns away its outline overshoots the person: what is not surely skin there is inpainted.
        doubt = 1 - cv2.erode(source.matte, np.ones((camera.odd(settings.doubt_reach),) * 2))
        away = turned_away(mesh, triangle_normals(mesh.points, mesh.triangles), settings.visibility, settings.overshoot)
        kept &= ~((pix_to_face >= 0) & away[pix_to_face] & (doubt > settings.max_doubt))
        # Hair there stays at rest, where it is right, and goes when the cheek comes round.
        doubt[find_not_skin(mesh, pix_to_face, image, source.matte, camera, settings.overshoot)] = 1
        fringe = find_fringe(mesh, pix_to_face, image, source.matte, camera, settings.blend)
        loose = find_loose_rim(mesh, pix_to_face, source.matte, camera, settings.blend, settings.overshoot)
        kept &= ~loose
        fringe[loose] = -1
        matte = np.where(loose, np.float32(0), source.matte)  # what is behind does not begin there either
        join = None
        if not source.joined:
            fade = border_fade(source.inside, source.margin, settings.border * camera.scale)
        else:
            fade = np.ones_like(source.matte)  # the photo goes on beyond its border
            join = join_photo(
                mesh, pix_to_face, bary_coords, frame.transform_matrix, camera, source.margin, settings.join
            )
            kept &= join.share > 0  # what stands still is the photo's own
        return Photo(
            camera=camera,
            margin=source.margin,
            transform=frame.transform_matrix,
            face=vertices[: topo.N_POINTS],
            rest=self._head.evaluate(at_rest)[: topo.N_POINTS],
            jaw_joint=self._head.joints(frame)[2],
            image=image,
            matte=matte * fade,
            mesh=mesh,
            pix_to_face=pix_to_face,
            bary_coords=bary_coords,
            kept=kept,
            doubt=doubt,
            fringe=fringe,
            openings=signed_lid_ratio(vertices),
            known=fade if source.joined else fade * source.inside,
            settings=settings,
            join=join,
        )

    def _surface(self, photo: Photo, anchor: np.ndarray) -> SurfaceLayer:
        """The Gaussians of what the other layers left of the photo, and those of what it does not show."""
        inpainted = inpaint(photo, self._mirror)
        binding = _bind(photo, inpainted)
        photo_colors = np.concatenate([photo.image, photo.matte[..., None]], -1)[photo.kept]
        colors = np.concatenate([photo_colors, inpainted.colors]).astype(np.float32)
        scratch = Scratch(colors)
        settings = self.settings
        rig = Rig(
            mesh=photo.mesh,
            face=rest_eyes(photo.in_head[: topo.N_POINTS]),
            surroundings=photo.in_head[topo.N_POINTS :],
            anchor=anchor.astype(np.float64),
            neck_reach=settings.neck_reach,
            followed_neck_reach=settings.followed_neck_reach,
            follows=None if photo.join is None else photo.join.follows,
            body=None if photo.join is None else photo.join.body,
            sides=SideDepth.of(photo.mesh, photo.transform, photo.matte, photo.camera, settings.sides),
        )
        wide = photo.camera.widened(photo.margin)

        def draw(trial: np.ndarray) -> np.ndarray:
            return self._splat(photo.mesh.points, binding, trial, photo.camera, wide, scratch)[0][photo.kept]

        kept_faces = np.where(photo.kept, photo.pix_to_face, -1)
        weight = detail_weight(photo.matte, kept_faces, photo.mesh, photo.camera.scale, settings.detail)
        detail = missing_detail(photo_colors, colors, draw, weight, photo.kept, photo.camera.scale, settings.detail)
        detailed = np.flatnonzero(detail.any(1))
        return SurfaceLayer(
            rig=rig,
            binding=binding,
            camera=photo.camera,
            colors=colors,
            detail=detail,
            detailed=(int(detailed.min()), int(detailed.max()) + 1) if len(detailed) else (0, 0),
            sigma=settings.sigma,
            inpaint_weight=settings.inpaint_weight,
            settings=self._raster,
            fringe=FringeWeights.of(binding),
            edges=Antialiasing(settings.edges),
            scratch=Scratch(colors),  # a picture's own: the photo's size went through the other one
            smooth=self._smooth(binding, photo.mesh.pixels, photo.kept),
        )

    def _smooth(self, binding: Binding, pixels: np.ndarray, kept: np.ndarray) -> SmoothParts:
        settings = self.settings
        return SmoothParts.of(
            binding, pixels, kept, settings.sigma, settings.inpaint_weight, self._raster, settings.smooth
        )

    def _splat(
        self,
        points: np.ndarray,
        binding: Binding,
        colors: np.ndarray,
        photo: Camera,
        camera: Camera,
        scratch: Scratch,
        smooth: SmoothParts | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        numbers = self.settings.sigma, self.settings.inpaint_weight, self._raster
        return splat(points, binding, colors, photo, camera, *numbers, scratch, smooth)


def _bind(photo: Photo, inpainted: Inpainting) -> Binding:
    """The photo's Gaussians in row-major order of their pixels, then the inpainted ones."""
    mesh, kept = photo.mesh, photo.kept
    role, exponent = (
        values[kept]
        for values in photo_roles(
            mesh, photo.pix_to_face, photo.fringe, photo.doubt, inpainted.triangles, photo.settings.blend
        )
    )
    jacobian = barycentric_jacobian(mesh.pixels, mesh.triangles)
    n_photo, n_inpainted = len(role), len(inpainted.face)
    face = np.concatenate([photo.pix_to_face[kept], len(mesh.triangles) + inpainted.face])
    need = np.maximum(inpainted.need, 1e-3)
    return Binding(
        triangles=np.concatenate([mesh.triangles, mesh.triangles[inpainted.triangles]]),
        n_mesh=len(mesh.triangles),
        jacobian=np.concatenate([jacobian, inpainted.jacobian]).astype(np.float32),
        face=face.astype(np.int32),
        bary_coords=np.concatenate([photo.bary_coords[kept], inpainted.bary_coords]).astype(np.float32),
        role=np.concatenate([role, np.full(n_inpainted, Role.INPAINTED)]).astype(np.int8),
        fade_exponent=np.concatenate([exponent, np.ones(n_inpainted)]).astype(np.float32),
        need=np.concatenate([np.zeros(n_photo), need]).astype(np.float32),
        silhouette=silhouette_points(mesh, photo.fringe, photo.settings.visibility),
        all_photo=all_photo_points(mesh, inpainted.triangles),
    )
