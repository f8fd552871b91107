"""Stand-in for ``qMRMLNodeComboBox``, the selector of a node of the scene."""

from __future__ import annotations

import weakref
from typing import Any

import qt
import shiboken6
import slicer
from qt import Property, Signal


@qt.expose
class qMRMLNodeComboBox(qt.QWidget):
    """Offers the nodes of some classes and keeps up with the scene.

    As in Slicer:

    - it is disabled until it has a scene; a node chosen before that is chosen when the scene comes;
    - without ``noneEnabled`` the first node to come is chosen by itself, and a current node that goes away is
      followed by the last one in the list;
    - ``showChildNodeTypes`` is on at first, so that a selector of scalar volumes offers label maps too;
    - nodes hidden from editors are left out; a node that is renamed is renamed in the list;
    - nothing is updated while the scene closes or loads, only after it.

    Left out: the entries that create, rename and delete nodes from the list (`addNode` is here).
    """

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None
        self._ids: list[str] = []  # of the list's entries; "" is none
        self._current = self._wanted = ""
        self._settings: dict[str, Any] = {}
        self._attributes: dict[tuple[str, str], Any] = {}
        self._observed: list[tuple[Any, int]] = []
        self._list = qt.QComboBox(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._list)
        self._list.activated.connect(self._choose)
        self.setEnabled(False)

    # The scene

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.setEnabled(scene is not None)
            wanted, self._wanted = self._wanted, ""
            self._update(wanted)

    def _accepts(self, node: slicer.vtkMRMLNode) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        children = self.showChildNodeTypes
        for kind in self.nodeTypes:
            if node.GetClassName() == kind or (children and node.IsA(kind)):
                wanted = {name: value for (of, name), value in self._attributes.items() if of == kind}
                return all(
                    node.GetAttribute(name) is not None
                    and (value is None or node.GetAttribute(name) == str(value))
                    for name, value in wanted.items()
                )
        return False

    def _update(self, wanted: str = "") -> None:
        """Bring the list in line with the scene, and the current node with the list or the wanted ID."""
        scene = self._scene
        if scene and scene.IsBatchProcessing():
            return
        nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())] if scene else []
        self._observe(nodes)
        offered = {node.GetID(): node.GetName() or node.GetID() for node in nodes if self._accepts(node)}
        had_nodes = any(self._ids)
        entries = {"": self.noneDisplay, **offered} if self.noneEnabled else offered
        self._ids = list(entries)
        blocker = qt.QSignalBlocker(self._list)
        self._list.clear()
        self._list.addItems(list(entries.values()))
        blocker.unblock()
        if wanted not in offered:
            if self._current in offered:
                wanted = self._current
            elif self.noneEnabled or not offered or (had_nodes and not self._current):
                wanted = ""
            else:
                wanted = self._ids[-1 if self._current else 0]
        self._select(wanted)

    def _observe(self, nodes: list[slicer.vtkMRMLNode]) -> None:
        """Watch the scene for nodes that come and go, and the nodes for new names."""
        for watched, tag in self._observed:
            watched.RemoveObserver(tag)
        me = weakref.ref(self)

        def update(*_: Any) -> None:
            if me() is not None and shiboken6.isValid(me()):
                me()._update()

        scene = self._scene
        events = (
            (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndBatchProcessEvent)
            if scene
            else ()
        )
        self._observed = [(scene, scene.AddObserver(event, update)) for event in events]
        for node in nodes:
            if any(node.IsA(kind) for kind in self.nodeTypes):
                self._observed.append((node, node.AddObserver("ModifiedEvent", update)))

    # The current node

    def _choose(self, index: int) -> None:
        self._select(self._ids[index])
        self.nodeActivated.emit(self.currentNode())

    def _select(self, identity: str) -> None:
        """Show a node by its ID and say so if it is another one than before."""
        if identity not in self._ids:
            identity = ""
        self._list.setCurrentIndex(self._ids.index(identity) if identity in self._ids else -1)
        if identity != self._current:
            self._current = identity
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(identity)

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self.setCurrentNodeID(node.GetID() if node else "")

    def setCurrentNodeID(self, identity: str) -> None:
        if self._scene:
            self._select(identity)
        else:
            self._wanted = identity

    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)

    def nodeCount(self) -> int:
        return sum(map(bool, self._ids))

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        return self._scene.GetNodeByID([identity for identity in self._ids if identity][index])

    def addNode(self, kind: str = "") -> slicer.vtkMRMLNode:
        """What the entry "Create new" does."""
        name = self._scene.GenerateUniqueName(self.baseName or kind or self.nodeTypes[0])
        node = self._scene.AddNewNodeByClass(kind or self.nodeTypes[0], name)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    # What it offers

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: Any = None) -> None:
        """Offer nodes of a class only with an attribute, of one value or of any."""
        self._attributes[nodeType, attributeName] = attributeValue
        self._update()

    def _setting(kind: type | str, name: str, default: Any) -> Property:
        """A stored Qt property that changes what is offered."""

        def read(self: qMRMLNodeComboBox) -> Any:
            return self._settings.get(name, default)

        def write(self: qMRMLNodeComboBox, value: Any) -> None:
            self._settings[name] = value
            self._update()

        return Property(kind, read, write)

    nodeTypes = _setting("QStringList", "nodeTypes", [])
    noneEnabled = _setting(bool, "noneEnabled", False)
    noneDisplay = _setting(str, "noneDisplay", "None")
    showChildNodeTypes = _setting(bool, "showChildNodeTypes", True)
    showHidden = _setting(bool, "showHidden", False)
    addEnabled = _setting(bool, "addEnabled", True)
    removeEnabled = _setting(bool, "removeEnabled", True)
    renameEnabled = _setting(bool, "renameEnabled", False)
    editEnabled = _setting(bool, "editEnabled", False)
    baseName = _setting(str, "baseName", "")
    selectNodeUponCreation = _setting(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = _setting(str, "interactionNodeSingletonTag", "Singleton")
