"""Scores of images in files, without a model."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits

from saddlepoint.metrics.features import RandomFeatures
from saddlepoint.metrics.rows import permutation
from saddlepoint.writing import read_json_lines

Cards = dict[str, dict[str, Any]]


@pytest.fixture
def evaluate(invoke: Any, tmp_path: Path) -> Callable[..., Cards]:
    """Evaluate, and return the cards by metric."""

    def run(*arguments: str) -> Cards:
        (tmp_path / "cards.jsonl").unlink(missing_ok=True)
        outcome = invoke("evaluate", "out=cards.jsonl", *arguments)
        assert outcome.code == 0, outcome.err
        assert "cards appended to cards.jsonl" in outcome.out
        return {card["metric"]: card for card in read_json_lines(tmp_path / "cards.jsonl")}

    return run


def values(cards: Cards) -> dict[str, float]:
    return {metric: card["value"] for metric, card in cards.items()}


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_an_npy_is_scored_as_the_npz_of_its_images(evaluate: Callable[..., Cards], tmp_path: Path) -> None:
    images = (load_digits().images[:200] * 15).astype(np.uint8)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "b.npz", images=images)
    asked = ("data=digits", "features=random", "metrics=[fid,duplicates]")
    assert values(evaluate("samples=a.npy", *asked)) == pytest.approx(
        values(evaluate("samples=b.npz", *asked)), rel=1e-5
    )


@pytest.fixture
def digits(tmp_path: Path) -> np.ndarray:
    """Real digits in two files: ``a.npz`` with 300, and ``b.npz`` with 200 others and their labels."""
    data = load_digits()
    images: np.ndarray = (data.images * 15).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images[:300])
    np.savez(tmp_path / "b.npz", images[300:500, ..., None], labels=data.target[300:500])
    return images


def test_a_checkpoints_samples_in_a_file_score_as_the_checkpoint_does(
    invoke: Any, evaluate: Any, trained: Path
) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'last.ckpt'}"
    assert invoke("sample", checkpoint, "n=64", "seed=0", "format=[npz]", "out=made").code == 0
    against = ("data=digits", "features=classifier", "n=64")
    model, files = evaluate(checkpoint, *against), evaluate("samples=made/samples.npz", *against)
    assert len(model) > 3
    assert values(files) == pytest.approx(values(model), rel=1e-9)
    for metric, card in files.items():
        assert card["ema"] is None, "a file does not say"
        assert (card["reference"], card["real"]) == (model[metric]["reference"], model[metric]["real"])
        assert card["samples"].startswith("samples:64@")


def test_folder_zip_and_npz_of_the_same_images_score_alike(evaluate: Any, digits: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for index, image in enumerate(digits[:300]):
            file = tmp_path / "folder" / f"{index:04}.png"
            Image.fromarray(image).save(file)
            archive.write(file, f"inside/{index:04}.png")
    against = ("reference=b.npz", "features=random", "metrics=[fid,kid]")
    found = [evaluate(f"samples={name}", *against) for name in ("a.npz", "folder", "x.zip")]
    for other in found[1:]:  # the last bit depends on the alignment of arrays in memory
        assert values(other) == pytest.approx(values(found[0]), rel=1e-4)
    card = found[0]["fid_random"]
    assert (card["n"], card["real"], card["batchnorm"]) == (300, None, "unknown")
    assert card["reference"].startswith("b/all:200@")

    extractor = RandomFeatures()
    one, other = (
        extractor(torch.from_numpy(x)[:, None]).pool.double().numpy() for x in (digits[:300], digits[300:500])
    )
    a, b = np.cov(one.T), np.cov(other.T)
    root = np.asarray(sqrtm(a + 1e-9 * np.eye(len(a))) @ b @ sqrtm(a + 1e-9 * np.eye(len(a))))
    cross = np.sqrt(np.linalg.eigvalsh((root + root.T).real / 2).clip(0)).sum()
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * cross
    assert card["value"] == pytest.approx(expected, rel=1e-3)


def test_seeds_choose_other_images_and_state_mean_and_deviation(evaluate: Any, digits: Any, tmp_path: Path) -> None:
    against = ("reference=b.npz", "features=random", "metrics=[fid]", "seed=4")
    card = evaluate("samples=a.npz", *against, "n=90", "seeds=3")["fid_random"]
    # The sets are disjoint; with common images, the scores would differ too little.
    order = permutation(300, 4, "real rows").numpy()
    alone = []
    for part in (order[:90], order[90:180], order[180:270]):
        np.savez(tmp_path / "part.npz", images=digits[:300][part])
        alone.append(evaluate("samples=part.npz", *against)["fid_random"]["value"])
    assert card["seeds"] == [4, 5, 6]
    # All three use the reference of the first seed, on which the Fréchet distance does not depend.
    assert card["values"] == pytest.approx(alone, rel=1e-5)
    mean, deviation = np.mean(alone), np.std(alone, ddof=1)
    assert card["value"] == pytest.approx(mean, rel=1e-5)
    assert card["interval"] == pytest.approx([mean - deviation, mean + deviation], rel=1e-5)


def test_seeds_of_a_checkpoint_are_seeds_of_its_latents(evaluate: Any, trained: Path) -> None:
    asked = (f"checkpoint={trained}", "n=64", "metrics=[fid]")
    card = evaluate(*asked, "seeds=2")["fid_classifier"]
    alone = [evaluate(*asked, f"seed={seed}")["fid_classifier"]["value"] for seed in (0, 1)]
    assert card["values"] == pytest.approx(alone, rel=1e-5)


def test_a_checkpoint_extrapolates_by_the_reference_that_it_keeps(evaluate: Any, trained: Path) -> None:
    cards = evaluate(f"checkpoint={trained}", "n=600", "metrics=[fid,fid_infinity]")
    assert cards["fid_infinity_classifier"]["reference"] == cards["fid_classifier"]["reference"]
    assert cards["fid_infinity_classifier"]["value"] == pytest.approx(cards["fid_classifier"]["value"], rel=0.1)


def test_another_size_is_refused_until_a_policy_is_stated(
    evaluate: Any, refuse: Any, digits: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "small.npz", images=digits[:200, :6, :6])
    asked = ("samples=small.npz", "reference=b.npz", "features=random", "metrics=[fid]")
    line = refuse("evaluate", *asked)
    problem = "samples: images of small.npz are 6x6 with 1 channel, those of b 8x8 with 1 channel"
    assert line.startswith(f"{problem}; set fit to resize, crop or pad")
    np.savez(tmp_path / "padded.npz", images=np.pad(digits[:200, :6, :6], ((0, 0), (1, 1), (1, 1))))
    padded = evaluate(*asked, "fit=pad")["fid_random"]
    assert padded["fit"] == "pad"
    assert padded["value"] == pytest.approx(evaluate("samples=padded.npz", *asked[1:])["fid_random"]["value"], rel=1e-5)


def test_gray_samples_meet_a_colour_reference_as_they_are(evaluate: Any, digits: np.ndarray, tmp_path: Path) -> None:
    rgb = np.repeat(digits[300:500, ..., None], 3, axis=3)
    np.savez(tmp_path / "rgb.npz", images=rgb)
    np.savez(tmp_path / "both.npz", images=np.repeat(digits[:300, ..., None], 3, axis=3))
    asked = ("reference=rgb.npz", "features=random", "metrics=[fid]")
    colour = values(evaluate("samples=both.npz", *asked))
    assert values(evaluate("samples=a.npz", *asked)) == pytest.approx(colour, rel=1e-5)


def test_alpha_is_kept_where_the_data_have_it(evaluate: Any, refuse: Any, digits: np.ndarray, tmp_path: Path) -> None:
    rgba = np.repeat(digits[..., None], 4, axis=3)
    np.savez(tmp_path / "mine.npz", images=rgba[:300])
    np.savez(tmp_path / "real.npz", train_images=rgba[300:700], test_images=rgba[700:1000])
    asked = ("samples=mine.npz", "data=image_folder", "data.root=real.npz", "data.channels=4", "data.image_size=8")
    card = evaluate(*asked, "features=random", "metrics=[fid]")["fid_random"]
    assert card["fit"] is None
    assert card["value"] == pytest.approx(
        evaluate(*asked, "features=random", "fit=pad")["fid_random"]["value"], rel=1e-5
    )


@pytest.mark.usefixtures("digits")
def test_metrics_have_the_names_of_their_scores(evaluate: Any, refuse: Any, trained: Path) -> None:
    asked = ("samples=a.npz", "reference=b.npz", "features=random")
    assert {"fid_random", "support_pixels"} <= evaluate(*asked, "metrics=[fid_random,duplicates_pixels]").keys()
    assert evaluate(f"checkpoint={trained}", "n=64", "metrics=[fid_classifier]").keys() == {"fid_classifier"}
    line = refuse("evaluate", *asked, "metrics=[fid_classifier]")
    assert line.startswith("metrics: unknown metric 'fid_classifier'; choose from fid, fid_infinity, is")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_moments_in_a_file_give_the_fid_of_their_images(
    evaluate: Any, digits: np.ndarray, tmp_path: Path, kind: type
) -> None:
    pool = RandomFeatures()(torch.from_numpy(digits[300:500])[:, None]).pool.double().numpy()
    spatial = {"mu_s": np.zeros(3), "sigma_s": np.eye(3)}  # as in the files of ADM
    np.savez(tmp_path / "stats.npz", mu=pool.mean(0).astype(kind), sigma=np.cov(pool.T).astype(kind), **spatial)
    of_images = evaluate("samples=a.npz", "reference=b.npz", "features=random", "metrics=[fid]")["fid_random"]
    cards = evaluate("samples=a.npz", "reference=stats.npz", "features=random")
    card = cards.pop("fid_random")
    assert not cards
    assert card["value"] == pytest.approx(of_images["value"], rel=1e-4)
    assert card["reference"].startswith("stats/moments:unknown@")
    assert "extractor, resize kernel and number of images are unknown" in card["note"]
    assert (card["fit"], card["real"], card["n"]) == (None, None, 300)


def test_samples_for_moments_keep_their_size_unless_one_is_given(
    evaluate: Any, digits: np.ndarray, tmp_path: Path
) -> None:
    pool = RandomFeatures()(torch.from_numpy(digits[300:500])[:, None]).pool.double().numpy()
    np.savez(tmp_path / "stats.npz", mu=pool.mean(0), sigma=np.cov(pool.T))
    (tmp_path / "mixed").mkdir()
    for index, image in enumerate(digits[:60]):
        side = 8 if index % 2 else 6
        Image.fromarray(image[:side, :side]).save(tmp_path / "mixed" / f"{index:02}.png")
    padded = digits[:60].copy()
    padded[::2] = np.pad(digits[:60:2, :6, :6], ((0, 0), (1, 1), (1, 1)))
    np.savez(tmp_path / "padded.npz", images=padded)
    asked = ("reference=stats.npz", "features=random")
    card = evaluate("samples=mixed", *asked, "image_size=8", "fit=pad")["fid_random"]
    assert card["fit"] == "pad to 8x8"
    assert card["value"] == pytest.approx(evaluate("samples=padded.npz", *asked)["fid_random"]["value"], rel=1e-5)


@pytest.mark.parametrize("policy", ["pad", "resize"])
def test_samples_of_the_native_size_are_fitted_as_the_data_set_is(
    evaluate: Any, digits: np.ndarray, tmp_path: Path, policy: str
) -> None:
    padded = np.pad(digits[:300], ((0, 0), (2, 2), (2, 2)))
    resized = np.stack([Image.fromarray(image).resize((12, 12), Image.Resampling.BICUBIC) for image in digits[:300]])
    np.savez(tmp_path / "fitted.npz", images=padded if policy == "pad" else resized)
    asked = ("data=digits", "data.image_size=12", f"data.fit={policy}", "features=random", "metrics=[fid]", "n=300")
    (native,), (fitted,) = (evaluate(f"samples={name}", *asked).values() for name in ("a.npz", "fitted.npz"))
    assert native["value"] == pytest.approx(fitted["value"], rel=1e-5)
    assert (native["fit"], fitted["fit"]) == (f"{policy} from 8x8, as digits", None)


def test_labels_of_an_npz_are_numbers_of_classes_and_folders_are_names(evaluate: Any, tmp_path: Path) -> None:
    """Classes 1 and 2 of the reference are its folders "2" and "3"."""
    data = load_digits()
    images = {digit: (data.images[data.target == digit][:40] * 15).astype(np.uint8) for digit in (1, 2, 3)}
    for place, digits in (("real", (1, 2, 3)), ("made", (2, 3))):
        for digit in digits:
            (tmp_path / place / str(digit)).mkdir(parents=True)
            for index, image in enumerate(images[digit]):
                Image.fromarray(image).save(tmp_path / place / str(digit) / f"{index}.png")
    np.savez(tmp_path / "made.npz", images=np.concatenate([images[2], images[3]]), labels=np.repeat([1, 2], 40))
    for samples in ("made", "made.npz"):
        cards = evaluate(f"samples={samples}", "reference=real", "features=random", "metrics=[fid,intra_fid]")
        assert cards["intra_fid_random"]["value"] == pytest.approx(0, abs=1e-3)
        assert cards["fid_random"]["value"] > 0.1


def of_moments(folder: Path, name: str) -> None:
    """Write a file of moments of RandomFeatures' 256 features, with one mistake or none."""
    mean, covariance = np.zeros(256), np.eye(256)
    if name == "dimension":
        mean, covariance = mean[:64], covariance[:64, :64]
    elif name == "shape":
        covariance = covariance[:64]
    elif name == "NaN":
        covariance[3, 3] = np.nan
    elif name == "asymmetric":
        covariance[0, 1] = 0.5
    objects = {"mu": np.array([None])} if name == "objects" else {}
    np.savez(folder / "stats.npz", **{"mu": mean, "sigma": covariance, **objects})


