"""The page of ``explore.py``, in NiceGUI."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from nicegui import app, ui
from nicegui.events import UploadEventArguments
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.exploring import animations
from saddlepoint.exploring.explorer import SLIDERS, WAY, Explorer, Shown, View
from saddlepoint.systems.capabilities import Encodes, HasLatents, Translates
from saddlepoint.tracking import pictures

HOST = "127.0.0.1"
LARGEST_UPLOAD = 20_000_000
"""Maximum size of an uploaded image in bytes."""
SECONDS = 0.05
"""Time between two checks whether a slider has moved."""


def serve(explorer: Explorer, title: str, port: int, open_browser: bool) -> None:
    """Serve the page on this machine until Ctrl-C.

    Args:
        explorer: computes the pictures.
        title: title of the page.
        port: port on 127.0.0.1.
        open_browser: whether to open the page in the user's browser.
    """
    # Only requests that name this machine, so that no website can read the page by a name that resolves to 127.0.0.1.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    def page() -> None:
        ui.add_css(STYLE)
        ui.label(title).classes("text-xl")
        if isinstance(explorer.system, HasLatents):
            Samples(explorer)
        if isinstance(explorer.system, Translates):
            translation(explorer)

    ui.run(page, host=HOST, port=port, title=title, show=open_browser, reload=False, show_welcome_message=False)


STYLE = """
.pixels img { image-rendering: pixelated; }
.q-slider { max-width: 24rem; }
"""


class Samples:
    """The widgets of a generator: a sample, the way between two seeds, sliders, and an upload for encoders."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, self.view = explorer, View()
        self.shown: Shown | None = None
        self.drawn: View | None = None
        classes = explorer.restored.info.class_names if explorer.generator.num_classes else None
        if classes:
            self.view = replace(self.view, label=0)
        ui.label(f"From seed to other seed in {WAY} steps")
        self.way = ui.interactive_image().classes("pixels").style("width: 60rem; max-width: 95vw").classes("sp-way")
        with ui.row().classes("gap-8"):
            with ui.column().classes("items-center"):
                self.picture = ui.interactive_image().classes("w-80 pixels").classes("sp-sample")
                with ui.row():
                    ui.button("Other sample", on_click=self.shuffle).classes("sp-shuffle")
                    ui.button("Nearest training image", on_click=self.find_nearest).classes("sp-nearest")
                self.neighbour = ui.interactive_image().classes("w-80 pixels sp-neighbour")
            with ui.column():
                self.seeds(classes)
                self.sliders()
                if isinstance(explorer.system, Encodes):
                    self.uploads = ui.upload(
                        label="Start from your own image", auto_upload=True, max_file_size=LARGEST_UPLOAD,
                        on_upload=self.upload, on_rejected=lambda: ui.notify("choose one image of up to 20 MB"),
                    ).props("accept=image/*").classes("sp-upload")  # fmt: skip
        self.refresh()
        # Moving a slider sends many events; a timer draws only the last position.
        ui.timer(SECONDS, self.refresh)

    def seeds(self, classes: Sequence[str] | None) -> None:
        """Add the widgets of seeds, position, truncation and class."""
        with ui.row():
            self.seed = ui.number("Seed", value=0, min=0, precision=0, on_change=self.choose).classes("sp-seed")
            ui.number("Other seed", value=1, min=0, precision=0, on_change=self.setting("other", int)).classes(
                "sp-other"
            )
            if classes:
                options = dict(enumerate(classes))
                ui.select(options, label="Class", value=0, on_change=self.setting("label", int)).classes("sp-class")
        _, self.position = self.slider("Position between them", 0, 1, 0, "position")
        self.position.on_value_change(self.setting("position", float))
        if self.explorer.truncates:
            _, slider = self.slider("Truncation", 0.05, 1, 1, "truncation")
            slider.on_value_change(self.setting("truncation", float))

    def sliders(self) -> None:
        """Add the sliders along directions."""
        with ui.row():
            names = {"sefa": "SeFa", "pca": "principal components", "axes": "axes of the latents"}
            ui.select(names, label="Directions", value="sefa", on_change=self.setting("along", str)).classes("w-48")
            last = self.explorer.dimensions
            first = ui.number("First", value=1, min=1, max=last, precision=0).classes("w-20")
            first.on_value_change(self.setting("first", lambda value: min(max(1, int(value)), last) - 1))
            ui.button("Reset", on_click=self.reset).classes("sp-reset")
        self.amounts = []
        for i in range(SLIDERS):
            label, slider = self.slider("", -4, 4, 0, f"direction-{i}")
            label.bind_text_from(first, "value", partial(number_of, i))
            slider.on_value_change(self.amount(i))
            self.amounts.append(slider)

    def slider(self, text: str, low: float, high: float, value: float, mark: str) -> tuple[ui.label, ui.slider]:
        """Add a slider between its label and its value."""
        with ui.row().classes("items-center no-wrap"):
            label = ui.label(text).classes("w-44")
            slider = ui.slider(min=low, max=high, step=0.01, value=value).classes("w-64").classes(f"sp-{mark}")
            ui.label().bind_text_from(slider, "value", lambda value: f"{value:.2f}")
        return label, slider

    def setting(self, name: str, convert: Callable[[Any], Any]) -> Callable[[Any], None]:
        """Return a handler that sets a field of the view."""

        def change(event: Any) -> None:
            if event.value is not None:  # an empty number field
                self.view = replace(self.view, **{name: convert(event.value)})

        return change

    def amount(self, index: int) -> Callable[[Any], None]:
        """Return a handler that sets the amount along a direction."""

        def change(event: Any) -> None:
            amounts = list(self.view.amounts)
            amounts[index] = float(event.value)
            self.view = replace(self.view, amounts=tuple(amounts))

        return change

    def choose(self, event: Any) -> None:
        """Go to the sample of a seed, also from an encoded image."""
        if event.value is not None:
            self.view = replace(self.view, seed=int(event.value), start=None)

    def shuffle(self) -> None:
        """Go to a random seed."""
        self.seed.value = random.randrange(100_000)

    def reset(self) -> None:
        """Set all directions to 0."""
        for slider in self.amounts:
            slider.value = 0

    def refresh(self) -> None:
        """Draw the view, if it has changed."""
        if self.view is self.drawn:
            return
        self.drawn = self.view
        with explained():
            self.shown = self.explorer.show(self.view)
            self.picture.source = url(self.shown.sample)
            self.way.source = url(self.shown.way, WAY)
            self.neighbour.source = ""

    def find_nearest(self) -> None:
        """Show the nearest training image below the sample."""
        if self.shown is not None:
            with explained():
                self.neighbour.source = url(self.explorer.nearest(self.shown.sample))

    async def upload(self, event: UploadEventArguments) -> None:
        """Start from the latents of an uploaded image."""
        content = await event.file.read()
        with explained():
            self.view = replace(self.view, start=self.explorer.encode(content, event.file.name))
            self.position.value = 0
        self.uploads.reset()


