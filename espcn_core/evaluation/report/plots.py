"""Plots as SVG inside the page, drawn in the colours of the page, light or dark."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from espcn_core.evaluation.records import Example, Image
from espcn_core.evaluation.report.view import Line
from espcn_core.evaluation.table import REFERENCE

_INK = "#010203"  # stands for the colour of the page's text
_COLOURS = {"truth": _INK, "reference": "#d97706", "method": "#2f7ed8"}
_SIZE = 4.1, 2.9  # inches: narrow, so that the text can be read where the plot fills a phone's width


def profile(example: Example, method: str, line: Line) -> str:
    """Intensity along a line through an edge: truth, bicubic and a method.

    Returns
    -------
    str
        SVG.
    """
    figure, axes = _figure()
    position = np.arange(line.start, line.stop)
    for name, image, style in _series(example, method):
        axes.plot(position, image[line.slices], label=name, **style)
    axes.set_xlabel(f"{'column' if line.along == 'row' else 'row'}, fine pixels")
    axes.set_ylabel("intensity, native units")
    return _svg(figure, "intensity along a line through an edge")


def spectra(example: Example, method: str) -> str:
    """Radial power spectra of truth, bicubic and a method, with the coarse grid's limit.

    Returns
    -------
    str
        SVG.
    """
    figure, axes = _figure()
    powers = {name: radial_power(image) for name, image, _ in _series(example, method)}
    strongest = powers["truth"][1].max()
    floor = 1e-12 * strongest  # an image without any detail has bins of exactly zero
    for name, _, style in _series(example, method):
        frequency, power = powers[name]
        axes.plot(frequency, 10 * np.log10(np.maximum(power, floor) / strongest), label=name, **style)
    limit = 0.5 * example.coarse.shape[0] / example.truth.shape[0]
    axes.axvline(limit, color=_INK, linewidth=0.6, linestyle=":")
    axes.annotate(
        "coarse grid's limit", (limit, 1), (3, -9), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color=_INK,
    )  # fmt: skip
    axes.set_xlabel("frequency, cycles per fine pixel")
    axes.set_ylabel("power, dB")
    return _svg(figure, "radial power spectra")


def radial_power(image: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean power of all directions at each frequency up to 0.5 cycles per pixel, without the mean.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Tapered by a Hann window, so that opposite borders do not make an edge.

    Returns
    -------
    frequency, power : ndarray, shape (N,)
        N is half the longer side; frequencies at the middles of their bins.
    """
    values = np.asarray(image, float)
    taper = np.hanning(values.shape[0])[:, None] * np.hanning(values.shape[1])
    power = np.abs(np.fft.fft2((values - values.mean()) * taper)) ** 2
    rows, columns = (np.fft.fftfreq(size) for size in values.shape)
    count = max(values.shape) // 2
    ring = (np.hypot(rows[:, None], columns) / 0.5 * count).astype(int).ravel()
    total = np.bincount(ring, weights=power.ravel())[:count]
    return (np.arange(count) + 0.5) * 0.5 / count, total / np.maximum(np.bincount(ring)[:count], 1)


def _series(example: Example, method: str) -> list[tuple[str, Image, dict[str, Any]]]:
    """Name, image and style of what is drawn; the dashes tell apart what colours may not."""
    series: list[tuple[str, Image, dict[str, Any]]] = [
        ("truth", example.truth, {"color": _COLOURS["truth"], "linewidth": 1.4}),
        (
            REFERENCE,
            example.images[REFERENCE],
            {"color": _COLOURS["reference"], "linewidth": 1.4, "linestyle": "--"},
        ),
    ]
    if method != REFERENCE:
        series.append((method, example.images[method], {"color": _COLOURS["method"], "linewidth": 1.6}))
    return series


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element: no date, no ids but those it refers to, text as text."""
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9,
    }
    axes = figure.axes[0]
    for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_color(_INK)
    axes.tick_params(color=_INK, labelcolor=_INK)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    with matplotlib.rc_context(style):
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    svg = re.sub(
        r'<svg[^>]*viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{name}">',
        svg,
        count=1,
    )
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", svg)
    return svg.replace(_INK, "currentColor")
