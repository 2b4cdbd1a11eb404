"""The course of `benchmarks.looks`: what is rendered, by which side, and which rows come of it."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import _looks_page as page
from benchmarks import _looks_parts as parts
from benchmarks._looks_page import Row, Section
from benchmarks._looks_sides import Answer, Side
from core.errors import UserError
from core.evaluation import looks
from core.libs.tracker.base import FaceTracker

PARTS = ("mouth", "eyes", "far_side", "matte", "flicker")
TURNS = (0.0, 20.0, -20.0)  # degrees
BACKGROUNDS = ("black", "white")
_MOUTH, _EYES, _FACE = 320, 320, 360  # pixels of a tile's width
Figures = dict[str, dict[str, dict[str, float]]]


class Experiment:
    """Renders, measures and cuts out.

    Args:
        sides: by name; the last one is the code that is here, which chooses frames and places.
        tracker: finds the faces in driver and results, of both sides.
        only: the parts that are wanted. given: options of the runs. frames: of every driver.

    Attributes:
        figures: by side, by what they are of (`monroe by obama`, `monroe`), by name.
        mirrored: by driver, what its own pictures are measured as when they are mirrored.
    """

    def __init__(
        self,
        sides: dict[str, Side],
        tracker: FaceTracker,
        only: Sequence[str],
        given: Sequence[str],
        frames: int | None,
    ) -> None:
        self._sides, self._tracker, self._only = sides, tracker, set(only)
        self._given, self._frames = list(given), frames or parts.FRAMES
        self.figures: Figures = {name: defaultdict(dict) for name in sides}
        self.mirrored: dict[str, dict[str, float]] = {}

    def run(self, photos: Sequence[Path], drivers: Sequence[Path], enhanced: bool) -> list[Section]:
        """Everything that is wanted; returns what is shown of it."""
        sections: list[Section] = []
        photos, drivers = [path.resolve() for path in photos], [path.resolve() for path in drivers]
        if self._only & {"mouth", "eyes", "flicker"}:
            found = self._find_drivers(photos[0], drivers)
            for driver in found:
                sections += self._moved(driver, photos)
            if enhanced and "eyes" in self._only:
                for driver in found:
                    self._enhanced(driver, photos)
        if self._only & {"far_side", "matte"}:
            sections += self._turned(photos)
        order = {name: k for k, name in enumerate(PARTS)}
        return sorted(sections, key=lambda section: order[section.name.split("-")[0]])

    @property
    def _here(self) -> Side:
        return list(self._sides.values())[-1]

    def _find_drivers(self, photo: Path, paths: Sequence[Path]) -> list[parts.Driver]:
        _say("tracking the drivers (kept in build/looks)")
        jobs = [{"kind": "driver", "photo": str(photo), "driver": str(p), "options": []} for p in paths]
        found = []
        for path, answer in zip(paths, self._here.ask(jobs), strict=True):
            if answer.error is not None:
                raise UserError(answer.error)
            found.append(parts.find_driver(path, *answer.arrays, self._frames, self._tracker))
            if "eyes" in self._only:
                self.mirrored[path.stem] = parts.mirrored(found[-1], self._tracker)
            _say(f"{path.stem}: frames {found[-1].frames[0]} to {found[-1].frames[-1]}")
        return found

    def _moved(self, driver: parts.Driver, photos: Sequence[Path]) -> list[Section]:
        """All photos moved by a driver: figures of mouth, eyes and flicker, and the rows of mouths and eyes."""
        tracker = self._tracker if self._only & {"mouth", "eyes"} else None
        mouths, eyes = driver.mouths, list(driver.eyes.values())
        kept = {*driver.open, *mouths, *eyes}
        rows: dict[str, list[list[Row]]] = {"mouth": [], "eyes": []}
        for photo, answers in self._ask(self._frame_jobs(driver, photos, []), photos):
            name = f"{photo.stem} by {driver.path.stem}"
            results = {
                side: parts.look(a.pictures, a.arrays[0], kept, tracker, "flicker" in self._only)
                for side, a in answers.items()
            }
            places = list(results.values())[-1].points
            for side, result in results.items():
                figures = self.figures[side][name]
                if "mouth" in self._only:
                    figures |= parts.mouth_figures(driver, result)
                if tracker is not None:
                    figures |= parts.amplitudes(driver, result)
                if result.flicker is not None:
                    figures |= dict(zip(("flicker", "flicker, peak"), result.flicker, strict=True))
            label = {side: f"{name}{f', {side}' if len(results) > 1 else ''}" for side in results}
            rows["mouth"].append([Row(label[s], [self._mouth(r.pictures[i], places[i]) for i in mouths]) for s, r in
                                  results.items()])  # fmt: skip
            rows["eyes"].append([Row(label[s], [self._eyes(r.pictures[i], places[i]) for i in eyes]) for s, r in
                                 results.items()])  # fmt: skip
        shown, numbers = driver.pictures, driver.frames
        title = f"the driver {driver.path.stem}, frames "
        heads = {
            "mouth": Row(title + ", ".join(str(numbers[i]) for i in mouths),
                         [self._mouth(shown[i], driver.points[i]) for i in mouths]),
            "eyes": Row(title + ", ".join(f"{numbers[i]} ({name})" for name, i in driver.eyes.items()),
                        [self._eyes(shown[i], driver.points[i]) for i in eyes]),
        }  # fmt: skip
        return [
            Section(f"{part}-{driver.path.stem}", f"{part}, driver {driver.path.stem}", [heads[part]], rows[part])
            for part in ("mouth", "eyes")
            if part in self._only
        ]

    def _enhanced(self, driver: parts.Driver, photos: Sequence[Path]) -> None:
        """The amplitudes with all improvements."""
        for photo, answers in self._ask(self._frame_jobs(driver, photos, ["--enhanced"]), photos):
            for side, answer in answers.items():
                result = parts.look(answer.pictures, answer.arrays[0], set(), self._tracker, False)
                found = parts.amplitudes(driver, result)
                self.figures[side][f"{photo.stem} by {driver.path.stem}"] |= {
                    f"{name}, enhanced": value for name, value in found.items()
                }

    def _turned(self, photos: Sequence[Path]) -> list[Section]:
        """All photos turned to both sides on black and white: figures of the outline and the matte, and their rows."""
        jobs = [
            {"kind": "turns", "photo": str(photo), "options": ["--background", color, *self._given], "degrees": TURNS}
            for photo in photos
            for color in BACKGROUNDS
        ]
        rows: dict[str, list[list[Row]]] = {"far_side": [], "matte": []}
        pictures: dict[str, dict[str, list[np.ndarray]]] = {side: {} for side in self._sides}
        twice = [photo for photo in photos for _ in BACKGROUNDS]
        for number, (photo, answers) in enumerate(self._ask(jobs, twice)):
            color = BACKGROUNDS[number % len(BACKGROUNDS)]
            points = list(answers.values())[-1].arrays[0]
            own = {side: answer.arrays[0] for side, answer in answers.items()}
            for side, answer in answers.items():
                pictures[side][color] = list(answer.pictures)
            if color != BACKGROUNDS[-1]:
                continue
            label = {side: f"{photo.stem}{f', {side}' if len(answers) > 1 else ''}" for side in answers}
            cheeks, edges = [], []
            for side in answers:
                black, white = (pictures[side][c] for c in BACKGROUNDS)
                alpha = looks.alpha_of(black[0], white[0])
                self.figures[side][photo.stem] |= self._figures_of_turned(black, own[side], alpha)
                cheeks.append(Row(label[side], self._cheeks(black, points)))
                edges.append(Row(label[side], self._edges(white[0], alpha, points[0])))
            rows["far_side"].append(cheeks)
            rows["matte"].append(edges)
        titles = {
            "far_side": "far cheeks: at rest, turned 20 degrees to one side, its far outline, to the other, its far "
            "outline",
            "matte": "on white, its matte, hair above, beside the face at both sides",
        }
        return [Section(part, titles[part], [], rows[part]) for part in ("far_side", "matte") if part in self._only]

    def _figures_of_turned(self, black: list[np.ndarray], points: np.ndarray, alpha: np.ndarray) -> dict[str, float]:
        figures: dict[str, float] = {}
        if "far_side" in self._only:
            sides = [looks.far_side(p) for p in points[1:]]
            turned = np.array([looks.outline_faults(*v) for v in zip(black[1:], points[1:], sides, strict=True)])
            rest = np.array([looks.outline_faults(black[0], points[0], side) for side in sides])
            for number, name in enumerate(("dark line", "stairs")):
                worst = int(np.nan_to_num(turned[:, number]).argmax())
                figures |= {name: float(turned[worst, number]), f"{name}, rest": float(rest[worst, number])}
        if "matte" in self._only:
            figures["unconnected"] = looks.unconnected_share(alpha, points[0])
            figures["faint"] = looks.faint_share(alpha, points[0])
        return figures

    def _cheeks(self, black: list[np.ndarray], points: np.ndarray) -> list[np.ndarray]:
        tiles = [page.face_box(points[0]).of(black[0], _FACE)]
        for image, p in zip(black[1:], points[1:], strict=True):
            tiles += [page.face_box(p).of(image, _FACE), page.cheek_box(p).of(image, _FACE)]
        return tiles

    def _edges(self, white: np.ndarray, alpha: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
        small = [
            cv2.resize(image, (_FACE, _FACE), interpolation=cv2.INTER_AREA)
            for image in (white, np.repeat((alpha * 255).astype(np.uint8)[..., None], 3, -1))
        ]
        boxes = page.hair_box(points), page.ear_box(points, -1), page.ear_box(points, 1)
        return [*small, *(box.of(white, _FACE) for box in boxes)]

    def _mouth(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return page.mouth_box(points).of(image, _MOUTH)

    def _eyes(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return page.eyes_box(points).of(image, _EYES)

    def _frame_jobs(self, driver: parts.Driver, photos: Sequence[Path], more: list[str]) -> list[dict[str, Any]]:
        common = {"kind": "frames", "driver": str(driver.path), "frames": driver.frames}
        return [{**common, "photo": str(photo), "options": [*more, *self._given]} for photo in photos]

    def _ask(self, jobs: list[dict[str, Any]], photos: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Answer]]]:
        """Each job's photo and what all sides answer; a photo that one of them refuses is left out and said so."""
        streams = {name: side.ask(jobs) for name, side in self._sides.items()}
        for photo, job in zip(photos, jobs, strict=True):
            answers = {name: next(stream) for name, stream in streams.items()}
            if refused := [f"{name}: {a.error}" for name, a in answers.items() if a.error is not None]:
                _say("left out: " + "; ".join(refused))
                continue
            yield photo, answers
            _say(
                " ".join([photo.stem, *(["by", Path(job["driver"]).stem] if "driver" in job else []), *job["options"]])
            )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
