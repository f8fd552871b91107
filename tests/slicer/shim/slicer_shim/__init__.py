"""Runs a scripted module of 3D Slicer on ``slicer-core`` and PySide6, without the desktop application.

Real here: the scene and its nodes, logics and storage (``slicer-core``), ``slicer.util``, Qt's events and
``.ui`` files. Stood in for, one file each: PythonQt (`qt`, `ui_loader`), CTK (`ctk`), the MRML widgets,
the application, dialogs, module loading, base classes of modules, parameter node wrappers.
Left out: slice and 3D views, the layout, the module panel, PythonQt's ownership of objects.
"""

from slicer_shim.application import start
from slicer_shim.modules import load_module, unload_module

__all__ = ["load_module", "start", "unload_module"]
