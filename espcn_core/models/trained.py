"""Trained weights: a safetensors file with a JSON card beside it, read only if the two belong together."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from torch import nn

from espcn_core.errors import RequestError, WeightsError
from espcn_core.files import complete_file
from espcn_core.models.cards import Card, find_weights, read_card
from espcn_core.models.registry import build
from espcn_core.models.tensors import read_tensors

_LARGEST = 1 << 28


def load_model(model: str | Path) -> tuple[nn.Module, Card]:
    """A trained network in evaluation mode, and its card.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a safetensors file with its card beside it (same name, ``.json``).

    Raises
    ------
    RequestError
        If there is no such model.
    WeightsError
        If the card is missing or broken, the hash differs, or the tensors are not those of the architecture.
    """
    path = find_weights(model)
    card = read_card(path.with_suffix(".json"))
    if (size := path.stat().st_size) > _LARGEST:
        raise WeightsError(
            f"{path.name} has {size:,} bytes, and no network here needs {_LARGEST:,}: get it again"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise WeightsError(
            f"{path.name} is not the file that its card describes (sha256 differs): get both again"
        )
    try:
        network = build(card.architecture, card.factor, **card.arguments)
    except RequestError as error:
        raise WeightsError(
            f"{path.name} has a card for a network that this version does not know: {error}"
        ) from error
    try:
        network.load_state_dict(read_tensors(content))
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path.name} does not hold the weights of {card.architecture}: {reason}"
        ) from error
    return network.eval(), card


def save_model(network: nn.Module, card: Card, folder: Path, stem: str = "") -> Path:
    """Write ``<name>.safetensors`` and its card into a folder; returns the path of the weights.

    The hash in the card is filled in here. With a ``stem`` the files are called by that.
    """
    import safetensors.torch  # not needed where weights are only read

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = safetensors.torch.save(tensors)
    path = folder / f"{stem or card.name}.safetensors"
    complete = dataclasses.replace(card, sha256=hashlib.sha256(content).hexdigest())
    texts = {path: content, path.with_suffix(".json"): complete.to_json().encode()}
    for target, text in texts.items():
        with complete_file(target) as file:
            file.write(text)
    return path
