"""Slicer is told of every file it needs, and the extension says of itself what the Extensions Index wants."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PANEL = ROOT / "ESPCNSlicer"
CORE = ROOT / "espcn_core"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = ROOT / "ESPCNSlicer.json"

FILE_SCOPE = {*sys.stdlib_module_names, "numpy", "vtk", "slicer", "qt", "ctk", "ESPCNSlicerLib"}
"""What a module may import when Slicer starts: all of it is there before anything was installed."""

NAMES = {
    "espcn_core": {"__version__", *(path.stem for path in CORE.iterdir())},
    "qt": {"QTimer"},
    "ctk": set[str](),
    "slicer": {
        *("app", "mrmlScene", "util"),
        *("ScriptedLoadableModule", "i18n", "packaging", "parameterNodeWrapper"),
        *("vtkMRMLScalarVolumeNode", "vtkMRMLSequenceNode", "vtkMRMLSubjectHierarchyNode"),
        "vtkMRMLVolumeNode",
    },
    "slicer.app": {"connect"},
    "slicer.util": {
        *("VTKObservationMixin", "childWidgetVariables", "loadUI"),
        *("arrayFromVTKMatrix", "confirmOkCancelDisplay", "getModuleLogic", "getNodesByClass", "pip_install"),
        *("setSliceViewerLayers", "vtkMatrixFromArray"),
    },
}
"""What the panel uses of the application and of the package: any other name is a slip, or new to the shim."""

WIDGETS = {
    *("QCheckBox", "QComboBox", "QDoubleSpinBox", "QLabel", "QPlainTextEdit", "QProgressBar", "QPushButton"),
    *("QSpinBox", "QWidget", "QFormLayout", "QGridLayout", "QHBoxLayout", "QVBoxLayout"),
    *("ctkCollapsibleButton", "qMRMLNodeComboBox", "qMRMLWidget"),
}

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/"
    "slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
ENTRY_RULES = {
    "$schema": lambda value: value == SCHEMA,
    "category": lambda value: value == "Filtering",
    "scm_url": lambda value: isinstance(value, str) and value.startswith("https://"),
    "scm_revision": lambda value: isinstance(value, str) and value != "",
    "scm_type": lambda value: value in ("git", "local"),
    "build_dependencies": lambda value: value == ["PyTorch"],
    "build_subdirectory": lambda value: value == ".",
    "enabled": lambda value: isinstance(value, bool),
    "tier": lambda value: type(value) is int and 1 <= value <= 5,
}
"""The keys that version 1.0.1 of the schema knows, and what we put there."""
ENTRY_NEEDS = {"$schema", "category", "scm_url"}


@pytest.fixture
def scene():
    """None: files are read here, and the stand-in for the application need not start."""


@pytest.fixture
def dialogs():
    """None, for the same reason."""


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> list[list[str]]:
    """What the extension told our stand-in for Slicer's build system, call by call."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed: what Slicer would copy is not checked")
    build = tmp_path_factory.mktemp("build")
    settings = {"Slicer_DIR": Path(__file__).parent / "cmake", "BUILD_TESTING": "ON"}
    for language in ("C", "CXX"):  # nothing is compiled, so no compiler is looked for
        settings |= {
            f"CMAKE_{language}_COMPILER": sys.executable,
            f"CMAKE_{language}_COMPILER_ID_RUN": "1",
            f"CMAKE_{language}_COMPILER_FORCED": "1",
        }
    command = ["cmake", "-S", ROOT, "-B", build, *(f"-D{key}={value}" for key, value in settings.items())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.split("|") for line in (build / "record.txt").read_text(encoding="utf-8").splitlines()]


def listed(record, kind: str, module: str) -> list[str]:
    return [line[2] for line in record if line[:2] == [kind, module]]


def panel_files() -> set[str]:
    """The files of the module folder that Slicer has to copy."""
    paths = (path.relative_to(PANEL) for path in PANEL.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in paths
        if path.parts[0] not in ("README.md", "CMakeLists.txt", "Testing")
        and not any(part == "__pycache__" or part.startswith(".") for part in path.parts)
    }


def test_slicer_is_told_in_its_order(record):
    steps = [line[1] for line in record if line[0] in ("included", "script")]
    assert [step for step, _ in itertools.groupby(steps)] == [
        *("use", "espcn_core", "ESPCNSlicer", "config", "cpack")
    ]


def test_the_package_gets_a_folder_and_the_panel_lies_beside_it(record):
    places = {(line[1], line[3]) for line in record if line[0] in ("script", "resource")}
    assert places == {("espcn_core", "espcn_core"), ("ESPCNSlicer", "")}


def test_every_file_of_the_panel_is_listed_and_there(record):
    scripts, resources = (listed(record, kind, "ESPCNSlicer") for kind in ("script", "resource"))
    assert "ESPCNSlicer.py" in scripts
    assert len(set(scripts + resources)) == len(scripts + resources)
    assert set(scripts) == {name for name in panel_files() if name.endswith(".py")}
    assert set(resources) == {name for name in panel_files() if not name.endswith(".py")}


