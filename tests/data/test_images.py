"""Image files of every format and mode, with exact pixels for lossless formats."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from saddlepoint.data.images import decode, pixels, read_header
from saddlepoint.errors import UserError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(256, size=(5, 7), dtype=np.uint8)
RGB = RNG.integers(256, size=(5, 7, 3), dtype=np.uint8)
RGBA = RNG.integers(256, size=(5, 7, 4), dtype=np.uint8)


def encode(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def load(raw, channels):
    return pixels(decode(raw, "x.png", channels))


LOSSLESS = {
    "PNG": {}, "BMP": {}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}, "JPEG2000": {}, "PPM": {},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), LOSSLESS.items())
def test_lossless_formats_are_exact(kind, options):
    raw = encode(RGB, kind, **options)
    assert np.array_equal(load(raw, 3), RGB)
    assert read_header(raw, "x")[:3] == (5, 7, 3)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_lossy_formats_are_close(kind):
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    got = load(encode(smooth, kind, quality=95), 3)
    assert np.abs(got.astype(int) - smooth).mean() < 4


def test_gray_stays_gray_unless_three_channels_are_requested():
    raw = encode(GRAY)
    assert read_header(raw, "x")[:3] == (5, 7, 1)
    assert np.array_equal(load(raw, 1)[..., 0], GRAY)
    assert np.array_equal(load(raw, 3), np.repeat(GRAY[..., None], 3, axis=2))


def test_bits_are_black_and_white():
    raw = encode(Image.fromarray(GRAY > 127))
    assert read_header(raw, "x").channels == 1
    assert np.array_equal(load(raw, 1)[..., 0], np.where(GRAY > 127, 255, 0))


def test_sixteen_bits_scale_to_eight():
    deep = np.array([[0, 128, 129, 257, 32767, 32768, 65535]], dtype=np.uint16)
    raw = encode(Image.fromarray(deep))
    assert read_header(raw, "x").channels == 1
    expected = np.rint(deep / 257).astype(np.uint8)
    assert np.array_equal(load(raw, 1)[..., 0], expected)
    assert load(raw, 1).max() == 255


def test_alpha_is_composited_on_white_exactly():
    colour, alpha = RGBA[..., :3].astype(float), RGBA[..., 3:] / 255
    expected = np.rint(colour * alpha + 255 * (1 - alpha))
    raw = encode(RGBA)
    assert read_header(raw, "x").channels == 3
    assert np.array_equal(load(raw, 3), expected)
    clear = np.zeros((1, 1, 4), dtype=np.uint8)
    assert load(encode(clear), 3).tolist() == [[[255, 255, 255]]]


def test_four_channels_keep_alpha_and_opaque_images_get_one():
    assert np.array_equal(load(encode(RGBA), 4), RGBA)
    assert np.array_equal(load(encode(RGB), 4), np.dstack([RGB, np.full((5, 7), 255, np.uint8)]))


def test_gray_with_alpha_stays_gray_on_white():
    alpha = RGBA[..., 3]
    raw = encode(Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha)]))
    assert read_header(raw, "x").channels == 1
    expected = np.rint(GRAY * (alpha / 255) + 255 * (1 - alpha / 255))
    assert np.array_equal(load(raw, 1)[..., 0], expected)


def test_a_palette_is_colour_and_its_transparency_white():
    indices = np.array([[0, 1, 2]], dtype=np.uint8)
    image = Image.fromarray(indices)
    image = image.convert("L")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert read_header(encode(image), "x")[:3] == (1, 3, 3)
    assert load(encode(image), 3).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert load(encode(image, transparency=1), 3).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_a_palette_of_grays_is_gray():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    image.putpalette([9, 9, 9, 200, 200, 200])
    assert read_header(encode(image), "x").channels == 1
    assert load(encode(image), 1).ravel().tolist() == [9, 200]


def test_a_transparent_colour_without_alpha_channel_is_white():
    image = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    assert load(encode(image, transparency=(1, 2, 3)), 3).tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_cmyk_becomes_rgb():
    raw = encode(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG", quality=100)
    assert read_header(raw, "x").channels == 3
    assert np.abs(load(raw, 3).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II", b"Exif\0\0II*\0\x08\0\0\0"])
def test_an_image_with_damaged_exif_data_is_not_turned(kind, exif):
    stripes = np.zeros((16, 48, 3), dtype=np.uint8)
    stripes[:, :16] = 255
    raw = encode(stripes, kind, exif=exif)
    assert read_header(raw, "x")[:2] == (16, 48)
    assert np.abs(load(raw, 3).astype(int) - stripes).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, -1), (8, 1), (9, 0)])
def test_the_exif_orientation_is_applied(kind, orientation, turn):
    stripes = np.zeros((16, 48, 3), dtype=np.uint8)
    stripes[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = encode(stripes, kind, exif=exif)
    expected = np.rot90(stripes, turn)
    assert read_header(raw, "x")[:2] == expected.shape[:2]
    assert np.abs(load(raw, 3).astype(int) - expected).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_truncated_files_are_named(kind):
    raw = encode(RNG.integers(256, size=(64, 64, 3), dtype=np.uint8), kind)
    with pytest.raises(UserError, match=r"^cat/1\.png: corrupt image \(.+\); replace or remove the file$"):
        decode(raw[: len(raw) // 2], "cat/1.png", 3)


@pytest.mark.parametrize("raw", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a" + bytes(50)])
def test_other_files_are_named(raw):
    for read in (read_header, lambda raw, where: decode(raw, where, 3)):
        with pytest.raises(UserError, match=r"^x\.jpg: corrupt image") as caught:
            read(raw, "x.jpg")
        assert "\n" not in str(caught.value)


def test_formats_are_known_by_content_and_others_are_refused():
    assert np.array_equal(load(encode(RGB, "TIFF"), 3), RGB)
    with pytest.raises(UserError, match=r"x\.png: corrupt image \(not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF"):
        decode(encode(RGB, "ICO"), "x.png", 3)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_used(kind):
    first = np.repeat(RGB[:1, :1], 64, axis=1).repeat(64, axis=0)
    options = {"lossless": True} if kind == "WEBP" else {}
    raw = encode(Image.fromarray(first), kind, save_all=True, append_images=[Image.fromarray(255 - first)], **options)
    assert read_header(raw, "x") == (64, 64, 3, True)
    assert np.array_equal(load(raw, 3), first)
    assert not read_header(encode(first, kind), "x").several


def test_a_microscope_s_tiff_of_sixteen_bits_is_scaled():
    deep = np.array([[0, 4095, 65535]], dtype=np.uint16)
    raw = encode(Image.fromarray(deep), "TIFF")
    assert read_header(raw, "x")[:3] == (1, 3, 1)
    assert load(raw, 1).ravel().tolist() == [0, 16, 255]  # 4095 / 257 = 15.9


@pytest.mark.parametrize(
    ("values", "named"),
    [(np.float32([[0, 1.5]]), "float32 pixels from 0 to 1.5"), (np.int32([[-3, 70_000]]), "from -3 to")],
)
def test_pixels_of_unknown_range_are_refused(values, named):
    with pytest.raises(UserError, match=rf"cell\.tif: .*{named}.*; save them with 8 or 16 bits"):
        decode(encode(Image.fromarray(values), "TIFF"), "cell.tif", 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = load(encode(RGB, exif=exif), 3)
    raw = encode(RGB, "TIFF", tiffinfo={0x0112: orientation})
    assert read_header(raw, "x")[:2] == expected.shape[:2]
    assert np.array_equal(load(raw, 3), expected)


def test_a_flipped_bit_in_a_png_is_found():
    raw = bytearray(encode(RNG.integers(256, size=(64, 64, 3), dtype=np.uint8)))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(UserError, match="corrupt image"):
        decode(bytes(raw), "x.png", 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # the limit holds without it
@pytest.mark.parametrize("side", [10_000, 20_000])  # Pillow warns of the first and raises for the second
def test_decompression_bombs_are_refused(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    raw = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    for read in (read_header, lambda raw, where: decode(raw, where, 1)):
        with pytest.raises(UserError, match=r"bomb\.png: more than 89,478,485 pixels; shrink or remove"):
            read(raw, "bomb.png")
