"""Compilation of networks and gradient penalties by ``torch.compile``, for ``compile=true``.

Networks are compiled in place, which does not affect their state dicts, copies (the averaged generator) or exports.
Compiled functions can be differentiated only once. For gradient penalties, which need second derivatives, the first
derivative is computed inside a compiled function, and the second by differentiating that function
(:func:`score_gradient`). Other code that needs second derivatives runs networks under :func:`uncompiled`.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.trees import leaves, map_tree

RECOMPILE_LIMIT = 64
"""Limit of recompilations. A network is recompiled for each batch size, player and precision. PyTorch's default limit
of 8, beyond which networks run uncompiled, applies to all networks of a class together."""

Score = Callable[[Any], Tensor]
"""Maps a critic's output to scores [N]."""

_gradients: WeakKeyDictionary[nn.Module, Callable[..., Tensor]] = WeakKeyDictionary()
"""The compiled :func:`_score_gradient` of each compiled network."""


def check(device: torch.device) -> None:
    """Check that networks can be compiled on this machine.

    Raises:
        UserError: there is no C++ compiler, no Python.h, or on a GPU no Triton.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler  # imported here since it takes seconds
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    missing = None
    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        missing = "a C++ compiler, such as g++ (or set the environment variable CXX to one)"
    if missing is None and not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        missing = "Python's header files, such as Debian's python3-dev"
    if missing is None and device.type == "cuda" and not has_triton():
        missing = "Triton, which is included in PyTorch on Linux"
    if missing is not None:
        raise UserError(f"this machine lacks {missing}", "compile", "install it, or set it to false")


def compile_networks(networks: Mapping[str, nn.Module], backend: str = "inductor") -> None:
    """Compile networks in place; compilation takes place at the first call.

    Dynamic shapes are disabled, since with them the compiled code would depend on the order of the shapes in a run.

    Args:
        networks: networks by role.
        backend: backend of ``torch.compile``; ``aot_eager`` needs no C++ compiler, but does not speed up networks.
    """
    torch.compiler.reset()  # previous jobs of a sweep count towards the limit of recompilations
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    # The backward pass runs without autocast (see systems/stepping.py).
    torch._functorch.config.backward_pass_autocast = "off"
    for network in networks.values():
        network.compile(backend=backend, dynamic=False)
        _gradients[network] = torch.compile(_score_gradient, backend=backend, dynamic=False)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Return a context in which networks run uncompiled, so that they have second derivatives."""
    if not _gradients:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def score_gradient(
    network: nn.Module, augment: Callable[[Any], Any], samples: Any, condition: Any, score: Score
) -> list[Tensor]:
    """Return the gradient of Σ score(network(augment(samples), condition)) with respect to the samples.

    It is differentiable with respect to the network's weights.

    Args:
        network: a network, compiled or not.
        augment: transformation of the samples; it draws random numbers, so it is not compiled.
        samples: a tree of [N, ...].
        condition: the condition, a tree of [N, ...], or None.
        score: function of the network's output that returns scores [N].

    Returns:
        The gradient with respect to each tensor of ``samples``.
    """
    samples = map_tree(lambda tensor: tensor.detach().requires_grad_(), samples)
    parts = list(leaves(samples))
    seen = augment(samples)
    if network not in _gradients:
        return list(torch.autograd.grad(score(network(seen, condition)).sum(), parts, create_graph=True))
    gradients = list(leaves(_gradients[network](network, map_tree(Tensor.detach, seen), condition, score)))
    if seen is samples:
        return gradients
    # The chain rule. The augments do not depend on the weights, so no second derivative of them is needed.
    return list(torch.autograd.grad(list(leaves(seen)), parts, gradients, create_graph=True))


def _score_gradient(network: nn.Module, samples: Any, condition: Any, score: Score) -> Any:
    def total(samples: Any) -> Tensor:
        return score(network(samples, condition)).sum()

    return torch.func.grad(total)(samples)
