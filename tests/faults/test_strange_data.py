"""Untrusted images and archives: each ends with exit code 2 and one line, and no code in it is run."""

from __future__ import annotations

import ctypes
import io
import os
import pickle
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

QUICK = ("network.width=4", "batch_size=4", "features=none", "logger=none", "budget.images=8")


class Evil:
    """A pickle that runs code when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def png(width: int = 8, height: int = 8, value: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hollow(width: int, height: int, *more: bytes) -> bytes:
    """Return a PNG whose header states the given size, with the data of a single row."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(3 * min(width, 10_000) + 1)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + rows + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


def on(root: Path) -> list[str]:
    return [*QUICK, "data=image_folder", f"data.root={root}", "data.image_size=8"]


@pytest.mark.slow
def test_images(user: Any) -> None:
    """If EPS were allowed, Pillow would open it with Ghostscript, another program."""
    harm = f"touch {user.folder / 'pwned'}"
    eps = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%{harm}) (w) file closefile\nshowpage\n".encode()
    images = {
        "bomb": (hollow(60_000, 60_000), "more than 89,478,485 pixels; shrink"),
        "huge": (hollow(2**31 - 1, 2**31 - 1), "more than 89,478,485 pixels"),
        "wide": (hollow(89_478_486, 1), "more than 89,478,485 pixels"),
        "text": (hollow(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20), 1))), "corrupt image"),
        "cut": (png(64, 64)[:-30], "corrupt image"),
        "empty": (b"", "corrupt image"),
        "eps": (eps, "not a PNG, JPEG, WebP"),
        "ico": (encoded("ICO"), "not a PNG, JPEG, WebP"),
        "gif": (encoded("GIF")[:20], "corrupt image"),
        "tiff": (encoded("TIFF")[:60], "corrupt image"),
        "pickle": (pickle.dumps(Evil(user.folder / "pwned")), "not a PNG, JPEG, WebP"),
        "script": (f"#!/bin/sh\n{harm}\n".encode(), "not a PNG, JPEG, WebP"),
    }
    cases = []
    for name, (content, named) in images.items():
        (folder := user.folder / name).mkdir()
        for index in range(8):
            (folder / f"{index}.png").write_bytes(png(value=index))
        (folder / "evil.png").write_bytes(content)
        cases.append(("train", on(folder), named))
    (folder := user.folder / "only_eps").mkdir()
    (folder / "evil.eps").write_bytes(eps)
    cases.append(("train", on(folder), "no images inside, only .eps 1"))
    user.is_refused(cases)


@pytest.mark.slow
def test_archives(user: Any) -> None:
    def archive(name: str, member: str | None = None, content: bytes = b"", mode: int = stat.S_IFREG) -> Path:
        with zipfile.ZipFile(user.folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for index in range(8):
                file.writestr(f"{index}.png", png(value=index))
            if member is not None:
                info = zipfile.ZipInfo(member)
                info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
                file.writestr(info, content)
        return Path(user.folder / name)

    outside = "points outside the archive; remove it from the archive"
    cases = [
        ("train", on(archive("climbs.zip", "../../pwned.png", png())), outside),
        ("train", on(archive("absolute.zip", f"{user.folder}/pwned", b"x")), outside),
        ("train", on(archive("link.zip", "link.png", b"/etc/passwd", stat.S_IFLNK)), outside),
        ("train", on(archive("corrupt.zip", "evil.png", b"MZ")), "evil.png: corrupt image"),
    ]
    zeros = bytes(50 << 20)
    for name, declared, named in (("honest", 1 << 30, "more than 268,435,456"), ("liar", 100, "cannot be unpacked")):
        bomb = archive(f"{name}.zip", "bomb.png", zeros)
        raw = bytearray(bomb.read_bytes())
        at = raw.rindex(b"PK\x01\x02")  # entry in the central directory; the size is at offset 24
        raw[at + 24 : at + 28] = struct.pack("<I", declared)
        bomb.write_bytes(raw)
        cases.append(("train", on(bomb), named))
    (real := user.folder / "real").mkdir()
    (real / "a.png").write_bytes(png())
    (real / "b.png").write_bytes(png(value=9))
    objects = np.array([Evil(user.folder / "pwned")], dtype=object)
    np.savez(user.folder / "objects.npz", images=objects)
    np.savez(user.folder / "points.npz", points=objects)
    for name in ("objects.npz", "points.npz"):
        against = [f"samples={user.folder / name}", f"reference={real}", "features=random"]
        cases.append(("evaluate", against, name))
    user.is_refused(cases)


def broken_exif() -> bytes:
    """Return a JPEG whose EXIF block states three tags and contains only the orientation, a quarter turn."""
    tag = struct.pack("<HHLL", 0x112, 3, 1, 6)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=b"Exif\0\0II*\0" + struct.pack("<LH", 8, 3) + tag)
    return file.getvalue()


def test_a_name_that_no_parser_likes_and_exif_that_is_broken(user: Any) -> None:
    (folder := user.folder / "it's Фото, (1)=a").mkdir()
    for index in range(8):
        (folder / f"{index}.jpg").write_bytes(broken_exif())
    assert "Warning" not in user.finish(*on(folder), "run.name=it's (1)").err
    assert (user.folder / "outputs" / "it's (1)" / "summary.json").exists()


def without_roots_ways_round_permissions() -> None:
    """Drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, so that file permissions apply to root too."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails without effect for other users


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_class_folder_without_permission(user: Any) -> None:
    for kind in ("a", "b"):
        (folder := user.folder / "set" / kind).mkdir(parents=True)
        for index in range(6):
            (folder / f"{index}.png").write_bytes(png(value=index))
    folder.chmod(0)
    options: Any = {"cwd": user.folder, "capture_output": True, "text": True}
    options["preexec_fn"] = without_roots_ways_round_permissions
    if subprocess.run(["ls", folder], **options).returncode == 0:
        pytest.skip("permissions do not hold this user back")
    train = [sys.executable, str(Path(__file__).parents[2] / "train.py")]
    done = subprocess.run([*train, *on(user.folder / "set")], env=user.environment(), **options)
    remedy = "change its permissions, or remove it"
    assert done.stderr == f"error: {folder}: cannot be read (Permission denied); {remedy}\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert not (user.folder / "outputs").exists()
