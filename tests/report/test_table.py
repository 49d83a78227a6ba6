from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from saddlepoint.errors import UserError
from saddlepoint.report.runs import find
from saddlepoint.report.table import arrange, device, mean, select


def test_twelve_runs_fold_into_four_settings(sweep: Path) -> None:
    table = arrange(find(str(sweep)).runs)
    assert table.names == ["model"]
    assert table.following == ["loss", "regularizer", "loss._target_", "regularizer.dragan.weight"]
    assert [group.label for group in table.groups] == ["dcgan", "lsgan", "dragan", "wgan_gp"]
    assert [[row.run.setup.seed for row in group.rows] for group in table.groups] == [[0, 1, 2]] * 4
    (column,) = table.columns
    assert (column.title, column.lower, column.real) == ("fid_classifier", True, (0.98, 0.98))
    found = table.groups[2].over_seeds(0)
    values = [6.0, 7.1, 6.5]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert found is not None
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found.half == pytest.approx((high - low) / 2, rel=1e-12)
    assert all(group.mark is None for group in table.groups)


def test_intervals_of_one_value_and_of_none() -> None:
    assert mean([]) is None
    assert mean([2.5]) == (2.5, None, 1)


def test_repeated_runs_of_a_seed_count_once(write_run: Any, tmp_path: Path) -> None:
    for index, (seed, final) in enumerate(((0, 10.0), (0, 12.0), (0, 14.0), (1, 16.0))):
        write_run(tmp_path / str(index), seed=seed, final=final)
    (group,) = arrange(find(str(tmp_path)).runs).groups
    assert group.by_seed(0) == {0: 12.0, 1: 16.0}
    half = stats.t.ppf(0.975, 1) * np.std([12.0, 16.0], ddof=1) / np.sqrt(2)
    assert group.over_seeds(0) == (14.0, pytest.approx(half), 2)


def test_best_and_last(card: Any, write_run: Any, tmp_path: Path) -> None:
    cards = [card(v, seen) for v, seen in ((50.0, 0), (8.0, 100), (9.5, 200))]
    cards += [card(v, seen, "is_classifier") for v, seen in ((1.0, 0), (7.0, 100), (6.5, 200))]
    write_run(tmp_path / "a", cards=cards)
    fid, inception = arrange(find(str(tmp_path)).runs).rows[0].scores
    assert fid is not None
    assert inception is not None
    assert (fid.best, fid.best_at, fid.last, fid.last_at) == (8.0, 100, 9.5, 200)
    assert (inception.best, inception.last) == (7.0, 6.5)


def test_the_untrained_model_is_not_the_best(card: Any, write_run: Any, tmp_path: Path) -> None:
    write_run(
        tmp_path / "a", cards=[card(v, seen, "nearest_train_pixels") for v, seen in ((9.0, 0), (2.0, 64), (1.0, 128))]
    )
    (score,) = arrange(find(str(tmp_path)).runs).rows[0].scores
    assert score is not None
    assert (score.best, score.best_at) == (2.0, 64)


def test_raw_weights_of_a_run_with_averages_have_a_column_of_their_own(
    card: Any, write_run: Any, tmp_path: Path
) -> None:
    """Also where the averaged weights were not scored by the protocol: here, n=500."""
    raw = [card(1.0, 128, ema=False), card(2.0, 128, ema=False, n=500)]
    write_run(tmp_path / "a", cards=[card(5.0, 64), card(3.0, 128), *raw])
    write_run(tmp_path / "b", seed=1, cards=[card(4.0, 128, ema=False), card(6.0, 128, ema=False, n=500)])  # no average
    table = arrange(find(str(tmp_path)).runs)
    protocols = [(column.protocol.n, column.protocol.raw_weights) for column in table.columns]
    assert protocols == [(1000, False), (1000, True), (500, True), (500, False)]
    assert table.columns[1].title == "fid_classifier (n=1000, raw_weights=true)"
    shown = [[score and score.last for score in row.scores] for row in table.rows]
    assert shown == [[3.0, 1.0, 2.0, None], [4.0, None, None, 6.0]]


