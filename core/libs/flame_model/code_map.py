"""FLAME's codes on the open head: what each direction of FLAME moves on the face, said in the open head's directions.

    python -m core.libs.flame_model.code_map --flame assets/FLAME_with_eye.pt

prints how much of what FLAME's directions move the map explains. It is fitted to the file when it is needed:

1. Correspondence. FLAME is laid onto the open head by a similarity between their landmarks, and bent so that they lie
   on one another by a thin plate spline (Bookstein, PAMI 1989). Where one of the open head's points is a landmark of
   FLAME's, that stands for it; elsewhere the nearest of FLAME's vertices do. How far the jaw carries a point counts as
   a fourth coordinate, so that closed lips are not taken for one another.
2. Displacements. Of each of 100 expression directions, and of the jaw turned about each axis by a usual angle, in
   FLAME's own evaluation, pose correctives included.
3. Codes. The open head's 100 codes and its jaw that move its points alike: the maximum a posteriori of codes of unit
   variance, which is damped least squares. Nothing keeps an expression of FLAME's from moving the jaw.

The map is linear: the jaw's arcs are the two heads' own. Eyes turn as they are told to in both heads, so eye codes are
carried over. Shape is not: the driver's face is the open head's mean one, and a photo keeps its own anyway.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.data.records import PARAMETERS, TrackedFrame, TrackedSequence
from core.errors import UserError
from core.libs.flame_model.flame import FlameHead, FLAMEModel, OpenHead
from core.libs.flame_model.topology import LANDMARKS_68, N_FACE, PARTS_68
from core.libs.geometry import FLIP, fit_similarity

(N_EXPRESSION,) = PARAMETERS["expcode"]
N_CODES = N_EXPRESSION + 3  # expression, then the jaw's axis-angle


@dataclass(frozen=True)
class CodeMapSettings:
    """How FLAME is laid onto the open head, and what is believed of its displacements; all by eye.

    Attributes:
        jaw_step: radians about x, y, z, the jaw's turns whose displacements are compared.
        jaw_deviation: radians about x, y, z, standard deviations of the jaw's prior.
        noise: head units, standard deviation of a displacement, for what the correspondence is off.
        landmark_confidence: of a landmark's displacement, against one of the nearest vertices'.
        jaw_coordinate: head units that two points lie further apart when the jaw carries one wholly, the other not.
        nearest: how many of FLAME's vertices stand for a point that is no landmark.
        smoothing: of the spline, how much it may miss a landmark.
        jaw_line_smoothing: the same of the jaw line, whose landmarks lie beside one another along the line.
        jaw_line_weight: of its landmarks in the similarity, against the others' 1.
        margin: head units on each axis from the landmarks' middle, beyond which the spline is not trusted: a head's
            width.
    """

    jaw_step: tuple[float, float, float] = (0.2, 0.05, 0.05)
    jaw_deviation: tuple[float, float, float] = (0.15, 0.03, 0.03)
    noise: float = 0.004
    landmark_confidence: float = 2.0
    jaw_coordinate: float = 0.15
    nearest: int = 4
    smoothing: float = 1e-3
    jaw_line_smoothing: float = 0.1
    jaw_line_weight: float = 1 / 16
    margin: float = 1.5


@dataclass(frozen=True)
class CodeMap:
    """From FLAME's codes to the open head's.

    Attributes:
        matrix: (103, 103) open codes of FLAME's, rows out: 100 of expression, 3 of the jaw.
        scale, turn (3, 3), origin (3,): `scale * p @ turn + origin` is a point of FLAME's on the open head.
        explained: share of the squared displacement of the landmarks that the map explains, by name: every direction
            weighted by how far it moves them, then parts of the face.
        by_direction: (103,) the same of each direction, over all points of the face.
    """

    matrix: np.ndarray
    scale: float
    turn: np.ndarray
    origin: np.ndarray
    explained: dict[str, float] = field(repr=False)
    by_direction: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, flame: FLAMEModel, head: OpenHead, settings: CodeMapSettings | None = None) -> CodeMap:
        """Args: flame: FLAME, with its landmarks. head: the open head. ValueError where they are not."""
        s = settings or CodeMapSettings()
        if flame.embedding is None or not isinstance(head, OpenHead):
            raise ValueError("the map goes from FLAME, with landmarks, to the open head")
        scale, turn, origin, corners, shares = _correspondence(flame, head, s)
        moves = _displacements(flame, s)
        driver_moves = np.einsum("knlc,nl->knc", moves[:, corners], shares)
        at_marks = flame.embedding.place(moves)[:, :68]
        driver_moves[:, list(LANDMARKS_68)] = at_marks
        driver_moves = scale * driver_moves @ turn
        open_moves = _displacements(head, s)[:, :N_FACE]
        confidence = np.full(N_FACE, s.noise**-2)
        confidence[list(LANDMARKS_68)] *= s.landmark_confidence
        weight = np.repeat(confidence, 3)
        basis, goal = open_moves.reshape(N_CODES, -1), driver_moves.reshape(N_CODES, -1)
        prior = np.append(np.ones(N_EXPRESSION), 1 / np.square(s.jaw_deviation))
        matrix = np.linalg.solve((basis * weight) @ basis.T + np.diag(prior), (basis * weight) @ goal.T)
        left = goal - matrix.T @ basis
        by_direction = 1 - (left**2).sum(1) / np.maximum((goal**2).sum(1), 1e-30)
        return cls(matrix, scale, turn, origin, _explained(goal, left), by_direction)

    def run(self, track: TrackedSequence) -> TrackedSequence:
        """The same motion in the open head's codes. ValueError where it is not FLAME's."""
        if track.head != FlameHead.kind:
            raise ValueError(f"expected codes of the flame head, got those of the {track.head} head")
        codes = np.concatenate([track.expcode, track.posecode[:, 3:]], 1).astype(np.float64) @ self.matrix.T
        posecode = np.concatenate([track.posecode[:, :3], codes[:, N_EXPRESSION:]], 1)
        return replace(
            track,
            shapecode=np.zeros((1, 300), np.float32),
            expcode=codes[:, :N_EXPRESSION].astype(np.float32),
            posecode=posecode.astype(np.float32),
            transform_matrix=self._transforms(track).astype(np.float32),
            static_offset=None,
            head=OpenHead.kind,
            absent=tuple(name for name in track.absent if name != "posecode"),
        )

    def _transforms(self, track: TrackedSequence) -> np.ndarray:
        """Head to camera (T, 3, 4) of the open head's space, which is FLAME's laid onto it."""
        rotation, shift = track.transform_matrix[..., :3].astype(np.float64), track.transform_matrix[..., 3]
        if "transform_matrix" in track.absent:  # a turn from the front: the two heads' fronts are one
            turned = self.turn.T @ (rotation * FLIP) @ self.turn * FLIP
            return np.concatenate([turned, shift[..., None]], -1)
        turned = self.turn.T @ rotation
        # A head of another size is as much further away: the picture is the same.
        return np.concatenate([turned, (self.scale * shift - self.origin @ turned)[..., None]], -1)


def to_open(track: TrackedSequence, flame: Path, came_from: Path, head: OpenHead | None = None) -> TrackedSequence:
    """FLAME's codes as the open head's, by a map that is fitted for it.

    Args:
        track: of FLAME. flame: its file. came_from: the driver, for messages.
        head: the open head; the built-in one where it is left out.
    Raises:
        UserError: the file is not there, or not FLAME's.
    """
    if not flame.is_file():
        raise UserError(
            f"{came_from} was tracked for the flame head: to play it, the built-in head is fitted to {flame}, which is "
            f"not there; fetch it with `python -m core.assets`"
        )
    return _fitted_to(flame, head or OpenHead()).run(track)


def _fitted_to(path: Path, head: OpenHead) -> CodeMap:
    flame = FLAMEModel(path=path)
    if flame.embedding is None:
        raise UserError(f"{path} is not FLAME's file: it has no landmarks; fetch it with `python -m core.assets`")
    return CodeMap.fit(flame, head)


def _displacements(head: FLAMEModel, settings: CodeMapSettings) -> np.ndarray:  # (103, V, 3)
    """What a unit of each expression code, and of the jaw's turn about each axis, moves on the mean face."""
    zeros = {"shapecode": 300, "expcode": 100, "posecode": 6, "eyecode": 6}
    still = TrackedFrame(
        **{name: np.zeros(length, np.float32) for name, length in zeros.items()},
        transform_matrix=np.eye(3, 4, dtype=np.float32),
        bbox=np.zeros(4, np.float32),
        head=head.kind,
    )
    rest = head.evaluate(still).astype(np.float64)
    out = np.empty((N_CODES, *rest.shape))
    out[:N_EXPRESSION] = head.directions.numpy()[..., head.n_shape :].transpose(2, 0, 1)
    for axis, step in enumerate(settings.jaw_step):
        pose = np.zeros(6, np.float32)
        pose[3 + axis] = step
        out[N_EXPRESSION + axis] = (head.evaluate(replace(still, posecode=pose)) - rest) / step
    return out


