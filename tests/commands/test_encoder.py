"""A GAN in the latent space of another run: what its folder needs, its samples, and the runs that are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from saddlepoint.assembly.restore import ENCODER, encoder_to_keep, find, restore
from saddlepoint.errors import UserError
from saddlepoint.tracking.checkpoints import load

OPTIONS = ("data=digits", "features=none", "logger=none", "callbacks.samples.n=4")
LATENT = (*OPTIONS, "model=gan", "network=mlp", "network.width=8", "encoder=checkpoint", "encoder.checkpoint=vae")


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> Path:
    """The run directory of a small VAE on digits; tests copy it."""
    from tests.commands.conftest import user

    folder = tmp_path_factory.mktemp("vae")
    with user(folder, cache_home) as run:
        outcome = run("train", *OPTIONS, "model=vae", "budget.images=2000", "run.dir=vae")
    assert outcome.code == 0, outcome.err
    return folder / "vae"


@pytest.fixture
def own(vae: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(vae, tmp_path / "vae"))


@pytest.mark.slow
def test_the_run_needs_the_encoders_run_only_to_start(invoke: Any, own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "copy")
    outcome = invoke("train", *LATENT, "budget.images=400", "run.dir=run", "callbacks.checkpoints.every_images=200")
    assert outcome.code == 0, outcome.err
    run, model = tmp_path / "run", find(str(own))
    assert (run / ENCODER).read_bytes() == model.read_bytes()
    weights = load(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert {key.partition(".")[0] for key in weights} == {"generator", "discriminator", "ema_generator"}
    shutil.rmtree(own)
    system: Any = restore(find(str(run)), "cpu").system
    images = system.sample(5, seed=3)
    codes = system.generate(system.draw(3, 0, system.block), ema=True)[:5]
    expected: Any = restore(find(str(tmp_path / "copy")), "cpu").system
    torch.testing.assert_close(images, expected.decode(codes))
    assert images.shape == (5, 1, 8, 8)
    assert codes.shape == (5, 20)
    assert invoke("sample", "checkpoint=run", "n=4", "out=samples").code == 0
    assert invoke("sample", "checkpoint=run", "export=exported").code == 0
    about = json.loads((tmp_path / "exported" / "generator.json").read_text())
    assert (about["outputs"], about["shape"]) == ({"codes": [20]}, [1, 8, 8])
    assert about["encoder"] == hashlib.sha256((run / ENCODER).read_bytes()).hexdigest()
    evaluated = invoke("evaluate", "checkpoint=run", "features=random", "n=64")
    assert evaluated.code == 0, evaluated.err
    assert "fid_random" in evaluated.out
    # Resumed with a larger budget, without the encoder's run, it computes what an uninterrupted run does.
    assert invoke("train", "resume=run", "budget.images=600").code == 0
    (tmp_path / "copy").rename(own)
    assert invoke("train", *LATENT, "budget.images=600", "run.dir=alone").code == 0
    resumed, alone = (load(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"] for name in ("run", "alone"))
    assert resumed.keys() == alone.keys()
    assert all(torch.equal(value, alone[key]) for key, value in resumed.items())


def test_a_moved_checkpoint_needs_the_encoder(
    invoke: Any, refuse: Callable[..., str], own: Path, tmp_path: Path
) -> None:
    assert invoke("train", *LATENT, "budget.images=100", "run.dir=run").code == 0
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copy(tmp_path / "run" / "checkpoints" / "last.ckpt", moved / "mine.ckpt")
    assert restore(moved / "mine.ckpt", "cpu").system.sample(2).shape == (2, 1, 8, 8)  # type: ignore[attr-defined]
    unknown = torch.load(moved / "mine.ckpt", weights_only=True)  # reads no file that it does not know
    unknown["saddlepoint"]["config"]["encoder"]["sha256"] = None
    torch.save(unknown, moved / "unknown.ckpt")
    assert "encoder.sha256: missing key" in refuse("sample", "checkpoint=elsewhere/unknown.ckpt")
    own.rename(tmp_path / "renamed")
    line = refuse("sample", "checkpoint=elsewhere/mine.ckpt")
    assert "encoder.checkpoint: no checkpoint at vae" in line
    assert f"or as {ENCODER} into {moved}" in line
    named = torch.load(moved / "mine.ckpt", weights_only=True)  # a checkpoint starts no download
    named["saddlepoint"]["config"]["encoder"]["checkpoint"] = "wandb:me/project/name:best"
    torch.save(named, moved / "named.ckpt")
    line = refuse("sample", "checkpoint=elsewhere/named.ckpt")
    assert f"{ENCODER} is missing; put the file of wandb:me/project/name:best there" in line
    shutil.copy(tmp_path / "run" / ENCODER, moved)
    assert restore(moved / "mine.ckpt", "cpu").system.sample(2).shape == (2, 1, 8, 8)  # type: ignore[attr-defined]
    shutil.copy(moved / "mine.ckpt", moved / ENCODER)
    assert "is not the encoder that the run started with" in refuse("sample", "checkpoint=elsewhere/mine.ckpt")


def test_an_encoder_that_is_still_being_trained_is_refused(own: Path) -> None:
    """Between reading the encoder and copying it, its run has saved another one."""
    known = hashlib.sha256(find(str(own)).read_bytes()).hexdigest()
    config = OmegaConf.create({"encoder": {"checkpoint": str(own), "sha256": known}})
    assert encoder_to_keep(config, None) == find(str(own)).read_bytes()
    shutil.copy(own / "checkpoints" / "last.ckpt", find(str(own)))
    with find(str(own)).open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="has changed while it was read; start again"):
        encoder_to_keep(config, None)


def test_what_does_not_fit_is_refused(refuse: Callable[..., str], own: Path, trained: Path) -> None:
    line = refuse("train", *LATENT, f"encoder.checkpoint={trained}")
    assert line.startswith("encoder.checkpoint: ")
    assert line.endswith("has no encoder; choose a checkpoint of a model that has one, such as vae")
    assert refuse("train", *LATENT, "encoder.checkpoint=nowhere") == (
        "encoder.checkpoint: no checkpoint at nowhere; give a .ckpt file or a run's folder"
    )
    line = refuse("train", *LATENT, "data=gaussians")
    assert "encodes samples of shape 1 x 8 x 8, and those of gaussians_ring are 2" in line
    for model in ("vae", "bigan", "infogan", "aae", "vaegan"):
        line = refuse("train", *OPTIONS, f"model={model}", "encoder=checkpoint", "encoder.checkpoint=vae")
        assert line == f"encoder: model={model} trains on the data themselves; leave it out"
    line = refuse("train", *LATENT, "network=dcgan")
    assert "got points of dimension 20" in line
