"""Pictures of an example: images as PNG inside SVG, so that outlines stay sharp at any size."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import contourpy
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from espcn_core.evaluation.records import Example, Mask
from espcn_core.evaluation.report.markup import significant
from espcn_core.evaluation.report.view import Line, Window, find_window, shown_region
from espcn_core.evaluation.table import REFERENCE

_ERRORS = "magma"
BRIGHTEST = 99.5  # percentile of the truth that is shown white: a few vessels would darken all the rest


def panels(example: Example, method: str, line: Line | None = None) -> str:
    """Coarse image, bicubic, a method, the truth, and the error of the two, all of one window.

    Parameters
    ----------
    example : Example
    method : str
    line : Line, optional
        Drawn into the truth: where the profile is taken.

    Returns
    -------
    str
        HTML.
    """
    window = find_window(example)
    factor = example.truth.shape[0] // example.coarse.shape[0]
    outline = _outline(example, window)
    truth = example.truth[window.slices]
    darkest, brightest = float(truth.min()), float(np.percentile(truth, BRIGHTEST))
    methods = [REFERENCE] if method == REFERENCE else [REFERENCE, method]
    errors = {name: np.abs(example.images[name] - example.truth)[window.slices] for name in methods}
    largest = max(float(np.percentile(errors[REFERENCE], BRIGHTEST)), np.finfo(float).tiny)

    def grey(image: npt.NDArray[Any]) -> str:
        return as_png(eight_bits(image, darkest, brightest))

    shown = [("coarse image", grey(example.coarse[window.coarser(factor).slices]), outline)]
    shown += [(name, grey(example.images[name][window.slices]), outline) for name in methods]
    shown += [("truth", grey(truth), outline + _drawn(line, window))]
    shown += [
        (f"error of {name}", as_png(coloured(error, largest)), outline) for name, error in errors.items()
    ]
    figures = "".join(panel(name, png, window, extra) for name, png, extra in shown)
    return f'<div class="panels">{figures}</div>{colour_scale(largest)}'


def panel(name: str, png: str, window: Window, extra: str) -> str:
    height, width = window.bottom - window.top, window.right - window.left
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{png}"/>{extra}</svg>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _outline(example: Example, window: Window) -> str:
    """The border of the region as an SVG path in the window's pixels."""
    region = shown_region(example)
    if region is None:
        return ""
    mask: Mask = np.pad(example.regions[region][window.slices], 1)
    lines = contourpy.contour_generator(z=mask.astype(float)).lines(0.5)
    # Pixel j covers j to j + 1 in SVG, and the padding moved it by one.
    paths = ("M" + "L".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for x, y in np.asarray(line)) for line in lines)
    return f'<path class="outline" d="{"".join(paths)}"/>'


def _drawn(line: Line | None, window: Window) -> str:
    if line is None:
        return ""
    if line.along == "row":
        y = line.place - window.top + 0.5
        ends = f'x1="{line.start - window.left}" x2="{line.stop - window.left}" y1="{y}" y2="{y}"'
    else:
        x = line.place - window.left + 0.5
        ends = f'x1="{x}" x2="{x}" y1="{line.start - window.top}" y2="{line.stop - window.top}"'
    return f'<line class="profile" {ends}/>'


def colour_scale(largest: float) -> str:
    """The bar of colours that belongs to the error maps."""
    colours = matplotlib.colormaps[_ERRORS](np.linspace(0, 1, 6))
    stops = ", ".join(matplotlib.colors.to_hex(colour) for colour in colours)
    return (
        f'<p class="scale">Error: 0 <span style="background: linear-gradient(to right, {stops})"></span> '
        f"{significant(largest)} or more, native units</p>"
    )


def eight_bits(image: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Values from ``low`` to ``high`` as 0 to 255."""
    scaled = (np.asarray(image, float) - low) / max(high - low, np.finfo(float).tiny)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def coloured(error: npt.NDArray[Any], largest: float) -> npt.NDArray[np.uint8]:
    """An error from 0 to ``largest`` in colours, shape (H, W, 3)."""
    colours = np.asarray(matplotlib.colormaps[_ERRORS](np.arange(256), bytes=True))[:, :3]
    return colours[eight_bits(error, 0, largest)]


def as_png(pixels: npt.NDArray[np.uint8]) -> str:
    """A PNG file in base64."""
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
