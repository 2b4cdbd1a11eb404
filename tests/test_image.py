"""Pictures: every mode, orientation and fault that a user's photo can have."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from core.data.image import ImageSettings, kind_of, read_image, write_image
from core.errors import UserError

RED, GREEN, BLUE, WHITE = (250, 10, 20), (5, 240, 30), (15, 25, 230), (255, 255, 255)


def corners(height: int = 40, width: int = 60) -> np.ndarray:
    """Four colours: red and green above, blue and white below."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    picture[height // 2 :, width // 2 :] = WHITE
    return picture


def fails(path: Path, *words: str, call=read_image) -> None:
    with pytest.raises(UserError) as caught:
        call(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("bmp", 0), ("tiff", 0), ("webp", 3), ("jpg", 14)])
def test_formats(tmp_path, ending, tolerance):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(corners()).save(path, **({"lossless": True} if ending == "webp" else {}))
    got = read_image(path)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    away = np.abs(got.astype(int) - corners())[5:15, 5:25]  # inside the red corner: JPEG blurs colour edges
    assert away.max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = corners()
    # How a camera held in that way stores the upright scene (the inverse of what the tag asks for).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif.tobytes())
    np.testing.assert_array_equal(read_image(path), upright)


def test_grey_palette_and_one_bit(tmp_path):
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(ramp[..., None], 3, 2))
    Image.fromarray(corners()).quantize(4).save(tmp_path / "palette.png")
    assert np.abs(read_image(tmp_path / "palette.png").astype(int) - corners()).max() <= 4
    Image.fromarray(ramp > 100).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], np.where(ramp > 100, 255, 0))


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, ending):
    deep = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(8, 0)
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    got = read_image(tmp_path / f"a.{ending}")[..., 0]
    np.testing.assert_array_equal(got, np.rint(deep / 257.0).astype(np.uint8))


def test_float_grey(tmp_path):
    values = np.linspace(0, 1, 11, dtype=np.float32)[None].repeat(3, 0)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    np.testing.assert_allclose(read_image(tmp_path / "a.tiff")[..., 2], values * 255, atol=0.501)


