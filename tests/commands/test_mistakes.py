"""Invalid input ends with exit code 2 and one line: key, problem and remedy. Nothing is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RAMP = "{_target_:saddlepoint.schedules.Ramp"
"""The start of a ramp on a command line; it needs a start and an end."""
COMMAND_LINE = {
    # keys and choices; tests/config/test_mistakes.py and test_check.py have more
    "btach_size=3": "btach_size: unknown key; did you mean 'batch_size'?",
    "+batch_sise=3": "batch_sise: unknown key; did you mean 'batch_size'?",
    "+loss.label_smooting=0.1": "loss.label_smooting: unknown key; did you mean 'label_smoothing'?",
    "~optimizer.generator": "optimizer.generator: GAN needs an optimizer for its player 'generator'",
    "~network.discriminator": "network.discriminator: GAN needs a network 'discriminator'",
    "model=dcgna": "model: unknown choice 'dcgna'; did you mean 'dcgan'? The choices are aae, acgan, ",
    "data=imagefolder": "data: unknown choice 'imagefolder'; did you mean 'image_folder'? The choices are afhq, ",
    "regularizer=[r9]": "regularizer: unknown choice 'r9'; choose from auxiliary_classifier, ",
    "loss=null": "loss: null is not a choice; choose from began, ",
    "data=image_folder": "data.root: missing value; set data.root=…",
    "seed=1,2": "seed: several values (1,2); add -m to run them all",
    "seed=[1": "seed: cannot parse [1; close its brackets and quotes",
    # types and ranges
    "batch_size=-1": "batch_size: input should be greater than 0, got -1",
    "batch_size=many": "batch_size: input should be a valid integer, got 'many'",
    "seed=1.5": "seed: input should be a valid integer, got 1.5",
    "budget.images=0": "budget.images: input should be greater than 0, got 0",
    "budget.images=null": "budget: no limit is set; set budget.images, budget.generator_updates or budget.hours",
    "trainer.precision=bf17": "trainer.precision: input should be",
    "norm.generator=bacth": "norm.generator: input should be",
    "loss.label_smoothing=2": "loss.label_smoothing: input should be less than or equal to 1, got 2",
    "network.width=-8": "network.width: input should be greater than 0, got -8",
    "model.discriminator_steps=0": "model.discriminator_steps: input should be greater than 0, got 0",
    "model.prior=cauchy": "model.prior: input should be 'normal' or 'uniform', got 'cauchy'",
    "model.ema_decay=1": "model.ema_decay: input should be less than 1, got 1",
    "optimizer.generator.lr=abc": "optimizer.generator.lr: input should be",
    "optimizer.generator.lr=-1": "optimizer: Invalid learning rate: -1",
    "optimizer.generator.betas=[0.5,2]": "optimizer: Invalid beta parameter",
    f"regularizer=[r1] regularizer.r1.weight={RAMP},start:1,end:-1}}": "regularizer.r1.weight: input should be greater",
    f"regularizer=[r1] regularizer.r1.weight={RAMP},start:1}}": "regularizer.r1.weight.end: missing key",
    f"optimizer.generator.lr={RAMP},start:1,end:0,shape:stairs}}": "optimizer.generator.lr.shape: input should be",
    f"optimizer.generator.betas=[0,{RAMP},start:a,end:1}}]": "optimizer.generator.betas: input should be a valid num",
    f"model.discriminator_steps={RAMP},start:1,end:2}}": "model.discriminator_steps: does not support ramps",
    "model.ema_half_life=1000": "model.ema_half_life: mutually exclusive with ema_decay, which is 0.9995",
    "model.ema_half_life=-1 model.ema_decay=null": "model.ema_half_life: input should be greater than or equal to 0",
    "optimizer.schedule=stairs": "optimizer.schedule: input should be 'constant', 'linear', ",
    "optimizer.gradient_clip=-1": "optimizer.gradient_clip: input should be greater than 0, got -1",
    "data.fit=squash": "data.fit: input should be 'pad', 'crop' or 'resize', got 'squash'",
    "data.channels=2": "data.channels: input should be 1, 3 or 4, got 2",
    "data.image_size=0": "data.image_size: input should be greater than 0, got 0",
    "data.num_workers=-1": "data.num_workers: input should be greater than or equal to 0, got -1",
    "callbacks.scores.n=3 callbacks.scores.splits=4": "callbacks.scores.splits: 3 samples cannot be split into 4 parts",
    # incompatible settings
    "model=infogan batch_size=1": "batch_size: batch normalization of vectors needs two samples, and 'generator'",
    "data.image_size=9": "data.image_size: network 'dcgan' supports images of 8 to 128 px",
    "data.image_size=136": "got 136x136; set it to 128",
    "data.image_size=4": "8x8 does not fit into 4x4",
    "batch_size=5000": "batch_size: 5000 is more than the 1,472 training samples",
    "callbacks.scores.metrics=[fidd]": "callbacks.scores.metrics: unknown metric 'fidd'; did you mean 'fid'?",
    "callbacks.scores.metrics=[fid,elbo]": "callbacks.scores.metrics: none of elbo applies to this model and data",
    "callbacks.scores.metrics=[]": "callbacks.scores.metrics: list should have at least 1 item",
    "data=gaussians network=dcgan": "network.generator: network 'dcgan' supports only images (C, H, W), got points",
    "regularizer=[gradient_penalty] data.image_size=32": "batch normalization",
    "conditioning=concat data=gaussians": "conditioning.generator: 'concat' needs labels, and the data has none",
    "conditioning=projection minibatch=packing": "conditioning.discriminator: 'projection' needs one label per logit",
    "data=gaussians norm.generator=instance": "norm.generator: instance normalization needs images",
    "norm=spectral network.discriminator.equalized=true": "network.discriminator.equalized: equalized",
    # options that no part uses
    "network=began norm=layer": "norm: no part of this run uses norm.discriminator; leave it out, or",
    "network=began minibatch.layer=stddev": "minibatch.layer: no part of this run uses minibatch.layer; leave it out",
    # references that are not allowed in checkpoints
    "run.name=${oc.env:HOME}": "run.name: '${oc.env:HOME}' refers to something other than the config's own keys",
    # targets
    "loss._target_=torch.load": "loss._target_: target 'torch.load' is not allowed; add its package to plugins=",
    "data.source._target_=os.system": "target 'os.system' is not allowed",
    "features._target_=saddlepoint.commands.main.main": "target 'saddlepoint.commands.main.main' is not allowed",
    "optimizer.generator._target_=torch.optim.Adan": "is not allowed; did you mean 'torch.optim.Adam'?",
}


@pytest.mark.parametrize("arguments", COMMAND_LINE)
def test_command_line(refuse: Callable[..., str], arguments: str) -> None:
    line = refuse("train", "network.width=8", *arguments.split(" "))
    assert COMMAND_LINE[arguments] in line


def test_secrets_do_not_stand_on_a_command_line(refuse: Callable[..., str]) -> None:
    for argument in ("+logger.api_key=s3cr3t", "+wandb_token=s3cr3t", "+data.source.password=s3cr3t"):
        line = refuse("train", argument)
        assert line.startswith(argument.split("=")[0].lstrip("+") + ": ")
        assert "environment" in line
        assert "s3cr3t" not in line


def test_unknown_command(refuse: Callable[..., str]) -> None:
    line = refuse(None, "trian")
    assert line.startswith("unknown command 'trian'; did you mean 'train'? The choices are train, evaluate, sample")


OWN_FILES = {
    "experiment": ("btach_size: 3", "btach_size: unknown key; did you mean 'batch_size'?"),
    "model": ("model: {_target_: saddlepoint.systems.GAN, latent_dmi: 3}", "model.latent_dmi: unknown key"),
    "loss": ("_target_: saddlepoint.losses.NonSaturating\nlabel_smothing: 0.1", "loss.label_smothing: unknown key"),
    "network": ("generator: {_target_: builtins.eval}", "target 'builtins.eval' is not allowed"),
    "optimizer": (
        "defaults: [dcgan_adam]\ngenerator: {lr: fast}",
        "optimizer.generator.lr: input should be a valid number",
    ),
    "callbacks": ("samples: {n: -4}", "callbacks.samples"),
}


@pytest.mark.parametrize("group", OWN_FILES)
def test_a_file_of_the_users_own(refuse: Callable[..., str], tmp_path: Path, group: str) -> None:
    content, named = OWN_FILES[group]
    (tmp_path / "mine" / group).mkdir(parents=True)
    header = "# @package _global_\n" if group in ("experiment", "model") else ""
    (tmp_path / "mine" / group / "own.yaml").write_text(header + content + "\n")
    assert named in refuse("train", "--config-dir", str(tmp_path / "mine"), f"{group}=own")


def test_yaml_that_is_none(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text("a: [1\nb: }")
    line = refuse("train", "--config-dir", str(tmp_path), "experiment=own")
    assert f"{tmp_path / 'experiment' / 'own.yaml'}, line 2: invalid YAML" in line


# Data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images without labels."""
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{i:02d}.png")
    return tmp_path / "images"


