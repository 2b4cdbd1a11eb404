"""The ablation: a whole run on a clip of plain greys with known scores, its pairs, variants and files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from core.components import Components
from core.data.image import write_image
from core.data.records import TrackedFrame, TrackedSequence, TrackedSource
from core.data.video import VideoReader, VideoWriter
from core.errors import UserError
from core.evaluation import ablation, metrics, runner
from core.evaluation.conditions import Condition
from core.evaluation.measure import Experiment
from core.evaluation.setting import Setting
from core.evaluation.variants import TRUE_TRACK, Pair, Variant, comparisons, make_pair, read_pairs, standard_variants
from core.libs.tracker.base import Observation
from core.options import IMPROVEMENTS, Options

DEMOS = Path(__file__).parents[1] / "demos"
FPS, FRAMES = Fraction(25), 9


# ------------------------------------------------------------------------------------------------ pairs and variants


def test_standard_variants_switch_what_their_name_says():
    options = Options()
    on = {v.name: [name for name in IMPROVEMENTS if v.applied(options).wants(name)] for v in standard_variants()}
    assert len(on) == 10
    assert on["off"] == []
    assert on["all"] == list(IMPROVEMENTS)
    for name in IMPROVEMENTS:
        short = name.split("_")[0]
        assert on[short] == [name]
        assert on[f"without {short}"] == [other for other in IMPROVEMENTS if other != name]
    assert Variant("off").applied(Options(enhanced=True)).wants("gaze_correct") is False


def test_comparisons():
    found = comparisons([v.name for v in standard_variants()])
    assert ("all", "off", "all") in found
    assert ("gaze", "off", "gaze") in found
    assert ("gaze last", "without gaze", "all") in found
    assert len(found) == 9
    assert comparisons(["off", "detail"]) == [("detail", "off", "detail")]
    assert comparisons(["detail", "all"]) == []


def test_pairs(clip, photo, tmp_path):
    assert make_pair(None, clip).same_person
    assert make_pair("first-frame", clip).name == "clip"
    assert make_pair(photo, clip) == Pair("photo-clip", clip, photo)
    file = tmp_path / "pairs.yaml"
    file.write_text(f"- driver: {clip}\n- driver: {clip}\n  source: {photo}\n  name: cross\n")
    assert read_pairs(file) == [Pair("clip", clip), Pair("cross", clip, photo)]
    head = tmp_path / "head.npz"
    head.touch()
    file.write_text(f"- {{driver: {clip}, head: {head}}}")
    assert read_pairs(file) == [Pair("clip", clip, head=head)]
    for text, said in [
        ("driver: x", "write a list"),
        (f"- {{driver: {clip}, sorce: x}}", "is no pair"),
        (f"- {{driver: {clip}, head: none.npz}}", "none.npz is not there: make it with"),
        (f"- driver: {clip}\n- driver: {clip}", "two pairs are called clip"),
        (f"- driver: {photo}", "needs a video"),
        ("- [", "cannot be read"),
    ]:
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            read_pairs(file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a driver"),
        (["-d", "none.mp4"], "none.mp4"),
        (["-d", "CLIP", "--pairs", "x.yaml"], "give a driver"),
        (["-d", "CLIP", "--stride", "0"], "--stride"),
        (["-d", "CLIP", "--variants", "all"], "keep 'off'"),
        (["-d", "CLIP", "--modell", "lifted"], "--modell"),
        (["-i", "CLIP", "-d", "CLIP"], "give a picture"),
        (["-d", str(DEMOS / "drivers/obama")], "name a photo with -i"),
        (["-d", str(DEMOS / "examples")], "no tracked driver"),
        (["-d", str(DEMOS / "examples/1.jpg")], "needs a video as driver"),
    ],
)
def test_wrong_arguments_are_one_line(clip, tmp_path, capsys, arguments, said):
    arguments = [str(clip) if a == "CLIP" else a for a in arguments]
    assert ablation.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# ----------------------------------------------------------------------------- a whole run, with stand-ins for the slow


def mean_face() -> np.ndarray:
    points = np.random.default_rng(1).normal(0, 0.4, (metrics.N_POINTS, 3))
    points[list(metrics.STABLE_POINTS)] = metrics.STABLE_TEMPLATE
    points[:, :2] = points[:, :2].clip(-1.2, 1.2)
    return points * 100 + [256, 256, 0]


class GreyTracker:
    """Sees the mean face in everything, moved to the right by as many pixels as the picture is bright."""

    name, version = "grey", "1"

    def follow(self, image: np.ndarray) -> Observation | None:
        return Observation((mean_face() + [image.mean() / 10, 0, 0]).astype(np.float32))

    detect = follow

    def matte(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32)

    def reset(self) -> None: ...

    def close(self) -> None: ...


def a_track(times: list[Fraction]) -> TrackedSequence:
    n = len(times)
    pose = np.concatenate([np.diag([-1, 1, -1]), [[0], [0], [30]]], 1).astype(np.float32)
    return TrackedSequence(
        shapecode=np.zeros((1, 300), np.float32),
        expcode=np.zeros((n, 100), np.float32),
        posecode=np.zeros((n, 6), np.float32),
        eyecode=np.zeros((n, 6), np.float32),
        transform_matrix=np.tile(pose, (n, 1, 1)),
        bbox=np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (n, 1)),
        times=tuple(times),
        fps=FPS,
        status=np.zeros(n, np.int8),
        crops=np.tile(np.float32([0, 0, 512]), (n, 1)),
    )


def a_source(*_) -> TrackedSource:
    codes = {"shapecode": 300, "expcode": 100, "posecode": 6, "eyecode": 6, "bbox": 4}
    track = a_track([Fraction(0)])
    frame = TrackedFrame(
        **{name: np.zeros(n, np.float32) for name, n in codes.items()}, transform_matrix=track.transform_matrix[0]
    )
    image = np.full((704, 704, 3), 90, np.uint8)
    return TrackedSource(frame, image, np.ones((704, 704), np.float32), 96, np.ones((704, 704), bool))


class GreyAvatar:
    """Grey pictures: 100 / 255, or 110 / 255 where the motion is absolute."""

    name = "grey"

    def __init__(self, grey: int, count: list[int]) -> None:
        self.grey, self.count = grey, count

    def warm_up(self) -> float:
        return 0.0

    def encode(self, source, anchor=None) -> int:
        return self.grey

    def render(self, avatar, request) -> torch.Tensor:
        self.count.append(1)
        return torch.full((3, 512, 512), avatar / 255)


class PointHead:
    kind = "open"
    faces = np.array([[0, 1, 2]])

    def evaluate(self, frame: TrackedFrame) -> np.ndarray:
        return np.zeros((3, 3), np.float32)


def grey_components(options: Options, count: list[int]) -> Components:
    grey = 110 if options.background == "white" else 100
    return Components(
        track_source=lambda path, force: a_source(),
        track_driver=lambda path, force, advance: a_track([f.time for f in VideoReader(path)]),
        crop=lambda image, square, size: image,
        head=PointHead(),
        model=GreyAvatar(grey, count),
        retarget=lambda source, driver, head: driver,
    )


@contextmanager
def grey_experiment(setting: Setting, count: list[int]) -> Iterator[Experiment]:
    yield Experiment(setting, GreyTracker(), partial(grey_components, count=count), a_source)


BRIGHTER = (Variant("off"), Variant("all", {"background": "white"}))  # 10 levels brighter, see `grey_components`


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_image(tmp_path / "photo.png", np.full((64, 64, 3), 90, np.uint8))
    return tmp_path / "photo.png"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine frames of the grey 120, each."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "clip.mp4", FPS, (512, 512)) as writer:
        for _ in range(FRAMES):
            writer.write(np.full((512, 512, 3), 120, np.uint8))
    return tmp_path / "clip.mp4"


def ablate(pairs: list[Pair], out: Path, count: list[int], **changes) -> list:
    settings = {
        "variants": BRIGHTER,
        "stride": 2,
        "workers": 1,
        "quiet": True,
        "opener": partial(grey_experiment, count=count),
    }
    return ablation.ablate(pairs, out, **{**settings, **changes})


def test_self_reenactment_has_the_scores_of_greys(clip, tmp_path):
    count: list[int] = []
    rows = ablate([make_pair(None, clip)], tmp_path / "out", count)
    found = {row.metric.key: row.result for row in rows if row.label == "all"}
    truth = next(iter(VideoReader(clip))).image[256, 256].astype(float)
    expected = [20 * np.log10(255 / np.sqrt(np.square(truth - grey).mean())) for grey in (100, 110)]
    assert found["psnr"].base == pytest.approx(expected[0], abs=1e-3)
    assert found["psnr"].gain == pytest.approx(expected[1] - expected[0], abs=1e-3)
    assert found["psnr"].verdict == "better"
    assert found["stability"].value == pytest.approx(1, abs=1e-6)
    assert found["stability"].verdict == "none"
    # The tracker sees 1 px for 10 levels
    assert found["akd"].value == pytest.approx((truth.mean() - 110) / 10, abs=0.02)
    assert found["akd"].gain == pytest.approx(1, abs=0.02)
    assert found["jitter"].value == pytest.approx(0, abs=1e-6)
    assert found["lpips"].verdict == "not measured"
    # 9 frames of each variant and 9 of off beside it, to time both by turns
    assert len(count) == 3 * FRAMES


@pytest.mark.parametrize("oracles", [True, False])
def test_oracles_can_be_left_out(clip, photo, tmp_path, oracles, monkeypatch):
    made: list[str] = []
    monkeypatch.setattr(ablation, "run_all", lambda runs, *_: made.extend(run.variant.name for run in runs))
    monkeypatch.setattr(ablation, "show", lambda *_: [])
    pairs, conditions = [make_pair(photo, clip)], [Condition("poor-photo")]
    ablate(pairs, tmp_path / "out", [], conditions=conditions, oracles=oracles)
    assert made == ["off", "all", "off", "all"] + ["true photo", "best filter"] * oracles


def test_what_is_written(clip, photo, tmp_path):
    out = tmp_path / "out"
    ablate([make_pair(None, clip), make_pair(photo, clip)], out, [])
    names = {path.name for path in out.iterdir()}
    assert {"table.md", "table.csv", "metrics.json", "sheet_clip.png", "time_photo-clip.png"} <= names
    assert {"gains_self-reenactment.png", "gains_cross-identity.png", "off_all_clip.mp4"} <= names
    video = VideoReader(out / "off_all_clip.mp4")
    frames = [frame.image for frame in video]
    assert (len(frames), video.fps, video.size) == (FRAMES, FPS, (1536, 512))
    panels = [frames[4][100:400, 512 * i + 100 : 512 * i + 400].mean() for i in range(3)]
    assert panels == pytest.approx([120, 100, 110], abs=3)
    content = json.loads((out / "metrics.json").read_text())
    assert content["values"]["self-reenactment"]["clip"]["off"]["lpips"] is None
    assert content["values"]["cross-identity"]["photo-clip"]["all"]["found"] == 1
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert {row["group"] for row in rows} == {"self-reenactment", "cross-identity"}
    assert not [row for row in rows if row["group"] == "cross-identity" and row["metric"] == "psnr"]
    text = (out / "table.md").read_text()
    assert "| LPIPS (lower is better)" in text
    assert "not available" in text
    assert "none" in text


def test_a_tracked_folder_needs_a_photo_and_no_pictures(photo, clip, tmp_path):
    tracked = tmp_path / "tracked"
    a_track([i / FPS for i in range(FRAMES)]).save(tracked)
    with pytest.raises(UserError, match="name a photo with -i"):
        make_pair(None, tracked)
    rows = ablate([make_pair(photo, tracked)], tmp_path / "out", [], conditions=[Condition("tracking-noise")])
    assert {row.group for row in rows} == {"cross-identity", "cross-identity, tracking noise 0"}
    # What there is to be had under noise at most is the clip as it is, which is not rendered again
    labels = {group: {row.label for row in rows if row.group == group} for group in {row.group for row in rows}}
    assert labels["cross-identity, tracking noise 0"] - labels["cross-identity"] == {TRUE_TRACK}
    assert not list((tmp_path / "out").rglob("true-*"))
    values = {row.metric.key: row.result for row in rows if row.group == "cross-identity" and row.clip == "all"}
    assert "psnr" not in values  # there is no true picture
    assert values["found"].base == 1
    assert values["pose"].base == pytest.approx(0, abs=1e-6)  # both stand still
    off_all = [frame.image for frame in VideoReader(tmp_path / "out/off_all_photo-tracked.mp4")]
    assert off_all[0].shape == (512, 1536, 3)
    assert off_all[0][:, :512].std() > 5  # the driver's mesh
    replace(TrackedSequence.load(tracked), head="flame").save(tracked)
    with pytest.raises(UserError, match="too few points"):
        make_pair(photo, tracked)


def test_a_finished_run_is_not_made_again(clip, tmp_path):
    count: list[int] = []
    pair, out = make_pair(None, clip), tmp_path / "out"
    first = ablate([pair], out, count)
    made, text = len(count), (out / "table.md").read_text()
    assert repr(ablate([pair], out, count)) == repr(first)
    assert len(count) == made
    assert (out / "table.md").read_text() == text
    columns = next((out / "runs" / "clip").glob("all-*")) / "columns.npz"
    columns.unlink()  # as if it had been killed there
    ablate([pair], out, count)
    assert len(count) == made + 2 * FRAMES
    ablate([pair], out, count, stride=3)  # measured otherwise: all anew
    assert len(count) == 2 * made + 2 * FRAMES


class BlindTracker(GreyTracker):
    """Sees no face in what is darker than the clip, which the results are."""

    def follow(self, image: np.ndarray) -> Observation | None:
        return super().follow(image) if image.mean() > 115 else None


def test_results_without_a_face_are_said_and_not_measured(clip, tmp_path):
    @contextmanager
    def blind(setting: Setting) -> Iterator[Experiment]:
        yield Experiment(setting, BlindTracker(), partial(grey_components, count=[]), a_source)

    rows = ablate([make_pair(None, clip)], tmp_path / "out", [], opener=blind)
    found = {row.metric.key: row.result for row in rows}
    assert found["found"].value == 0
    assert {found[key].verdict for key in ("akd", "gaze", "jitter", "mouth")} == {"not measured"}
    assert found["psnr"].verdict == "better"


def test_only_the_first_frames(clip, tmp_path):
    count: list[int] = []
    ablate([make_pair(None, clip)], tmp_path / "out", count, frames=5, variants=[Variant("off")])
    assert len(count) == 5
    with pytest.raises(UserError, match=r"clip: .*at least three frames"):
        ablate([make_pair(None, clip)], tmp_path / "out", count, frames=2)


def test_keys_follow_options_and_inputs(clip, photo, tmp_path):
    def keys(pair: Pair, **changes) -> list[str]:
        setting = Setting(pair, **changes)
        return [run.folder.name for run in runner.plan([setting], [Variant("off")], tmp_path)]

    pair = make_pair(photo, clip)
    assert keys(pair) == keys(pair)
    before = keys(pair)
    assert keys(pair, arguments=("--background", "red")) != before
    assert keys(pair, condition=Condition("tracking-noise", 1)) != keys(pair, condition=Condition("tracking-noise", 2))
    write_image(photo, np.full((64, 64, 3), 91, np.uint8))
    assert keys(pair) != before


def test_runs_are_shared_out_by_setting(clip, tmp_path):
    setting = Setting(make_pair(None, clip))
    runs = runner.plan(
        [setting, replace(setting, condition=Condition("tracking-noise"))], standard_variants(), tmp_path
    )
    assert [len(job.runs) for job in runner.split_into_jobs(runs, 2)] == [10, 10]
    alone = runner.split_into_jobs(runs[:10], 2)
    assert sorted(run.variant.name for share in alone for run in share.runs) == sorted(
        r.variant.name for r in runs[:10]
    )
    assert [len(share.runs) for share in alone] == [5, 5]
