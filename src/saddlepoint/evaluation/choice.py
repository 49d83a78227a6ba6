"""The choice between evaluating a checkpoint and evaluating images in files."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from saddlepoint.assembly.build import PROVIDED
from saddlepoint.assembly.restore import find, restore
from saddlepoint.config.check import check_parts
from saddlepoint.evaluation import checkpoints, embedding, files
from saddlepoint.evaluation.subject import Subject


def subject_of(config: DictConfig, features_off: bool) -> Subject:
    """Check the config and prepare the evaluation.

    Args:
        config: of ``evaluate.py``, checked against the schema.
        features_off: the user chose ``features=none``.

    Raises:
        UserError: the config is invalid, or the data, files or checkpoint cannot be used.
    """
    named = {key: config[key] for key in ("data", "features") if config.get(key) is not None}
    check_parts(OmegaConf.create(named), PROVIDED, config.plugins)
    embedding.check(config.embedding)
    if config.samples is not None or config.reference is not None:
        return files.subject(config, features_off)
    return checkpoints.subject(config, restore(find(config.checkpoint), config.device, config.plugins), features_off)
