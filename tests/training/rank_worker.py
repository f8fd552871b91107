"""What one of several processes does in a test of `Ranks`; prints what it got as one line of JSON."""

from __future__ import annotations

import json
import sys

import torch

from espcn_core.errors import RequestError
from espcn_core.training.ranks import joined

GRADIENTS = (2.0**24, 1.0, -(2.0**24))
"""Of the processes, for each weight: their float32 sum depends on the order."""


def ask_too_much() -> None:
    raise RequestError("the first one says no")


def work() -> dict[str, object]:
    with joined() as ranks:
        found = {
            "rank": ranks.rank,
            "size": ranks.size,
            "mean": ranks.mean(torch.tensor([3.0 * ranks.rank, 1.0])).tolist(),
            "sums": ranks.sums(ranks.rank, 0.5),
            "one": ranks.any(ranks.rank == 1),
            "none": ranks.any(False),
            "of_first": ranks.of_first(lambda: ["made by", ranks.rank]),
        }
        try:
            ranks.of_first(ask_too_much)
        except RequestError as error:
            found["error"] = str(error)
        network = torch.nn.Linear(64, 1, bias=False)
        shared = ranks.wrap(network)
        with torch.no_grad():
            network.weight.zero_()  # on all of them, as in a run
        for _ in range(2):  # after the first step the gradients lie elsewhere
            network.zero_grad()
            shared(torch.full((1, 64), GRADIENTS[ranks.rank])).sum().backward()
            found.setdefault("gradients", []).append(sorted(set(network.weight.grad.flatten().tolist())))
        if "--lose" in sys.argv:
            if ranks.rank == 1:
                sys.exit(5)
            ranks.wait()
    return found


if __name__ == "__main__":
    try:
        print(json.dumps(work()))  # noqa: T201
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
