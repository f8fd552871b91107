"""What is done to a grid, and what the result says of it."""

import time
from functools import lru_cache

import numpy as np

from ESPCNSlicerLib import words


def request(grid, scale=2, spacing=None, plane="auto", model=None):
    """What `espcn_core` is asked for; a spacing takes the place of the scale.

    No axis is made coarser: one that is finer than the spacing keeps its own.
    """
    from espcn_core.upscaling.plan import Request
    from espcn_core.upscaling.request import one_or_three

    if spacing is None:
        scale = one_or_three(scale)
        return Request(scale=scale, plane="auto" if isinstance(scale, tuple) else plane, model=model)
    try:
        wanted = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    except ValueError:  # "isotropic", or what the package refuses
        return Request(spacing=spacing, model=model)
    own = np.array(grid.spacing)
    kept = np.where(np.array(grid.shape) > 1, np.minimum(own, wanted), own)  # NaN stays, and is refused
    return Request(spacing=tuple(kept.tolist()), model=model)


def make_plan(grid, **asked):
    """The steps for a grid; no voxel is read and torch is not needed. Raises `EspcnError`."""
    from espcn_core.upscaling.plan import make_plan

    return make_plan(grid, request(grid, **asked), _default_model)


@lru_cache  # it reads the cards of all models
def _default_model(factors):
    from espcn_core.models.cards import default_model

    return default_model(factors)


def facts(plan, device):
    """What the attributes of a result say."""
    from espcn_core import __version__
    from espcn_core.models.cards import find_weights, read_card

    passes = [only for step in plan.steps for only in step.passes]
    models = list(dict.fromkeys(only.model for only in passes))
    cards = [read_card(find_weights(model).with_suffix(".json")) for model in models]
    return {
        "Model": ", ".join(card.name for card in cards),
        "Version": __version__,
        "SHA256": ", ".join(card.sha256 for card in cards),
        "Scale": words.scale(plan),
        "Plane": ", ".join(dict.fromkeys(only.plane for only in passes)),
        "Device": device,
        "Time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