def on_folder(folder: Path, *more: str) -> list[str]:
    return ["data=image_folder", f"data.root={folder}", "data.image_size=8", "batch_size=4", "network.width=4", *more]


def test_missing_data(refuse: Callable[..., str], tmp_path: Path) -> None:
    line = refuse("train", *on_folder(tmp_path / "nowhere"))
    assert f"data.root: {tmp_path / 'nowhere'}: no such folder or zip file; give a folder or zip file" in line
    assert "no images inside" in refuse("train", *on_folder(tmp_path))


def test_data_that_cannot_be_downloaded(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    line = refuse("train", "data=mnist", f"data.root={tmp_path / 'data'}")
    assert f"data.root: {tmp_path / 'data' / 'MNIST' / 'raw'}: MNIST's four idx files are missing" in line
    assert "give a folder that has them" in line


@pytest.mark.parametrize("features", ["random", "none"])
@pytest.mark.parametrize("damage", ["header", "tail"])
def test_a_corrupt_image_is_named(refuse: Callable[..., str], folder: Path, damage: str, features: str) -> None:
    broken = folder / "03.png"
    content = broken.read_bytes()
    broken.write_bytes(b"no image" if damage == "header" else content[: len(content) // 2])
    line = refuse("train", *on_folder(folder, f"features={features}"))
    assert "03.png: corrupt image" in line
    assert "replace or remove the file" in line


def test_inception_without_weights_ends_before_training_and_names_the_ways_round(
    refuse: Callable[..., str], folder: Path
) -> None:
    line = refuse("train", *on_folder(folder))  # inception is the default for folders
    assert "weights-inception-2015-12-05-6726825d.pth" in line
    assert "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2" in line
    assert line.startswith("features.weights: cannot download")
    for way in ("path of a copy", "classifier", "random"):
        assert way in line


def test_a_folder_that_is_too_small_for_scores(refuse: Callable[..., str], folder: Path) -> None:
    (folder / "train").mkdir()
    (folder / "val").mkdir()
    for number, image in enumerate(sorted(folder.glob("*.png"))):
        image.rename(folder / ("train" if number else "val") / image.name)
    line = refuse("train", *on_folder(folder, "features=random"))
    assert "images has 1 held-out image(s), and scores need at least two" in line
    assert "features=none" in line


def test_a_classifier_needs_labels(refuse: Callable[..., str], folder: Path) -> None:
    line = refuse("train", *on_folder(folder, "features=classifier"))
    assert "features: the classifier needs images with at least two classes" in line
    assert "choose the features random or inception" in line


# Output


def test_unwritable_output(refuse: Callable[..., str], tmp_path: Path, tiny: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()  # root could write to a folder without write permission
    line = refuse("train", *tiny, "features=random", f"run.root={tmp_path / 'file' / 'runs'}")
    assert f"cannot write to {tmp_path / 'file' / 'runs'}: Not a directory" in line
    assert "run.root" in line


def test_a_run_directory_that_holds_something(
    refuse: Callable[..., str], tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert "is not empty; choose another" in refuse("train", *tiny, "features=random", "run.dir=run")


def test_a_shell_sees_exit_code_2_and_one_line(tmp_path: Path) -> None:
    """The same in a separate process."""
    script = str(Path(__file__).parents[2] / "train.py")
    done = subprocess.run([sys.executable, script, "btach_size=3"], cwd=tmp_path, capture_output=True, text=True)
    line = "error: btach_size: unknown key; did you mean 'batch_size'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("settings", ["trainer.devices=1", "trainer=ddp trainer.devices=4", "trainer.num_nodes=2"])
def test_torchrun_has_started_other_processes(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    started = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    line = refuse("train", "features=none", "logger=none", *settings.split())
    assert line == (
        "trainer: torchrun or SLURM has started 2 process(es) on each of 1 machine(s); "
        "set trainer.devices=2 trainer.num_nodes=1"
    )


def test_a_data_folder_set_to_nothing_is_not_the_working_directory(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADDLEPOINT_DATA", "")
    assert "data/MNIST/raw" in refuse("train", "data=mnist")


@pytest.mark.parametrize("data", ["fashion_mnist", "cifar10"])
def test_a_download_that_fails_leaves_no_folder(refuse: Callable[..., str], data: str) -> None:
    assert "the download failed" in refuse("train", f"data={data}", "data.root=some/where")
