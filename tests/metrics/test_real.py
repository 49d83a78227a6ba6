"""Real statistics are cached by exactly the settings that they depend on."""

import dataclasses

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.modes import ClassHistogram
from saddlepoint.metrics.real import FORMAT, RealStatistics, collect_split
from saddlepoint.metrics.rows import selection


def same(first: RealStatistics, second: RealStatistics) -> bool:
    """Return whether both are bitwise equal; NaN are missing values of classes."""
    return first.tensors.keys() == second.tensors.keys() and all(
        np.array_equal(tensor, second.tensors[name], equal_nan=True) for name, tensor in first.tensors.items()
    )


def test_moments_are_of_the_whole_split(digits, grid, tmp_path) -> None:
    statistics = RealStatistics.compute(digits, grid, tmp_path, n=100)
    pool = grid(digits.splits["train"][0]).pool.double().numpy()
    root = statistics.tensors["fid.root"].numpy()
    np.testing.assert_allclose(statistics.tensors["fid.mean"], pool.mean(0), rtol=1e-12)
    np.testing.assert_allclose(root @ root.T, np.cov(pool, rowvar=False), rtol=1e-9)
    assert statistics.reference == "digits/train:1437@01234567"


def test_the_second_time_no_image_is_read(digits, grid, tmp_path) -> None:
    first = RealStatistics.compute(digits, grid, tmp_path, n=100)
    reads, calls = digits.reads, len(grid.calls)
    second = RealStatistics.compute(digits, grid, tmp_path, n=100)
    assert (digits.reads, len(grid.calls)) == (reads, calls)
    assert second.held_out == first.held_out
    assert same(first, second)


@pytest.mark.parametrize("change", [{"n": 99}, {"seed": 1}, {"splits": 5}, {"metrics": ("fid",)}, {"reference_n": 900}])
def test_other_settings_are_computed_again(digits, grid, tmp_path, change) -> None:
    RealStatistics.compute(digits, grid, tmp_path, n=100)
    reads = digits.reads
    RealStatistics.compute(digits, grid, tmp_path, **({"n": 100} | change))
    assert digits.reads > reads


def test_changed_data_give_new_figures(digits, other_digits, grid, tmp_path) -> None:
    first = RealStatistics.compute(digits, grid, tmp_path, n=100)
    second = RealStatistics.compute(other_digits, grid, tmp_path, n=100)
    assert second.reference != first.reference
    assert not torch.equal(first.tensors["fid.mean"], second.tensors["fid.mean"])


def test_another_extractor_gives_new_figures(digits, grid, tmp_path) -> None:
    first = RealStatistics.compute(digits, grid, tmp_path, n=100)
    second = RealStatistics.compute(digits, RandomFeatures(), tmp_path, n=100)
    assert second.tensors["fid.mean"].shape != first.tensors["fid.mean"].shape
    assert not any(name.startswith("is") for name in second.held_out)


def test_another_resize_kernel_gives_new_figures(digits, grid, tmp_path) -> None:
    """Even if the extractor's version was not changed."""
    first = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("fid",))
    grid.resize = "bicubic-8"
    reads = digits.reads
    second = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("fid",))
    assert digits.reads > reads
    assert (first.header["resize"], second.header["resize"]) == ("none", "bicubic-8")


def test_a_file_with_another_header_is_not_used(digits, other_digits, grid, tmp_path) -> None:
    """The header identifies the data set, so copied or renamed files and hash collisions cannot give wrong figures."""
    RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("fid",))
    (path,) = (tmp_path / "features").iterdir()
    stale = path.read_bytes()
    RealStatistics.compute(other_digits, grid, tmp_path, n=100, metrics=("fid",))
    (other,) = set((tmp_path / "features").iterdir()) - {path}
    other.write_bytes(stale)
    reads = other_digits.reads
    again = RealStatistics.compute(other_digits, grid, tmp_path, n=100, metrics=("fid",))
    assert other_digits.reads > reads
    assert again.reference == "digits/train:718@98765432"
    assert other.read_bytes() != stale


