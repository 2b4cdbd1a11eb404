"""A driver's frames as a dataset of torch's, with the keys that upstream's loop over a driver reads.

    from core.data import DriverData
    from core.libs.tracker.source import track_source

    driver = DriverData("clip.mp4", track_source(Path("me.jpg")))
    for batch in torch.utils.data.DataLoader(driver, batch_size=1):
        pictures = LiftedAvatar().forward_expression(batch)["sr_gen_image"]

The driver's values are taken over as they are (`--motion absolute`); the pipeline does more. This stands above
`core.data`, `core.libs` and `core.models`, because it brings all three together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from core.data.image import kind_of
from core.data.loader_track import DriverData as DriverRecord
from core.data.records import IMAGE_SIZE, PARAMETERS, SEEN, TrackedSequence, TrackedSource
from core.data.upstream_folder import FPS, read_pictures
from core.errors import UserError
from core.libs.flame_model import FlameHead, FLAMEModel, OpenHead
from core.libs.tracker.crop import crop_image
from core.models.batches import packed_source
from core.models.GAGAvatar.planes import lifting_plane
from core.models.modules.dino_base import IMAGE_SIDE
from core.models.modules.resize import resize_smooth
from core.options import DEFAULT_CHECKPOINT, FLAME_FILE
from core.output.mesh_panel import MeshPanel

_FEATURES = {"transform_matrix": (3, 4), "shapecode": (300,)}


@dataclass(frozen=True)
class _Photo:
    """The source: picture (3, H, W) in 0..1 on black, transform (3, 4), shapecode (300,), and all of it if tracked."""

    picture: Tensor
    transform: np.ndarray
    shapecode: np.ndarray
    tracked: TrackedSource | None = None


Pictures = Callable[[int], np.ndarray | None]  # a frame's picture (512, 512, 3) uint8 by its number, where it has one


class DriverDataset(Dataset):
    """A driver's frames for `forward_expression`, of the network or of the built-in avatar.

    Args:
        driver_path: a tracked folder, a file of codes, or a video or picture (tracked here, or read from the cache); or
            a `core.data.loader_track.DriverData`; or upstream's dict of records by name, each with `image` (3, 512,
            512) in 0..1 and the codes of FLAME.
        feature_data: the photo: a `TrackedSource`, as `track_source` returns it; or upstream's dict with `image`
            (3, H, W) in 0..1 on black, `transform_matrix` (3, 4) and `shapecode` (300,), FLAME's; or None: the driver's
            own first frame, where it has pictures.
        point_plane_size: side of the lifting plane; the published network wants 296.
        head: whose vertices the frames are: `FLAMEModel` with `no_lmks=True`. None: the open head, or FLAME from
            `assets/FLAME_with_eye.pt`, whichever the photo was tracked for.

    Attributes:
        flame_model: the head as a function of codes, with the static offset of the photo's own face added.
        f_image, f_planes, f_shape: of the photo, as in every item.

    Raises:
        UserError: a driver that cannot be read, of another head, or without the picture that None asks for; FLAME is
            not there. ValueError: a part of `feature_data` is missing or of another shape.
    """

    def __init__(
        self,
        driver_path: str | Path | DriverRecord | Mapping[str, Mapping[str, Any]],
        feature_data: TrackedSource | Mapping[str, Any] | None = None,
        point_plane_size: int = 296,
        *,
        head: FLAMEModel | None = None,
    ) -> None:
        if point_plane_size < 2:
            raise ValueError(f"point_plane_size must be at least 2, got {point_plane_size}")
        photo = None if feature_data is None else _photo(feature_data)
        wanted = head.kind if head is not None else None if photo is None else _head_of(photo)
        self._driver, self._pictures = _driver(driver_path, wanted, head)
        self.head = head or _head(wanted or self._driver.track.head)
        self._driver = _for_the_head(self._driver, self.head)
        if photo is not None and _head_of(photo) != self.head.kind:
            raise UserError(
                f"the photo was tracked for the {_head_of(photo)} head, the driver is to move the {self.head.kind} "
                f"head: track the photo for it"
            )
        photo = photo or self._first_frame()
        static_offset = None if photo.tracked is None else photo.tracked.frame.static_offset
        self._static_offset = static_offset
        self.flame_model = (
            self.head if static_offset is None else partial(self.head, static_offset=torch.from_numpy(static_offset))
        )
        self.f_image = resize_smooth(photo.picture[None], IMAGE_SIDE)[0]
        points, axis = lifting_plane(torch.from_numpy(photo.transform), point_plane_size)
        self.f_planes = {"plane_points": points, "plane_dirs": axis}
        self.f_shape = torch.from_numpy(photo.shapecode)
        self._source = None
        if photo.tracked is not None and self.head.has_tracker_mesh:  # that is what the built-in avatar is made of
            self._source = packed_source(photo.tracked)
        self._panel = MeshPanel(np.asarray(self.head.faces))
        self._frames = list(range(len(self._driver.track)))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One frame, float32 unless said otherwise.

        `f_image` (3, 518, 518), `f_planes` (`plane_points` (P * P, 3), `plane_dirs` (3,)), `t_image` (3, 512, 512) in
        0..1 the driver's picture, or a drawing of its head where it has none, `t_points` (V, 3), `t_transform` (3, 4),
        `infos` (`t_key`, the frame's name), `flame_params` (`shapecode` the photo's; `expcode`, `posecode`, `eyecode`,
        `transform_matrix` the driver's); with a photo of the open head also `source`, from which the built-in avatar is
        made. Pictures of a video are quickest in order.
        """
        number = self._frames[index]
        frame = self._driver.track[number]
        moved = replace(frame, shapecode=self.f_shape.numpy(), static_offset=self._static_offset)
        codes = {name: _tensor(getattr(frame, name)) for name in PARAMETERS if name != "shapecode"}
        item = {
            "f_image": self.f_image,
            "f_planes": dict(self.f_planes),
            "t_image": _unit(self._picture(number)),
            "t_points": torch.from_numpy(self.head.evaluate(moved)),
            "t_transform": codes["transform_matrix"],
            "infos": {"t_key": self._key(number)},
            "flame_params": {"shapecode": self.f_shape, **codes},
        }
        return item if self._source is None else item | {"source": dict(self._source)}

    def slice(self, count: int) -> None:
        """Keep the first `count` frames only."""
        self._frames = self._frames[:count]

    @property
    def is_video(self) -> bool:
        """Whether the frames are a clip, not one picture nor pictures that have nothing to do with one another."""
        track = self._driver.track
        return self._driver.kind != "image" and len(track) > 1 and not track.stills

    @property
    def _is_video(self) -> bool:  # the specification's loop reads it by this name
        return self.is_video

    def _key(self, number: int) -> str:
        return self._driver.keys[number] if self._driver.keys else f"{self._driver.path.stem}_{number}"

    def _picture(self, number: int) -> np.ndarray:
        picture = self._pictures(number)
        if picture is not None:
            return picture
        frame = replace(self._driver.track[number], static_offset=None)
        return self._panel.draw(self.head.evaluate(frame), frame.transform_matrix)

    def _first_frame(self) -> _Photo:
        picture = self._pictures(0)
        if picture is None:
            raise UserError(f"{self._driver.path} holds no pictures: give the photo as feature_data")
        frame = self._driver.track[0]
        return _Photo(_unit(picture), frame.transform_matrix, frame.shapecode)


