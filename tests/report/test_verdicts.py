from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from saddlepoint.report import table as tables
from saddlepoint.report.protocol import Protocol
from saddlepoint.report.runs import Run, find
from saddlepoint.report.settings import Setup
from saddlepoint.report.table import Column, Group, Row, Score, Table, arrange
from saddlepoint.report.verdicts import compare, holm, paired, resampled

PROTOCOL = Protocol("fid_classifier", 1000, None, "digits", "classifier", "1", "none", 0, None, None, 1)


def written(values: dict[str, dict[int, float]], lower: bool | None = True) -> Table:
    """A table of settings with the score of each seed."""
    groups = []
    for name, scores in values.items():
        rows = [
            Row(
                Run(Path(name), Setup(seed, {"model": name}, {}), {"images_seen": 64}, [], [], []),
                f"{name} seed {seed}",
                name,
                [Score(score, 64, score, 64)],
            )
            for seed, score in scores.items()
        ]
        groups.append(Group(name, rows, None))
    return Table(["model"], [Column(PROTOCOL, "fid_classifier", lower, None)], groups)


def random_table(random: np.random.Generator, settings: int = 4, seeds: int = 5) -> Table:
    shared = random.normal(size=seeds)  # a seed affects all settings, which pairing removes
    return written(
        {f"s{i}": dict(enumerate(10 + shared + random.normal(size=seeds))) for i in range(settings)},
    )


def test_figures_equal_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        first, second = random.normal(5, 1, 6), random.normal(4, 1, 6)
        interval, p = paired(list(zip(first, second, strict=True)))
        expected = stats.ttest_rel(first, second)
        assert interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-12)
        assert p == pytest.approx(expected.pvalue, rel=1e-12)
        bootstrap = stats.bootstrap(
            (first - second,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
        )
        assert resampled(list(first - second)) == pytest.approx(tuple(bootstrap.confidence_interval), rel=1e-12)


def test_the_bootstrap_interval_is_close_to_that_of_all_resamples() -> None:
    values = [-3.0, -1.0, -2.5, -4.0, -2.0]
    means = [np.mean(draw) for draw in itertools.product(values, repeat=5)]
    assert resampled(values) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("second", "shown"), [([1.0, 2.0, 3.0], "0"), ([0.9, 1.9, 2.9], "+0.1"), ([2.0, 3.0, 4.0], "-1")]
)
def test_without_variation_over_seeds_no_p_value_is_stated(second: list[float], shown: str) -> None:
    """1 - 0.9, 2 - 1.9 and 3 - 2.9 differ in the last bits."""
    (verdict,) = compare(written({"a": dict(enumerate([1.0, 2.0, 3.0])), "b": dict(enumerate(second))}), [0])
    assert (verdict.p, verdict.corrected, verdict.student, verdict.bootstrap) == (None,) * 4
    assert not verdict.differs
    assert verdict.sentence() == (
        f"a and b: the difference in fid_classifier is {shown} for all 3 seeds, so no p-value can be computed"
    )


def naive_holm(p_values: list[float]) -> list[float]:
    """Of each p-value, the smallest level at which Holm's procedure rejects it, found by trying all candidates."""
    m = len(p_values)
    candidates = sorted({min(1.0, k * p) for p in p_values for k in range(1, m + 1)})

    def rejected(level: float) -> set[int]:
        found: set[int] = set()
        for step, index in enumerate(np.argsort(p_values, kind="stable")):
            if p_values[index] > level / (m - step) + 1e-15:
                break
            found.add(int(index))
        return found

    return [next((level for level in candidates if i in rejected(level)), 1.0) for i in range(m)]


def test_holm_equals_a_naive_procedure() -> None:
    random = np.random.default_rng(1)
    for m in (1, 2, 3, 6, 10):
        p_values = list(random.uniform(0, 0.3, m))
        assert holm(p_values) == pytest.approx(naive_holm(p_values), rel=1e-9)
    # The example of R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([]) == []


def test_a_lower_score_is_stated_in_a_sentence() -> None:
    dcgan, dragan = [10.0, 11.0, 10.6, 9.9, 10.4], [6.0, 7.1, 6.5, 6.6, 6.4]
    verdicts = compare(written({"dcgan": dict(enumerate(dcgan)), "dragan": dict(enumerate(dragan))}), [0])
    low, high = stats.ttest_rel(dragan, dcgan).confidence_interval(0.95)
    (verdict,) = verdicts
    assert verdict.sentence() == (
        f"dragan has a lower fid_classifier than dcgan: -3.86 [{low:.4g}, {high:.4g}], 5 seeds"
    )
    assert verdict.student == pytest.approx((low, high))
    assert verdict.bootstrap is not None
    assert low < verdict.bootstrap[0] < verdict.bootstrap[1] < 0