MISTAKEN_MOMENTS = {
    "kid": (
        ["metrics=[kid]"],
        "metrics: 'kid' cannot be computed from stats.npz, which is read as mean and covariance",
    ),
    "classifier": (["features=classifier"], "features: the classifier is trained on images of the reference"),
    "fit": (["fit=pad"], "fit: a mean and covariance have no size to fit samples to; set image_size as well"),
    "dimension": ([], "reference: stats.npz is of 64 features, and random has 256"),
    "shape": ([], "reference: stats.npz: mu is float64 [256], sigma float64 [64, 256]; save floats [F] and [F, F]"),
    "NaN": ([], "reference: stats.npz: mu or sigma contains NaN or infinite values"),
    "asymmetric": ([], "reference: stats.npz: sigma is not symmetric"),
    "objects": ([], "reference: stats.npz: mu is object [1]"),
}


@pytest.mark.parametrize("name", MISTAKEN_MOMENTS)
def test_mistakes_with_moments_are_one_line(refuse: Any, digits: Any, tmp_path: Path, name: str) -> None:
    of_moments(tmp_path, name)
    arguments, line = MISTAKEN_MOMENTS[name]
    features = [] if "features=classifier" in arguments else ["features=random"]
    assert line in refuse("evaluate", "samples=a.npz", "reference=stats.npz", *features, *arguments)