class _Decoded:
    """The pictures of a video by number. They are decoded in order: to go back begins anew."""

    def __init__(self, driver: DriverRecord) -> None:
        self._driver = driver
        self._process: int | None = None
        self._next = 0
        self._iterator: Iterator[np.ndarray] | None = None
        self._last: np.ndarray | None = None
        self._parents: list[Iterator[np.ndarray] | None] = []

    def __call__(self, number: int) -> np.ndarray | None:
        if self._process != os.getpid() or number < self._next - 1:
            if self._process not in (None, os.getpid()):
                # A loader's worker was forked: the decoder's threads stayed in the parent, and to close it would wait
                # for them.
                self._parents.append(self._iterator)
            self._process, self._next, self._last = os.getpid(), 0, None
            self._iterator = self._driver.pictures(crop_image)
        while self._iterator is not None and self._next <= number:
            self._last = next(self._iterator, self._last)  # the last one again should they end early
            self._next += 1
        return self._last


class _Stored:
    """The pictures of a folder of GAGAvatar_track by number; a frame without one repeats the last.

    The database is opened for each: it can be open only once in a process and its children.
    """

    def __init__(self, driver: DriverRecord) -> None:
        self._driver = driver
        self._any = bool(driver.keys) and read_pictures(driver.path, driver.keys) is not None

    def __call__(self, number: int) -> np.ndarray | None:
        if not self._any:
            return None
        for key in reversed(self._driver.keys[: number + 1]):
            if (pictures := read_pictures(self._driver.path, (key,))) is not None:
                with closing(pictures):
                    return next(pictures)
        return np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)


