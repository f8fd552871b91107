"""What the tests of the Slicer side share: a stand-in for the application, started once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "ESPCNSlicer" / "ESPCNSlicer.py"

FACTORS = (*((r, r) for r in (2, 3, 4)), *((1, r) for r in range(2, 9)))

NEEDED = {"slicer_core": "slicer-core", "PySide6": "PySide6-Essentials"}
MISSING = [package for name, package in NEEDED.items() if importlib.util.find_spec(name) is None]
if not MISSING:
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:  # Qt's own libraries are there, but not those of the system
        MISSING.append(f"what Qt needs ({error}; .ci/run names Debian's packages)")

sys.path.insert(0, str(Path(__file__).parent / "shim"))


class SkippedModule(pytest.Module):
    """A test file that is not even imported."""

    def collect(self):
        pytest.skip(f"the tests of the Slicer side need {' and '.join(MISSING)}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if MISSING:
        return SkippedModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def app():
    """``slicer.app``; from here on ``slicer`` is what it is inside the application."""
    from slicer_shim import start

    return start()


@pytest.fixture(autouse=True)
def scene(app):
    """``slicer.mrmlScene``, empty before and after; the test fails if Qt or VTK swallowed an exception."""
    import slicer
    from slicer_shim.application import close_scene
    from slicer_shim.guard import no_hidden_errors

    close_scene()
    with no_hidden_errors():
        yield slicer.mrmlScene
        close_scene()
        app.processEvents()


@pytest.fixture(autouse=True)
def dialogs(app):
    """The dialogs of this test, none shown; set ``answer`` for those that ask."""
    from slicer_shim.dialogs import recorder

    recorder.reset()
    app.testing = False
    yield recorder
    recorder.reset()


@pytest.fixture
def load(scene, dialogs):
    """Loads a scripted module by its path; after the test the scene is closed and the module unloaded."""
    import SampleData
    import slicer
    from slicer_shim import load_module, unload_module
    from slicer_shim.application import close_scene

    SampleData.registered.clear()
    yield load_module
    close_scene()
    for name in slicer.app.moduleManager().loadedModuleNames():
        unload_module(name)


@pytest.fixture
def wait(app):
    """Waits for a condition while Qt's events go on."""
    from slicer_shim.waiting import Wait

    return Wait()


@pytest.fixture(scope="session")
def sources(app):
    """Makes ``ESPCNSlicerLib`` importable, as Slicer does for the folder of a module."""
    sys.path.insert(0, str(MODULE.parent))
    yield MODULE.parent
    if str(MODULE.parent) in sys.path:
        sys.path.remove(str(MODULE.parent))


def save_networks(folder: Path, std: float) -> Path:
    """Small networks, named as the shipped ones are, whose last layer is random."""
    import torch

    from espcn_core.models.cards import Card
    from espcn_core.models.registry import build
    from espcn_core.models.trained import save_model

    arguments = {"width": 8, "depth": 1}
    for factor in FACTORS:
        torch.manual_seed(sum(factor))
        network = build("espcn-r", factor, **arguments)
        torch.nn.init.normal_(network.sub_pixels.weight, std=std)
        name = f"espcn-r-{'through-' if factor[0] == 1 else ''}x{factor[1]}"
        save_model(network, Card(name, "espcn-r", factor, "bicubic", arguments), folder)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder of networks that change what they get in a random way."""
    return save_networks(tmp_path_factory.mktemp("weights"), std=0.01)


@pytest.fixture(scope="session")
def plain_weights(tmp_path_factory) -> Path:
    """A folder of networks that interpolate and add nothing, so that they know no direction."""
    return save_networks(tmp_path_factory.mktemp("plain"), std=0.0)


@pytest.fixture
def ship(monkeypatch, sources):
    """Makes the networks of a folder the shipped ones."""
    from ESPCNSlicerLib.plans import _default_model

    def ship(folder: Path) -> None:
        monkeypatch.setattr("espcn_core.models.cards.SHIPPED", folder)
        _default_model.cache_clear()

    yield ship
    _default_model.cache_clear()


@pytest.fixture
def panel(load, weights, ship):
    """The module's panel, with small networks, entered and shown; its widgets are in ``.ui``."""
    ship(weights)
    loaded = load(MODULE)
    loaded.panel.enter()
    loaded.widget.parent.show()
    return loaded.widget.panel


@pytest.fixture
def volume(scene):
    """Makes a volume node of noise in the scene."""
    import numpy as np
    import slicer

    def make(name="head", shape=(12, 10, 6), spacing=(0.9, 0.9, 5.0), dtype=np.int16):
        values = np.random.default_rng(7).integers(0, 200, shape[::-1]).astype(dtype)
        node = slicer.util.addVolumeFromArray(values, name=name)
        node.SetSpacing(*spacing)
        return node

    return make