@pytest.mark.parametrize("fault", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_rebuilt(digits, grid, tmp_path, fault) -> None:
    first = RealStatistics.compute(digits, grid, tmp_path, n=100)
    (path,) = (tmp_path / "features").iterdir()
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b"", "other": b"hello" * 99}[fault])
    reads = digits.reads
    second = RealStatistics.compute(digits, grid, tmp_path, n=100)
    assert digits.reads > reads
    assert second.held_out == first.held_out
    assert torch.equal(second.tensors["kid.rows"], first.tensors["kid.rows"])


def test_a_cache_that_cannot_be_written_is_a_warning(digits, grid, tmp_path) -> None:
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot cache"):
        statistics = RealStatistics.compute(digits, grid, tmp_path, n=100)
    assert statistics.held_out["fid_grid"][1] == 100


def test_state_survives_a_checkpoint(digits, grid, tmp_path) -> None:
    first = RealStatistics.compute(digits, grid, tmp_path, n=100)
    assert first.embeddable
    torch.save(first.state(), tmp_path / "state.pt")
    second = RealStatistics.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert dataclasses.asdict(second).keys() == dataclasses.asdict(first).keys()
    assert (second.header, second.held_out) == (first.header, first.held_out)
    assert same(first, second)


def test_state_of_another_format_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        RealStatistics.from_state({"header": {"format": "0"}, "tensors": {}, "held_out": {}})
    assert caught.value.problem == f"the checkpoint's real statistics have format 0, not {FORMAT}"


def test_references_that_share_memory_are_cached(digits, grid, tmp_path) -> None:
    """Both metrics store the mean of all images, which is the same tensor."""
    names = ("fid", "fid_infinity")
    first = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=names)
    assert torch.equal(first.tensors["fid.mean"], first.tensors["fid_infinity.mean"])
    reads = digits.reads
    assert same(first, RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=names))
    assert digits.reads == reads


def test_features_of_two_metrics_are_cached_once(digits, grid, tmp_path) -> None:
    names = ("kid", "nearest_train")
    for name in (*names, names):
        RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=[name] if isinstance(name, str) else name)
    one, other, both = sorted(path.stat().st_size for path in (tmp_path / "features").iterdir())
    assert both < other + 2_000 < one + other
    again = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=names)
    assert again.tensors["kid.rows"] is again.tensors["nearest_train.rows"]
    assert torch.equal(again.tensors["kid.rows"], grid(digits.splits["train"][0]).pool)


def test_held_out_figures_are_of_n_images_or_of_all(digits, grid, tmp_path) -> None:
    assert RealStatistics.compute(digits, grid, tmp_path, n=100).held_out["fid_grid"][1] == 100
    assert RealStatistics.compute(digits, grid, tmp_path, n=1000).held_out["fid_grid"][1] == 360


def test_choices_are_nested() -> None:
    small, large = selection(1000, 10, seed=3), selection(1000, 100, seed=3)
    assert (int(small.sum()), int(large.sum())) == (10, 100)
    assert bool(large[small].all())
    assert not torch.equal(small, selection(1000, 10, seed=4))


def test_the_extractor_is_applied_only_to_the_rows_that_metrics_need(digits, grid, tmp_path) -> None:
    both = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("is", "fid"))
    assert sum(grid.calls) == 1437 + 100
    grid.calls.clear()
    less = RealStatistics.compute(digits, grid, tmp_path, n=100, metrics=("is",))
    assert sum(grid.calls) == 100 + 100
    assert less.held_out == {"is_grid": both.held_out["is_grid"]}
    assert torch.equal(less.tensors["is.train"], both.tensors["is.train"])


def test_labels_are_counted_in_all_images(digits, grid) -> None:
    sample = collect_split(digits, "train", grid, [ClassHistogram()], rows=100, seed=0, size=1437)
    assert len(sample.logits) == sum(grid.calls) == 100
    assert torch.equal(sample.label_counts, torch.bincount(digits.splits["train"][1], minlength=10))
