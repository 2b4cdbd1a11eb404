"""Opening media files: nothing but the file itself is read, whatever is written in it."""

from fractions import Fraction
from pathlib import Path

import av
from av.stream import Disposition

from core.errors import UserError

MAX_FPS = 1000  # of a video that is read or written: more is a damaged header
# For `av.open`. Without it FFmpeg takes text, single pictures and lists that name other files or addresses for videos.
MEDIA_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,h264,hevc,m4v,av1,obu,"
    "ivf,mxf,dv,nut,rm,yuv4mpegpipe,mjpeg,h263,vc1,mp3,wav,w64,flac,aac,ac3,eac3,aiff,caf",
}


def open_media(path: Path) -> av.container.InputContainer:
    """Open a media file; nothing but this file is read."""
    try:
        # An absolute path cannot be taken for a URL, whatever colons are in the name.
        return av.open(str(path.absolute()), options=MEDIA_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a video, or not a complete one: give an MP4, MOV, MKV, WebM or AVI") from error


def is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def time_base(stream: av.stream.Stream) -> Fraction:
    """Seconds of a tick of a stream; FFmpeg's own unit where the file does not say."""
    return stream.time_base or Fraction(1, av.time_base)


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        if not is_cover(stream):
            if stream.codec_context is None:
                raise UserError(f"{path} uses a video codec that is not supported: convert it to H.264 in an MP4 file")
            return stream
    raise UserError(f"{path} has no video stream: give a file with pictures in it, not only sound")
