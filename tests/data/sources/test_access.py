"""Folders and files that do not exist, cannot be read or are not regular files are reported, not omitted."""

import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from saddlepoint.data import DataModule, ImageFolder
from saddlepoint.errors import UserError


@pytest.mark.usefixtures("permissions")
@pytest.mark.parametrize("closed", ["a/dog", "a", "up"])
@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_folders_that_cannot_be_read_are_named(nested, tmp_path, closed, mode):
    """Omitting a class folder would change the data set."""
    root = nested(tmp_path / "up" / "a")
    folder = tmp_path / "up" if closed == "up" else root.parent / closed
    folder.chmod(mode)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\); change its permissions") as caught:
        ImageFolder(str(root)).open()
    folder.chmod(0o755)
    assert str(root if closed == "up" else folder) in str(caught.value)
    assert len(ImageFolder(str(root)).open().class_names) == 3


@pytest.mark.usefixtures("permissions")
def test_files_that_cannot_be_read_are_named(nested, tmp_path):
    folder = nested(tmp_path / "a")
    path = Path(shutil.make_archive(str(folder), "zip", folder))
    for closed, root in ((folder / "dog" / "3.png", folder), (path, path)):
        closed.chmod(0)
        with pytest.raises(UserError, match=rf"^{re.escape(str(closed))}: cannot be read \(Permission denied\)"):
            ImageFolder(str(root)).open()


@pytest.mark.usefixtures("permissions")
def test_folders_that_hold_no_data_need_not_be_readable(nested, tmp_path):
    folder = nested(tmp_path / "a")
    clean = ImageFolder(str(folder)).open().digest
    for name in ("lost+found", ".Trash-0", "__MACOSX", "dog/.git"):
        (folder / name).mkdir(mode=0)
    assert ImageFolder(str(folder)).open().digest == clean


def test_a_name_that_is_too_long_is_named(tmp_path):
    for name in ("x" * 300, "x" * 300 + ".zip"):
        with pytest.raises(UserError, match=r"x: cannot be read|zip: cannot be read") as caught:
            ImageFolder(str(tmp_path / name)).open()
        assert "(File name too long); check the path" in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/a: no such folder or zip file"):
        ImageFolder(str(tmp_path / "file" / "a")).open()


@pytest.mark.parametrize("target", ["/nowhere/x.png", "zz.png", "zz"])
def test_links_to_nothing_are_named(nested, tmp_path, target):
    """A link without a suffix may be one to a class folder, for example on a disk that is not mounted."""
    folder = nested(tmp_path / "a")
    link = folder / "dog" / ("zz" if target == "zz" else "zz.png")
    link.symlink_to(target)
    with pytest.raises(UserError, match=rf"^{re.escape(str(link))}: broken symbolic link; remove it$"):
        ImageFolder(str(folder)).open()
    with pytest.raises(UserError, match=r"zz.*: no such folder or zip file"):
        ImageFolder(str(link)).open()


def test_fifos_are_named_and_do_not_block(nested, tmp_path):
    folder = nested(tmp_path / "a")
    os.mkfifo(pipe := folder / "dog" / "zz.png")
    rescue = threading.Timer(10, lambda: os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)))  # unblocks a reader
    rescue.start()
    try:
        with pytest.raises(UserError, match=rf"^{re.escape(str(pipe))}: not a regular file; remove it$"):
            ImageFolder(str(folder)).open()
        with pytest.raises(UserError, match=r"zz\.png: neither a folder nor a zip file"):
            ImageFolder(str(pipe)).open()
    finally:
        rescue.cancel()


def test_the_home_folder_may_be_written_as_a_tilde(nested, tmp_path, monkeypatch):
    """Shells do not expand it after ``data.root=``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)  # a literal tilde would create a folder here
    folder = nested(tmp_path / "a")
    assert ImageFolder("~/a").open().digest == ImageFolder(str(folder)).open().digest
    data = DataModule(ImageFolder("~/a"), cache_dir="~/cache")
    data.arrays("train")
    assert list((tmp_path / "cache" / "decoded").glob("*-train.npy"))
    with pytest.raises(UserError, match=r"^root: ~nobody-of-that-name/a: no such folder"):
        ImageFolder("~nobody-of-that-name/a").open()
