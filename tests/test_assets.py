"""Fetching the published files, from a server on loopback that answers as the hub does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import hub_server
import pytest
from hub_server import COMMIT, HEAD, NETWORK, SMALL, Hub, serving

from core.assets import ASSETS, CHECKPOINT, FLAME, QUESTION, AssetPaths, ensure_assets, main
from core.errors import UserError


@pytest.fixture
def hub(monkeypatch):
    with serving(monkeypatch) as hub:
        yield hub


def fetch(hub: Hub, folder: Path, **settings) -> AssetPaths:
    settings = {"accept_license": True, "wanted": SMALL, "quiet": True, **settings}
    return ensure_assets(folder, endpoint=hub.endpoint, **settings)


def fails(hub: Hub, folder: Path, *words: str, **settings) -> str:
    """Refused in one line that names the files, and no file of that name is there but whole ones."""
    with pytest.raises(UserError) as caught:
        fetch(hub, folder, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(folder), *words):
        assert word in message, message
    whole = {"GAGAvatar.pt": NETWORK, "FLAME_with_eye.pt": HEAD}
    assert all(path.read_bytes() == whole[path.name] for path in folder.glob("*.pt"))
    return message


def parts(folder: Path) -> list[Path]:
    return list((folder / ".partial").glob("*.part"))


def test_the_released_files_are_the_ones_that_are_fetched():
    assert {(asset.source, asset.size, asset.licensed) for asset in ASSETS} == {
        ("assets/GAGAvatar.pt", 747_434_426, False),
        ("assets/FLAME_with_eye.pt", None, True),
    }


@pytest.mark.parametrize("elsewhere", [False, True])
def test_both_files_arrive_whole(hub, tmp_path, elsewhere):
    hub.elsewhere = elsewhere
    paths = fetch(hub, tmp_path / "new" / "assets")
    assert paths == AssetPaths(tmp_path / "new/assets/GAGAvatar.pt", tmp_path / "new/assets/FLAME_with_eye.pt")
    assert paths.checkpoint.read_bytes() == NETWORK
    assert paths.flame.read_bytes() == HEAD
    assert sorted(path.name for path in paths.flame.parent.iterdir()) == ["FLAME_with_eye.pt", "GAGAvatar.pt"]
    assert not any(token for *_, token in hub.log)  # a mirror does not get the user's token
    # The version that was looked up is the one that is fetched, should the repository change in between.
    assert all(COMMIT in path or "/cdn/" in path for method, path, *_ in hub.log if method == "GET")


def test_what_is_there_is_left_alone(hub, tmp_path):
    (tmp_path / "FLAME_with_eye.pt").write_bytes(b"by hand")
    (tmp_path / "GAGAvatar.pt").write_bytes(NETWORK)

    def ask(_: str) -> str:
        raise AssertionError("there is nothing to ask")

    fetch(hub, tmp_path, accept_license=None, ask=ask)
    assert hub.log == []
    assert (tmp_path / "FLAME_with_eye.pt").read_bytes() == b"by hand"
    (tmp_path / "GAGAvatar.pt").unlink()
    fetch(hub, tmp_path, accept_license=None, ask=ask)  # FLAME's licence was accepted with FLAME
    assert hub.gets() == [("GAGAvatar.pt", None)]


def test_a_wanted_file_alone(hub, tmp_path):
    fetch(hub, tmp_path, wanted=(FLAME,))
    assert [path.name for path in tmp_path.iterdir()] == ["FLAME_with_eye.pt"]


def test_a_file_of_another_size_is_not_taken_for_the_released_one(hub, tmp_path):
    (tmp_path / "GAGAvatar.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=r"GAGAvatar.pt has 42 bytes, the released file has 300,000: delete it"):
        fetch(hub, tmp_path)


class TestLicense:
    @pytest.mark.parametrize("answer", ["n", "", "no", "maybe"])
    def test_nothing_is_fetched_without_a_yes(self, hub, tmp_path, answer):
        message = fails(hub, tmp_path, "licence", accept_license=None, ask=lambda _: answer)
        assert "--accept-flame-license" in message
        assert hub.log == []

    @pytest.mark.parametrize("answer", ["y", "Yes "])
    def test_a_yes_is_enough(self, hub, tmp_path, answer):
        asked = []
        fetch(hub, tmp_path, accept_license=None, ask=lambda question: asked.append(question) or answer)
        assert asked == [QUESTION]
        assert "https://flame.is.tue.mpg.de" in QUESTION

    def test_no_question_where_the_answer_was_given(self, hub, tmp_path):
        fails(hub, tmp_path, "licence", accept_license=False, ask=lambda _: "y")

    def test_nobody_there(self, hub, tmp_path):
        def ask(_: str) -> str:
            raise EOFError

        fails(hub, tmp_path, "licence", accept_license=None, ask=ask)


class TestCutOff:
    def test_goes_on_where_it_was_cut_off(self, hub, tmp_path):
        (tmp_path / "FLAME_with_eye.pt").write_bytes(HEAD)
        hub.cuts = [100_000, 50_000]
        assert fetch(hub, tmp_path).checkpoint.read_bytes() == NETWORK
        assert hub.gets() == [("GAGAvatar.pt", span) for span in (None, "bytes=100000-", "bytes=150000-")]

    def test_a_reset_connection_is_taken_up_again(self, hub, tmp_path, monkeypatch):
        import huggingface_hub.file_download as library

        spans, get = [], library.http_get
        monkeypatch.setattr(library, "http_get", lambda *a, **k: spans.append(k["resume_size"]) or get(*a, **k))
        (tmp_path / "FLAME_with_eye.pt").write_bytes(HEAD)
        hub.files[CHECKPOINT.source] = data = NETWORK * 100  # more than the sockets hold
        hub.cuts, hub.reset = [len(data) - 1000], True
        wanted = (FLAME, replace(CHECKPOINT, size=len(data)))
        assert fetch(hub, tmp_path, wanted=wanted).checkpoint.read_bytes() == data
        assert len(spans) == 2
        assert 0 == spans[0] < spans[1] < len(data)

    def test_the_next_run_goes_on(self, hub, tmp_path):
        (tmp_path / "FLAME_with_eye.pt").write_bytes(HEAD)
        hub.cuts = [100_000] + [0] * 6
        fails(hub, tmp_path, "GAGAvatar.pt is missing", "run again to go on", "by hand")
        (part,) = parts(tmp_path)
        assert part.read_bytes() == NETWORK[:100_000]
        hub.cuts, hub.log = [], []
        assert fetch(hub, tmp_path).checkpoint.read_bytes() == NETWORK
        assert hub.gets() == [("GAGAvatar.pt", "bytes=100000-")]
        assert not (tmp_path / ".partial").exists()

    def test_a_new_version_is_not_put_onto_an_old_beginning(self, hub, tmp_path):
        hub.cuts = [5000] + [0] * 6
        fails(hub, tmp_path, "FLAME_with_eye.pt and ", "GAGAvatar.pt are missing")
        hub.cuts, hub.files[FLAME.source] = [], HEAD[::-1]
        assert fetch(hub, tmp_path).flame.read_bytes() == HEAD[::-1]

    def test_a_server_without_ranges(self, hub, tmp_path):
        hub.cuts, hub.ranges = [5000], False
        assert fetch(hub, tmp_path).flame.read_bytes() == HEAD

    def test_interrupted(self, hub, tmp_path, monkeypatch, capsys):
        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("huggingface_hub.file_download.http_get", stop)
        flags = ["--folder", str(tmp_path), "--accept-flame-license", "--endpoint", hub.endpoint]
        assert main(flags, wanted=SMALL) == 130
        assert list(tmp_path.glob("*.pt")) == []
        assert "run again to go on" in capsys.readouterr().err


class TestWrong:
    def test_bytes(self, hub, tmp_path):
        hub.sent[CHECKPOINT.source] = NETWORK[:-1] + b"?"
        fails(hub, tmp_path, "GAGAvatar.pt is missing", "SHA-256", "removed")
        assert (tmp_path / "FLAME_with_eye.pt").read_bytes() == HEAD  # what was right stays
        assert parts(tmp_path) == []

    def test_bytes_from_before(self, hub, tmp_path):
        """A wrong beginning does not stay in the way."""
        hub.cuts, hub.sent = [5000] + [0] * 6, {FLAME.source: HEAD[::-1]}
        fails(hub, tmp_path)
        hub.cuts, hub.sent = [], {}
        fails(hub, tmp_path, "SHA-256", "removed")
        assert fetch(hub, tmp_path).flame.read_bytes() == HEAD

    @pytest.mark.parametrize("sent", [NETWORK[:-1], NETWORK + b"?"])
    def test_length(self, hub, tmp_path, sent):
        hub.sent[CHECKPOINT.source] = sent
        fails(hub, tmp_path, "GAGAvatar.pt is missing")

    def test_another_file_than_the_released_one(self, hub, tmp_path):
        (tmp_path / "FLAME_with_eye.pt").write_bytes(HEAD)
        fails(hub, tmp_path, "300,000 bytes instead of 747,434,426", wanted=ASSETS)
        assert hub.gets() == []  # told from what the server says of it

    def test_without_a_hash_the_size_is_held_to(self, hub, tmp_path):
        hub.hashed = False
        assert fetch(hub, tmp_path).checkpoint.read_bytes() == NETWORK
        (tmp_path / "GAGAvatar.pt").unlink()
        hub.sent[CHECKPOINT.source] = NETWORK + b"?"
        fails(hub, tmp_path, "size")
        assert parts(tmp_path) == []


class TestRefused:
    @pytest.mark.parametrize(("code", "error"), [(401, "GatedRepo"), (403, "GatedRepo"), (401, "RepoNotFound")])
    def test_login(self, hub, tmp_path, code, error):
        hub.status, hub.error = code, error
        fails(hub, tmp_path, f"({code})", "https://huggingface.co/xg-chu/GAGAvatar", "hf auth login")

    def test_not_there(self, hub, tmp_path):
        del hub.files[FLAME.source]
        fails(hub, tmp_path, "404", "by hand")

    def test_server_error(self, hub, tmp_path):
        hub.status = 500
        fails(hub, tmp_path, "500")

    def test_offline(self, hub, tmp_path):
        hub.endpoint = "http://127.0.0.1:9"  # the discard port: nobody listens
        fails(hub, tmp_path, "no connection to http://127.0.0.1:9", "by hand", "assets/GAGAvatar.pt")

    def test_offline_mode(self, hub, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        fails(hub, tmp_path, "HF_HUB_OFFLINE")

    def test_no_hub(self, hub, tmp_path, monkeypatch):
        monkeypatch.setattr(hub_server, "COMMIT", "")
        fails(hub, tmp_path, "does not answer as a Hugging Face hub")

    def test_folder_that_cannot_be(self, hub, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="cannot be written"):
            fetch(hub, tmp_path / "file" / "assets")

    def test_full_disk(self, hub, tmp_path, monkeypatch):
        monkeypatch.setattr("core.assets.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
        fails(hub, tmp_path, "no room")

    def test_two_runs_at_once(self, hub, tmp_path):
        from filelock import FileLock

        (tmp_path / ".partial").mkdir()
        with FileLock(tmp_path / ".partial" / "lock"):
            fails(hub, tmp_path, "another run")
        fetch(hub, tmp_path)


def test_address_and_token_of_the_environment(hub, tmp_path):
    """HF_ENDPOINT is the user's own hub, which is sent the user's token, and is asked for the file alone."""
    code = (
        "import sys; from pathlib import Path; from core.assets import *\n"
        "ensure_assets(Path(sys.argv[1]), True, wanted=(FLAME,), quiet=True)"
    )
    settings = {"env": {**os.environ, "HF_ENDPOINT": hub.endpoint}, "cwd": Path(__file__).parent.parent}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, **settings)
    assert (tmp_path / "FLAME_with_eye.pt").read_bytes() == HEAD
    assert [(method, path.rsplit("/", 1)[1]) for method, path, *_ in hub.log] == [
        ("HEAD", "FLAME_with_eye.pt"),
        ("GET", "FLAME_with_eye.pt"),
    ]
    assert all(token for *_, token in hub.log)


class TestCommandLine:
    def test_all_goes_well(self, hub, tmp_path, capsys):
        flags = ["--folder", str(tmp_path), "--accept-flame-license", "--endpoint", hub.endpoint + "/"]
        assert main(flags, wanted=SMALL) == 0
        out = capsys.readouterr().out
        assert f"{tmp_path / 'GAGAvatar.pt'}: 300,000 bytes\n" in out

    def test_one_line_and_exit_code_2(self, tmp_path):
        """As it is started, without a server, and with nobody who could answer."""
        command = [sys.executable, "-m", "core.assets", "--folder", str(tmp_path), "--endpoint", "http://127.0.0.1:9"]
        settings = {"capture_output": True, "text": True, "cwd": Path(__file__).parent.parent, "check": False}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, **settings)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "licence was not accepted" in done.stderr
        done = subprocess.run([*command, "--accept-flame-license"], stdin=subprocess.DEVNULL, **settings)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"error: {tmp_path}/FLAME_with_eye.pt and {tmp_path}/GAGAvatar.pt are missing")


def test_the_library_is_loaded_only_where_it_is_used():
    code = "import sys, core.assets; sys.exit(any(n in sys.modules for n in ('huggingface_hub', 'httpx2')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=False).returncode == 0
