"""How far a source's lips and lids are to be open for a driver's, and the codes that open them so far.

The same code opens the mouths and eyes of two people by different shares. A motion's two ends are the same on
everybody: closed is closed, and an open eye is as open as that person's eyes are. So lids are retargeted as a part of
each person's open eye (Guo et al., LivePortrait, 2024, retarget eyes and lips as ratios too), lips as their gap over
the distance of the eyes, counted from contact; the codes are changed by as little as gives the source these openings.

`part_goals` are those of the plain strategy, `transferred_goals` of the improved one, which knows a gain, lids that a
tracker loses, and limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.libs.face_measures import closed_lip_gap, lip_contact, open_lid_gap
from core.libs.numeric import smoothstep, soft_clip, soft_upper_clip
from core.libs.retargeting.neutral import NeutralSettings
from core.libs.retargeting.openings import FaceOpenings


@dataclass(frozen=True)
class OpeningSettings:
    """How openings are carried over. By eye, on the development clips, where nothing else is said.

    `lid_*` are parts of an open eye, `lip_*` distances of the eyes' outer corners.

    Attributes:
        lid_contact: the opening at which a tracker has lids that touch, where a clip has no blink; lid_contact_least,
            lid_contact_most: what it may be, where there is one; lid_no_blink: a clip's smallest opening from which on
            there is none.
        lid_closing: opening from which on lids are not brought together beyond their curve.
        lid_curve: exponent of the part of an eye that is open, on the open head. The built-in avatar's lids are seen
            less closed than their mesh: at 0.6 a tracker sees 0.65 to 0.9, where both ends are as on a real face.
        lid_together: openings, as they are shown, at which the wider eye of two follows the narrower one, and from
            which on each goes its own way: a blink that is tracked in one eye is one, and a wink's other eye is open.
        lid_alike: difference of two eyes up to which they are equally open in a blink, and from which on it is meant.
            lid_blinking: their mean opening up to which it is a blink, and from which on eyes are open.
        lid_wide, lid_widest: opening from which on it is compressed, and its limit.
        lip_wide, lip_widest: the same for lips.
        lip_closing: lips nearer than this are brought together all along their rim.
        lip_pressed: how far lips that touch may be pressed into one another.
        least_eye: the least that a driver's open eye may be, over the mean person's.
        eye_spread: people's open eyes as part of the mean one's, plus and minus.
        rounds, more_rounds: of Newton steps towards the openings; the latter where the codes' limit cut a change.
        cut: standard deviations cut off a change, from which on its frame takes part in those steps in full.
        limit: standard deviations that no code of the plain strategy goes beyond for an opening's sake.
    """

    lid_contact: float = 0.12
    lid_contact_least: float = 0.1
    lid_contact_most: float = 0.35
    lid_no_blink: float = 0.6
    lid_closing: float = 0.7
    lid_curve: float = 1.4
    lid_together: tuple[float, float] = (0.4, 0.7)
    lid_alike: tuple[float, float] = (0.15, 0.35)
    lid_blinking: tuple[float, float] = (0.8, 0.95)
    lid_wide: float = 1.15
    lid_widest: float = 1.45
    lip_wide: float = 0.55
    lip_widest: float = 0.8
    lip_closing: float = 0.025
    lip_pressed: float = 0.004
    least_eye: float = 0.45
    eye_spread: float = 0.25
    rounds: int = 3
    more_rounds: int = 12
    cut: float = 0.1
    limit: float = 20.0


OPENINGS = OpeningSettings()


def part_goals(
    driver_face: FaceOpenings,
    driver_gaps: np.ndarray,  # (T, rows)
    visible: np.ndarray,  # indices
    source_face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    neutral: NeutralSettings,
    settings: OpeningSettings = OPENINGS,
) -> np.ndarray:  # (T, openings)
    """The openings of the plain strategy, in head units.

    An eye is open by the part of the photo's that the driver's is of its own open eye; wider than that by the same
    part or by as much, whatever is more. At the driver's rest the photo's eyes are the photo's, and so are its lips,
    where they touch in the photo.
    """
    goals = np.empty((len(driver_gaps), len(source_face.names)))
    eyes, parts, open_eyes = _lids(driver_face, driver_gaps, visible, 1.0, settings)
    for i, part, open_eye in zip(eyes, parts.T, open_eyes, strict=True):
        more = np.maximum(driver_gaps[:, i] - open_eye, 0) * (source_face.width / driver_face.width)
        wider = soft_upper_clip(1 + more / max(source_gaps[i], 1e-6), settings.lid_wide, settings.lid_widest)
        goals[:, i] = source_gaps[i] * np.where(more > 0, np.maximum(part, wider), part)
    if "lips" in source_face.names:
        i, most = source_face.names.index("lips"), neutral.contact
        over = driver_gaps[:, i] / driver_face.width
        contact = closed_lip_gap(np.percentile(over[visible], 2), most)
        own = closed_lip_gap(source_gaps[i] / source_face.width, most)
        goals[:, i] = source_face.width * _lips(over - contact, own, 1.0, settings)
    return goals


def transferred_goals(
    driver_face: FaceOpenings,
    driver_gaps: np.ndarray,  # (T, rows)
    visible: np.ndarray,  # indices
    source_face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    gain: float,
    neutral: NeutralSettings,
    settings: OpeningSettings = OPENINGS,
) -> np.ndarray:  # (T, openings)
    """The openings of the improved strategy, in head units; `gain` is that of the expression."""
    goals = np.empty((len(driver_gaps), len(source_face.names)))
    eyes, parts, _ = _lids(driver_face, driver_gaps, visible, gain, settings)
    goals[:, eyes] = source_gaps[eyes] * parts
    if "lips" in source_face.names:
        i = source_face.names.index("lips")
        over = driver_gaps[:, i] / driver_face.width
        own, contact = min(source_gaps[i] / source_face.width, 0.0), lip_contact(over[visible], neutral.contact)
        goals[:, i] = source_face.width * _lips(over - contact, own, gain, settings)
    return goals


def opened(
    face: FaceOpenings,
    source_gaps: np.ndarray,  # (rows,) in the photo
    goals: np.ndarray,  # (T, openings)
    expcode: np.ndarray,  # (T, N)
    jaw: np.ndarray,  # (T, 3)
    limit: float,
    settings: OpeningSettings = OPENINGS,
    own_lips: float = 0.0,
) -> np.ndarray:  # (T, N)
    """The codes with the least change that gives lips and lids their goals; none goes beyond the limit.

    The shape of an opening is left to the codes while it is open; the more it closes, the more every pair of its rim is
    brought together: lids of another person's shape would else leave a slit or cross beside the middle. `own_lips`:
    how much the rim of the photo's lips is that of closed ones, and kept when they close, 0 to 1.

    A change is compressed over the last third of its code's way to the limit. What that cuts off is distributed over
    all codes again, in further rounds.
    """
    n = goals.shape[1]
    part, shut = np.empty_like(goals), np.empty((len(goals), len(face.rim_of)))
    for i, name in enumerate(face.names):
        rim = source_gaps[n:][face.rim_of == i]
        if name == "lips":
            part[:, i] = goals[:, i] / (settings.lip_closing * face.width)
            shut[:, face.rim_of == i] = np.minimum(rim, 0) + own_lips * np.maximum(rim, 0)
        else:
            part[:, i] = goals[:, i] / max(source_gaps[i], 1e-6)
            shut[:, face.rim_of == i] = np.maximum(part[:, i : i + 1], 0) * rim
    closing = np.clip(1 - part, 0, 1)[:, face.rim_of]
    openings_inverse, inverse = face.pseudo_inverse(rims=False), face.pseudo_inverse()

    def correction(codes: np.ndarray, frames: slice | np.ndarray) -> np.ndarray:
        gaps = face.gaps(codes, jaw[frames])
        missing = goals[frames] - gaps[:, :n]
        along = missing @ openings_inverse @ face.gradient[n:].T  # how the correction of an opening moves its rim
        rims = along + closing[frames] * (shut[frames] - gaps[:, n:] - along)
        return np.concatenate([missing, rims], 1) @ inverse

    change, codes = np.zeros_like(expcode), expcode
    for _ in range(settings.rounds):  # linear but for the jaw's turn
        change = change + correction(codes, slice(None))
        codes = _within(expcode, change, limit)
    limited = np.flatnonzero(np.abs(expcode + change - codes).max(1))
    for _ in range(settings.more_rounds if len(limited) else 0):
        lost = np.abs(expcode + change - codes)[limited].max(1, keepdims=True)
        change[limited] += np.minimum(lost / settings.cut, 1) * correction(codes[limited], limited)
        codes[limited] = _within(expcode[limited], change[limited], limit)
    return codes


def _within(codes: np.ndarray, change: np.ndarray, limit: float) -> np.ndarray:
    """The codes and their change together, the change limited to the room that each code has left on its side."""
    room = np.maximum(limit - np.sign(change) * codes, 1e-9)
    return codes + soft_clip(change, room)


def _lips(gap: np.ndarray, closed: float, gain: float, settings: OpeningSettings) -> np.ndarray:
    """Gaps of lips (T,) for a source whose lips touch at the gap `closed`, from a driver's counted from its contact.

    All are over the distance of the eyes.
    """
    s, opening = settings, gain * gap
    pressed = s.lip_pressed * np.tanh(opening / s.lip_pressed)
    return closed + np.where(opening < 0, pressed, soft_upper_clip(opening, s.lip_wide, s.lip_widest))


def _lids(
    face: FaceOpenings, gaps: np.ndarray, visible: np.ndarray, gain: float, settings: OpeningSettings
) -> tuple[list[int], np.ndarray, list[float]]:
    """The rows of a driver's eyes, the parts (T, eyes) by which a source's are to be open, and the driver's open eyes.

    `gaps` (T, rows) are the driver's, `visible` the frames that show its face.
    """
    s, eyes = settings, [i for i, name in enumerate(face.names) if name != "lips"]
    opens = [_open_eye(gaps[visible, i], face.reference[i], s) for i in eyes]
    part = gaps[:, eyes] / opens
    seen = np.clip(part, 0, 1)
    # Shut is shut, however a tracker reports it; an open eye keeps its motion.
    contacts = [_contact(p[visible], s) for p in part.T]
    shut = np.stack([smoothstep(p, touch, s.lid_closing) for p, touch in zip(seen.T, contacts, strict=True)], 1)
    closed = 1 - (_together(seen**s.lid_curve * shut, s) + np.maximum(part - 1, 0))
    # Shut stays shut under any gain.
    closed *= gain if gain > 1 else gain + (1 - gain) * np.clip(closed, 0, 1) ** 2
    return eyes, np.maximum(soft_upper_clip(1 - closed, s.lid_wide, s.lid_widest), 0), opens


def _together(part: np.ndarray, settings: OpeningSettings) -> np.ndarray:
    """The parts (T, eyes) by which eyes are open, of two that blink made one.

    A difference that a tracker makes between two eyes goes to both, half of it to each; a wider one is a blink that is
    tracked in one eye, or a wink.
    """
    s, narrow = settings, part.min(1, keepdims=True)
    part = part + (1 - smoothstep(part, *s.lid_together)) * (narrow - part)
    mean, apart = part.mean(1, keepdims=True), np.ptp(part, 1)[:, None]
    alike = (1 - smoothstep(apart, *s.lid_alike)) * (1 - smoothstep(mean, *s.lid_blinking))
    return part + alike * (mean - part)


def _open_eye(gaps: np.ndarray, reference: float, settings: OpeningSettings) -> float:
    """A driver's open eye, from the gaps (K,) of its frames; `reference`: the mean person's.

    Where there is only one picture of a driver, its eye is taken for open, within what people's open eyes are.
    """
    s = settings
    if len(gaps) > 1:
        return max(open_lid_gap(gaps), s.least_eye * reference)
    return float(np.clip(gaps.mean(), (1 - s.eye_spread) * reference, (1 + s.eye_spread) * reference))


def _contact(part: np.ndarray, settings: OpeningSettings) -> float:
    """The part of an open eye at which a driver's lids touch, from the parts (K,) of its frames."""
    s = settings
    low = np.sort(part)[: max(2, len(part) // 100)].mean() if len(part) > 1 else 1.0
    blinks = np.clip((s.lid_no_blink - low) / (s.lid_no_blink - s.lid_contact_most), 0, 1)
    return float(s.lid_contact + blinks * (np.clip(low, s.lid_contact_least, s.lid_contact_most) - s.lid_contact))
