"""The data module: inspection, batches for training and evaluation, and the cache."""

import pickle
import shutil
import typing
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from saddlepoint.data import DataModule, Digits, ImageFolder
from saddlepoint.data.decoding import DecodedRows
from saddlepoint.data.fit import Fit
from saddlepoint.data.loader import MemoryLoader, WorkerLoader
from saddlepoint.errors import UserError
from saddlepoint.types import ImageBatch


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(40):
        path = tmp_path / "photos" / ("ant" if index % 2 else "bee") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(10, 12, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def module(folder, **options):
    return DataModule(ImageFolder(str(folder)), cache_dir=str(folder.parent / "cache"), **options)


def batches(data, **options):
    data.configure(**{"batch_size": 8, "seed": 0, "stop": 100, **options})
    return list(data.train_dataloader())


def test_inspection(folder):
    info = module(folder).inspect()
    assert info.name == "photos"
    assert info.shape == (3, 10, 12)
    assert info.class_names == ("ant", "bee")
    assert sum(info.sizes.values()) == 40


def test_sizes_that_differ_need_a_size(folder):
    Image.new("RGB", (20, 20)).save(folder / "ant" / "x.png")
    with pytest.raises(UserError, match=r"photos has images of 2 sizes \(10x12, 20x20 …\); set it") as caught:
        module(folder).inspect()
    assert caught.value.key == "image_size"
    with pytest.raises(UserError, match=r"ant/x\.png: 20x20 does not fit into 16x16 by padding") as caught:
        module(folder, image_size=16).inspect()
    assert caught.value.key == "fit"
    assert module(folder, image_size=16, fit="crop").inspect().shape == (3, 16, 16)


def test_data_with_one_colour_image_are_colour(tmp_path):
    for index, mode in enumerate(["L", "L", "RGB"]):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new(mode, (4, 4)).save(tmp_path / "a" / f"{index}.png")
    assert module(tmp_path / "a").info.shape == (3, 4, 4)
    (tmp_path / "a" / "2.png").unlink()
    assert module(tmp_path / "a").info.shape == (1, 4, 4)
    assert module(tmp_path / "a", channels=4).info.shape == (4, 4, 4)


def test_a_fraction_of_the_training_images(folder):
    """The same rows in every run, with their labels and files; held-out images stay."""
    whole, half, fifth = (module(folder, fraction=fraction) for fraction in (1.0, 0.5, 0.2))
    n = whole.info.sizes["train"]
    assert [data.info.sizes["train"] for data in (half, fifth)] == [round(0.5 * n), round(0.2 * n)]
    assert {data.info.sizes["held_out"] for data in (whole, half, fifth)} == {40 - n}
    assert len({data.info.fingerprint for data in (whole, half, fifth, module(folder, fraction=0.5))}) == 3
    images, labels = whole.arrays("train")
    rows = {}
    for data in (half, fifth):
        part, classes = data.arrays("train")
        rows[data] = [int((images == one).flatten(1).all(1).nonzero()) for one in part]
        assert rows[data] == sorted(rows[data])
        assert classes.tolist() == labels[rows[data]].tolist()
        files = batches(
            module(folder, fraction=data.fraction, loader="workers", num_workers=0), stop=len(part), batch_size=4
        )
        assert torch.equal(
            torch.cat([batch.images for batch in files]),
            torch.cat([batch.images for batch in batches(data, stop=len(part), batch_size=4)]),
        )
    assert set(rows[fifth]) < set(rows[half])


def test_a_fraction_of_arrays_and_of_both_domains():
    """Round(0.1 · 1,472) digits, and the same labels as in the whole split."""
    whole, tenth = (DataModule(Digits(), fraction=fraction) for fraction in (1.0, 0.1))
    assert tenth.info.sizes["train"] == 147
    images, labels = (values.tolist() for values in whole.arrays("train"))
    for image, label in zip(*(values.tolist() for values in tenth.arrays("train")), strict=True):
        assert label in {labels[row] for row in range(len(images)) if images[row] == image}
    assert torch.equal(whole.arrays("held_out").samples, tenth.arrays("held_out").samples)


def test_workers_and_memory_yield_the_same(folder):
    memory = batches(module(folder, loader="memory", flip=True))
    workers = batches(module(folder, loader="workers", flip=True, num_workers=2))
    assert len(memory) == len(workers) == 13
    for one, other in zip(memory, workers, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_workers_read_zip_files_that_the_parent_has_open(folder, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", folder))
    memory = batches(module(path, loader="memory"))
    workers = batches(module(path, loader="workers", num_workers=3))
    for one, other in zip(memory, workers, strict=True):
        assert torch.equal(one.images, other.images)


def test_columns_can_be_sent_to_workers(folder, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", folder))
    for root in (folder, path):
        decoded = DecodedRows(ImageFolder(str(root)).open().columns("train")["images"], Fit(8, 8, 3, "crop"))
        assert torch.equal(pickle.loads(pickle.dumps(decoded))[3], decoded[3])


def test_auto_depends_on_the_limit(folder):
    small, large = module(folder), module(folder, memory_limit_gb=1e-6)
    for data in (small, large):
        data.configure(8, 0)
    assert isinstance(small.train_dataloader(), MemoryLoader)
    assert isinstance(large.train_dataloader(), WorkerLoader)
    with pytest.raises(UserError, match=r"1e-06 is less than the .* GB of photos's train split; raise it$") as caught:
        large.arrays("train")
    assert caught.value.key == "memory_limit_gb"


def test_arrays_in_memory_can_go_through_workers():
    memory, workers = DataModule(Digits(), flip=True), DataModule(Digits(), flip=True, loader="workers", num_workers=0)
    for one, other in zip(batches(memory), batches(workers), strict=True):
        assert torch.equal(one.images, other.images)


def test_resuming_at_the_systems_counter(folder):
    data = module(folder)
    whole = batches(data)
    seen = {"images": 0}
    data.configure(8, 0, stop=100, start=lambda: seen["images"])
    seen["images"] = 48
    for one, other in zip(whole[6:], data.train_dataloader(), strict=True):
        assert torch.equal(one.images, other.images)


@pytest.mark.parametrize("limit", [2.0, 1e-6])
def test_uint8_batches_are_each_split_once_in_order(folder, limit):
    data = module(folder, memory_limit_gb=limit, flip=True)
    reference = module(folder).arrays("train")
    images, labels = zip(*data.uint8_batches("train", batch_size=7), strict=True)
    assert [len(image) for image in images[:-1]] == [7] * (len(images) - 1)
    assert images[0].dtype == torch.uint8
    assert torch.equal(torch.cat(images), reference.samples)
    assert torch.equal(torch.cat(labels), reference.labels)


def test_splits_are_disjoint_and_complete(folder):
    data = module(folder)
    train, held_out = (set(map(bytes, data.arrays(s).samples.numpy().reshape(-1, 360))) for s in ("train", "held_out"))
    assert not train & held_out
    assert len(train | held_out) == 40


def test_the_cache_is_read_and_is_rebuilt_if_unreadable(folder, tmp_path):
    expected = module(folder).arrays("train").samples
    (file,) = (tmp_path / "cache" / "decoded").glob("*-train.npy")
    np.save(file, np.full_like(np.load(file), 7))
    assert module(folder).arrays("train").samples.unique().tolist() == [7]  # it is read
    for damage in (b"", file.read_bytes()[:100], b"garbage", pickle.dumps([1])):
        file.write_bytes(damage)
        assert torch.equal(module(folder).arrays("train").samples, expected)
        assert np.array_equal(np.load(file), expected.permute(0, 2, 3, 1).numpy())
    assert not list(file.parent.glob("*.part"))


def test_a_cache_that_cannot_be_written_is_a_warning(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    data = DataModule(ImageFolder(str(folder)), cache_dir=str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot cache decoded images .*; set another cache_dir"):
        assert len(data.arrays("train").samples) > 0


def test_setup_finds_broken_files_before_training(folder):
    data = module(folder)
    first = next(data.uint8_batches("train", batch_size=1))[0]
    broken = next(
        p for p in folder.rglob("*.png") if np.array_equal(np.asarray(Image.open(p)), first[0].permute(1, 2, 0))
    )
    broken.write_bytes(broken.read_bytes()[:200])  # the header is intact
    again = module(folder)
    again.inspect()
    with pytest.raises(UserError, match=rf"{broken.name}: corrupt image"):
        again.setup("fit")


def test_workers_name_broken_files_in_one_line(folder):
    for path in Path(folder).rglob("*.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"\.png: corrupt image") as caught:
        batches(module(folder, loader="workers", num_workers=1))
    assert "\n" not in str(caught.value)


def test_a_batch_larger_than_the_data_is_refused_by_configure():
    with pytest.raises(UserError, match="batch_size: 2000 is more than the 1,472 training samples"):
        DataModule(Digits()).configure(2000, 0)


def test_unconfigured_training_is_a_programming_error():
    with pytest.raises(RuntimeError, match="configure"):
        DataModule(Digits()).train_dataloader()


def test_signatures_resolve_for_the_config_checker():
    hints = typing.get_type_hints(DataModule.__init__, include_extras=True)
    accepted = {"image_size": [None, 32, [32, 48]], "channels": [None, 1, 3, 4], "num_workers": [0, 2], "fit": ["pad"]}
    refused = {"image_size": [0, -1, [32], [1, 2, 3], [0, 4]], "channels": [2], "num_workers": [-1], "fit": ["stretch"]}
    for name, hint in hints.items():
        for value in accepted.get(name, []):
            TypeAdapter(hint).validate_python(value)
        for value in refused.get(name, []):
            with pytest.raises(ValidationError):
                TypeAdapter(hint).validate_python(value)


class _Recorder(pl.LightningModule):
    """Records the batches that it receives from Lightning, and counts images as a system does."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        self.received = []

    def configure_optimizers(self):
        return None

    def training_step(self, batch, batch_idx):
        self.received.append(batch)
        self.images_seen += len(batch.images)


def _fit(recorder, data, **options):
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip
    data.configure(64, seed=0, stop=64 * 5 + 1, start=lambda: int(recorder.images_seen))
    trainer.fit(recorder, datamodule=data)
    return recorder.received


def test_lightning_does_not_change_batches():
    received = _fit(_Recorder(), DataModule(Digits()))
    expected = batches(DataModule(Digits()), batch_size=64, stop=64 * 5 + 1)
    assert [len(batch.images) for batch in received] == [64, 64, 64, 64, 65]
    for one, other in zip(received, expected, strict=True):
        assert isinstance(one, ImageBatch)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_lightning_resumes_in_the_middle():
    whole = _fit(_Recorder(), DataModule(Digits()))
    recorder = _Recorder()
    recorder.images_seen += 128
    for one, other in zip(whole[2:], _fit(recorder, DataModule(Digits())), strict=True):
        assert torch.equal(one.images, other.images)
