from __future__ import annotations

from typing import Any

from saddlepoint.report.settings import Setup, differing, label


def setup(choices: dict[str, str], seed: int = 0, **config: Any) -> Setup:
    return Setup.of({"seed": seed, "choices": {"data": "digits", **choices}, **config})


def test_settings_that_follow_from_a_choice_are_left_out() -> None:
    runs = [
        setup({"model": "dcgan", "loss": "nonsaturating"}, loss={"_target_": "NonSaturating", "label_smoothing": 0.0}),
        setup(
            {"model": "dcgan", "loss": "nonsaturating"}, 1, loss={"_target_": "NonSaturating", "label_smoothing": 0.0}
        ),
        setup({"model": "lsgan", "loss": "leastsquares"}, loss={"_target_": "LeastSquares", "a": 0}),
    ]
    assert differing(runs) == ["model"]
    assert [label(run, ["model"]) for run in runs] == ["dcgan", "dcgan", "lsgan"]
    # The loss of the third run was chosen by hand, so it is shown although it is different wherever the model is.
    assert differing(runs, ["model", "loss", "seed"]) == ["model", "loss"]
    assert label(runs[2], ["model", "loss"]) == "model=lsgan loss=leastsquares"


def test_a_key_that_does_not_follow_from_choices_is_shown() -> None:
    runs = [setup({"model": model}, network={"width": width}) for model in ("dcgan", "lsgan") for width in (8, 16)]
    assert differing(runs) == ["model", "network.width"]
    assert label(runs[1], differing(runs)) == "model=dcgan network.width=16"


def test_groups_that_take_a_list_are_named_by_their_parts() -> None:
    runs = [
        setup({"model": "dcgan"}, regularizer={"r1": {"weight": 10.0}}),
        setup({"model": "dcgan"}, regularizer={"r1": {"weight": 10.0}, "lecam": {"weight": 0.3}}),
        setup({"model": "dcgan"}, regularizer={"r1": {"weight": 1.0}}),
    ]
    assert differing(runs) == ["regularizer", "regularizer.r1.weight"]
    assert label(runs[1], differing(runs)) == "regularizer=[r1,lecam] regularizer.r1.weight=10.0"


def test_what_a_run_does_not_have_is_left_out_of_its_name() -> None:
    runs = [
        setup({"model": "dcgan"}),
        setup({"model": "dcgan"}, augment={"ada": {}}),
        setup({"model": "vae"}, loss=None),
    ]
    names = differing(runs, ["augment"])
    assert [label(run, names) for run in runs] == ["model=dcgan", "model=dcgan augment=[ada]", "model=vae"]
    assert label(setup({"model": "dcgan"}), ["augment", "loss"]) == "no augment, no loss"


def test_seed_folders_and_recording_do_not_tell_settings_apart() -> None:
    runs = [
        setup(
            {"model": "dcgan", "logger": logger},
            seed,
            run={"dir": str(seed)},
            sweep={"resume": logger},
            callbacks={"samples": {"n": seed}},
            logger={"mode": logger},
            data={"num_workers": seed, "jitter": 0, "shape": [1, 8 + seed, 8], "columns": {"a": [seed]}},
        )
        for seed, logger in enumerate(("wandb", "none"))
    ]
    assert differing(runs) == []
    assert label(runs[0], []) == "dcgan"


def test_references_differ_only_where_they_refer_to_other_keys() -> None:
    runs = [setup({"model": "dcgan"}, network={"width": w, "hidden": ["${network.width}"]}) for w in (8, 16)]
    assert differing(runs) == ["network.width"]
