"""Pictures in and out: every way of storing one becomes uint8 RGB, upright, in sRGB."""

import io
import struct
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from core.data.media import MEDIA_OPTIONS
from core.data.motion_file import motion_format
from core.data.part_file import PartFile
from core.errors import UserError

Kind = Literal["image", "video", "folder", "motion"]
# An allow-list: some of Pillow's other formats start outside programs (EPS) or have no signature to go by (TGA).
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
_EXIF_DESCRIPTION = 0x010E
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error)  # Pillow's, on broken data


def check_file(path: Path, what: str) -> Path:
    """Return `path` if it is a non-empty, readable file; `what` names it in the message ("picture", "video").

    Raises:
        UserError: nothing there, a folder, a device or pipe, not readable or empty.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise UserError(f"{path} does not exist: give the path of a {what} file")
        if path.is_dir():
            raise UserError(f"{path} is a folder: give the path of a {what} file")
        if not path.is_file():  # a pipe would be waited for, a device has no end
            raise UserError(f"{path} is a device or a pipe: give the path of a {what} file")
        with path.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its name and permissions") from error
    if not first:
        raise UserError(f"{path} is empty (0 bytes): copy or download the {what} again")
    return path


def check_target(path: Path, endings: tuple[str, ...], made: Path | None = None) -> Path:
    """Return `path` if a file with one of `endings` (".png", ...) can be put there.

    Args:
        path: of the file. endings: that it may have. made: a folder that will be there when the file is written.
    Raises:
        UserError: another ending, a folder of that name, or no folder to put it in.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}: give it one of the endings {', '.join(endings)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file to write")
    if not path.parent.is_dir() and path.parent != made:
        raise UserError(f"the folder {path.parent} does not exist: create it or write somewhere else")
    return path


@dataclass(frozen=True)
class ImageSettings:
    """What is refused before it is decoded: pictures of more than `max_pixels` pixels, which take 300 MB."""

    max_pixels: int = 100_000_000


def read_image(path: Path, settings: ImageSettings = ImageSettings()) -> np.ndarray:
    """Read a picture file.

    EXIF orientation and an embedded colour profile are applied, transparency is laid over black, deep pictures are
    scaled to 8 bits; of an animation the first frame is taken.

    Args:
        path: any format in `FORMATS`, recognised by its content.
    Returns:
        uint8 (H, W, 3), sRGB.
    Raises:
        UserError: missing, a folder, empty, unreadable, not a picture, damaged or above `settings.max_pixels`.
    """
    path = check_file(path, "picture")
    try:
        with _open(path) as image:
            width, height = image.size
            if width * height > settings.max_pixels:
                raise UserError(_too_large(path, f"{width}x{height}", settings))
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UserError(_not_a_picture(path)) from error
    except Image.DecompressionBombError as error:
        raise UserError(_too_large(path, "far more", settings)) from error
    except _DECODER_ERRORS as error:
        raise UserError(f"{path} is a damaged picture ({_one_line(error)}): save it again as PNG or JPEG") from error


def write_image(path: Path, image: np.ndarray, metadata: Mapping[str, str] | None = None) -> None:
    """Write a PNG or JPEG file, whole or not at all.

    Args:
        path: ends in .png, .jpg or .jpeg; an existing file is replaced.
        image: uint8 (H, W, 3) RGB; for a PNG also (H, W, 4), with an alpha channel.
        metadata: texts stored in the file: PNG text chunks, JPEG comment and EXIF description.
    Raises:
        UserError: the ending, the folder or the disk does not allow it.
        ValueError: `image` has another shape or type.
    """
    path = check_target(path, (".png", ".jpg", ".jpeg"))
    image = np.asarray(image)
    channels = (3, 4) if path.suffix.lower() == ".png" else (3,)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in channels or 0 in image.shape:
        raise ValueError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    picture = Image.fromarray(np.ascontiguousarray(image))
    texts = {str(key): str(value) for key, value in (metadata or {}).items()}
    if path.suffix.lower() == ".png":
        info = PngInfo()
        for key, value in texts.items():
            info.add_itxt(key, value)
        options: dict[str, Any] = {"format": "PNG", "pnginfo": info, "compress_level": 4}
    else:
        options = {"format": "JPEG", "quality": 95, "subsampling": 0}
        if texts:
            line = "; ".join(f"{key}: {value}" for key, value in texts.items())
            exif = Image.Exif()
            exif[_EXIF_DESCRIPTION] = line.encode("ascii", "replace").decode("ascii")  # the tag's type is ASCII
            options |= {"exif": exif.tobytes(), "comment": line.encode("utf-8")}
    try:
        with PartFile(path) as part:
            picture.save(part.path, **options)
            part.finish()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or _one_line(error)}): check the disk") from error


def kind_of(path: Path) -> Kind:
    """Say what a path holds, by its content and not its ending. Only headers are read.

    An animated GIF or PNG counts as a video (`read_image` still reads its first frame). `motion`: a file that may hold
    codes, see `core.data.motion_file`; one whose content says nothing is taken for it by its ending.

    Raises:
        UserError: nothing there, unreadable, empty, or nothing of these.
    """
    path = Path(path)
    with suppress(OSError):  # a name that is too long; check_file says so
        if path.is_dir():
            return "folder"
    check_file(path, "picture or video")
    if motion_format(path, by_name=False) is not None:  # first: to a prober of raw video, any numbers may look like it
        return "motion"
    try:
        with _open(path) as image:
            # Not every picture of several frames moves: a phone's MPO holds a preview, a TIFF pages.
            return "video" if image.format in ("GIF", "PNG") and getattr(image, "is_animated", False) else "image"
    except Image.DecompressionBombError:
        return "image"  # read_image says what is wrong with it
    except _DECODER_ERRORS:  # UnidentifiedImageError is an OSError
        pass
    try:
        with av.open(str(path.absolute()), options=MEDIA_OPTIONS) as container:
            if container.streams.video:
                return "video"
    except (av.FFmpegError, OSError, ValueError):
        pass
    if motion_format(path) is not None:
        return "motion"
    raise UserError(f"{path} is neither a picture nor a video: give a JPEG, PNG, WebP, MP4, MOV, MKV or WebM file")


def _open(path: Path) -> Image.Image:
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours, and an error
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Any Pillow mode to uint8 (H, W, 3)."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_deep_to_8bit(np.asarray(image))[..., None], 3, axis=2)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.uint16)[..., None]
    rgb = np.array(_to_srgb(image))
    if alpha is not None:
        rgb = ((rgb * alpha + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(rgb)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "RGBX", "P", "PA"):
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or mismatched profile: the plain numbers are the best there is
    return image.convert("RGB")


def _deep_to_8bit(grey: np.ndarray) -> np.ndarray:
    """Grey of 16 bits, 32 bits or float to uint8; the full range is told from the type and the largest value."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    top = values.max()
    if grey.dtype.kind == "f":
        full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else top
    else:
        full = 65535.0 if grey.dtype.itemsize == 2 or 255 < top <= 65535 else 255.0 if top <= 255 else top
    return np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8)


def _not_a_picture(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"hevc", b"msf1"):
        return f"{path} is a HEIC picture, which is not supported: export it as JPEG or PNG"
    return f"{path} is not a picture that can be read: give a JPEG, PNG, WebP, BMP, GIF, TIFF or AVIF file"


def _too_large(path: Path, size: str, settings: ImageSettings) -> str:
    limit = settings.max_pixels // 1_000_000
    return f"{path} has {size} pixels, the limit is {limit} megapixels: scale it down first"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