def test_a_checkpoint_that_is_scored_again_has_the_last_score(card: Any, write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", cards=[card(5.0, 64), card(3.0, 128), card(5.5, 64), card(4.0, 128)])
    (score,) = arrange(find(str(tmp_path)).runs).rows[0].scores
    assert score is not None
    assert (score.best, score.best_at, score.last, score.last_at) == (4.0, 128, 4.0, 128)


def test_a_plugins_score_has_no_best(card: Any, write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", cards=[card(5.0, 0, "angle"), card(6.0, 64, "angle")])
    table = arrange(find(str(tmp_path)).runs)
    assert table.columns[0].lower is None
    assert table.rows[0].scores[0] is not None
    assert (table.rows[0].scores[0].best, table.rows[0].scores[0].last) == (None, 6.0)


PROTOCOLS = {
    "n": 500,
    "splits": 5,
    "reference": "digits/train:1472@00000000",
    "features": "random",
    "features_version": "2-0",
    "resize": "bilinear",
    "seed": 1,
    "bound": "elbo",
    "binarisation": "static",
    "seeds": [0, 1],
}


@pytest.mark.parametrize(("field", "value"), PROTOCOLS.items())
def test_two_protocols_are_never_in_one_column(
    field: str, value: Any, card: Any, write_run: Any, tmp_path: Path
) -> None:
    write_run(tmp_path / "a", cards=[card(5.0, 64)])
    write_run(tmp_path / "b", seed=1, cards=[card(6.0, 64) | {field: value}])
    write_run(tmp_path / "c", seed=2, cards=[card(7.0, 64, ema=False, batchnorm="none", labels="uniform")])
    table = arrange(find(str(tmp_path)).runs)
    assert len(table.columns) == 2
    shown = [[score and score.last for score in row.scores] for row in table.rows]
    assert shown == [[5.0, None], [None, 6.0], [7.0, None]]
    assert len({column.title for column in table.columns}) == 2
    assert all(column.title.startswith(f"fid_classifier ({field}=") for column in table.columns)
    means = [table.groups[0].over_seeds(index) for index in range(2)]
    assert [(found.mean, found.n) for found in means if found is not None] == [(6.0, 2), (6.0, 1)]


def test_bounds_of_different_numbers_of_importance_samples_are_not_in_one_column(
    card: Any, write_run: Any, tmp_path: Path
) -> None:
    for seed, k in enumerate((50.0, 5000.0)):
        write_run(tmp_path / str(seed), seed=seed, cards=[card(90.0, 64, "nll") | {"beside": {"importance": k}}])
    columns = arrange(find(str(tmp_path)).runs).columns
    assert [column.title for column in columns] == ["nll (importance=50)", "nll (importance=5000)"]


def test_the_number_of_samples_of_the_worst_class_does_not_separate_runs(
    card: Any, write_run: Any, tmp_path: Path
) -> None:
    for seed, n in enumerate((30, 47)):
        write_run(tmp_path / str(seed), seed=seed, cards=[card(100.0 + seed, 64, "class_support_pixels", n=n)])
    (column,) = arrange(find(str(tmp_path)).runs).columns
    assert (column.title, column.protocol.n) == ("class_support_pixels", None)


def test_unequal_budgets_are_marked(write_run: Any, tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", "dcgan", seed)
        write_run(tmp_path / f"b{seed}", "lsgan", seed)
        write_run(tmp_path / f"c{seed}", "wgan", seed, images=3200)
    write_run(tmp_path / "killed", "lsgan", 2, images=640, finished=False, changes={"budget.images": 6400})
    groups = {group.label: group.mark for group in arrange(find(str(tmp_path)).runs, ["model"]).groups}
    assert groups == {
        "dcgan": None,
        "lsgan": "runs ended at 640 to 6,400 images",
        "wgan": "3,200 images instead of 6,400",
    }


def test_a_budget_set_by_hand_is_a_setting(write_run: Any, tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", "dcgan", seed)
        write_run(tmp_path / f"c{seed}", "dcgan", seed, images=3200)
    table = arrange(find(str(tmp_path)).runs)
    assert [group.label for group in table.groups] == ["budget.images=6400", "budget.images=3200"]


def test_runs_with_the_same_settings_and_seed_have_different_names(write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    assert [row.name for row in arrange(find(str(tmp_path)).runs).rows] == ["dcgan seed 0", "dcgan seed 0 (2)"]


def test_null_and_none_of_a_key_are_two_settings(write_run: Any, tmp_path: Path) -> None:
    for index, value in enumerate((None, "none", None, "none")):
        write_run(tmp_path / str(index), seed=index // 2, changes={"data.source.label": value})
    groups = arrange(find(str(tmp_path)).runs).groups
    labels = {group.label: sorted(row.run.setup.seed for row in group.rows) for group in groups}
    assert labels == {"data.source.label=null": [0, 1], "data.source.label=none": [0, 1]}


def test_scores_are_selected_by_name(card: Any, write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a", cards=[card(5.0, 64, "kid_classifier"), card(5.0, 64), card(5.0, 64, n=10)])
    table = arrange(find(str(tmp_path)).runs)
    assert select(table, None) == [1, 2]  # the monitored score, in both protocols
    assert select(table, ["kid_classifier"]) == [0]
    assert select(table, ["all"]) == [0, 1, 2]
    with pytest.raises(UserError, match="metrics: no run has the score 'fid'; choose from kid_classifier, fid_cl"):
        select(table, ["fid"])


def test_the_device_is_that_of_the_summary_or_of_the_config(write_run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", changes={"trainer.accelerator": "gpu", "trainer.devices": 2})
    (tmp_path / "a" / "summary.json").write_text('{"device": "NVIDIA H100"}')
    assert [device(run) for run in find(str(tmp_path)).runs] == ["NVIDIA H100", "2 gpu"]


def test_the_interval_is_infinite_for_no_pair_of_values() -> None:
    found = mean([1.0, 1.0])
    assert found is not None
    assert found.half == 0
    assert not math.isnan(found.mean)
