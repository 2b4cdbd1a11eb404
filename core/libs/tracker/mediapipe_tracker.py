"""The default tracker: MediaPipe Face Mesh with irises and selfie segmentation, both inside the wheel (Apache-2.0)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from core.libs.tracker.base import N_POINTS, Observation
from core.libs.tracker.guided_filter import guided_filter
from core.libs.tracker.mesh_graph import SquareCutter, cut_square, landmark_points, serialised
from core.libs.tracker.settings import MediaPipeSettings
from core.libs.tracker.several import same_place
from core.runtime.native_log import native_log_silenced
from core.runtime.submodules import left_out

_SETTINGS = MediaPipeSettings()


class MediaPipeTracker:
    """478 landmarks and a matte from MediaPipe 0.10.21, the last release that carries these models in its wheel."""

    name = "mediapipe"
    version = "0.10.21/4"

    def __init__(self, settings: MediaPipeSettings = _SETTINGS) -> None:
        self._settings = settings
        with native_log_silenced():
            with left_out("matplotlib", "matplotlib.pyplot"):  # for plots that nobody asks for
                import mediapipe  # slow, and it writes to stderr while it loads

            solutions = mediapipe.solutions
            options = {"refine_landmarks": True, "min_detection_confidence": settings.detection}
            face_mesh = serialised(solutions.face_mesh.FaceMesh)
            self._still = face_mesh(static_image_mode=True, max_num_faces=settings.max_faces, **options)
            face = solutions.face_detection.FaceDetection
            self._near = face(model_selection=0, min_detection_confidence=settings.detection)
            self._far = face(model_selection=1, min_detection_confidence=settings.far_score)
            self._segmenter = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
            self._video: Any = None
            self._video_options = (face_mesh, options)
            blank = np.zeros((64, 64, 3), np.uint8)
            for part in (self._still, self._near, self._far, self._segmenter):
                part.process(blank)  # the graphs open, and write to stderr, on their first picture
        self._roi: tuple[int, int, int] | None = None
        self._watched = SquareCutter()
        self._others: list[MediaPipeTracker] = []

    def detect(self, image: np.ndarray) -> Observation | None:
        """See `FaceTracker.detect`. Small faces are found by the full-range detector and looked at again close up."""
        with native_log_silenced():
            found = self._mesh(self._still, image)
            if found is None or _size(found) < self._settings.close_up * max(image.shape[:2]):
                box = self._find_box(image) if found is None else found.box
                if box is not None:
                    square = _square_around(box, self._settings.around)
                    closer = self._mesh(self._still, cut_square(image, square))
                    if closer is not None:
                        found = _moved(closer, square)
            return found if found is not None and self._is_face(image, found) else None

    def follow(self, image: np.ndarray) -> Observation | None:
        """See `FaceTracker.follow`. Looks in a square that moves only when the face nears its border.

        A square that stays for many frames lets the mesh's temporal filter work; after a frame without a face the next
        one is searched as a whole. The mesh looks several times at the first picture of a square: in its first looks
        it takes raised brows for a frown and open eyes for narrow ones.
        """
        if self._roi is not None:
            found = self._look(image, self._roi)
            if found is not None:
                self._keep_roi(image, found)
                return found
            self._roi = None
        found = self.detect(image)
        if found is None:
            return None
        return self._keep_roi(image, found) or found

    def matte(self, image: np.ndarray) -> np.ndarray:
        """See `FaceTracker.matte`. A guided filter brings the edge of the 256x256 result onto that of the picture."""
        height, width = image.shape[:2]
        with native_log_silenced():
            coarse = self._segmenter.process(np.ascontiguousarray(image)).segmentation_mask
        coarse = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        s = self._settings
        radius = max(2, round(max(height, width) / s.matte_parts))
        fine = guided_filter(np.ascontiguousarray(image), coarse, radius, s.matte_smoothing * 255**2)
        return np.clip((fine - s.matte_low) / s.matte_span, 0.0, 1.0)

    def faces(self, image: np.ndarray, known: Sequence[np.ndarray] = ()) -> list[Observation]:
        """See `ManyFaceTracker.faces`. Small ones, and what the far detector alone finds, are looked at close up."""
        with native_log_silenced():
            meshes = sorted(self._meshes(self._still, image), key=_size, reverse=True)
            found: list[Observation] = []
            candidates: list[Observation | np.ndarray] = [*meshes, *self._boxes(image)]
            for face in candidates:
                box = face.box if isinstance(face, Observation) else face
                if any(same_place(box, other) for other in (*known, *(other.box for other in found))):
                    continue
                if not isinstance(face, Observation) or _size(face) < self._settings.close_up * max(image.shape[:2]):
                    square = _square_around(box, self._settings.around)
                    closer = [_moved(near, square) for near in self._meshes(self._still, cut_square(image, square))]
                    face = next((near for near in closer if same_place(box, near.box)), face)
                if isinstance(face, Observation) and self._is_face(image, face, self._settings.agreed):
                    found.append(face)
        return sorted(found, key=lambda face: float(face.box[0] + face.box[2]))

    def another(self) -> MediaPipeTracker:
        """See `ManyFaceTracker.another`."""
        twin = copy.copy(self)
        twin._roi, twin._video, twin._others = None, None, []
        twin._watched = SquareCutter()
        self._others.append(twin)
        return twin

    def reset(self) -> None:
        """Forget the last frame: the next `follow` begins another video."""
        self._roi = None

    def close(self) -> None:
        """Free the models."""
        for part in (self._still, self._near, self._far, self._segmenter, *(t._video for t in (self, *self._others))):
            if part is not None:
                part.close()

    def _look(self, image: np.ndarray, square: tuple[int, int, int]) -> Observation | None:
        found = self._mesh(self._video, self._watched.cut(image, square))
        return None if found is None else _moved(found, square)

    def _keep_roi(self, image: np.ndarray, found: Observation) -> Observation | None:
        """Moves the square, where the face that was found nears its border; what the mesh that begins there sees."""
        inside = False
        if self._roi is not None:
            x, y, side = self._roi
            box, margin = found.box, self._settings.border * side
            inside = (
                box[0] > x + margin
                and box[1] > y + margin
                and box[2] < x + side - margin
                and box[3] < y + side - margin
            ) and self._settings.least_part < _size(found) / side < self._settings.most_part
        if inside:
            return None
        self._roi = square = _square_around(found.box, self._settings.around)
        if self._video is not None:
            self._video.close()
        with native_log_silenced():
            mesh, options = self._video_options
            self._video = mesh(
                static_image_mode=False, max_num_faces=1, min_tracking_confidence=self._settings.tracking, **options
            )
            self._video.process(np.zeros((64, 64, 3), np.uint8))
            # Later looks write nothing, and silence for each of them would cover what other threads have to say
            return [self._look(image, square) for _ in range(self._settings.first_looks)][-1]

    def _mesh(self, mesh, image: np.ndarray) -> Observation | None:
        return max(self._meshes(mesh, image), key=_size, default=None)

    def _meshes(self, mesh, image: np.ndarray) -> list[Observation]:
        height, width = image.shape[:2]
        size = np.array([width, height, width], np.float64)
        faces = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks or []
        middle = np.array([0.5, 0.5, 0.0])  # of a pixel, which is an integer here
        meshes = [(landmark_points(face) * size - middle).astype(np.float32) for face in faces]
        return [Observation(points) for points in meshes if points.shape == (N_POINTS, 3)]

    def _is_face(self, image: np.ndarray, found: Observation, least: int = 1) -> bool:
        """Whether so many of the detectors' looks at a mesh see a face there."""
        agreed = 0
        for margin in self._settings.face_margins:
            part = np.ascontiguousarray(cut_square(image, _square_around(found.box, margin)))
            for detector, needed in ((self._near, self._settings.near_score), (self._far, self._settings.far_score)):
                # The detectors' threshold is applied before overlapping boxes are merged; the score counts.
                agreed += any(face.score[0] >= needed for face in detector.process(part).detections or [])
                if agreed >= least:
                    return True
        return False

    def _find_box(self, image: np.ndarray) -> np.ndarray | None:
        return max(self._boxes(image), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)

    def _boxes(self, image: np.ndarray) -> list[np.ndarray]:
        height, width = image.shape[:2]
        faces = self._far.process(np.ascontiguousarray(image)).detections or []
        boxes = [face.location_data.relative_bounding_box for face in faces]
        boxes = [np.array([b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height]) for b in boxes]
        return [box * np.array([width, height, width, height]) for box in boxes]


def _moved(found: Observation, square: tuple[int, int, int]) -> Observation:
    """An observation in a square of a picture, in pixels of the picture."""
    return Observation(found.points + np.array([square[0], square[1], 0], np.float32))


def _size(found: Observation) -> float:
    box = found.box
    return float(max(box[2] - box[0], box[3] - box[1]))


def _square_around(box: np.ndarray, margin: float) -> tuple[int, int, int]:
    """x, y, side of the square around a box, larger by `margin` of the box's size on all sides together."""
    side = round(float(max(box[2] - box[0], box[3] - box[1])) * (1 + margin))
    return round(float(box[0] + box[2] - side) / 2), round(float(box[1] + box[3] - side) / 2), max(side, 16)
