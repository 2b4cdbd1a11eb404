"""Pictures on their way between two processes: a file that gives back every byte (FFV1 in Matroska)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from core.data.media import open_media, video_stream
from core.data.part_file import PartFile
from core.errors import UserError


def write_lossless(path: Path, images: Iterable[np.ndarray]) -> int:
    """Write pictures, (H, W, 3) or (H, W, 4) uint8 and all alike, whole or not at all; returns their number.

    UserError where the disk does not take them.
    """
    count = 0
    try:
        with PartFile(path) as part:
            with av.open(str(part.path.absolute()), "w", format="matroska") as output:
                stream: av.VideoStream | None = None
                for image in images:
                    came, kept = _formats(image.shape[2])
                    if stream is None:
                        options = {"level": "3", "slices": "4", "g": "1"}
                        added = output.add_stream("ffv1", rate=25, options=options)
                        assert isinstance(added, av.VideoStream)
                        stream = added
                        stream.height, stream.width = image.shape[:2]
                        stream.pix_fmt = kept
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=came).reformat(format=kept)
                    frame.pts, frame.time_base = count, Fraction(1, 25)
                    output.mux(stream.encode(frame))
                    count += 1
                if stream is not None:
                    output.mux(stream.encode(None))
            part.finish()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): check the disk") from error
    return count


def read_lossless(path: Path, channels: int = 3) -> Generator[np.ndarray, None, None]:
    """The pictures of such a file, (H, W, `channels`) uint8 each. UserError where it is not one, or damaged."""
    came, _ = _formats(channels)
    with open_media(path) as container:
        stream = video_stream(container, path)
        try:
            for frame in container.decode(stream):
                yield frame.to_ndarray(format=came)
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}): delete it and start the batch again") from error


def _formats(channels: int) -> tuple[str, str]:
    """How a picture of so many channels comes, and how FFV1 keeps it."""
    return ("rgba", "bgra") if channels == 4 else ("rgb24", "bgr0")