def test_ctest_runs_the_test_of_the_module(record):
    assert [line[1] for line in record if line[0] == "unittest"] == [str(PANEL / "ESPCNSlicer.py")]


def imports(node: ast.AST, functions: bool = True):
    """The import statements below a node, but not those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not functions:
            continue
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from imports(ast.Module(child.orelse, []), functions)
        else:
            yield from imports(child, functions)


def imported(source: str, functions: bool = True) -> set[str]:
    """The dotted names that a module may import; ``from a import b`` counts as both ``a`` and ``a.b``."""
    names = set[str]()
    for statement in imports(ast.parse(source), functions):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif not statement.level:
            names |= {statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)}
    return names


def source_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def closure(roots: set[str]) -> set[str]:
    """The files of ``espcn_core`` that are read when any of these modules is used, below its folder."""
    found = dict[str, Path]()
    waiting = set(roots)
    while waiting:
        name = waiting.pop()
        path = source_of(name) if name.partition(".")[0] == "espcn_core" else None
        if path is not None and name not in found:
            found[name] = path
            waiting |= imported(path.read_text(encoding="utf-8"))
            waiting.add(name.rpartition(".")[0])
    return {path.relative_to(CORE).as_posix() for path in found.values()}


def panel_sources() -> dict[str, str]:
    paths = sorted(PANEL.rglob("*.py"))
    return {path.relative_to(PANEL).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def panel_roots() -> set[str]:
    """The names in ``espcn_core`` that the panel imports, wherever in its code."""
    sources = panel_sources()
    names = {name for source in sources.values() for name in imported(source)}
    return {name for name in names if name.startswith("espcn_core.")}


def test_the_package_is_listed_as_far_as_the_panel_needs_it(record):
    scripts, resources = (listed(record, kind, "espcn_core") for kind in ("script", "resource"))
    weights = [path for path in CORE.glob("models/weights/*") if path.suffix in (".json", ".safetensors")]
    assert sorted(scripts) == sorted(closure(panel_roots()))
    assert sorted(resources) == sorted(path.relative_to(CORE).as_posix() for path in weights)


def test_what_is_copied_finds_its_cards(record, tmp_path):
    for kind in ("script", "resource"):
        for name in listed(record, kind, "espcn_core"):
            (tmp_path / "espcn_core" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CORE / name, tmp_path / "espcn_core" / name)
    code = (
        "import espcn_core.upscaling.plan, espcn_core.models.cards as cards;"
        "assert all(cards.find_weights(name).is_file() for name in cards.shipped_cards());"
        "print(len(cards.shipped_cards()), espcn_core.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cards = len(list(CORE.glob("models/weights/*.json")))
    assert done.stdout.split() == [str(cards), str(tmp_path / "espcn_core" / "__init__.py")]


def test_a_needed_module_would_be_seen():
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import espcn_core.cli\nelse:\n    import a\n"
        "class C:\n    import b\n    def f(self):\n        from espcn_core import errors\n"
    )
    assert imported(source) >= {"a", "b", "espcn_core", "espcn_core.errors"}
    assert "espcn_core.cli" not in imported(source)
    assert imported(source, functions=False) == {"typing", "typing.TYPE_CHECKING", "a", "b"}
    assert closure({"espcn_core.errors"}) == {"__init__.py", "errors.py"}
    assert "models/__init__.py" in closure({"espcn_core.models.cards"})


def said(key: str) -> str:
    """The value of an extension's field, where it stands on one line as the Extensions Index reads it."""
    values = re.findall(rf'^set\({key} "([^"\n]*)"\)$', CMAKE, re.MULTILINE)
    assert len(values) == 1, f"{key} has to be set once, on one line"
    return values[0].strip()


def test_every_field_of_the_extension_is_said_on_one_line(record):
    fields = dict(line[1:] for line in record if line[0] == "set")
    assert len(fields) == 7
    for key, value in fields.items():
        assert value
        assert value == said(key)


def test_the_description_is_one_sentence():
    assert re.fullmatch(r"[A-Z][^.!?\n]{20,200}\.", said("EXTENSION_DESCRIPTION"))


def test_the_extension_and_its_entry_in_the_index_agree():
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    assert re.findall(r"project\s*\(\s*([^\s)]+)", CMAKE) == [ENTRY.stem]
    assert not ENTRY.stem.lower().startswith("slicer")  # the index wants it so
    assert entry["scm_url"] == said("EXTENSION_HOMEPAGE")
    assert entry["category"] == said("EXTENSION_CATEGORY")
    assert entry["build_dependencies"] == said("EXTENSION_DEPENDS").split()


