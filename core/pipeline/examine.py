"""How good a run is: its photo, its motion over time, and what each improvement changed, as one HTML file.

run = Pipeline(Options("me.jpg", "clip.mp4", enhanced=True))
run.run()
examine(run).write(Path("run.html"))
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import numpy as np

from core.data.records import INTERPOLATED, SEEN, TrackedSequence
from core.options import FLOW
from core.pipeline.beside import runs_beside
from core.pipeline.result import to_image
from core.pipeline.run import Pipeline
from core.quality.change import Change, gradient_energy, picture_change
from core.quality.page import Examination, Moment
from core.quality.series import Series, landmark_shift, series

_OFF = "off"


def examine(run: Pipeline) -> Examination:
    """Measure a run that was made or can be; its driver's pictures are read once more, up to the last that is shown."""
    with run.progress.stage("examine", "examining the result"):
        wanted = [name for name in FLOW if run.options.wants(name)]
        variants = {name: tuple(other for other in wanted if other != name) for name in wanted}
        others = runs_beside(run, {**variants, _OFF: ()} if wanted else {})
        head, motion, person = run.components.head, run.motion, run.source.frame
        driver, result = series(run.driver.track, head), series(motion, head, person)
        frames = _telling_frames(result, motion)
        shown = {name: _pictures(other, list(frames.values())) for name, other in {"result": run, **others}.items()}
        drivers = _driver_pictures(run, list(frames.values()))
        plain = shown.get(_OFF, [None] * len(frames))
        moments = [
            Moment(what, float(motion.times[index]), drivers[k], plain[k], shown["result"][k])
            for k, (what, index) in enumerate(frames.items())
        ]
        changes = [_change(name, run, others[name], shown[name], shown["result"]) for name in wanted]
        status, repeated = run.driver.track.status, run.driver.track.repeated
        return Examination(
            photo_file=run.inputs.photo.name,
            driver_file=run.inputs.driver.name,
            output=run.output.name,
            avatar=run.model_name,
            photo_picture=run.photo,
            photo=run.photo_quality,
            driver=driver,
            result=result,
            bridged=int((status == INTERPOLATED).sum()),
            held=int((status > INTERPOLATED).sum()),
            repeated=0 if repeated is None else int(repeated.sum()),
            unseen=status != SEEN,
            shots=len(motion.shot_frames),
            stills=motion.stills or len(motion) == 1,
            fps=float(motion.fps),
            seconds=dict(run.progress.seconds),
            changes=changes,
            moments=moments,
            advice=run.advice,
        )


def _telling_frames(result: Series, motion: TrackedSequence) -> dict[str, int]:
    """The frames that show most, by what they show: the first, the widest mouth, the most shut eyes, the far turn."""
    turn = np.linalg.norm(result.angles - result.angles[0], axis=1)
    found = {"the first frame": 0}
    for what, values in (
        ("the mouth at its widest", result.lips),
        ("the eyes at their narrowest", -result.lids),
        ("the farthest turn", turn),
    ):
        if np.isfinite(values).any() and (index := int(np.nanargmax(values))) not in found.values():
            found[what] = index
    return found


def _pictures(run: Pipeline, frames: list[int]) -> list[np.ndarray]:
    return [to_image(run.draw(run.motion[index])) for index in frames]


def _driver_pictures(run: Pipeline, frames: list[int]) -> list[np.ndarray]:
    found: dict[int, np.ndarray] = {}
    with closing(run.driver_pictures()) as pictures:
        for index, picture in enumerate(pictures):
            if index in frames:
                found[index] = picture
            if index >= max(frames):
                break
    return [found[index] for index in frames]


def _change(name: str, run: Pipeline, without: Pipeline, before: list[np.ndarray], after: list[np.ndarray]) -> Change:
    """What an improvement changed in a run, against the same run without it."""
    head, person = run.components.head, run.source.frame
    one, other = series(without.motion, head, person), series(run.motion, head, person)
    return Change(
        name=name,
        shift=landmark_shift(without.motion, run.motion, head),
        jitter=(one.jitter, other.jitter),
        gaze=float(np.sqrt(np.square(one.gaze - other.gaze).sum(1).mean())),
        lids=(float(one.lids.std()), float(other.lids.std())),
        lips=(float(one.lips.std()), float(other.lips.std())),
        detail=(_mean(gradient_energy(p) for p in before), _mean(gradient_energy(p) for p in after)),
        pixels=picture_change(before, after),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
