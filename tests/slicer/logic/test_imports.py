"""Loading the module imports nothing that Slicer does not have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = """
import importlib, json, pkgutil, sys
sys.path[:0] = json.loads(sys.argv[1])
import ESPCNSlicerLib
import ESPCNSlicerLib.job, ESPCNSlicerLib.work
alone = sorted(sys.modules)
from slicer_shim import start
start()
found = [each.name for each in pkgutil.iter_modules(ESPCNSlicerLib.__path__)]
before = set(sys.modules)
for name in found:
    importlib.import_module("ESPCNSlicerLib." + name)
importlib.import_module("ESPCNSlicer")
new = sorted(set(sys.modules) - before)
print(json.dumps({"alone": alone, "parts": found, "all": sorted(sys.modules), "new": new}))
"""


@pytest.fixture(scope="module")
def loaded(sources):
    """The names of all modules after the module was loaded in a Python of its own."""
    paths = [str(Path(__file__).parents[1] / "shim"), str(sources), str(sources.parent)]
    run = [sys.executable, "-c", LOAD, json.dumps(paths)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_all_parts_were_loaded(loaded, sources):
    assert set(loaded["parts"]) == {path.stem for path in (sources / "ESPCNSlicerLib").glob("[a-z]*.py")}
    assert "ESPCNSlicerLib.widget" in loaded["all"]


@pytest.mark.parametrize(
    "package", ["torch", "monai", "nibabel", "h5py", "typer", "SimpleITK", "safetensors", "PyTorchUtils"]
)
def test_what_slicer_lacks_is_not_imported(package, loaded):
    assert package not in loaded["all"]


def test_nothing_comes_with_the_module_but_python_slicer_and_itself(loaded):
    known = {"ESPCNSlicer", "ESPCNSlicerLib", "espcn_core", "slicer", "vtk", "vtkmodules", "numpy", "qt"}
    tops = {name.partition(".")[0] for name in loaded["new"]}
    assert tops - known - set(sys.stdlib_module_names) == set()


def test_the_computation_knows_neither_scene_nor_panel(loaded):
    assert "ESPCNSlicerLib.work" in loaded["alone"]
    assert not {"slicer", "qt", "vtk", "vtkmodules", "ctk"} & set(loaded["alone"])
