"""The files of the published network, fetched from where its authors put them: `python -m core.assets`.

    paths = ensure_assets(Path("assets"), accept_license=None, ask=input)

A file is fetched into `<folder>/.partial`, checked there by size and SHA-256, and moved to its name when it is whole;
what was cut off stays in `.partial` and the next run goes on from there. The requests are made with huggingface_hub,
by `get_hf_file_metadata` and `http_get`: `hf_hub_download` of the pinned version throws an unfinished file away.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

REPOSITORY = "xg-chu/GAGAvatar"
LICENSE_PAGE = "https://flame.is.tue.mpg.de"
QUESTION = (
    f"FLAME_with_eye.pt holds the FLAME head model, which has a licence of its own. I have registered at "
    f"{LICENSE_PAGE} and accept its terms [y/n]: "
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Asset:
    """A file of the repository.

    Attributes:
        name: its name here.
        source: its path in the repository.
        size: in bytes, None where only the server knows.
        licensed: whether FLAME's licence has to be accepted for it.
    """

    name: str
    source: str
    size: int | None = None
    licensed: bool = False


# The paths are those of the authors' own build_resources.sh (github.com/xg-chu/GAGAvatar).
FLAME = Asset("FLAME_with_eye.pt", "assets/FLAME_with_eye.pt", licensed=True)
CHECKPOINT = Asset("GAGAvatar.pt", "assets/GAGAvatar.pt", 747_434_426)
ASSETS = (FLAME, CHECKPOINT)


@dataclass(frozen=True)
class AssetPaths:
    """Where the files are: the network's checkpoint and the FLAME head."""

    checkpoint: Path
    flame: Path


def ensure_assets(
    folder: Path,
    accept_license: bool | None = None,
    ask: Callable[[str], str] = input,
    *,
    wanted: Sequence[Asset] = ASSETS,
    endpoint: str | None = None,
    quiet: bool = False,
) -> AssetPaths:
    """Have the files in a folder: those that are there are left alone, the others are fetched.

    Args:
        folder: is made where it does not exist.
        accept_license: whether the user accepts FLAME's licence; None asks, if FLAME has to be fetched.
        ask: puts the question and returns the answer.
        wanted: leave out the checkpoint where the user names another one.
        endpoint: address of a mirror of the hub, which is not sent the user's token; None takes the environment's
            HF_ENDPOINT or huggingface.co.
        quiet: no progress bar.
    Returns:
        The paths of both files, wanted or not.
    Raises:
        UserError: licence not accepted, offline, refused, cut off or wrong contents; it says what is missing and where
            to put it by hand. Nothing that is not whole carries a file's name.
    """
    missing = [asset for asset in wanted if not _is_there(folder, asset)]
    if any(asset.licensed for asset in missing) and not _accepted(accept_license, ask):
        raise UserError(
            f"{_list(folder, missing)} not fetched: FLAME's licence was not accepted; read it at {LICENSE_PAGE} and "
            f"run `python -m core.assets --accept-flame-license`"
        )
    if missing:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # nothing is asked for but the files
        try:
            with _partial_folder(folder) as partial:
                for asset in missing:
                    if not _is_there(folder, asset):  # another run may have been faster
                        _fetch(folder, partial, asset, endpoint, quiet)
        except _FetchError as error:
            left = [asset for asset in missing if not (folder / asset.name).is_file()]
            raise UserError(f"{_list(folder, left)} missing: {error}; {_by_hand(folder, left)}") from error
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error.strerror or error}): check the disk") from error
    return AssetPaths(folder / CHECKPOINT.name, folder / FLAME.name)


class _FetchError(Exception):
    """A file cannot be had; the message says why."""


def _is_there(folder: Path, asset: Asset) -> bool:
    path = folder / asset.name
    if not path.is_file():
        return False
    size = path.stat().st_size
    if asset.size is not None and size != asset.size:
        raise UserError(
            f"{path} has {size:,} bytes, the released file has {asset.size:,}: delete it to fetch it again, or name a "
            f"checkpoint of your own with -r"
        )
    return True


def _accepted(given: bool | None, ask: Callable[[str], str]) -> bool:
    if given is not None:
        return given
    try:
        return ask(QUESTION).strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to answer
        return False


def _list(folder: Path, assets: Sequence[Asset]) -> str:
    return " and ".join(str(folder / asset.name) for asset in assets) + (" are" if len(assets) > 1 else " is")


def _by_hand(folder: Path, assets: Sequence[Asset]) -> str:
    what = " and ".join(asset.source for asset in assets)
    return f"run again to go on, or download {what} from https://huggingface.co/{REPOSITORY} by hand into {folder}"


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """The folder for unfinished files, to one run at a time; removed when nothing is left in it."""
    from filelock import FileLock, Timeout

    partial = folder / _PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _FetchError("another run is fetching it, wait for that one") from None
    try:
        yield partial
    finally:
        lock.release()
        if not any(path.name != "lock" for path in partial.iterdir()):
            shutil.rmtree(partial, ignore_errors=True)