def number_of(index: int, first: float | None) -> str:
    """Return the label of a direction's slider; ``first`` is the number of the first one, or None."""
    return f"Direction {int(first or 1) + index}"


def translation(explorer: Explorer) -> None:
    """Add the widgets of a translator: an upload, and its translation below it."""
    assert isinstance(explorer.system, Translates)
    directions = list(explorer.system.directions)
    chosen = ui.select(directions, label="Direction", value=directions[0])
    picture = ui.interactive_image().classes("w-80 pixels").classes("sp-translation")

    async def upload(event: UploadEventArguments) -> None:
        content = await event.file.read()
        with explained():
            picture.source = data_url(explorer.translate(content, event.file.name, chosen.value))
        uploads.reset()

    uploads = ui.upload(
        label="Translate an image", auto_upload=True, max_file_size=LARGEST_UPLOAD, on_upload=upload
    ).props("accept=image/*")


@contextmanager
def explained() -> Iterator[None]:
    """Show a user's mistake as a notification."""
    try:
        yield
    except UserError as error:
        ui.notify(str(error), type="warning")


def url(images: Tensor, columns: int = 1) -> str:
    """Return one image or a grid, uint8 [N, C, H, W], as the data URL of a picture."""
    return data_url(animations.frame(images[0]) if len(images) == 1 else pictures.grid(images, columns))


def data_url(picture: Image.Image) -> str:
    """Return a picture as a data URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
