"""``compile=true``: networks and gradient penalties through torch.compile.

A network is compiled in place, which leaves its state dict, its copies (the averaged generator) and its exports as they
are. What PyTorch compiles can be differentiated once. A penalty on a gradient needs two derivatives; so the inner one
is taken inside one compiled function, whose graph then holds it, and the outer one goes through that graph
(:func:`score_gradient`). Whatever else differentiates twice runs its networks under :func:`uncompiled`.
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

FORMS_OF_A_FUNCTION = 64
"""A network is compiled anew for each batch size, player's turn and precision that it meets; PyTorch's own limit of 8
counts all networks of a class together, and goes on uncompiled beyond."""

Score = Callable[[Any], Tensor]
"""A critic's output to scores [N]."""

_gradients: WeakKeyDictionary[nn.Module, Callable[..., Tensor]] = WeakKeyDictionary()
"""The compiled networks, and for each the compiled form of :func:`_score_gradient`."""


def check(device: torch.device) -> None:
    """Refuse, before training, a machine on which nothing can be compiled.

    Raises:
        UserError: there is no C++ compiler, no Python.h, or on a GPU no Triton.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler  # seconds to import, for those who compile
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    missing = None
    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        missing = "a C++ compiler, such as g++ (or name yours in the environment variable CXX)"
    if missing is None and not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        missing = "Python's header files, such as Debian's python3-dev"
    if missing is None and device.type == "cuda" and not has_triton():
        missing = "Triton, which comes with PyTorch on Linux"
    if missing is not None:
        raise UserError(f"this machine lacks {missing}", "compile", "install it, or set it to false")


def compile_networks(networks: Mapping[str, nn.Module], backend: str = "inductor") -> None:
    """Compile networks in place; each form of a network when it is first called for.

    Shapes are not generalised: what a form computes then does not depend on which shapes the run has met before it.

    Args:
        networks: by role.
        backend: of torch.compile; ``aot_eager`` needs no C++ compiler, and gains nothing.
    """
    torch.compiler.reset()  # an earlier job of a sweep used up some of the forms
    torch._dynamo.config.recompile_limit = FORMS_OF_A_FUNCTION
    # A backward pass is taken outside of autocast (see systems/stepping.py).
    torch._functorch.config.backward_pass_autocast = "off"
    for network in networks.values():
        network.compile(backend=backend, dynamic=False)
        _gradients[network] = torch.compile(_score_gradient, backend=backend, dynamic=False)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run networks as they are written, so that they can be differentiated twice; no cost where none is compiled."""
    if not _gradients:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def score_gradient(
    network: nn.Module, augment: Callable[[Any], Any], samples: Any, condition: Any, score: Score
) -> list[Tensor]:
    """Return the gradient of Σ score(network(augment(samples), condition)), differentiable in the network's weights.

    Args:
        network: compiled or not.
        augment: what samples pass through first; it draws random numbers, so it is never compiled.
        samples: a tree of [N, ...].
        condition: what else the network is told, a tree of [N, ...], or None.
        score: of the network's output.

    Returns:
        A tensor for each of the samples', in their shapes.
    """
    samples = map_tree(lambda tensor: tensor.detach().requires_grad_(), samples)
    parts = list(leaves(samples))
    seen = augment(samples)
    if network not in _gradients:
        return list(torch.autograd.grad(score(network(seen, condition)).sum(), parts, create_graph=True))
    gradients = list(leaves(_gradients[network](network, map_tree(Tensor.detach, seen), condition, score)))
    if seen is samples:
        return gradients
    # The chain rule: the augments do not depend on the weights, through which alone the outer derivative goes.
    return list(torch.autograd.grad(list(leaves(seen)), parts, gradients, create_graph=True))


def _score_gradient(network: nn.Module, samples: Any, condition: Any, score: Score) -> Any:
    def total(samples: Any) -> Tensor:
        return score(network(samples, condition)).sum()

    return torch.func.grad(total)(samples)
