"""What the command line sets for its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from espcn_core.cli.process import put_off_meta_kernels

SHOW = """
import gc, json, os
from espcn_core.cli.process import prepare
prepare()
print(json.dumps([dict(os.environ), gc.get_threshold()[0]]))
"""


def prepared(**environment):
    base = {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "GOMP", "OPENBLAS", "MALLOC"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env={**base, **environment}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_threads_do_not_turn_in_circles_and_garbage_is_looked_for_less_often():
    environment, threshold = prepared()
    assert environment["GOMP_SPINCOUNT"] == "10000"
    assert 1 <= int(environment["OMP_NUM_THREADS"]) <= (os.cpu_count() or 1)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert threshold == 50_000


@pytest.mark.parametrize(
    "name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
)
def test_what_the_user_has_set_stays(name):
    environment, _ = prepared(**{name: "7"})
    assert environment[name] == "7"
    assert ("GOMP_SPINCOUNT" in environment) == (name != "OMP_WAIT_POLICY")


FAULTS = """
import resource
from espcn_core.cli.process import prepare
prepare()
import numpy as np
def work():
    for _ in range(50):
        np.ones(1 << 20, np.float64)  # 8 MB
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
def test_memory_that_is_used_again_and_again_is_kept():
    """50 arrays of 8 MB are 100,000 pages of 4 kB."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10_000


PUT_OFF = """
import sys
from espcn_core.cli.process import prepare, put_off_meta_kernels
prepare()
put_off_meta_kernels()
import torch
module = sys.modules["torch._meta_registrations"]
print(hasattr(module, "__spec__"), "activate_meta" in vars(module), "torch._decomp" in sys.modules)
torch.nn.functional.conv2d(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3, 3)).sum()
print("activate_meta" in vars(module))
print(callable(module.activate_meta), "meta_embedding_bag" in vars(module), type(module).__name__)
"""


def test_what_torch_knows_for_its_compilers_is_read_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", PUT_OFF], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False", "False", "True", "True", "module"]


def test_a_process_that_has_torch_already_is_left_alone():
    import torch  # noqa: F401

    before = list(sys.meta_path)
    put_off_meta_kernels()
    assert sys.meta_path == before