def test_points_are_scored_by_their_modes(evaluate: Any, refuse: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", points=np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]))
    line = "metrics: none of fid applies to this model and data; leave it out"
    assert refuse("evaluate", "samples=p.npz", "data=gaussians", "metrics=[modes,fid]") == line
    cards = evaluate("samples=p.npz", "data=gaussians")
    assert cards["modes"]["value"] == 2
    assert cards["high_quality"]["value"] == pytest.approx(2 / 3)


MISTAKES = {
    "nothing to compare with": (["samples=a.npz"], "samples: needs exactly one reference"),
    "two subjects": (["samples=a.npz", "checkpoint=x", "data=digits"], "checkpoint and samples are mutually exclusive"),
    "no samples": (["reference=b.npz"], "reference: applies only to samples=PATH"),
    "no folder": (["samples=a.npz", "reference=c"], "c: no such folder or zip file; give a folder or zip file"),
    "too large n": (["samples=a.npz", "reference=b.npz", "n=301", "features=random"], "n: 301 is more than the 300"),
    "neither size": (
        ["samples=small.npz", "data=digits", "data.image_size=12", "features=random"],
        "samples: images of small.npz are 6x6 with 1 channel, those of digits 12x12 with 1 channel; set fit to resize",
    ),
    "all, over seeds": (
        ["samples=a.npz", "reference=b.npz", "seeds=2"],
        "seeds: 2 disjoint sets of 300 are more than the 300 samples in a.npz; set n to 150 or less",
    ),
    "no features": (["samples=a.npz", "reference=b.npz", "features=none"], "there are no scores without features"),
    "unchecked classifier": (
        ["samples=a.npz", "reference=b.npz", "features=classifier"],
        "features: the classifier is tested on held-out images, and b.npz has none",
    ),
    "no weights": (["samples=a.npz", "reference=b.npz"], "features.weights: cannot download"),
    "raw weights": (
        ["samples=a.npz", "reference=b.npz", "ema=false"],
        "ema: applies only to checkpoint=PATH; leave it out",
    ),
    "importance": (["samples=a.npz", "reference=b.npz", "importance=5"], "importance: applies only to checkpoint=PATH"),
    "no metrics": (
        ["samples=a.npz", "reference=b.npz", "features=random", "metrics=[]"],
        "metrics: list should have at least 1 item",
    ),
    "no labels": (
        ["samples=a.npz", "data=digits", "features=random", "metrics=[fid,intra_fid]"],
        "metrics: intra_fid needs samples with labels of the reference's classes; leave it out",
    ),
    "no logits": (
        ["samples=a.npz", "reference=b.npz", "features=random", "metrics=[is]"],
        "features=random do not support the metric 'is'",
    ),
    "few for a line": (
        ["samples=a.npz", "reference=b.npz", "features=random", "metrics=[fid_infinity]"],
        "n: fid_infinity needs at least 1,024 samples with 256 features",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(refuse: Any, digits: Any, tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "small.npz", images=digits[:200, :6, :6])
    arguments, line = MISTAKES[name]
    assert line in refuse("evaluate", *arguments)


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")
def test_two_samples_are_enough(invoke: Any, digits: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", images=digits[:2])
    outcome = invoke("evaluate", "samples=two.npz", "reference=b.npz", "features=random", "out=cards.jsonl")
    assert outcome.code == 0, outcome.err
    assert "UserWarning" not in outcome.err
    assert "cards_duplicate_curve_pixels.png" in outcome.out
