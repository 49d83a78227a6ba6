"""Images in .npz and .npy files as training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saddlepoint.data import DataModule, ImageFolder, npz
from saddlepoint.data.sources.base import ArrayColumn
from saddlepoint.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, 100)


def seen(path: Path, labels: Any = "folders") -> tuple[dict[str, np.ndarray], dict[str, Any], DataModule]:
    """Return the images [N, H, W, C] and the labels of both splits, and the data module."""
    data = DataModule(ImageFolder(str(path), labels), None, "pad", None, cache_dir=str(path.parent / "cache"))
    data.inspect()
    read = {split: next(iter(data.uint8_batches(split, 1000))) for split in ("train", "held_out")}
    return (
        {split: images.permute(0, 2, 3, 1).numpy() for split, (images, _) in read.items()},
        {split: None if found is None else found.numpy() for split, (_, found) in read.items()},
        data,
    )


def test_the_splits_of_medmnist(tmp_path: Path) -> None:
    """Labels [N, 1], which need not begin at 0; test comes before val."""
    arrays = {f"{name}_images": IMAGES[rows] for name, rows in SPLITS.items()}
    arrays |= {f"{name}_labels": 5 * LABELS[rows][:, None].astype(np.uint8) for name, rows in SPLITS.items()}
    np.savez_compressed(tmp_path / "blood.npz", **arrays)
    images, labels, data = seen(tmp_path / "blood.npz")
    for split, name in (("train", "train"), ("held_out", "test")):
        assert np.array_equal(images[split], IMAGES[SPLITS[name]])
        assert np.array_equal(labels[split], LABELS[SPLITS[name]])
    assert (data.info.name, data.info.class_names) == ("blood", ("0", "5", "10"))
    assert seen(tmp_path / "blood.npz", "none")[1] == {"train": None, "held_out": None}


SPLITS = {"train": slice(0, 60), "val": slice(60, 80), "test": slice(80, 100)}


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_tenth_of_one_array_is_held_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, images=IMAGES, labels=LABELS)
    else:
        np.save(path, IMAGES[..., 0])
    images, labels, data = seen(path)
    expected = IMAGES if suffix == ".npz" else IMAGES[..., :1]
    place = {image.tobytes(): row for row, image in enumerate(expected)}
    rows = {split: [place[image.tobytes()] for image in of] for split, of in images.items()}
    assert sorted(rows["train"] + rows["held_out"]) == list(range(100))
    assert 4 <= len(rows["held_out"]) <= 20
    assert data.info.shape == (3 if suffix == ".npz" else 1, 8, 8)
    for split in rows:
        assert labels[split] is None if suffix == ".npy" else np.array_equal(labels[split], LABELS[rows[split]])


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"train_images": IMAGES}, "contains train_images; it must contain images (or arr_0), uint8"),
        ({"images": IMAGES, "labels": np.zeros((100, 14), int)}, "labels are int64 [100, 14], several for each image;"),
        ({"images": IMAGES / 255}, "images is of type float64; save uint8"),
        ({"train_images": IMAGES, "test_images": IMAGES[:9], "train_labels": LABELS}, "only one of its splits has lab"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], line: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError) as raised:
        ImageFolder(str(tmp_path / "a.npz")).open()
    assert line in str(raised.value)


def test_files_that_are_no_arrays_are_named(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match="no such file"):
            ImageFolder(str(tmp_path / name)).open()
        (tmp_path / name).write_bytes(b"no array")
        with pytest.raises(UserError, match=f"not a readable {name[1:]} file"):
            ImageFolder(str(tmp_path / name)).open()
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a readable \.npy file"):
        ImageFolder(str(tmp_path / "objects.npy")).open()


@pytest.mark.parametrize("kind", ["npz", "npy", "medmnist", "compressed", "column-major"])
@pytest.mark.parametrize("gray", [False, True])
def test_large_arrays_stay_on_disk_and_give_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, gray: bool
) -> None:
    values = IMAGES[..., 0] if gray else IMAGES
    path = tmp_path / ("a.npy" if kind == "npy" else "a.npz")
    if kind == "npy":
        np.save(path, values)
    elif kind == "medmnist":
        np.savez(
            path, train_images=values[:80], test_images=values[80:], train_labels=LABELS[:80], test_labels=LABELS[80:]
        )
    elif kind == "compressed":
        np.savez_compressed(path, images=values, labels=LABELS)
    else:
        np.savez(path, labels=LABELS, images=np.asfortranarray(values) if kind == "column-major" else values)
    in_memory, labels, _ = seen(path)
    monkeypatch.setattr(npz, "MAPPED_BYTES", 100)
    columns = ImageFolder(str(path)).open().columns("train")
    assert isinstance(columns["images"], ArrayColumn) == (kind in ("npz", "npy", "medmnist"))
    on_disk, same_labels, _ = seen(path)
    for split in ("train", "held_out"):
        assert np.array_equal(on_disk[split], in_memory[split])
        assert np.array_equal(same_labels[split], labels[split])
    loaders = []
    for loader in ("memory", "workers"):
        data = DataModule(ImageFolder(str(path)), [12, 10], "pad", 3, flip=True, loader=loader, num_workers=1)  # type: ignore[arg-type]
        data.configure(batch_size=8, seed=3, stop=24)
        loaders.append([batch.samples for batch in data.train_dataloader()])  # type: ignore[attr-defined]
    assert all(torch.equal(one, other) for one, other in zip(*loaders, strict=True))
    assert loaders[0][0].shape == (8, 3, 12, 10)


def test_an_array_on_disk_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of 10 GB, of which few rows are stored."""
    path = tmp_path / "huge.npy"
    np.save(path, IMAGES[:10])
    header = {"descr": "|u1", "fortran_order": False, "shape": (40_000, 500, 500, 1)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.seek(start + 12_345 * 250_000 + 500)
        file.write(b"\x07")
        file.truncate(start + 10**10)
    column = ImageFolder(str(path)).open().columns("train")["images"]
    assert isinstance(column, ArrayColumn)
    row = int(np.flatnonzero(column.chosen == 12_345)[0])
    assert column.read(row)[1, 0, 0] == 7
    assert column.read(row).sum() == 7
