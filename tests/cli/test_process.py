"""What the command line sets for its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from espcn_core.cli.process import import_less

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
from espcn_core.cli.process import import_less, prepare
prepare()
import_less()
import torch
module = sys.modules["torch._meta_registrations"]
print(hasattr(module, "__spec__"), "activate_meta" in vars(module), "torch._decomp" in sys.modules)
torch.nn.functional.conv2d(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3, 3)).sum()
print("activate_meta" in vars(module))
print(callable(module.activate_meta), "meta_embedding_bag" in vars(module), type(module).__name__)
print("torch.export.exported_program" in sys.modules, callable(torch.export.export))
"""


def test_what_torch_knows_for_its_compilers_and_how_it_exports_is_read_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", PUT_OFF], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        *("True", "False", "False", "False", "True", "True", "module"), *("False", "True")
    ]  # fmt: skip


def test_a_process_that_has_torch_already_is_left_alone():
    import torch  # noqa: F401

    before = list(sys.meta_path)
    import_less()
    assert sys.meta_path == before


WITHOUT = """
import sys
from espcn_core.cli.process import import_less
import_less()
print("nibabel" in sys.modules, "pydicom" in sys.modules)
import nibabel
(extension,) = nibabel.load(sys.argv[1]).header.extensions
print(extension.get_code(), extension.get_content() == bytes(range(16)))
import pydicom
print(pydicom.Dataset.__name__)
import_less()
print("pydicom" in sys.modules)
"""


def test_nibabel_does_without_pydicom_and_keeps_the_bytes_of_a_dicom_header(tmp_path):
    pytest.importorskip("pydicom")
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(2, bytes(range(16))))
    nib.save(image, tmp_path / "a.nii")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, tmp_path / "a.nii"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "2", "True", "Dataset", "True"]


WITHOUT_CONVERTERS = """
import sys
from espcn_core.cli.process import import_less
import_less()
import espcn_core.upscaling.openvino_engine, openvino
print(hasattr(openvino, "compile_model"), hasattr(openvino, "convert_model"))
"""


def test_openvino_does_without_what_converts_models():
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CONVERTERS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


LEAVING = """
import atexit, sys, threading, time
from espcn_core.cli.process import leaving

class Late:
    def __del__(self):
        print("taken apart", flush=True)

kept = Late()
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
with leaving():
    atexit.register(print, "registered")
    print("held back", end=" ")
    {}
"""


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(3)", 3), ("sys.exit(0)", 0), ("sys.exit()", 0), ("pass", 0)]
)
def test_a_process_ends_with_its_code_after_threads_and_what_is_registered(end, code):
    done = subprocess.run([sys.executable, "-c", LEAVING.format(end)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.split() == ["held", "back", "thread", "registered"]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes it")
def test_a_process_without_an_output_ends_as_well():
    code = LEAVING.format("sys.exit(3)")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], stderr=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize(("end", "says"), [("sys.exit('no')", "no\n"), ("1 / 0", "ZeroDivisionError")])
def test_a_process_that_ends_otherwise_is_python_s_to_end(end, says):
    done = subprocess.run([sys.executable, "-c", LEAVING.format(end)], capture_output=True, text=True)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stdout.split() == ["held", "back", "thread", "registered", "taken", "apart"]
