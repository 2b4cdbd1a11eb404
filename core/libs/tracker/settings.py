"""Settings of the tracker: one frozen dataclass for each station, each value with its unit and where it comes from.

"By eye": set where it looked right, then left alone. "Development clips": read off the clips of ../shared/data/drivers
that the benchmarks report on, so that a figure on those clips is not one on unseen clips. Whatever changes here changes
what comes out: raise `VERSION` (or `FLAME_VERSION`) of `core.libs.tracker.cache` with it. The mouth's settings stand
beside their functions, in `mouth_ring` and `mouth_interior`, the matte's in `matte_settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from core.libs.tracker.matte_settings import MatteSettings
from core.libs.tracker.mouth_interior import ReadingSettings
from core.libs.tracker.mouth_ring import RingSettings, ViewSettings


@dataclass(frozen=True)
class FitSettings:
    """Of `HeadFitter` and of what both fitters do with eyes.

    Attributes:
        noise: head units, standard deviations of a point across the line of sight and along it. By eye; depth from one
            view is the weaker measurement by far.
        eye_limit: radians that an eye code may have, each axis; anatomy: eyes turn by about 45 degrees.
        shut, open: lid opening, as part of a clip's open eyes, up to which an iris is not believed and from which on it
            is. Development clips.
        person_frames: frames at most from which the shape is taken; bounds memory. By eye.
        unposed_frames: the same where the poses have to be found first, which takes several times as long a frame and
            is a clip's first look, whose poses and shape its pictures correct.
        person_rounds: of pose and rest shape in turn; nothing changes any more after them (tests/test_fit.py).
        chunk: frames fitted together; bounds memory.
        jaw_rounds: fixed-point steps that invert the skinning of the jaw; they converge by its weights, below 1.
        turn_rounds: Newton steps onto an iris.
    """

    noise: tuple[float, float] = (0.003, 0.012)
    eye_limit: float = float(np.radians(45))
    shut: float = 0.35
    open: float = 0.6
    person_frames: int = 300
    unposed_frames: int = 64
    person_rounds: int = 5
    chunk: int = 256
    jaw_rounds: int = 4
    turn_rounds: int = 6


@dataclass(frozen=True)
class PoseFitSettings:
    """Of `refine_pose`.

    Attributes:
        outlier: head units across the line of sight at which a point counts half (Cauchy). By eye.
        depth_weight: of depths against positions across the line of sight, where the latter count 1. By eye: they are
            measured ten times worse, and sway with the expression.
        rounds: Gauss-Newton steps.
    """

    outlier: float = 0.01
    depth_weight: float = 0.03
    rounds: int = 8


@dataclass(frozen=True)
class FlameFitSettings:
    """Of `FlameFitter`.

    Attributes:
        noise: pixels of a 512-pixel crop, standard deviations of a landmark in the picture, of one of the jaw line, and
            of a depth. By eye; depth comes with the tracker's estimate of pose and face, and only breaks ties.
        person_frames: frames that say what a person looks like, evenly spread; bounds time. By eye.
        chunk: frames solved together: their Jacobians are what takes memory.
        person_rounds, frame_rounds, last_rounds: steps at most of the damped Gauss-Newton descents. By eye.
        eye_rounds: pose correctives may move the iris of a turned eye, too.
        settled: part of the cost by which a round must at least lower it.
        damping, damping_least, damping_stuck: of Levenberg and Marquardt: at the start, at the least, and where a frame
            is left as it is. `damping_up`, `damping_down`: factors after a failed and a good step.
        jaw_open, jaw_other: radians, standard deviations of an opening jaw, and of turns that jaws hardly make. By eye.
        nearest: head units from the camera that a head may come.
        shift_noise: head units across the line of sight, of one frame's pose. By eye.
        similarity_deviation: of how one head's poses differ from another's, head units and a ratio. By eye.
    """

    noise: tuple[float, float, float] = (1.0, 4.0, 8.0)
    person_frames: int = 32
    chunk: int = 64
    person_rounds: int = 20
    frame_rounds: int = 12
    last_rounds: int = 4
    eye_rounds: int = 4
    settled: float = 1e-4
    damping: float = 1e-3
    damping_least: float = 1e-9
    damping_stuck: float = 1e6
    damping_up: float = 10
    damping_down: float = 5
    jaw_open: float = 0.15
    jaw_other: float = 0.03
    nearest: float = 2.0
    shift_noise: float = 0.01
    similarity_deviation: float = 0.2


@dataclass(frozen=True)
class RefineSettings:
    """Of `PictureRefiner`. Its pictures are `size` pixels wide; other lengths are in pixels of the 512-pixel crop.

    Attributes:
        size: pixels of a side of the pictures compared. By eye: half the crop's, for speed.
        texture: smaller eigenvalue of the structure tensor, grey levels squared, at which a point counts half. By eye.
        rigid: head units that expressions may move a point before it counts half for the pose. By eye.
        enough: total weight of points below which two pictures have too little in common. By eye.
        reliable: the same, as part of the weight at full confidence. Development clips: a grey picture has 0.2, frames
            of real clips 0.24 and more.
        neighbourhood: pixels over which lids and lips share the skin's correction. By eye.
        blur: pixels of the small picture over which agreement is judged. By eye.
        border: pixels of the small picture at its edge where nothing is compared.
        pose_points: points at most that the pose is fitted to; bounds time.
        thin: factor for the weight of the surroundings, which are sampled more thinly than the face.
        pose: of `refine_pose`.
    """

    size: int = 256
    texture: float = 4.0
    rigid: float = 0.01
    enough: float = 2.0
    reliable: float = 0.22
    neighbourhood: float = 25.0
    blur: int = 9
    border: int = 4
    pose_points: int = 400
    thin: float = 3
    pose: PoseFitSettings = PoseFitSettings(depth_weight=0.02, rounds=5)


@dataclass(frozen=True)
class TorsoSettings:
    """Of `TorsoTracker`. Lengths in pixels are those of the small picture.

    Attributes:
        size: pixels of a side of the pictures compared. By eye.
        blur: pixels, how far an alignment may be off and still be pulled in. By eye.
        rounds, settled: steps at most, and the largest step (head units, radians) at which they end. first_rounds: of
            a frame that does not begin where the one before it ended.
        fewest: pixels of edges without which there is nothing to follow. By eye.
        steep: grey levels a pixel, where an edge is worth comparing. By eye.
        outlier: grey levels at which a pixel counts half (Cauchy). By eye.
        reliable: mean robust weight that has to remain. Development clips.
        deviation: standard deviations of what shoulders do: head units to the left and up, radians of roll, logarithm
            of the growth. By eye. `largest`: how many of them a motion may have.
        noise: standard deviation of a pixel's grey level, large because neighbours err together. By eye.
        torso_share: weight of the shoulders above which a pixel is taken for theirs. By eye.
    """

    size: int = 256
    blur: float = 1.5
    rounds: int = 12
    first_rounds: int = 200
    settled: float = 2e-4
    fewest: int = 400
    steep: float = 4.0
    outlier: float = 12.0
    reliable: float = 0.35
    deviation: tuple[float, float, float, float] = (0.15, 0.15, 0.1, 0.02)
    largest: float = 4
    noise: float = 200.0
    torso_share: float = 0.97


@dataclass(frozen=True)
class CropSettings:
    """Of the crops around heads.

    Attributes:
        expansion: the crop's side over the root of the area of the face mesh's box. Upstream's 1.65 is of a detector's
            box, which is larger: this shows as much of the head.
        frames: time constants of the smoothing of a clip's crops that are tried, strongest first; infinite: the median.
        room: of the crop: how near its border the face may come. By eye.
        smallest, largest: by which factor the crop that a frame's own face asks for may differ from it. By eye.
    """

    expansion: float = 1.97
    frames: tuple[float, ...] = (np.inf, 150.0, 75.0, 38.0, 19.0, 9.0, 4.0, 2.0)
    room: float = 0.10
    smallest: float = 0.8
    largest: float = 1.25


@dataclass(frozen=True)
class GlimpseSettings:
    """Of `GlimpseBuffer`. By eye.

    Attributes:
        most: bytes of a clip that are kept; of a longer one nothing is, it is decoded again. A frame takes .1 to 1 MB.
        finer: how much narrower than around its first face a clip's crops may be for the kept grey levels to do.
        around: kept around lips and faces, over the width of the eyes and the length of the nose together.
    """

    most: int = 256 << 20
    finer: float = 0.8
    around: float = 0.25


@dataclass(frozen=True)
class CutSettings:
    """Of `CutFinder`. Development clips: within a frame people and cameras, a hand in front of the face included, stay
    below 20 grey levels and .1; cuts between people are above 40 and .3.

    Attributes:
        side, bins: pixels of the picture whose colours are counted, and bins of each channel's histogram.
        coarse: pixels of a side of the pictures that are compared.
        glance: of a side of the few pixels that show whether they have to be. counted: frames of a shot of which one
            goes into its mean picture.
        changed: grey levels of mean absolute difference between two frames, above which there may be a cut.
        recoloured: distance of their histograms, 0 to 1, above which there is one.
        same_scene: grey levels between the mean pictures of two shots, below which they are of one scene. By eye.
        flash: frames after which a flash is over. By eye.
    """

    side: int = 128
    bins: int = 32
    coarse: int = 32
    glance: int = 64
    counted: int = 8
    changed: float = 25.0
    recoloured: float = 0.2
    same_scene: float = 15.0
    flash: int = 3


@dataclass(frozen=True)
class MediaPipeSettings:
    """Of `MediaPipeTracker`. By eye, where nothing else is said.

    Attributes:
        close_up: of the larger picture side: faces smaller than this are looked at again in a crop around them.
        max_faces: that are found in a picture, of which the largest is taken.
        near_score, far_score: of the near and the far detector: a picture has a face where one of them says so much.
            The mesh alone also finds dogs: read off pictures, a dog's face gets 0.72 from the near one and nothing from
            the far one, the faces of paintings and cartoons 0.86 and more.
        agreed: of the two detectors' looks with either margin, how many have to see a face where there may be several:
            with many looks at a picture one of them errs sooner.
        detection, tracking: confidences that the mesh needs; MediaPipe's own defaults.
        first_looks: at the first picture of a square; read off cuts of the development clips: points that are off by
            up to a fifth of the eyes' distance in the first look stand still from the fourth on.
        around: the square in which the next frame is searched is wider than the face by this share of it.
        face_margins: the same for the squares in which the detectors look.
        border: of that square's side: how near its border the face may come before the square moves.
        least_part, most_part: of the square's side that a face may take before the square moves.
        matte_parts: the larger side over the guided filter's radius. matte_smoothing: its regularisation, of grey
            levels in 0..1 squared. matte_low, matte_span: where the matte becomes 0, and from there to 1.
    """

    close_up: float = 0.3
    max_faces: int = 4
    near_score: float = 0.8
    far_score: float = 0.4
    agreed: int = 2
    detection: float = 0.5
    tracking: float = 0.5
    first_looks: int = 4
    around: float = 1.1
    face_margins: tuple[float, ...] = (0.9, 0.5)
    border: float = 0.12
    least_part: float = 0.3
    most_part: float = 0.65
    matte_parts: int = 80
    matte_smoothing: float = 1e-4
    matte_low: float = 0.1
    matte_span: float = 0.8


@dataclass(frozen=True)
class WholeSettings:
    """Of `whole`. By eye where nothing else is said.

    Attributes:
        largest: pixels of a photo's longer side, from which on it is reduced: 4K.
        margin: around the head's crop, over its side: all that moves lies in it.
        drawn: pixels of a side, margin included, from which on the crop is drawn smaller: bounds memory.
        solved: pixels of a side at which the matte is solved for at most: bounds time.
        least: share of the head's crop that a photo shows at least, or it is drawn as a whole where that is left to it.
            By eye on nine cuts of three photos: at .45 and .55 heads end in the air, at .65 two of three do.
        mirrored: how far beyond the photo its mirror image is drawn, over the side of the head's crop: what moves in.
        bulge: how far what a side cuts of a head goes on beyond it, of half its height; cheek: at most, of the way to a
            second cheek. beside: that way at least, of the face's width. edge: its softness, pixels of the photo.
        border: pixels in which the photo's border has a share. shoulders: where they begin above the chin, of the
            face's height.
        guided: pixels of that size, radius of the guided filter. smoothing: its regularisation, of colours in 0..1.
    """

    largest: int = 3840
    margin: float = 0.6
    drawn: int = 2304
    solved: int = 1126
    least: float = 0.66
    mirrored: float = 0.25
    bulge: float = 0.2
    cheek: float = 0.7
    beside: float = 0.08
    edge: float = 3.0
    border: float = 2.0
    shoulders: float = 0.4
    guided: float = 2.0
    smoothing: float = 1e-4


@dataclass(frozen=True)
class EnlargeSettings:
    """Of `face_of_photo`. Read off the first frames of the six development clips, made smaller: a third of the size's
    points lie .33 % of the eyes' distance off in place of .92 %, with JPEG of quality 30 1.32 % in place of 1.61 %.

    Attributes:
        below: larger side of a face, pixels, below which it is looked at enlarged. face: what that side becomes.
        most: factor at most. around: share of the face by which the square around it is wider.
    """

    below: float = 240.0
    face: float = 450.0
    most: float = 4.0
    around: float = 1.0


@dataclass(frozen=True)
class SmallSettings:
    """Of `pose_seen_small`. Chosen on the six development clips made poor (`core.evaluation.conditions`).

    Attributes:
        below: of the photo's crop, how many pixels a driver's has at most that is seen otherwise. least: pixels of a
            driver's crop that still show a face. quality: of a JPEG: the small photo is looked at as it is and as one,
            since small drivers are mostly coded strongly too.
    """

    below: float = 0.7
    least: float = 40.0
    quality: int = 30


@dataclass(frozen=True)
class TrackSettings:
    """Of `track_source`, `track_driver`, `track_folder` and what they share, each station's own among them.

    Attributes:
        margin: pixels of a 512-pixel crop that the photo has beyond each side of the shown crop. By eye.
        image_fps: frames a second of a picture's single frame; nothing depends on it.
        matte: of a photo. whole: of one that is drawn as a whole. crop, cuts: of a clip's crops and shots.
        glimpse: of what is kept of a clip's pictures. fit, pose: of the open head's fit. flame: of FLAME's.
        refine, torso, ring, view, reading: of what a clip's pictures say: points, shoulders, the inside of the mouth.
        looked_at: shots of a clip, the longest ones, whose pictures correct their points: each takes memory.
        settle: frames after which the points of a still picture stand still; read off MediaPipe's tracker.
        small: of the offset of small faces.
        bridged: seconds; gaps up to this long are interpolated, longer ones held. By eye.
    """

    margin: int = 96
    image_fps: Fraction = Fraction(25)
    matte: MatteSettings = field(default_factory=MatteSettings)
    whole: WholeSettings = WholeSettings()
    crop: CropSettings = CropSettings()
    cuts: CutSettings = CutSettings()
    glimpse: GlimpseSettings = GlimpseSettings()
    fit: FitSettings = FitSettings()
    pose: PoseFitSettings = PoseFitSettings()
    flame: FlameFitSettings = FlameFitSettings()
    refine: RefineSettings = RefineSettings()
    torso: TorsoSettings = TorsoSettings()
    ring: RingSettings = field(default_factory=RingSettings)
    view: ViewSettings = field(default_factory=ViewSettings)
    reading: ReadingSettings = field(default_factory=ReadingSettings)
    looked_at: int = 8
    settle: int = 5
    small: SmallSettings = SmallSettings()
    bridged: Fraction = Fraction(1, 2)
