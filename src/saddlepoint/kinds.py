"""Types of settings that configs and several packages share.

They are here, apart from the code that they choose, since a command line is read before torch is imported.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

NormKind = Literal["batch", "none", "layer", "instance", "group"]
"""Kinds of normalization."""

GeneratorConditioning = Literal["none", "concat", "batchnorm", "adain"]
"""Kinds of conditioning of a generator."""

DiscriminatorConditioning = Literal["none", "concat", "projection", "auxiliary"]
"""Kinds of conditioning of a discriminator."""

MinibatchKind = Literal["none", "discrimination", "stddev"]
"""Layers that compare the samples of a batch."""

ScheduleName = Literal["constant", "linear", "late_linear", "cosine"]

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""