def _fetch(folder: Path, partial: Path, asset: Asset, endpoint: str | None, quiet: bool) -> None:
    """Fetch one file, or the rest of it, check it and put it in its place."""
    url, found = _look_up(asset, endpoint)
    digest = found.etag if found.etag and _SHA256.fullmatch(found.etag) else None
    size = asset.size or found.size
    if size is None:
        raise _FetchError("the server does not say how large it is")
    if found.size not in (None, size):
        raise _FetchError(f"the server has another file, of {found.size:,} bytes instead of {size:,}")
    # Another version of the file has another tag, so that no file is put together from two.
    tag = hashlib.sha256(f"{found.etag} {size}".encode()).hexdigest()[:16]
    part = partial / f"{asset.name}.{tag}.part"
    for old in partial.glob(f"{asset.name}.*.part"):
        if old != part or old.stat().st_size > size:
            old.unlink()
    part.touch()
    rest = size - part.stat().st_size
    if shutil.disk_usage(partial).free < rest:
        raise _FetchError(f"the disk has no room for {rest / 1e6:,.0f} MB")
    with _explained(url):
        _download(url, part, size, asset.name, quiet, endpoint is None)
    _check(part, size, digest)
    part.replace(folder / asset.name)


def _look_up(asset: Asset, endpoint: str | None) -> tuple[str, HfFileMetadata]:
    """The address of this version of a file, and what the server says of it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = endpoint.rstrip("/") if endpoint else None
    with _explained(endpoint):
        newest = hf_hub_url(REPOSITORY, asset.source, endpoint=endpoint)
        found = get_hf_file_metadata(newest, endpoint=endpoint, token=_token(endpoint is None))
        if not found.commit_hash or not found.etag:
            raise _FetchError("the server does not answer as a Hugging Face hub does")
        return hf_hub_url(REPOSITORY, asset.source, revision=found.commit_hash, endpoint=endpoint), found


def _token(with_token: bool) -> bool | None:
    """For huggingface_hub: None is the token of a user who has logged in, if any; False is none."""
    return None if with_token else False


def _download(url: str, part: Path, size: int, name: str, quiet: bool, with_token: bool) -> None:
    """Append to `part` what it lacks. `http_get` takes a broken connection up again, a few times."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers
    from huggingface_hub.utils.tqdm import silent_tqdm, tqdm

    headers = {**build_hf_headers(token=_token(with_token)), "Accept-Encoding": "identity"}
    settings: dict[str, Any] = {"displayed_filename": name, "tqdm_class": silent_tqdm if quiet else tqdm}
    with part.open("r+b") as file:
        while True:
            before = file.seek(0, 2)
            try:
                return http_get(url, file, resume_size=before, headers=headers, expected_size=size, **settings)
            except httpx2.ReadError:  # a reset connection is not among what it takes up again
                if file.seek(0, 2) == before:
                    raise
            except HfHubHTTPError:
                raise
            except OSError as error:
                if error.errno is not None:
                    raise
                return None  # another length than expected: `_check` says so


@contextmanager
def _explained(address: str | None) -> Iterator[None]:
    """Say what a failed request means."""
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise _FetchError("HF_HUB_OFFLINE forbids to use the network") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        if isinstance(error, GatedRepoError) or code in (401, 403):
            page = f"https://huggingface.co/{REPOSITORY}"
            raise _FetchError(
                f"the server refuses it ({code}): accept the terms on {page} and log in with `hf auth login`"
            ) from error
        if code == 404:
            raise _FetchError("the server does not have it (404)") from error
        raise _FetchError(f"the server answers with an error ({code})") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        where = address or "the Hugging Face hub"
        raise _FetchError(f"no connection to {where}, or it broke off ({type(error).__name__})") from error


def _check(part: Path, size: int, digest: str | None) -> None:
    """Say so where this is not the file, and remove it; by its size alone where the server tells no SHA-256."""
    got = part.stat().st_size
    if got < size:
        raise _FetchError(f"the connection ended after {got:,} of {size:,} bytes")
    if got == size:
        if digest is None:
            return
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                return
    part.unlink()
    what = "SHA-256" if got == size else "size"
    raise _FetchError(f"what the server sent has not the {what} that it told, and was removed")


def fetch_file(url: str, path: Path, size: int, sha512: str, quiet: bool = False) -> None:
    """Fetch a file whose size and SHA-512 are known; no token is sent. UserError where it cannot be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _partial_folder(path.parent) as partial:
            part = partial / f"{path.name}.part"
            part.touch()
            with _explained(url):
                _download(url, part, size, path.name, quiet, with_token=False)
            _check(part, size, None)
            with part.open("rb") as file:
                if hashlib.file_digest(file, "sha512").hexdigest() != sha512:
                    part.unlink()
                    raise _FetchError("what the server sent is not that file, and was removed")
            part.replace(path)
    except _FetchError as error:
        raise UserError(f"{url} cannot be fetched: {error}") from error
    except OSError as error:
        raise UserError(f"{path.parent} cannot be written ({error.strerror or error}): check the disk") from error


def main(arguments: list[str] | None = None, wanted: Sequence[Asset] = ASSETS) -> int:
    """The command line; returns the exit code: 0 all there, 2 something is missing and one line says what, 130."""
    parser = argparse.ArgumentParser(prog="python -m core.assets", description="Fetch the published network's files.")
    parser.add_argument("--folder", type=Path, default=Path("assets"), help="where to put them (default: assets)")
    parser.add_argument(
        "--accept-flame-license",
        action="store_true",
        default=None,
        help=f"say yes to the FLAME licence, {LICENSE_PAGE}, without being asked",
    )
    parser.add_argument("--endpoint", metavar="URL", help="a mirror of the Hugging Face hub")
    options = parser.parse_args(arguments)
    try:
        paths = ensure_assets(options.folder, options.accept_flame_license, wanted=wanted, endpoint=options.endpoint)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run again to go on", file=sys.stderr)
        return 130
    for asset, path in ((CHECKPOINT, paths.checkpoint), (FLAME, paths.flame)):
        if asset.name in {one.name for one in wanted}:
            print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