@pytest.mark.parametrize("key", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_every_picture_lies_in_the_repository_that_the_address_names(key):
    repository = said("EXTENSION_HOMEPAGE").removeprefix("https://github.com/")
    revision = json.loads(ENTRY.read_text(encoding="utf-8"))["scm_revision"]
    assert re.fullmatch(r"[\w-]+/[\w.-]+", repository)
    for address in said(key).split():
        base = f"https://raw.githubusercontent.com/{repository}/{revision}/"
        assert address.startswith(base)
        assert png_size(ROOT / address.removeprefix(base))


def wrong_in(entry: dict[str, object]) -> set[str]:
    """The keys of an entry that the index would refuse, or that are missing."""
    wrong = {key for key, value in entry.items() if key not in ENTRY_RULES or not ENTRY_RULES[key](value)}
    return wrong | (ENTRY_NEEDS - set(entry))


def test_the_index_accepts_the_entry():
    content = ENTRY.read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"}\n")
    assert wrong_in(json.loads(content)) == set()


@pytest.mark.parametrize(
    ("key", "value"),
    [("tier", 6), ("tier", True), ("scm_url", "git@github.com:a/b"), ("licence", "MIT"), ("category", "SR")],
)
def test_a_wrong_entry_would_be_seen(key, value):
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    assert wrong_in(entry | {key: value}) == {key}
    entry.pop("$schema")
    assert wrong_in(entry) == {"$schema"}


def png_size(path: Path) -> tuple[int, int]:
    """Width and height from a PNG file's first chunk."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n", f"{path.name} is no PNG"
    assert content[12:16] == b"IHDR"
    assert content[-8:-4] == b"IEND", f"{path.name} is cut short"
    return struct.unpack(">II", content[16:24])


def test_the_pictures_have_the_sizes_that_slicer_shows():
    icons = PANEL / "Resources" / "Icons"
    assert png_size(icons / "ESPCNSlicer.png") == (128, 128)
    drawing = ElementTree.parse(ROOT / "resources" / "icons" / "ESPCNSlicer.svg").getroot()
    assert (drawing.get("width"), drawing.get("height")) == ("128", "128")
    for thumbnail in icons.glob("*Sample*.png"):
        width, height = png_size(thumbnail)
        assert width <= 260
        assert height <= 280


def parameters(source: str) -> set[str]:
    """The fields of the classes that a module wraps as parameter nodes."""
    return {
        field.target.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        and any("parameterNodeWrapper" in ast.unparse(decorator) for decorator in node.decorator_list)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def test_the_form_names_only_what_is_there():
    form = ElementTree.parse(PANEL / "Resources" / "UI" / "ESPCNSlicer.ui").getroot()
    parts = [part for part in form.iter() if part.tag in ("widget", "layout", "spacer")]
    names = [part.get("name") for part in parts]
    assert {part.get("class") for part in parts if part.tag != "spacer"} <= WIDGETS
    assert sorted({*names}) == sorted(names)
    fields = parameters((PANEL / "ESPCNSlicerLib" / "parameters.py").read_text(encoding="utf-8"))
    bound = {
        "".join(item.itertext()).strip() for item in form.iterfind(".//property[@name='SlicerParameterName']")
    }
    assert bound
    assert bound <= fields


def test_a_parameter_is_a_field_of_a_wrapped_class():
    source = "@parameterNodeWrapper\nclass P:\n    a: int = 1\n    b = 2\nclass Q:\n    c: int\n"
    assert parameters(source) == {"a"}


def strange_names(source: str) -> set[str]:
    """The names that a module uses of a place with a list, but that are not on the list."""
    tree = ast.parse(source)
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    used = {(ast.unparse(node.value), node.attr) for node in attributes}
    used |= {tuple(name.rpartition(".")[::2]) for name in imported(source)}
    strange = {f"{place}.{name}" for place, name in used if place in NAMES and name not in NAMES[place]}
    for statement in imports(tree):  # under another name they would be lost to view
        for alias in statement.names:
            whole = alias.name if isinstance(statement, ast.Import) else f"{statement.module}.{alias.name}"
            hidden = alias.asname if isinstance(statement, ast.Import) else whole
            if whole in NAMES and hidden:
                strange.add(ast.unparse(statement))
    return strange


def test_the_module_uses_only_names_of_the_application_that_are_known():
    found = {path: strange_names(source) for path, source in panel_sources().items()}
    assert "ESPCNSlicer.py" in found
    assert {path: names for path, names in found.items() if names} == {}


def test_slicer_starts_without_what_is_installed_later():
    found = {
        path: {name.partition(".")[0] for name in imported(source, functions=False)} - FILE_SCOPE
        for path, source in panel_sources().items()
    }
    assert "ESPCNSlicer.py" in found
    assert {path: names for path, names in found.items() if names} == {}


def test_an_unknown_name_would_be_seen():
    source = (
        "import qt, slicer\nfrom slicer.util import loadUI, plot\nfrom slicer import app\nimport ctk as c\n"
        "slicer.util.pip_install\nslicer.app.quit()\nqt.QTimer\nqt.QDialog()\n"
        "from espcn_core import upscale, grid\n"
    )
    assert strange_names(source) == {
        *("slicer.util.plot", "slicer.app.quit", "qt.QDialog", "espcn_core.upscale"),
        *("from slicer import app", "import ctk as c"),
    }
