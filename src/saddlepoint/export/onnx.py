"""Networks as ONNX graphs."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

PACKAGES = ("onnx", "onnxscript")


class ConversionError(Exception):
    """Why there is no graph, in one line."""


def to_onnx(network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """Convert a network in evaluation mode on the CPU.

    Args:
        network: called with ``inputs`` by keyword.
        inputs: an example of each input, two rows each; the number of rows is free.
        outputs: the names of what it returns.

    Returns:
        The graph and its weights as one file's bytes.

    Raises:
        ConversionError: the packages are missing, or ONNX cannot express the network.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConversionError(f"{' and '.join(missing)} not installed; pip install 'saddlepoint[export]'")
    rows = torch.export.Dim("N", min=1)
    try:
        with _quietly():
            program = torch.onnx.export(
                _plain(network),
                kwargs=dict(inputs),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes={name: {0: rows} for name in inputs},
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            model: Any = program.model_proto
        _forget_places(model)
        data: bytes = model.SerializeToString()
    except Exception as error:  # a converter's own, torch.export's, protobuf's for more than 2 GB …
        cause = error.__cause__ or error
        first = next((line for line in str(cause).splitlines() if line.strip()), "")
        raise ConversionError(f"the network cannot be converted ({type(cause).__name__}: {first[:200]})") from error
    return data


def _plain(network: nn.Module) -> nn.Module:
    """Copy a network with its parametrizations worked out: spectral norm's σ is a constant at rest."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            # Copies share the class whose properties the removal deletes; so this one gets a class of its own.
            shared = type(module)
            own = {key: value for key, value in vars(shared).items() if key not in ("__dict__", "__weakref__")}
            module.__class__ = type(shared.__name__, shared.__bases__, own)
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, str(name))
    return network.requires_grad_(False)


def _forget_places(model: Any) -> None:
    """Drop the converter's notes, which name this machine's folders in every node."""
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.ClearField("metadata_props")
        for part in (*graph.node, *graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            for field in ("metadata_props", "doc_string"):
                if hasattr(part, field):
                    part.ClearField(field)
        for node in graph.node:
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the converter's reports off the terminal; what went wrong is said in one line."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
