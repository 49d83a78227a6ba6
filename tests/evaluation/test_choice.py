"""The choice of what to evaluate, and evaluations of files as Python objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from saddlepoint.config.compose import compose_config
from saddlepoint.errors import UserError
from saddlepoint.evaluation.choice import subject_of


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves of 300 digits, and 400 points on two of the ring's modes."""
    monkeypatch.chdir(tmp_path)
    images = (load_digits().images * 15).astype(np.uint8)
    np.savez("a.npz", images=images[:300])
    np.savez("points.npz", points=np.tile([[1.0, 0.0], [0.0, 1.0]], (200, 1)))


def test_a_set_of_images_against_itself() -> None:
    arguments = ["samples=a.npz", "reference=a.npz", "features=random", "metrics=[fid,precision]"]
    subject = subject_of(compose_config("evaluate", arguments), features_off=False)
    cards = {card.metric: card for card in subject.score(0, 1.0)}
    assert cards["fid_random"].value == pytest.approx(0, abs=1e-4)
    for name in ("precision", "recall", "coverage"):
        assert cards[f"{name}_random"].value == 1
    assert (subject.title, subject.out) == ("300 images of a.npz", Path("scores.jsonl"))
    assert subject.about["samples"].startswith("a:300@")


def test_points_of_a_file() -> None:
    config = compose_config("evaluate", ["samples=points.npz", "data=gaussians"])
    subject = subject_of(config, features_off=False)
    cards = {card.metric: card.value for card in subject.score(0, 1.0)}
    assert cards["modes"] == 2
    assert cards["reverse_kl"] == pytest.approx(np.log(4))  # uniform over two of eight modes
    assert subject.pictures([]) == {}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("samples=points.npz reference=a.npz", "samples: points.npz contains points; set data=gaussians "),
        ("samples=a.npz data=gaussians", "samples: gaussians_ring is a data set of points, and a.npz contains none; "),
        ("samples=a.npz data=digits image_size=8", "image_size: applies only to reference=PATH; with data=NAME, set "),
        ("samples=a.npz reference=a.npz features=random n=5 splits=6", "splits: 5 samples cannot be split into 6 "),
        ("checkpoint=nowhere", "nowhere"),
    ],
)
def test_mistakes_are_named(arguments: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        subject_of(compose_config("evaluate", arguments.split()), features_off=False)
    assert line in str(caught.value)
