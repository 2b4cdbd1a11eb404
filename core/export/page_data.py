"""Everything of an avatar that a page needs to draw it: mesh, head, textures, lids, irises, mouth and motion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from core.data.records import TrackedFrame
from core.export.moment import lifted
from core.export.page_live import add_live
from core.export.page_textures import inpainted_atlas, photo_places, photo_textures
from core.export.payload import Payload
from core.libs.flame_model import OpenHead
from core.libs.flame_model import topology as topo
from core.libs.flame_model.asset import read_head
from core.libs.geometry import NECK
from core.libs.mesh import ProxyMesh, rasterize_mesh
from core.models.LiftedAvatar.binding import SETTINGS as BINDING
from core.models.LiftedAvatar.chin import COLUMNS as CHIN_COLUMNS
from core.models.LiftedAvatar.chin import ChinLayer
from core.models.LiftedAvatar.eyes import IrisLayer
from core.models.LiftedAvatar.lids import LidLayer
from core.models.LiftedAvatar.models import Avatar
from core.models.LiftedAvatar.mouth import Mouth
from core.models.LiftedAvatar.mouth.kernel import PER_MM, TEXTURE_HEIGHT
from core.models.LiftedAvatar.mouth.layer import MouthLayer
from core.output.watermark import PROGRAM, Watermark, metadata
from core.pipeline import Pipeline


@dataclass(frozen=True)
class PageSettings:
    """Of `portrait_payload`.

    Attributes:
        quality: of the photo and the other colours as WebP, 0..100; near 100 what is lost is not seen in lids and lips.
        plate_quality: of what is behind the person.
        doubt_exponent: fade exponents are kept in steps of 1 / 255 of this.
    """

    quality: int = 95
    plate_quality: int = 88
    doubt_exponent: float = 1200.0


_SETTINGS = PageSettings()


def portrait_payload(pipeline: Pipeline, live: bool = False, settings: PageSettings = _SETTINGS) -> Payload:
    """The avatar of a run with its motion; `live`: and what it needs to be moved by a camera.

    UserError for another avatar than the built-in one.
    """
    avatar = lifted(pipeline)
    out = Payload()
    camera, source = avatar.camera, pipeline.source
    out.values |= {
        "program": PROGRAM,
        "about": metadata("lifted"),
        "size": camera.size,
        "focal": camera.focal,
        "side": len(source.image),
        "margin": source.margin,
    }
    out.values["topology"] = {
        "oval": topo.FACE_OVAL,
        "eyes": [topo.RIGHT_EYE, topo.LEFT_EYE],
        "irises": [topo.RIGHT_IRIS, topo.LEFT_IRIS],
        "eyePairs": [topo.EYE_PAIRS["right"], topo.EYE_PAIRS["left"]],
        "eyeCorners": [topo.EYE_CORNERS["right"], topo.EYE_CORNERS["left"]],
        "innerLips": topo.INNER_LIPS,
        "lipPairs": topo.LIP_PAIRS,
        "mouthCorners": topo.MOUTH_CORNERS,
        "chin": topo.CHIN,
        "landmarks68": topo.LANDMARKS_68,
    }
    _add_head(out, pipeline)
    _add_rig(out, avatar, len(source.image))
    _add_textures(out, avatar, len(source.image), settings)
    _add_layers(out, avatar)
    _add_surroundings(out, pipeline, settings)
    _add_motion(out, pipeline)
    if live:
        add_live(out, pipeline)
    return out


def _add_head(out: Payload, pipeline: Pipeline) -> None:
    head = cast(OpenHead, pipeline.components.head)
    frame, n = pipeline.source.frame, topo.N_POINTS
    template, directions, regressor, weights = (
        tensor.numpy() for tensor in (head.template, head.directions, head.joint_regressor, head.weights)
    )
    expression = directions[..., head.n_shape :]
    rest = template + directions[..., : head.n_shape] @ frame.shapecode[: head.n_shape]
    joints, moves = regressor @ rest, np.einsum("jv,vck->jck", regressor, expression)
    rest = rest[:n] if frame.static_offset is None else rest[:n] + frame.static_offset[:n]
    out.array("head.rest", rest)
    out.quantised("head.expression", expression[:n])
    out.array("head.joints", joints)
    out.quantised("head.jointMoves", moves)
    out.array("head.weights", weights[:n])
    out.values["parents"] = [-1, *(int(p) for p in read_head(head.path).arrays["kintree_table"][0, 1:])]


def _add_rig(out: Payload, avatar: Avatar, side: int) -> None:
    rig, binding = avatar.surface.rig, avatar.surface.binding
    mesh = rig.mesh
    out.array("mesh.triangles", mesh.triangles.astype(np.uint16))
    out.array("mesh.pixels", mesh.pixels)
    out.array("mesh.depth", mesh.points[:, 2])
    out.array("mesh.hidden", hidden_triangles(mesh, side).astype(np.uint8))
    out.array("rig.face", rig.face)
    out.array("rig.surroundings", rig.surroundings)
    out.array("rig.torso", mesh.torso_weights)
    out.quantised("rig.border", mesh.border_weights.reshape(-1, 1))
    assert rig.sides is not None
    out.quantised("rig.offsets", rig.sides.offsets)
    out.quantised("rig.outwards", rig.sides.outwards)
    out.quantised("rig.atRest", rig.sides.at_rest[:, None])
    inpainted = binding.triangles[binding.n_mesh :]
    known = {tuple(triangle): k for k, triangle in enumerate(mesh.triangles.tolist())}
    out.array("inpainted", np.array([known[tuple(t)] for t in inpainted.tolist()], np.uint16))
    out.array("jacobian", binding.jacobian[: binding.n_mesh])
    out.array("silhouette", binding.silhouette.astype(np.uint8))
    out.array("allPhoto", binding.all_photo.astype(np.uint8))
    out.values |= {
        "anchor": rig.anchor.tolist(),
        "neck": NECK.tolist(),
        "neckReach": rig.neck_reach,
        "followedNeckReach": rig.followed_neck_reach,
        "sideTurn": rig.sides.turn,
        "binding": asdict(BINDING),
        "inpaintWeight": avatar.surface.inpaint_weight,
        "frontOpacity": avatar.surface.settings.front_opacity,
    }


def hidden_triangles(mesh: ProxyMesh, side: int, border: float = 0.7, least: float = 0.1) -> np.ndarray:
    """(F,) 0 for triangles of which the photo, `side` pixels wide, shows all but the border, 1 some, 2 next to none."""
    front, _ = rasterize_mesh(mesh.pixels, mesh.points[:, 2], mesh.triangles, side)
    a, b, c = (mesh.pixels[mesh.triangles[:, k]] for k in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    count = np.bincount(front[front >= 0], minlength=len(area))
    inside = ((mesh.pixels > 0) & (mesh.pixels < side - 1)).all(1)[mesh.triangles].all(1)
    partly = inside & (count + border * np.sqrt(area) < area)
    return np.where((count == 0) | inside & (count < least * area), 2, partly)


def _add_textures(out: Payload, avatar: Avatar, side: int, settings: PageSettings) -> None:
    surface = avatar.surface
    binding = surface.binding
    photo = photo_textures(surface.colors, binding, surface.rig.mesh.pixels, side, settings.doubt_exponent)
    out.picture("photo", photo.colors, settings.quality)
    out.picture("matte", photo.matte)
    out.picture("control", photo.control)
    atlas = inpainted_atlas(surface.colors, binding)
    out.picture("atlas", atlas.colors, settings.quality)
    out.picture("atlasWeights", atlas.weights)
    out.array("atlas.corners", atlas.corners)
    out.values["atlasSize"] = [atlas.colors.shape[1], atlas.colors.shape[0]]
    out.values["doubtExponent"] = settings.doubt_exponent


def _add_layers(out: Payload, avatar: Avatar) -> None:
    binding, pixels = avatar.surface.binding, avatar.surface.rig.mesh.pixels
    row, column = photo_places(binding, pixels)
    for layer in avatar.layers:
        if isinstance(layer, LidLayer):
            out.values["openings"] = np.asarray(layer.openings).tolist()
            out.values["lidSettings"] = asdict(layer.settings)
            out.values["eyeSettings"] = asdict(layer.eyes)
            out.values["lids"] = []
            for k, lid in enumerate(layer.shut):
                y, x = row[lid.index], column[lid.index]
                x0, y0, x1, y1 = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
                out.values["lids"].append({"side": lid.side, "opening": lid.opening, "box": [x0, y0, x1 - x0, y1 - y0]})
                maps = np.zeros((y1 - y0, x1 - x0, 11), np.float32)
                values = (lid.skin, lid.line, lid.share, lid.inside, lid.eye, lid.lid, lid.reach)
                maps[y - y0, x - x0] = np.concatenate([v.reshape(len(y), -1) for v in values], 1)
                out.quantised(f"lid.{k}", maps)
        elif isinstance(layer, ChinLayer):
            out.array("chin.photo", layer.photo)
            out.array("chin.triangles", layer.triangles.astype(np.uint16))
            out.values["chinSettings"] = asdict(layer.settings)
            out.values["chinColumns"] = CHIN_COLUMNS.tolist()
        elif isinstance(layer, MouthLayer):
            _add_mouth(out, layer.mouth)
        elif isinstance(layer, IrisLayer):
            out.values["irisSettings"] = asdict(layer.settings)
            out.values["irises"] = []
            for k, iris in enumerate(layer.irises):
                about: dict[str, Any] = {"side": int(iris.ring == topo.LEFT_EYE)}
                for name in ("radius", "grown", "room", "opening"):
                    about[name] = float(getattr(iris, name))
                for name in ("axes", "beside", "place", "drop"):
                    about[name] = np.asarray(getattr(iris, name)).tolist()
                out.values["irises"].append(about)
                both = np.concatenate([iris.texture, iris.around], 1)
                out.picture(f"iris.{k}", np.rint(255 * np.clip(both, 0, 1)).astype(np.uint8))


def _add_mouth(out: Payload, mouth: Mouth) -> None:
    out.values["mouth"] = {
        "middle": mouth.middle.tolist(),
        "joint": mouth.joint.tolist(),
        "opening": mouth.opening,
        "width": mouth.width,
        "soft": mouth.soft,
        "teeth": mouth.colours.teeth.tolist(),
        "tissue": mouth.colours.tissue.tolist(),
        "dark": mouth.colours.dark.tolist(),
        "perMillimetre": PER_MM,
        "textureHeight": TEXTURE_HEIGHT,
        "settings": asdict(mouth.settings),
    }
    out.array("mouth.rest", mouth.rest)
    out.array("mouth.upper", mouth.upper)
    out.array("mouth.lower", mouth.lower)
    out.array("mouth.outline", mouth.outline)
    # Linear light, whose dark tones eight bits would band: as display values.
    photo = np.clip(mouth.photo, 0, 1)
    photo[..., :3] **= 1 / 2.2
    out.picture("mouth.photo", np.rint(255 * photo).astype(np.uint8))


def _add_surroundings(out: Payload, pipeline: Pipeline, settings: PageSettings) -> None:
    size = pipeline.avatar.camera.size
    backdrop = pipeline.backdrop
    if backdrop is not None:
        plate = np.rint(255 * np.clip(backdrop.at(0), 0, 1)).astype(np.uint8)
        out.picture("plate", plate, settings.plate_quality)
    colour = pipeline.background.color or (0.0, 0.0, 0.0)
    out.values["background"] = list(colour)
    if not pipeline.options.no_watermark:
        black, white = np.zeros((size, size, 3), np.uint8), np.full((size, size, 3), 255, np.uint8)
        mark = Watermark(size, size)
        mark.put(black)
        mark.put(white)
        # Of out = keep * picture + add.
        alpha = 255 - (white[..., 0].astype(int) - black[..., 0])
        rows, columns = np.nonzero(alpha)
        y0, x0, y1, x1 = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        part = np.dstack([black, alpha.astype(np.uint8)])[y0:y1, x0:x1]
        out.picture("mark", part)
        out.values["mark"] = [int(x0), int(y0), int(x1 - x0), int(y1 - y0)]


def _add_motion(out: Payload, pipeline: Pipeline) -> None:
    motion = pipeline.motion
    frames: list[TrackedFrame] = list(motion)
    start = motion.times[0]
    out.array("motion.times", np.array([float(time - start) for time in motion.times], np.float32))
    out.values["length"] = float(motion.times[-1] - start + 1 / motion.fps)
    out.quantised("motion.expression", np.stack([frame.expcode for frame in frames]))
    out.array("motion.pose", np.stack([np.concatenate([frame.posecode, frame.eyecode]) for frame in frames]))
    out.array("motion.transform", np.stack([frame.transform_matrix for frame in frames]))
    for name in ("torso_motion", "mouth_interior"):
        if getattr(motion, name, None) is not None:
            out.array(f"motion.{name}", np.stack([np.asarray(getattr(frame, name)) for frame in frames]))
    out.values["fps"] = float(motion.fps)
    frame = pipeline.source.frame
    out.array("still.expression", frame.expcode)
    out.array("still.pose", np.concatenate([frame.posecode, frame.eyecode]))
    out.array("still.transform", frame.transform_matrix)
