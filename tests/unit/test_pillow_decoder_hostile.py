"""Damaged and hostile files: each is decoded or refused with a reason, in little time and memory."""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections.abc import AsyncIterator
from io import BytesIO

import numpy as np
import psutil
import pytest
from PIL import Image

from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.application.ports import ImageDecoder
from shoal_server.domain.errors import BrokenImage, UnreadableImage

MEBIBYTE = 1024 * 1024


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = PillowDecoder(max_pixels=150_000_000)
    yield decoder
    await decoder.aclose()


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def photograph(width: int = 320, height: int = 240) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).integers(0, 40, (height, width))
    pixels = np.stack([200 * x / width + noise, 200 * y / height, 100 + noise], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    exif[0x0112] = 6
    exif[0x8769] = {0x9003: "2008:05:30 15:56:01", 0x829D: 7.1, 0x8827: 100}
    exif[0x8825] = {1: "S", 2: (33.0, 51.0, 24.0), 3: "E", 4: (151.0, 12.0, 54.0)}
    return exif


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="Canon"/></rdf:RDF></x:xmpmeta>'
)


def seeds() -> list[bytes]:
    image, exif = photograph(), camera_exif()
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return [
        encode(image, "JPEG", exif=exif, xmp=XMP, quality=85),
        encode(image, "JPEG", exif=exif, progressive=True),
        encode(image.convert("CMYK"), "JPEG"),
        encode(image, "MPO", save_all=True, append_images=[image.rotate(9)]),
        encode(image, "PNG", exif=exif),
        encode(image.quantize(64), "PNG"),
        encode(image, "PNG", save_all=True, append_images=[image.rotate(9)]),
        encode(image, "WEBP", exif=exif, xmp=XMP),
        encode(image, "WEBP", lossless=True, method=0),
        encode(image, "GIF", save_all=True, append_images=[image.rotate(9)]),
        encode(image, "TIFF"),
        encode(image, "TIFF", compression="tiff_lzw"),
        encode(image, "TIFF", compression="tiff_adobe_deflate"),
        encode(grey16, "TIFF"),
        encode(image, "BMP"),
        encode(image, "AVIF", exif=exif, xmp=XMP, speed=10),
    ]


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    damaged = bytearray(content)
    match rng.randrange(6):
        case 0:
            for _ in range(rng.choice((1, 2, 8, 64))):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        case 1:
            for _ in range(rng.choice((1, 2, 8))):
                damaged[rng.randrange(min(len(damaged), 1000))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:
            del damaged[rng.randrange(len(damaged)) :]
        case 3:
            head = rng.choice(others)[: rng.randrange(16, 2048)]
            damaged[: len(head)] = head
        case 4:
            start = max(damaged.find(b"Exif\0\0"), 0)
            for _ in range(rng.choice((1, 8, 32))):
                damaged[(start + rng.randrange(300)) % len(damaged)] = rng.randrange(256)
        case _:
            # The dimensions of a JPEG, or as many bytes elsewhere.
            start = max(damaged.find(b"\xff\xc0"), damaged.find(b"\xff\xc2"), 0)
            damaged[start + 5 : start + 9] = rng.randbytes(4)
    return bytes(damaged)


async def test_300_damaged_files(decoder: ImageDecoder) -> None:
    rng, originals = random.Random(4), seeds()
    for content in originals:
        await decoder.decode(content, with_preview=True)
    process = psutil.Process()
    before = process.memory_info().rss
    refused = 0

    for number in range(300):
        content = mutated(originals[number % len(originals)], originals, rng)
        start_s = time.process_time()
        try:
            decoded = await decoder.decode(content, with_preview=True)
        except UnreadableImage:
            refused += 1
        else:
            metadata = decoded.metadata
            assert metadata.width * metadata.height <= 150_000_000
            assert min(decoded.pixels.shape[:2]) >= min(metadata.width, metadata.height, 224)
            assert decoded.preview is not None
        assert time.process_time() - start_s < 5, f"file {number} took too long"
        assert process.memory_info().rss - before < 200 * MEBIBYTE, f"after file {number}"

    assert 60 < refused < 290


def with_size(content: bytes, width: int, height: int) -> bytes:
    """A JPEG that claims another size."""
    start = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(12_000, 12_000), (65_000, 2_000), (300, 65_000)])
async def test_a_jpeg_cannot_claim_more_than_its_bytes_hold(
    decoder: ImageDecoder, size: tuple[int, int], progressive: bool
) -> None:
    content = with_size(encode(photograph(), "JPEG", progressive=progressive), *size)

    with pytest.raises(BrokenImage, match=f"claims {size[0]} x {size[1]} pixels, which take at least"):
        await decoder.decode(content)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
async def test_a_blank_jpeg_is_as_small_as_it_can_be_and_is_read(
    decoder: ImageDecoder, options: dict[str, object], subsampling: int, mode: str
) -> None:
    blank = Image.new(mode, (3000, 2000))

    decoded = await decoder.decode(encode(blank, "JPEG", quality=30, subsampling=subsampling, **options))

    assert (decoded.metadata.width, decoded.metadata.height) == (3000, 2000)