def test_the_better_setting_is_named_first_where_higher_is_better() -> None:
    values = {"a": {0: 1.0, 1: 1.1, 2: 1.2}, "b": {0: 5.0, 1: 5.2, 2: 5.1}}
    (verdict,) = compare(written(values, lower=False), [0])
    assert verdict.sentence().startswith("b has a higher fid_classifier than a: +4 [")
    (verdict,) = compare(written(values, lower=None), [0])
    assert verdict.sentence().startswith("a has a lower fid_classifier than b: -4 [")


def test_too_few_common_seeds() -> None:
    values = {"a": {0: 1.0, 1: 2.0, 5: 9.0}, "b": {0: 2.0, 1: 3.0, 6: 1.0}, "c": {7: 1.0}, "d": {}}
    sentences = [verdict.sentence() for verdict in compare(written(values), [0])]
    assert "a and b: too few seeds to compare fid_classifier (only 2 common seeds, 3 needed)" in sentences
    assert "a and c: too few seeds to compare fid_classifier (no common seeds, 3 needed)" in sentences
    assert len(sentences) == 3  # d has no score of this protocol


def test_no_difference_is_stated_with_its_interval() -> None:
    values = {"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {0: 2.0, 1: 1.0, 2: 3.5}}
    (verdict,) = compare(written(values), [0])
    assert verdict.sentence().startswith("a and b: no difference shown in fid_classifier: -0.1667 [")


def test_a_difference_that_the_correction_removes_is_not_stated() -> None:
    random = np.random.default_rng(4)
    found = [compare(random_table(random), [0]) for _ in range(60)]
    single = [v for verdicts in found for v in verdicts if v.p is not None and v.p < 0.05 and not v.differs]
    assert single  # some have an interval that does not contain zero
    assert all(verdict.student[0] * verdict.student[1] > 0 for verdict in single)
    assert all("no difference shown" in verdict.sentence() for verdict in single)
    assert all(verdict.comparisons == 6 for verdict in single)


def test_in_sweeps_without_differences_few_are_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holm's method bounds the probability of any false statement by 5 %; 7 % allows for 1,000 simulations."""
    monkeypatch.setattr("saddlepoint.report.verdicts.resampled", lambda differences: (0.0, 0.0))  # decides nothing
    random = np.random.default_rng(0)
    false = sum(any(v.differs for v in compare(random_table(random), [0])) for _ in range(1000))
    assert 10 <= false <= 70


def test_a_sweep_of_files(sweep: Path) -> None:
    verdicts = compare(arrange(find(str(sweep)).runs), [0])
    assert len(verdicts) == 6
    shown = {(verdict.first, verdict.second) for verdict in verdicts if verdict.differs}
    pairs = {
        ("dcgan", "wgan_gp"),
        ("lsgan", "wgan_gp"),
        ("dragan", "wgan_gp"),
        ("dragan", "dcgan"),
        ("dragan", "lsgan"),
    }
    assert shown == pairs
    assert verdicts[-1].sentence().startswith("dcgan and lsgan: no difference shown in fid_classifier: -0.06667 [")


def test_unequal_budgets_are_part_of_the_sentence(write_run: Any, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", "dcgan", seed, final=10 + seed / 10)
        write_run(tmp_path / f"b{seed}", "lsgan", seed, final=20 + seed / 9, images=3200)
    (verdict,) = compare(arrange(find(str(tmp_path)).runs, ["model"]), [0])
    assert verdict.sentence().endswith(", 3 seeds (budgets differ: 6,400 and 3,200 images seen)")


def test_several_runs_of_a_seed_count_once() -> None:
    row = written({"a": {0: 1.0, 1: 2.0, 2: 3.0}}).groups[0].rows
    more = [*row, Row(row[0].run, "again", "a", [Score(3.0, 64, 3.0, 64)])]
    table = written({"a": {0: 1.0}, "b": {0: 2.0, 1: 2.5, 2: 2.0}})
    table = Table(table.names, table.columns, [Group("a", more, None), table.groups[1]])
    (verdict,) = compare(table, [0])
    assert verdict.seeds == [0, 1, 2]
    assert verdict.difference == pytest.approx((2.0 + 2.0 + 3.0 - 6.5) / 3)
    assert tables.number(None, "last") is None
