"""Conversion of networks to ONNX."""

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
    """A network cannot be converted; the message gives the reason in one line."""


def to_onnx(network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """Convert a network to ONNX.

    Args:
        network: a network in evaluation mode on the CPU, called with ``inputs`` as keyword arguments.
        inputs: an example of each input, with two rows; the exported graph accepts any number of rows.
        outputs: the names of the outputs.

    Returns:
        The content of an ``.onnx`` file: the graph and the weights.

    Raises:
        ConversionError: if the packages are not installed, or the network cannot be expressed in ONNX, or only by an
            unrolled recurrence of tens of thousands of nodes (35,000 for ``experiment=quick/diagonal_bilstm``).
    """
    if getattr(network, "unrolls", False):
        raise ConversionError("the recurrence over diagonals would be unrolled into tens of thousands of nodes")
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
    except Exception as error:  # of the converter, of torch.export, or of protobuf for more than 2 GB
        cause = error.__cause__ or error
        first = next((line for line in str(cause).splitlines() if line.strip()), "")
        raise ConversionError(f"the network cannot be converted ({type(cause).__name__}: {first[:200]})") from error
    return data


def _plain(network: nn.Module) -> nn.Module:
    """Copy a network, replacing parametrized weights by their values, which are constant in evaluation mode."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            # remove_parametrizations deletes properties of the class, which the copy shares with the original network.
            shared = type(module)
            own = {key: value for key, value in vars(shared).items() if key not in ("__dict__", "__weakref__")}
            module.__class__ = type(shared.__name__, shared.__bases__, own)
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, str(name))
    return network.requires_grad_(False)


def _forget_places(model: Any) -> None:
    """Remove the converter's metadata, which contains paths of this machine in every node."""
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
    """Suppress the converter's output; the ConversionError gives the reason in one line."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
