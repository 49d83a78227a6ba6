"""``python explore.py checkpoint=PATH``: a page on this machine to explore a model with sliders."""

from __future__ import annotations

import socket

from omegaconf import DictConfig

from saddlepoint.assembly.restore import find, restore
from saddlepoint.errors import UserError
from saddlepoint.exploring.explorer import Explorer
from saddlepoint.terminal import say


def run(config: DictConfig) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from saddlepoint.exploring import page
    except ImportError:
        raise UserError(
            "explore needs NiceGUI, which is not installed", None, "pip install 'saddlepoint[explore]'"
        ) from None
    port = _port(page.HOST, config.port)
    restored = restore(find(config.checkpoint), config.device, config.plugins)
    explorer = Explorer(restored, config.ema, config.plugins)
    title = f"{restored.about['choices']['model']} after {restored.system.progress.images_seen:,} images"
    say(f"exploring {title} at http://{page.HOST}:{port}; stop with Ctrl-C")
    page.serve(explorer, title, port, config.open)


def _port(host: str, wanted: int) -> int:
    """Return a free port: the wanted one, or any if it is 0.

    Raises:
        UserError: if the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            raise UserError(
                f"{wanted} cannot be used: {error.strerror}", "port", "choose another, or 0 for any"
            ) from None
        port: int = probe.getsockname()[1]
    return port
