"""From what was asked for to jobs: pairs, their places, their order, and what is refused before anything is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.background import find_background
from core.batch.job import Job
from core.batch.lists import Row
from core.data.video import VideoReader
from core.errors import UserError
from core.options import Options
from core.pipeline.pieces import can_be_split
from core.preflight import Inputs, check_photo, choose_model, find_inputs, find_output


@dataclass
class Planner:
    """Makes jobs of one folder; looks at every photo and every driver once.

    Args:
        folder: of the results. options: of all jobs, where theirs do not say otherwise.
    """

    folder: Path
    options: Options
    _photos: dict[Path, UserError | None] = field(default_factory=dict)
    _drivers: dict[tuple[Path, Path | None], Inputs | UserError] = field(default_factory=dict)
    _frames: dict[Path, int] = field(default_factory=dict)
    _whole: set[Path] = field(default_factory=set)  # results that are not made in pieces

    def __post_init__(self) -> None:
        model = choose_model(self.options)[0]  # what is wrong with all jobs is said once
        find_background(self.options, model)

    def product(self, photos: Sequence[Path], drivers: Sequence[Path]) -> list[Job]:
        """Every photo by every driver."""
        pairs = [replace(self.options, image_path=p, driver_path=d) for d in drivers for p in photos]
        return self._checked([self._job(options, None, "") for options in pairs])

    def listed(self, rows: Sequence[Row]) -> list[Job]:
        """The jobs of a list; an output in it counts from the folder."""
        jobs = []
        for row in rows:
            values = {name: value for name, value in row.values.items() if name != "output"}
            try:
                options = replace(self.options, **values)
            except UserError as error:
                raise UserError(f"{row.where}: {error}") from None
            output = row.values.get("output")
            text = None if output is None else str(output)
            jobs.append(self._job(options, text, f"{row.where}: "))
        return self._checked(jobs)

    def may_split(self, job: Job) -> bool:
        """Whether a job of this planner may be made in pieces."""
        return job.options.output not in self._whole

    def _job(self, options: Options, output: str | None, where: str) -> Job:
        assert options.image_path is not None
        assert options.driver_path is not None
        name = f"{options.driver_path.stem}_{options.image_path.stem}"
        target = f"{self.folder}/" if output is None else str(self.folder / output)
        if output is not None and output.endswith("/"):
            target += "/"
        options = replace(options, output=target)
        try:
            model = choose_model(options)[0]
            inputs = self._inputs(options)
            place = find_output(options, inputs, model, find_background(options, model))
            frames = self._frame_count(inputs)
        except UserError as error:
            text = " ".join(str(error).split())
            return Job(replace(options, output=self.folder / (output or name)), output or name, refused=where + text)
        shown = place.relative_to(self.folder) if place.is_relative_to(self.folder) else place
        if not can_be_split(options, inputs):
            self._whole.add(place)
        return Job(replace(options, output=place), str(shown), frames=frames)

    def _inputs(self, options: Options) -> Inputs:
        """As `find_inputs`, with every file looked at once."""
        photo, driver = options.image_path, options.driver_path
        assert photo is not None
        assert driver is not None
        if photo not in self._photos:
            self._photos[photo] = _error_of(photo)
        wrong = self._photos[photo]
        if wrong is not None:
            raise wrong
        key = driver, options.audio
        if key not in self._drivers:
            try:
                self._drivers[key] = find_inputs(options)
            except UserError as error:
                self._drivers[key] = error
        found = self._drivers[key]
        if isinstance(found, UserError):
            raise found
        return replace(found, photo=photo)

    def _frame_count(self, inputs: Inputs) -> int:
        """Frames of a driver, as far as its file says."""
        if inputs.driver not in self._frames:
            count: int | None = 1
            if inputs.tracked is not None:
                count = len(inputs.tracked.track)
            elif inputs.frames is not None:
                count = len(inputs.frames)
            elif inputs.kind == "video":
                with VideoReader(inputs.driver) as reader:
                    count = reader.frame_estimate or round(float(reader.fps) * (reader.duration or 0))
            self._frames[inputs.driver] = max(1, count or 1)
        return self._frames[inputs.driver]

    def _checked(self, jobs: list[Job]) -> list[Job]:
        """The jobs in their order: longest driver first, so that none is left over at the end, and those of one driver
        one after the other. UserError where two write one file, or one writes what another reads.
        """
        places: dict[Path, Job] = {}
        read = {path.resolve() for job in jobs for path in (job.options.image_path, job.options.driver_path) if path}
        for job in jobs:
            place = Path(job.options.output or "").resolve()
            if place in places:
                first = places[place].options
                raise UserError(
                    f"two jobs for {job.shown}: {first.image_path} by {first.driver_path} and {job.options.image_path} "
                    f"by {job.options.driver_path}; give each an output of its own in a list (--list)"
                )
            if place in read:
                raise UserError(f"{job.shown} is an input of this batch: write to another folder with -o")
            places[place] = job
        return sorted(jobs, key=lambda job: (-job.frames, str(job.options.driver_path)))


def _error_of(photo: Path) -> UserError | None:
    try:
        check_photo(photo)
    except UserError as error:
        return error
    return None
