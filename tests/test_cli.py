"""The command line as a person meets it: what it says, how it exits, what it leaves behind."""

import os
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.data.image import write_image
from core.data.video import VideoReader, VideoWriter
from inference import main
from tests.made_once import copy_cache

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data"
PHOTO = ROOT / "demos/examples/1.jpg"
TRACK = ROOT / "demos/drivers/obama"
DRIVE = ("-i", PHOTO, "-d", TRACK)


def command(*arguments) -> list[str]:
    return [sys.executable, str(ROOT / "inference.py"), *map(str, arguments)]


def environment(folder: Path) -> dict[str, str]:
    """The user's cache is neither used nor filled."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}


def run(folder: Path, *arguments) -> subprocess.CompletedProcess:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    env = environment(folder)
    return subprocess.run(command(*arguments), cwd=work, env=env, capture_output=True, text=True, timeout=300)


def refused(folder: Path, *arguments) -> str:
    """The one line that a refused run says; nothing may be left behind."""
    done = run(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert [path for path in (folder / "work").rglob("*") if path.is_file()] == []
    return line


def noise(path: Path) -> Path:
    write_image(path, np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    return path


def noise_video(path: Path) -> Path:
    rng = np.random.default_rng(0)
    with VideoWriter(path, Fraction(25), (160, 160)) as writer:
        for _ in range(3):
            writer.write(rng.integers(0, 256, (160, 160, 3), dtype=np.uint8))
    return path


def test_help_is_quick_and_complete(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(tmp_path, "--help")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of a core, not by the clock, and generous: the machine may be busy.
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < 5
    assert done.returncode == 0
    assert "--temporal-smooth" in done.stdout


def test_parsing_loads_nothing_heavy():
    heavy = "{'torch', 'cv2', 'numba', 'av', 'numpy', 'mediapipe'}"
    code = "import sys, inference; from core.command_line import load_options; load_options(['-i', 'a']); "
    code += f"print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_name_that_is_wrong_is_refused_before_the_libraries_are_loaded():
    code = "import sys, inference; inference.main(['-i', 'missing.jpg', '-d', 'missing.mp4']); "
    code += "print({'torch', 'cv2', 'numba', 'mediapipe'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr.count("missing.jpg does not exist")) == ("set()", 1)


@pytest.fixture
def refused_here(tmp_path, monkeypatch, capsys):
    """As `refused`, in this process: the libraries are loaded once for all cases."""

    def call(*arguments) -> str:
        (tmp_path / "work").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert main([*map(str, arguments)]) == 2
        assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []
        said = capsys.readouterr()
        assert said.out == ""
        line = said.err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return call


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no photo given"),
        (("-i", PHOTO), "no driver given"),
        (("-i", "missing.jpg", "-d", TRACK), "missing.jpg does not exist"),
        (("-i", PHOTO, "-d", "missing.mp4"), "missing.mp4 does not exist"),
        (("-i", TRACK, "-d", TRACK), "is a folder"),
        (("-i", PHOTO, "-d", ROOT / "core"), "no tracked driver"),
        ((*DRIVE, "--device", "gpu"), "invalid choice: 'gpu'"),
        ((*DRIVE, "--device", "cuda"), "runs on the CPU"),
        ((*DRIVE, "--background", "nocolour"), "no colour"),
        ((*DRIVE, "--model", "gagavatar"), "licence was not accepted"),
        ((*DRIVE, "--background", TRACK), "is a folder"),
        ((*DRIVE, "--model", "gagavatar", "-r", "none.pt"), "none.pt does not exist"),
        ((*DRIVE, "--model", "lifted", "-r", "net.pt"), "reads no checkpoint"),
        ((*DRIVE, "-o", "out.png"), "must end in one of .mp4"),
        ((*DRIVE, "-o", "out"), "must end in one of .mp4"),
        ((*DRIVE, "-o", "/dev/null/out.mp4"), "cannot be written"),
        ((*DRIVE, "--config", "missing.yaml"), "missing.yaml cannot be read"),
        ((*DRIVE, "--unknown"), "unrecognized arguments: --unknown"),
    ],
)
def test_refused_in_one_line(refused_here, arguments, said):
    assert said in refused_here(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "no photo given"), ((*DRIVE, "--device", "cuda"), "runs on the CPU")]
)
def test_refused_in_a_process_of_its_own(tmp_path, arguments, said):
    assert said in refused(tmp_path, *arguments)


def test_files_that_are_not_what_they_say(tmp_path, refused_here):
    text, empty = tmp_path / "text.jpg", tmp_path / "empty.mp4"
    text.write_text("not a picture")
    empty.write_bytes(b"")
    assert "neither a picture nor a video" in refused_here("-i", text, "-d", TRACK)
    assert "is empty" in refused_here("-i", PHOTO, "-d", empty)
    (tmp_path / "upstream").mkdir()
    (tmp_path / "upstream/smoothed.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert "GAGAvatar_track" in refused_here("-i", PHOTO, "-d", tmp_path / "upstream")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/track.npz").write_bytes(b"PK\x03\x04")
    assert "damaged" in refused_here("-i", PHOTO, "-d", tmp_path / "damaged")


def test_output_over_an_input_is_refused(tmp_path, refused_here):
    driver = noise_video(tmp_path / "clip.mp4")
    before = driver.read_bytes()
    assert "is an input of this run" in refused_here("-i", PHOTO, "-d", driver, "-o", driver)
    assert driver.read_bytes() == before


def test_no_face(tmp_path, refused_here):
    assert "face" in refused_here("-i", noise(tmp_path / "noise.png"), "-d", TRACK)
    assert "face" in refused_here("-i", PHOTO, "-d", noise_video(tmp_path / "noise.mp4"))


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_a_dog_is_refused(refused_here):
    assert "face" in refused_here("-i", DATA / "sources/not_a_human_face.jpg", "-d", TRACK)


def test_a_whole_run_with_a_picture_as_driver(tmp_path, demo_cache):
    copy_cache(demo_cache, tmp_path / "cache")
    done = run(tmp_path, "-i", PHOTO, "-d", PHOTO, "-o", tmp_path / "work", "--layout", "result")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith(str(tmp_path / "work/1_1.png"))
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["1_1.png"]
    quiet = run(tmp_path, "-i", PHOTO, "-d", PHOTO, "-o", "b.png", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path, demo_cache, number, code):
    copy_cache(demo_cache, tmp_path / "cache")
    process = subprocess.Popen(
        command(*DRIVE, "-o", tmp_path / "out.mp4"), stderr=subprocess.PIPE, env=environment(tmp_path)
    )
    limit = time.perf_counter() + 60
    while not list(tmp_path.glob(".*.part")) and time.perf_counter() < limit and process.poll() is None:
        time.sleep(0.01)  # until it renders
    process.send_signal(number)
    stderr = process.communicate(timeout=15)[1].decode()  # seconds: at once, on however busy a machine
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_contact_sheet(tmp_path):
    video = noise_video(tmp_path / "noise.mp4")
    call = [sys.executable, "-m", "demos.contact_sheet", str(video)]
    assert subprocess.run(call, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    assert VideoReader(video).size == (160, 160)
    assert (tmp_path / "noise.png").is_file()
