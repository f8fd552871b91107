"""A module imports only from layers below its own, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import espcn_core

LAYERS = (
    ("errors", "files", "cores"),
    ("grid", "intensity"),
    ("models", "degradation"),
    ("volumes", "upscaling", "figshare"),
    ("transforms",),
    ("evaluation",),
    ("training", "export"),
    ("api",),
    ("cohort",),
    ("cli",),
    ("__main__",),
)
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
PACKAGE = Path(espcn_core.__file__).parent
MODULES = {
    path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))
}


def part_of(module: Path) -> str:
    return module.with_suffix("").parts[0]


def imported_parts(source: str):
    """The parts of the package that a module imports, wherever in it, with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"line {node.lineno}: relative imports hide the layers")
        if isinstance(node, ast.ImportFrom) and node.module == "espcn_core":
            names = [f"espcn_core.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "espcn_core" and rest and rest != "__version__":
                yield rest.partition(".")[0], node.lineno


def test_every_module_has_a_layer():
    assert {part_of(module) for module in MODULES} - {"__init__"} <= set(HEIGHT)


@pytest.mark.parametrize("module", [m for m in MODULES if m != Path("__init__.py")], ids=str)
def test_a_module_imports_only_from_below(module):
    own = part_of(module)
    for part, line in imported_parts(MODULES[module]):
        assert part == own or HEIGHT[part] < HEIGHT[own], f"line {line}: {own} must not import {part}"


def test_a_wrong_import_would_be_seen():
    source = "def f():\n    from espcn_core.upscaling.plan import Plan\nimport espcn_core.cli\nimport numpy"
    assert list(imported_parts(source)) == [("cli", 3), ("upscaling", 2)]


def loaded(statement: str, *packages: str) -> str:
    """Which of the packages a statement loads, in a process of its own."""
    code = f"{statement}; import sys; print(*sorted(set(sys.modules) & set({packages})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement", ["import espcn_core; espcn_core.Grid", "import espcn_core.upscaling.trust"]
)
def test_upscaling_needs_torch_and_numpy_alone(statement):
    heavy = "monai", "ignite", "h5py", "SimpleITK", "nibabel", "typer", "rich", "safetensors", "psutil"
    assert loaded(statement, *heavy, "pytest") == ""
    assert loaded(f"{statement}; import rich", *heavy) == "rich"


@pytest.mark.parametrize(
    "statement",
    [
        "from espcn_core.upscaling.plan import make_plan",
        "from espcn_core.upscaling.memory import bytes_needed",
        "from espcn_core.models.cards import shipped_cards; shipped_cards()",
    ],
)
def test_a_plan_and_a_card_are_made_without_torch(statement):
    assert loaded(statement, "torch") == ""
    assert loaded("import espcn_core.upscaling.upscaler", "torch") == "torch"