def _correspondence(
    flame: FLAMEModel, head: OpenHead, settings: CodeMapSettings
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Similarity from FLAME to the open head, and vertices of FLAME's and shares (468, 4) that make each point."""
    from scipy.interpolate import RBFInterpolator  # a fifth of a second, which the usual run does without
    from scipy.spatial import cKDTree

    assert flame.embedding is not None  # `fit` has looked
    marks = flame.embedding.place(flame.template.numpy().astype(np.float64))[:68]
    goals = head.template.numpy()[list(LANDMARKS_68)].astype(np.float64)
    line = slice(*PARTS_68["jaw"])
    confidence = np.ones(68)
    confidence[line] = settings.jaw_line_weight
    scale, turn, origin = (values[0] for values in fit_similarity(marks[None], goals[None], confidence))
    bend = np.full(68, settings.smoothing)
    bend[line] = settings.jaw_line_smoothing
    laid = scale * marks @ turn + origin
    spline = RBFInterpolator(laid, goals - laid, smoothing=bend, kernel="thin_plate_spline")
    skin = np.flatnonzero(flame.weights[:, 3:].sum(1).numpy() < 0.5)
    mesh = scale * flame.template.numpy()[skin].astype(np.float64) @ turn + origin
    near = np.abs(mesh - goals.mean(0)).max(1) < settings.margin  # a spline knows nothing of what lies further off
    skin, mesh = skin[near], mesh[near]
    mesh = mesh + spline(mesh)
    jaw = settings.jaw_coordinate * flame.weights[skin, 2].numpy()[:, None]
    points = np.concatenate([head.template.numpy(), settings.jaw_coordinate * head.weights[:, 2:3].numpy()], 1)[:N_FACE]
    distance, nearest = cKDTree(np.concatenate([mesh, jaw], 1)).query(points, settings.nearest)
    shares = 1 / np.maximum(distance, 1e-6) ** 2
    return float(scale), turn, origin, skin[nearest], shares / shares.sum(1, keepdims=True)


def _explained(goal: np.ndarray, left: np.ndarray) -> dict[str, float]:
    """Shares of what the landmarks move, for displacements (103, 1404) and what is left of them."""
    square = [(values.reshape(N_CODES, N_FACE, 3)[:, list(LANDMARKS_68)] ** 2).sum(-1) for values in (goal, left)]

    def share(codes: slice, marks: slice = slice(None)) -> float:
        total, missing = (values[codes, marks].sum() for values in square)
        return float(1 - missing / max(total, 1e-30))

    expression = slice(0, N_EXPRESSION)
    out = {"expression": share(expression), "expression, first 10": share(slice(0, 10))}
    out |= {"jaw opening": share(slice(N_EXPRESSION, N_EXPRESSION + 1)), "jaw, other turns": share(slice(101, 103))}
    return out | {f"expression: {name}": share(expression, slice(*part)) for name, part in PARTS_68.items()}


def main(arguments: list[str] | None = None) -> int:
    """Fit the map and print what it explains; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m core.libs.flame_model.code_map", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--flame", type=Path, default=Path("assets/FLAME_with_eye.pt"), metavar="FILE")
    path = parser.parse_args(arguments).flame
    try:
        if not path.is_file():
            raise UserError(f"{path} is not there: the map is fitted to it; fetch it with `python -m core.assets`")
        fitted = _fitted_to(path, OpenHead())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("explained, of the squared displacement of FLAME's landmarks:")
    for name, share in fitted.explained.items():
        print(f"  {name:<24} {share:7.1%}")
    worst = np.argsort(fitted.by_direction[:N_EXPRESSION])[:5]
    print("least, over the whole face: " + ", ".join(f"direction {k} {fitted.by_direction[k]:.1%}" for k in worst))
    return 0


if __name__ == "__main__":
    sys.exit(main())