def test_cmyk(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:, 0] = 255  # paper on the left, full cyan on the right
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tiff")
    got = read_image(tmp_path / "a.tiff")
    np.testing.assert_array_equal(got[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(got[0, 15], [0, 255, 255])


def test_alpha_is_laid_over_black(tmp_path):
    rgba = np.full((4, 6, 4), 201, np.uint8)
    rgba[:, :2, 3], rgba[:, 2:4, 3], rgba[:, 4:, 3] = 0, 128, 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [0, 0, 101, 101, 201, 201])
    Image.fromarray(rgba).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png")[0, :, 2], [0, 0, 101, 101, 201, 201])
    palette = Image.fromarray(corners()).quantize(4)
    transparent = palette.getpixel((0, 0))
    palette.save(tmp_path / "p.png", transparency=transparent)
    got = read_image(tmp_path / "p.png")
    assert got[0, 0].max() == 0
    assert np.abs(got[0, -1].astype(int) - GREEN).max() <= 4


def swapped_profile() -> bytes:
    """The sRGB profile with red and green exchanged: its numbers mean other colours."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {}
    for i in range(int.from_bytes(data[128:132], "big")):
        at = 132 + 12 * i
        entries[bytes(data[at : at + 4])] = (at, int.from_bytes(data[at + 4 : at + 8], "big"))
    (red, red_at), (green, green_at) = entries[b"rXYZ"], entries[b"gXYZ"]
    data[red + 4 : red + 8], data[green + 4 : green + 8] = green_at.to_bytes(4, "big"), red_at.to_bytes(4, "big")
    name = "sRGB".encode("utf-16-be")
    return bytes(data).replace(name, "swap".encode("utf-16-be"))


def test_colour_profile_is_applied(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(corners()).save(tmp_path / "same.png", icc_profile=srgb)
    np.testing.assert_array_equal(read_image(tmp_path / "same.png"), corners())
    Image.fromarray(corners()).save(tmp_path / "broken.png", icc_profile=b"no profile")
    np.testing.assert_array_equal(read_image(tmp_path / "broken.png"), corners())
    Image.fromarray(corners()).save(tmp_path / "swap.png", icc_profile=swapped_profile())
    assert np.abs(read_image(tmp_path / "swap.png").astype(int) - corners()[..., [1, 0, 2]]).max() <= 3


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.abs(read_image(tmp_path / "a.gif")[0, 0].astype(int) - RED).max() <= 4
    assert kind_of(tmp_path / "a.gif") == "video"


def test_faults_are_one_line(tmp_path):
    fails(tmp_path / "none.png", "does not exist")
    fails(tmp_path, "folder")
    (tmp_path / "empty.jpg").touch()
    fails(tmp_path / "empty.jpg", "empty")
    (tmp_path / "text.jpg").write_text("I am not a picture.\nAnd this is my second line.\n")
    fails(tmp_path / "text.jpg", "not a picture")
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    fails(tmp_path / "phone.jpg", "HEIC")
    for ending in ("jpg", "png"):
        whole = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(whole, "JPEG" if ending == "jpg" else "PNG")
        (tmp_path / f"cut.{ending}").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        fails(tmp_path / f"cut.{ending}", "damaged")


def test_decompression_bombs_are_refused_before_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)  # 50 kB on disk, 1.2 GB as RGB
    assert path.stat().st_size < 200_000
    fails(path, "megapixels")
    assert kind_of(path) == "image"
    Image.fromarray(corners()).save(tmp_path / "small.png")
    with pytest.raises(UserError, match="has 60x40 pixels"):
        read_image(tmp_path / "small.png", ImageSettings(max_pixels=2399))
    read_image(tmp_path / "small.png", ImageSettings(max_pixels=2400))


def test_write_png_is_exact_and_carries_texts(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, corners()[:, ::-1], {"Comment": "synthetic: nächste Zeile", "Software": "test"})
    np.testing.assert_array_equal(read_image(path), corners()[:, ::-1])
    with Image.open(path) as stored:
        assert stored.text == {"Comment": "synthetic: nächste Zeile", "Software": "test"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_write_jpeg_carries_texts(tmp_path):
    path = tmp_path / "a.JPG"
    write_image(path, corners(), {"Comment": "synthetic"})
    assert np.abs(read_image(path).astype(int) - corners()).mean() < 2
    with Image.open(path) as stored:
        assert "synthetic" in stored.getexif()[0x010E]
        assert b"synthetic" in stored.info["comment"]


def test_write_faults_leave_nothing(tmp_path, monkeypatch):
    for path, word in ((tmp_path / "a.txt", ".png"), (tmp_path / "no" / "a.png", "folder"), (tmp_path / "a", ".jpg")):
        with pytest.raises(UserError, match=word):
            write_image(path, corners())
    for wrong in (corners().astype(float), corners()[..., 0], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            write_image(tmp_path / "a.png", wrong)
    write_image(tmp_path / "a.png", corners())

    def full_disk(self, stream, **_):
        Path(stream).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    fails(tmp_path / "a.png", "No space left", call=lambda p: write_image(p, corners() // 2))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), corners())


def test_kind_is_told_by_content(tmp_path):
    assert kind_of(tmp_path) == "folder"
    Image.fromarray(corners()).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert kind_of(tmp_path / "picture.mp4") == "image"
    with av.open(str(tmp_path / "v.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        output.mux(stream.encode())
    (tmp_path / "v.mp4").rename(tmp_path / "v.jpg")
    assert kind_of(tmp_path / "v.jpg") == "video"
    for name in ("text.txt", "text.mp4", "text.jpg"):
        (tmp_path / name).write_text("just words\n" * 50)
        fails(tmp_path / name, "neither", call=kind_of)
    fails(tmp_path / "none", "does not exist", call=kind_of)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nv.jpg\n#EXT-X-ENDLIST\n")
    fails(tmp_path / "list.m3u8", "neither", call=kind_of)
