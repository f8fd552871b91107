"""Stand-in for the application's reading and writing of files, behind ``loadVolume`` and ``saveNode``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

LABEL_MAP, CENTER, SINGLE_FILE, AUTO_WINDOW, NO_ORIENTATION = 1, 2, 4, 8, 16
"""Reading options of ``vtkSlicerVolumesLogic``."""


class FileManager:
    """``slicer.app.coreIOManager()`` for volumes: Slicer's own logic reads, its storage nodes write."""

    def fileType(self, filename: str) -> str:
        return "VolumeFile"

    def fileWriterFileType(self, node: slicer.vtkMRMLNode) -> str:
        return "VolumeFile"

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any, messages: Any = None) -> bool:
        """Read a volume into the scene and append it to ``loaded``; whether that went well."""
        if kind != "VolumeFile":
            raise NotImplementedError(f"The shim reads volumes only, not {kind}")
        options = (
            LABEL_MAP * bool(properties.get("labelmap"))
            | CENTER * bool(properties.get("center"))
            | SINGLE_FILE * bool(properties.get("singleFile"))
            | AUTO_WINDOW * bool(properties.get("autoWindowLevel", True))
            | NO_ORIENTATION * bool(properties.get("discardOrientation"))
        )
        filename = properties["fileName"]
        name = properties.get("name") or Path(filename).name.partition(".")[0]
        logic = slicer.modules.volumes.logic()
        node = logic.AddArchetypeVolume(filename, name, options)
        if node is None:
            return False
        loaded.AddItem(node)
        if properties.get("show", True):
            application = slicer.app.applicationLogic()
            application.GetSelectionNode().SetActiveVolumeID(node.GetID())
            application.PropagateVolumeSelection()
        return True

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Write a node by its storage node, which it gets if it has none; whether that went well."""
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        filename = str(properties["fileName"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode(filename)
        storage = node.GetStorageNode()
        storage.SetFileName(filename)
        storage.SetUseCompression(int(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))
