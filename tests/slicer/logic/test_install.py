"""Torch is installed when it is missing and the user agrees; all else ends in one sentence."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest


@pytest.fixture
def torch_there(monkeypatch):
    """Sets what the module finds when it looks for torch: one answer a look, the last one for ever."""
    from ESPCNSlicerLib import install

    def say(*answers):
        left = list(answers)
        monkeypatch.setattr(install, "is_torch_there", lambda: left.pop(0) if len(left) > 1 else left[0])

    return say


@pytest.fixture
def refused():
    """The sentence of the `InstallError` that `ensure_torch` raises."""
    from ESPCNSlicerLib.install import InstallError, ensure_torch

    def call() -> str:
        with pytest.raises(InstallError) as error:
            ensure_torch()
        assert "\n" not in str(error.value)
        return str(error.value)

    return call


@pytest.fixture
def extension(monkeypatch):
    """Puts an extension "PyTorch" there, which does and returns what it is told; gives its calls."""

    def there(answer):
        calls = []

        class PyTorchUtilsLogic:
            def installTorch(self, **keywords):
                calls.append(keywords)
                if isinstance(answer, Exception):
                    raise answer
                return answer

        module = types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic)
        monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
        return calls

    return there


@pytest.fixture
def no_extension(monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)


@pytest.fixture
def packaging(monkeypatch, no_extension):
    """Puts ``slicer.packaging`` there, as in Slicer 5.11 and later; gives its calls."""

    def there(error=None):
        calls = []

        def pip_ensure(requirements, **keywords):
            calls.append((requirements, keywords))
            if error is not None:
                raise error

        monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_ensure=pip_ensure))
        return calls

    return there


@pytest.fixture
def pip(monkeypatch, no_extension):
    """Leaves ``slicer.util.pip_install`` alone there, as in older Slicers; gives its calls."""
    import slicer

    def there(error=None):
        calls = []

        def pip_install(requirement):
            calls.append(requirement)
            if error is not None:
                raise error

        monkeypatch.setitem(sys.modules, "slicer.packaging", None)
        monkeypatch.setattr(slicer.util, "pip_install", pip_install)
        return calls

    return there


def test_where_torch_is_there_nothing_is_asked(torch_there, extension, dialogs):
    from ESPCNSlicerLib.install import ensure_torch

    torch_there(True)
    calls = extension("torch")
    ensure_torch()
    assert calls == []
    assert dialogs.shown == []


def test_the_extension_installs_it_and_asks_by_itself(torch_there, extension, dialogs):
    from ESPCNSlicerLib.install import ensure_torch

    torch_there(False, True)
    calls = extension("torch")
    ensure_torch()
    assert calls == [{"askConfirmation": True, "torchVersionRequirement": ">=2.4"}]
    assert dialogs.shown == []


def test_who_refuses_in_the_extension_is_told_how_to_go_on(torch_there, extension, refused):
    from ESPCNSlicerLib.install import REFUSED

    torch_there(False)
    extension(None)
    assert refused() == REFUSED


FAILED = subprocess.CalledProcessError(1, ["pip", "install"])


def test_an_extension_that_fails_is_a_sentence(torch_there, extension, refused):
    torch_there(False)
    extension(FAILED)
    assert refused().startswith("PyTorch could not be installed: Command")


def test_slicer_packaging_installs_it_and_asks_by_itself(torch_there, packaging, dialogs):
    from ESPCNSlicerLib.install import ensure_torch

    torch_there(False, True)
    calls = packaging()
    ensure_torch()
    assert calls == [(["torch>=2.4"], {"requester": "Super-resolve"})]
    assert dialogs.shown == []


def test_who_refuses_in_slicer_packaging_is_told_how_to_go_on(torch_there, packaging, refused):
    from ESPCNSlicerLib.install import REFUSED

    torch_there(False)
    packaging(RuntimeError("User declined"))
    assert refused() == f"{REFUSED} (User declined)"


def test_slicer_packaging_that_fails_is_a_sentence(torch_there, packaging, refused):
    torch_there(False)
    packaging(FAILED)
    assert refused().startswith("PyTorch could not be installed: Command")


def test_with_neither_it_asks_and_calls_pip(torch_there, pip, dialogs):
    from ESPCNSlicerLib.install import QUESTION, ensure_torch

    torch_there(False, True)
    calls, dialogs.answer = pip(), True
    ensure_torch()
    assert calls == ["torch>=2.4"]
    assert dialogs.texts == [QUESTION]


def test_who_refuses_to_pip_is_told_how_to_go_on(torch_there, pip, dialogs, refused):
    from ESPCNSlicerLib.install import REFUSED

    torch_there(False)
    calls, dialogs.answer = pip(), False
    assert refused() == REFUSED
    assert calls == []


def test_pip_that_fails_is_a_sentence(torch_there, pip, dialogs, refused):
    torch_there(False)
    pip(FAILED)
    dialogs.answer = True
    assert refused().startswith("PyTorch could not be installed: Command")


@pytest.mark.parametrize("way", ["extension", "packaging", "pip"])
def test_what_was_installed_and_is_not_found_needs_a_restart(way, torch_there, dialogs, refused, request):
    torch_there(False)
    request.getfixturevalue(way)(*["torch"] if way == "extension" else [])
    dialogs.answer = True
    assert refused() == "PyTorch is not there: if it was installed just now, restart Slicer"


def test_the_requirement_is_that_of_the_library(sources):
    """The version of torch that pip gets here is the one that the package itself asks for."""
    import tomllib

    from ESPCNSlicerLib.install import REQUIREMENT

    project = tomllib.loads((sources.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert REQUIREMENT in project["project"]["dependencies"]


def test_torch_is_looked_for_and_not_imported(monkeypatch):
    from ESPCNSlicerLib.devices import is_torch_there

    assert is_torch_there()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not is_torch_there()


@pytest.mark.parametrize(
    ("version", "old"), [("2.3.1", True), ("2.4.0+cpu", False), ("2.13.0", False), ("?", False)]
)
def test_a_torch_of_another_extension_may_be_too_old(
    monkeypatch, torch_there, extension, refused, version, old
):
    from ESPCNSlicerLib.install import ensure_torch

    torch_there(True)
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    calls = extension("torch")
    if not old:
        ensure_torch()
        assert calls == []
        return
    assert refused() == "PyTorch is older than 2.4: update it by the PyTorch extension, and restart Slicer"
    assert len(calls) == 1