async def test_a_large_progressive_jpeg_must_be_worth_its_memory(decoder: ImageDecoder) -> None:
    blank = encode(Image.new("L", (10_000, 9_000)), "JPEG", progressive=True, quality=30)

    with pytest.raises(BrokenImage, match="takes 180,000,000 bytes of memory"):
        await decoder.decode(blank)


async def test_a_jpeg_of_thousands_of_scans(decoder: ImageDecoder) -> None:
    content = encode(Image.new("RGB", (4000, 3000)), "JPEG", progressive=True)
    scans = content.count(b"\xff\xda")
    last = content.rindex(b"\xff\xda")
    content = content[:-2] + content[last:-2] * (1000 - scans) + content[-2:]

    with pytest.raises(BrokenImage, match="12,000,000 pixels 1,000 times"):
        await decoder.decode(content)


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
async def test_a_jpeg_whose_header_has_no_end(decoder: ImageDecoder, filling: bytes) -> None:
    content = b"\xff\xd8\xff\xe0\0\4ab" + filling * 20_000_000

    start_s = time.process_time()
    with pytest.raises(BrokenImage, match="its header is not complete"):
        await decoder.decode(content)
    assert time.process_time() - start_s < 1


def png(width: int, height: int, parts: list[tuple[bytes, bytes]]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *parts, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


async def test_a_png_cannot_claim_more_than_its_bytes_hold(decoder: ImageDecoder) -> None:
    with pytest.raises(BrokenImage, match="claims 10000 x 10000 pixels"):
        await decoder.decode(png(10_000, 10_000, [(b"IDAT", zlib.compress(bytes(1_000_000)))]))


async def test_a_png_in_very_many_parts(decoder: ImageDecoder) -> None:
    with pytest.raises(BrokenImage, match="in more than 200,000 parts"):
        await decoder.decode(png(1, 1, [(b"IDAT", b"")] * 200_001))


async def test_a_gif_without_end(decoder: ImageDecoder) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)

    with pytest.raises(BrokenImage, match="no picture is in its first"):
        await decoder.decode(screen + b"\x21\xfe" + b"\1a" * 1_000_001)


async def test_a_gif_cannot_claim_more_than_its_bytes_hold(decoder: ImageDecoder) -> None:
    content = bytearray(encode(Image.new("P", (4, 4)), "GIF"))
    content[6:10] = struct.pack("<HH", 12_000, 12_000)

    with pytest.raises(BrokenImage, match="claims 12000 x 12000 pixels"):
        await decoder.decode(bytes(content))


async def test_a_tiff_and_a_bmp_cannot_claim_more_than_their_bytes_hold(decoder: ImageDecoder) -> None:
    tiff = bytearray(encode(photograph(), "TIFF"))
    for tag, side in ((256, 9_000), (257, 9_001)):
        at = tiff.index(struct.pack("<HHL", tag, 4, 1))
        tiff[at + 8 : at + 12] = struct.pack("<L", side)
    bmp = bytearray(encode(photograph(), "BMP"))
    bmp[18:26] = struct.pack("<ll", 9_000, 9_001)

    for content in (tiff, bmp):
        with pytest.raises(BrokenImage, match="claims 9000 x 9001 pixels"):
            await decoder.decode(bytes(content))


async def test_a_run_length_encoded_bmp_is_read_up_to_a_size(decoder: ImageDecoder) -> None:
    def bmp(rows: bytes) -> bytes:
        header = struct.pack("<LllHHLLllLL", 40, 4, 1, 1, 8, 1, len(rows), 0, 0, 256, 0)
        palette = b"".join(bytes((value, value, value, 0)) for value in range(256))
        start = 14 + len(header) + len(palette)
        return b"BM" + struct.pack("<LHHL", start + len(rows), 0, 0, start) + header + palette + rows

    decoded = await decoder.decode(bmp(b"\4\x50\0\1"))

    assert (decoded.pixels == 0x50).all()
    with pytest.raises(BrokenImage, match="run-length encoded"):
        await decoder.decode(bmp(b"\4\x50" * 2_000_000))


async def test_a_tiff_in_very_many_parts_and_one_without_a_size(decoder: ImageDecoder) -> None:
    tiff = bytearray(encode(photograph(), "TIFF"))
    at = tiff.index(struct.pack("<HH", 273, 4))
    tiff[at + 4 : at + 8] = struct.pack("<L", 3_000_000)

    with pytest.raises(BrokenImage, match="in 3,000,000 parts"):
        await decoder.decode(bytes(tiff))
    with pytest.raises(BrokenImage, match="does not say how large"):
        await decoder.decode(b"II*\0\x08\0\0\0" + bytes(100))


async def test_directories_that_overlap_and_loop_cost_nothing(decoder: ImageDecoder) -> None:
    # Every tag has the whole block as its value, and the Exif directory is the first directory itself.
    tags = [(tag, 2, 60_000, 0) for tag in range(0x9000, 0x9000 + 4000)] + [(0x8769, 4, 1, 8)]
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    content = encode(photograph(), "JPEG", exif=b"Exif\0\0" + block.ljust(60_000, b"A"))

    start_s = time.process_time()
    decoded = await decoder.decode(content)

    assert decoded.metadata.captured_at is None
    assert time.process_time() - start_s < 1
