"""A video of another program with metadata of ours: its packets are copied, nothing is encoded again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av

from core.data.media import open_media, video_stream
from core.data.part_file import PartFile
from core.errors import UserError

_WEB = {"vp8", "vp9", "av1"}  # what WebM may hold, of what browsers record


def with_metadata(source: Path, target: Path, metadata: Mapping[str, str]) -> Path:
    """Write a video's pictures with these texts, and with its length, which a browser's recording does not say.

    Args:
        source: any video that can be read. target: gets the ending of the container that its codec goes into.
        metadata: as `VideoWriter` takes it.
    Returns:
        The file.
    Raises:
        UserError: it is no video, or damaged.
    """
    with open_media(source) as original:
        stream = video_stream(original, source)
        container = "webm" if stream.codec_context.name in _WEB else "mp4"
        target = target.with_suffix(f".{container}")
        with PartFile(target) as part:
            try:
                with av.open(str(part.path), "w", format=container) as copy:
                    copy.metadata.update(metadata)
                    out = copy.add_stream_from_template(stream)
                    for packet in original.demux(stream):
                        if packet.dts is not None:  # the last one is empty
                            packet.stream = out
                            copy.mux(packet)
            except (av.FFmpegError, ValueError) as error:
                raise UserError(f"{source} is not a complete video: record it again") from error
            part.finish()
    return target
