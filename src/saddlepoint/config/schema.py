"""Typed schemas of the configs. The arguments of parts are checked against signatures in ``check`` instead."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from saddlepoint.kinds import (
    DiscriminatorConditioning,
    GeneratorConditioning,
    MinibatchKind,
    NormKind,
    ScheduleName,
)

Metrics = Annotated[list[str], Field(min_length=1)]
"""Names of scores. An empty list is refused, since it could mean all or none."""


class Strict(BaseModel):
    """A model that forbids unknown keys and does not convert strings to numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class BudgetConfig(Strict):
    """Limits at which the run ends."""

    images: PositiveInt | None
    generator_updates: PositiveInt | None
    hours: PositiveFloat | None


class RunConfig(Strict):
    """Folder and name of the run."""

    root: str
    dir: str | None
    name: str | None


class SweepConfig(Strict):
    """Sweeps."""

    resume: str | None = None


class TrainerConfig(Strict):
    """Devices, processes and precision."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: PositiveInt
    num_nodes: PositiveInt
    rounds_per_step: PositiveInt | None
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    deterministic: bool


class LoggerConfig(Strict):
    """Where runs are recorded besides their own folder; keys of loggers that are not chosen have these defaults."""

    mode: Literal["auto", "online", "offline", "disabled"] = "disabled"
    project: str = "saddlepoint"
    entity: str | None = None
    tags: list[str] = Field(default_factory=list)
    notes: str | None = None
    artifacts: Literal["none", "best"] = "none"
    csv: bool = False
    tensorboard: bool = False


class NormConfig(Strict):
    """Normalization layers of the networks."""

    generator: NormKind = "batch"
    discriminator: NormKind = "batch"
    spectral_norm: bool = False
    generator_spectral_norm: bool = False


class ConditioningConfig(Strict):
    """How the networks are conditioned on labels."""

    generator: GeneratorConditioning = "none"
    discriminator: DiscriminatorConditioning = "none"


class MinibatchConfig(Strict):
    """Whether the discriminator compares several samples."""

    layer: MinibatchKind = "none"
    packing: PositiveInt = 1


class SamplesConfig(Strict):
    """Pictures of samples."""

    every_images: PositiveInt | None
    n: PositiveInt
    points: PositiveInt
    seed: NonNegativeInt


class ScoresConfig(Strict):
    """Evaluations."""

    every_images: PositiveInt | None
    n: PositiveInt | None
    splits: PositiveInt | None
    seed: NonNegativeInt
    metrics: Metrics | None
    at_start: bool


class CheckpointsConfig(Strict):
    """Checkpoints."""

    every_images: PositiveInt | None


class HistoryConfig(Strict):
    """The history of losses."""

    every_rounds: PositiveInt


class ProgressConfig(Strict):
    """The progress bar."""

    seconds: PositiveFloat
    line_seconds: PositiveFloat


class TheoryConfig(Strict):
    """Pictures that compare training with theory, for data of known density."""

    enabled: bool
    every_images: PositiveInt | None
    points: PositiveInt
    modes_every_images: PositiveInt | None


class SingularValuesConfig(Strict):
    """Singular values of the weights."""

    enabled: bool = False
    top: PositiveInt = 3
    every_images: PositiveInt | None = None


class CallbacksConfig(Strict):
    """Callbacks of a training run."""

    samples: SamplesConfig
    scores: ScoresConfig
    checkpoints: CheckpointsConfig
    history: HistoryConfig
    progress: ProgressConfig
    theory: TheoryConfig
    singular_values: SingularValuesConfig = SingularValuesConfig()


class Part(BaseModel):
    """A node with a ``_target_``; ``check`` compares its other keys with the signature of that class."""

    model_config = ConfigDict(extra="allow", strict=True)

    target: str = Field(alias="_target_")


class OptimizerConfig(BaseModel):
    """One optimizer per player, and their shared settings."""

    model_config = ConfigDict(extra="allow", strict=True)

    schedule: ScheduleName
    gradient_clip: PositiveFloat | None


class EncoderConfig(Strict):
    """The model in whose latent space the GAN is trained."""

    checkpoint: str
    sha256: str | None = None


class TrainConfig(Strict):
    """The keys of ``conf/train.yaml``."""

    seed: NonNegativeInt
    batch_size: PositiveInt
    compile: bool = False
    budget: BudgetConfig
    run: RunConfig
    sweep: SweepConfig = SweepConfig()
    init_from: str | None
    resume: str | None
    plugins: list[str]
    network: dict[str, Any]
    norm: NormConfig
    conditioning: ConditioningConfig = ConditioningConfig()
    minibatch: MinibatchConfig = MinibatchConfig()
    loss: Part | None = None
    regularizer: dict[str, Part] = Field(default_factory=dict)
    augment: dict[str, Part] = Field(default_factory=dict)
    encoder: EncoderConfig | None = None
    optimizer: OptimizerConfig
    features: Part | None
    model: Part
    data: Part
    callbacks: CallbacksConfig
    logger: LoggerConfig
    trainer: TrainerConfig


Format = Literal["grid", "png", "npz", "gif", "mp4"]
Truncation = Annotated[float, Field(gt=0, le=1)]  # with 0, all samples are identical


class SampleConfig(Strict):
    """The keys of ``conf/sample.yaml``."""

    checkpoint: str | None
    mode: Literal[
        "grid",
        "classes",
        "interpolate",
        "arithmetic",
        "truncation",
        "nearest",
        "traverse",
        "reconstruct",
        "mix",
        "project",
        "complete",
        "animate",
    ]
    n: Annotated[int, Field(gt=0, le=10_000_000)]
    seed: NonNegativeInt
    labels: str | int | list[str | int] | None
    inputs: str | None
    direction: str | None
    fit: Literal["pad", "crop", "resize"] | None
    path: Literal["slerp", "lerp"] | None
    terms: list[list[Annotated[int, Field(ge=0, lt=1_000_000)]]]
    along: Literal["codes", "sefa", "pca", "axes", "labels"] | None
    cut: PositiveInt | None
    mask: Annotated[str, Field(min_length=1)]
    out: Annotated[str, Field(min_length=1)]
    export: str | None
    format: Format | list[Format] | None
    fps: Annotated[float, Field(ge=0.1, le=50)]
    columns: Annotated[int, Field(gt=0, le=1000)] | None
    truncation: Truncation
    batchnorm: Literal["running", "standing"]
    ema: bool
    device: Literal["auto", "cpu", "cuda", "mps"]
    plugins: list[str]


class ExploreConfig(Strict):
    """The keys of ``conf/explore.yaml``."""

    checkpoint: str | None
    port: Annotated[int, Field(ge=0, le=65535)]
    open: bool
    ema: bool
    device: Literal["auto", "cpu", "cuda", "mps"]
    plugins: list[str]


class EvaluateConfig(Strict):
    """The keys of ``conf/evaluate.yaml``."""

    checkpoint: str | None
    samples: str | None
    reference: str | None
    fit: Literal["pad", "crop", "resize"] | None
    image_size: PositiveInt | list[PositiveInt] | None
    n: PositiveInt | None
    seed: NonNegativeInt
    seeds: PositiveInt
    splits: PositiveInt | None
    metrics: Metrics | None
    truncation: Truncation | Annotated[list[Truncation], Field(min_length=1)]
    batchnorm: Literal["running", "standing"]
    embedding: Literal["tsne", "umap", "pca"] | None
    ema: bool
    importance: NonNegativeInt = 0
    out: str | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    plugins: list[str]
    features: Part | None = None
    data: Part | None = None
    network: dict[str, Any] | None = None
    budget: dict[str, Any] | None = None


class ReportConfig(Strict):
    """The keys of ``conf/report.yaml``."""

    runs: str | list[str] | None
    wandb: str | None
    format: Literal["html", "markdown", "latex", "csv", "json"]
    out: str | None
    overwrite: bool
    metrics: list[str] | None
    value: Literal["last", "best"]
    watch: bool
    watch_seconds: PositiveFloat


def of(command: str) -> type[BaseModel]:
    """Return the schema of a command's config."""
    schemas: dict[str, type[BaseModel]] = {
        "train": TrainConfig,
        "sample": SampleConfig,
        "explore": ExploreConfig,
        "evaluate": EvaluateConfig,
        "report": ReportConfig,
    }
    return schemas[command]
