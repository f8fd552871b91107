"""Every weight has its optimizer, and each step reaches all of them."""

from __future__ import annotations

import sys

import pytest
import torch

from espcn_core.errors import RequestError
from espcn_core.models.fingerprint import length
from espcn_core.models.registry import ARCHITECTURES, build
from espcn_core.training.optimizer import build_optimizer

CPU = torch.device("cpu")

NETWORKS = [
    *((name, {}) for name in sorted(ARCHITECTURES)),
    ("espcn-r", {"activation": "prelu", "depth": 2}),
    ("espcn-r", {"depth": 0}),
    ("espcn-r", {"adaptive": True}),
]
networks = pytest.mark.parametrize(("model", "arguments"), NETWORKS, ids=str)


@pytest.fixture
def made(make_config):
    """A network whose weights are all in use, and its optimizer."""

    def make(optimizer, model, arguments, **changes):
        config = make_config(model=model, arguments=arguments, optimizer=optimizer, **changes)
        torch.manual_seed(1)
        network = build(model, config.factor, **arguments)
        for parameter in network.sub_pixels.parameters():
            torch.nn.init.normal_(parameter, std=0.1)  # at zero they hide the other layers from the loss
        return network, build_optimizer(network, config, CPU)

    return make


def step(network, optimizer):
    adaptive = getattr(network, "adaptation", None) is not None
    known = [torch.randn(2, length(False))] if adaptive else []
    network(torch.rand(2, 1, 12, 12), *known).sub(0.3).square().mean().backward()
    optimizer.step()


@networks
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_each_weight_is_in_one_group_and_changes_in_one_step(made, name, model, arguments):
    network, optimizer = made(name, model, arguments)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in network.parameters()}
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    step(network, optimizer)
    assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []
    assert all(p.isfinite().all() for p in network.parameters())


@networks
def test_muon_takes_the_inner_kernels_alone(made, model, arguments):
    network, optimizer = made("muon", model, arguments)
    inner, rest = optimizer.param_groups
    assert (inner["use_muon"], rest["use_muon"]) == (True, False)
    kernels = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [id(p) for p in inner["params"]] == [id(kernel) for kernel in kernels[1:-1]]


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_all_groups_learn_at_the_rate_of_the_configuration(made, name):
    _, optimizer = made(name, "espcn-r", {}, learning_rate=0.003)
    assert [group["lr"] for group in optimizer.param_groups] == [0.003] * len(optimizer.param_groups)
    assert all(group["weight_decay"] == 0 for group in optimizer.param_groups)


def test_without_a_rate_nothing_changes(made):
    """The schedule ends at zero: then no group may go on by a rate of its own."""
    network, optimizer = made("muon", "espcn-r", {})
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in network.parameters()]
    step(network, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_inner_steps_are_orthogonal_and_as_long_as_those_of_adam(made):
    """0.2 sqrt(max(rows, columns)) times the learning rate, for all directions about alike."""
    network, optimizer = made("muon", "espcn-r", {}, learning_rate=0.01)
    kernel = network.body[2].weight
    before = kernel.detach().clone()
    for parameter in network.parameters():
        parameter.grad = 1e-3 * torch.randn(parameter.shape)
    optimizer.step()
    lengths = torch.linalg.svdvals((kernel.detach() - before).flatten(1)) / (0.01 * 0.2 * 288**0.5)
    assert 0.5 < float(lengths.min())
    assert float(lengths.max()) < 1.5
    each = (kernel.detach() - before).square().mean().sqrt()
    assert float(each) == pytest.approx(0.2 * 0.01, rel=0.3)


def test_muon_needs_a_package_that_adam_does_not_need(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    step(*made("adam", "espcn-r", {}))
    with pytest.raises(RequestError, match=r"^training needs pytorch_optimizer: pip install 'espcn-core\[t"):
        made("muon", "espcn-r", {})
