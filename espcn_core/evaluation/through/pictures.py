"""The panels of a slice that holds the thick axis."""

from __future__ import annotations

from html import escape

import numpy as np

from espcn_core.evaluation.report.pictures import (
    BRIGHTEST,
    as_png,
    colour_scale,
    coloured,
    eight_bits,
    panel,
)
from espcn_core.evaluation.report.view import Window
from espcn_core.evaluation.through.records import Example


def panels(example: Example) -> str:
    """Thick slices, what methods make of them, the truth, and their errors on one scale.

    Returns
    -------
    str
        HTML.
    """
    truth = example.truth
    darkest, brightest = float(truth.min()), float(np.percentile(truth, BRIGHTEST))
    errors = {name: np.abs(image - truth) for name, image in example.images.items()}
    largest = max(
        *(float(np.percentile(error, BRIGHTEST)) for error in errors.values()), np.finfo(float).tiny
    )
    shown = {"thick slices": example.thick, **example.images, "truth": truth}
    pngs = {name: as_png(eight_bits(image, darkest, brightest)) for name, image in shown.items()}
    pngs |= {f"error of {name}": as_png(coloured(error, largest)) for name, error in errors.items()}
    window = Window(0, 0, *truth.shape)
    figures = "".join(panel(name, png, window, "") for name, png in pngs.items())
    return (
        f"<h2>Pictures</h2><h3>{escape(example.title)}</h3>"
        f'<div class="panels">{figures}</div>{colour_scale(largest)}'
    )