def _photo(given: TrackedSource | Mapping[str, Any]) -> _Photo:
    if isinstance(given, TrackedSource):
        image, matte = given.shown()
        picture = _unit(image) * torch.from_numpy(matte)
        frame = given.frame
        return _Photo(picture, frame.transform_matrix, frame.shapecode, given)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"feature_data: expected a TrackedSource or a dict with image, {', '.join(_FEATURES)}, got a "
            f"{type(given).__name__}"
        )
    picture = torch.from_numpy(_array(given, "image", (3, None, None), "feature_data"))
    transform, shapecode = (_array(given, name, shape, "feature_data") for name, shape in _FEATURES.items())
    return _Photo(picture, transform, shapecode)


def _head_of(photo: _Photo) -> str:
    return FlameHead.kind if photo.tracked is None else photo.tracked.frame.head


def _head(kind: str) -> FLAMEModel:
    return OpenHead() if kind == OpenHead.kind else FlameHead(path=_flame_file(), no_lmks=True)


def _flame_file() -> Path:
    """FLAME's file in the usual place; UserError where it is not there."""
    path = DEFAULT_CHECKPOINT.with_name(FLAME_FILE)
    if not path.is_file():
        raise UserError(
            f"{path} is not there, and codes of FLAME need it: fetch it with `python -m core.assets`, or give a head"
        )
    return path


def _driver(
    given: str | Path | DriverRecord | Mapping[str, Mapping[str, Any]], wanted: str | None, head: FLAMEModel | None
) -> tuple[DriverRecord, Pictures]:
    """The driver and its pictures."""
    if isinstance(given, Mapping):
        return _from_records(given)
    if isinstance(given, DriverRecord):
        driver = given
    else:
        path = Path(given)
        kind = kind_of(path)
        if kind == "folder":
            driver = DriverRecord.from_folder(path)
        elif kind == "motion":
            driver = DriverRecord.from_motion(path)
        else:
            from core.libs.tracker.driver import track_driver  # here: a tracked folder does without the tracker

            flame = None
            if wanted == FlameHead.kind:
                flame = _flame_file() if head is None else head.path
            driver = DriverRecord(path, kind, track_driver(path, head=flame))
    stored = driver.kind in ("folder", "motion") and driver.frames is None
    return driver, _Stored(driver) if stored else _Decoded(driver)


def _from_records(
    records: Mapping[str, Mapping[str, Any]],
) -> tuple[DriverRecord, Pictures]:
    """Upstream's records in memory: stills, each with its picture."""
    if not records:
        raise ValueError("driver_path: a dict of records by name holds at least one, got none")
    keys = tuple(records)
    values = {
        name: np.stack([_array(records[key], name, shape, f"driver_path[{key!r}]") for key in keys])
        for name, shape in PARAMETERS.items()
    }
    pictures = [_array(records[k], "image", (3, IMAGE_SIZE, IMAGE_SIZE), f"driver_path[{k!r}]") for k in keys]
    track = TrackedSequence(
        **values,
        bbox=np.tile(np.array([0, 0, 1, 1], np.float32), (len(keys), 1)),
        times=tuple(i / FPS for i in range(len(keys))),
        fps=FPS,
        status=np.full(len(keys), SEEN, np.int8),
        head=FlameHead.kind,
    )
    track.check(Path("driver_path"))

    shown = [np.rint(np.clip(p.transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8) for p in pictures]
    return DriverRecord(Path(keys[0]), "image", track, keys), shown.__getitem__


def _for_the_head(driver: DriverRecord, head: FLAMEModel) -> DriverRecord:
    if driver.track.head == head.kind:
        return driver
    if isinstance(head, OpenHead):
        from core.libs.flame_model.code_map import to_open

        flame = DEFAULT_CHECKPOINT.with_name(FLAME_FILE)
        return replace(driver, track=to_open(driver.track, flame, driver.path, head))
    from core.libs.retargeting.shots import by_groups, by_number
    from core.libs.tracker.refit import to_flame

    groups = by_number(driver.track)
    return replace(driver, track=by_groups(lambda own: to_flame(own, head.path), groups, driver.track))


def _array(values: Mapping[str, Any], name: str, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """A part of upstream's dict as float32 of a shape, where None is any length."""
    if name not in values:
        raise ValueError(f"{where} lacks {name}, it has {', '.join(map(str, values))}")
    value = values[name]
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("HW"[i - 1] if n is None else str(n) for i, n in enumerate(shape))
        raise ValueError(f"{where}: {name}: expected ({wanted}{',' * (len(shape) == 1)}), got {array.shape}")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{where}: {name}: expected finite numbers, got {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def _unit(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) in 0..1."""
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1).contiguous()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
