"""The panel: what the user chooses, what will come out, the run and its end."""

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ESPCNSlicerLib import choices, forecast, scene, words
from ESPCNSlicerLib.devices import find_devices, is_torch_there
from ESPCNSlicerLib.install import InstallError, ensure_torch
from ESPCNSlicerLib.parameters import AUTO, SuperResolveParameterNode
from ESPCNSlicerLib.plans import make_plan
from ESPCNSlicerLib.runner import Runner
from ESPCNSlicerLib.work import compute


class Panel(VTKObservationMixin):
    """The widgets of the form, the parameters in the scene, and the run between them.

    Parameters
    ----------
    ui : object
        The widgets by name, as `slicer.util.childWidgetVariables` gives them.
    logic : SuperResolve
    parameter_node : callable
        Gives the module's own node in the scene.
    """

    def __init__(self, ui, logic, parameter_node):
        VTKObservationMixin.__init__(self)
        self.ui, self.logic = ui, logic
        self._parameter_node = parameter_node
        self._parameters, self._connection, self._wrapper = None, None, None
        self._task = self._watched = None
        self._shows = True
        self._runner, self._search = Runner(self._happened), Runner(self._found_devices)
        self._devices = None
        choices.fill(ui.targetBox, choices.targets())
        choices.fill(ui.planeBox, choices.planes())
        choices.fill(ui.deviceBox, choices.devices(None))
        for box in (ui.targetBox, ui.planeBox, ui.modelBox, ui.deviceBox):
            box.connect("currentIndexChanged(int)", self._chosen)
        ui.runButton.connect("clicked(bool)", self._pressed)
        ui.progressBar.visible = False
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._scene_closes)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self._node_goes)

    @property
    def is_running(self):
        """Whether a run goes on, or is being cancelled."""
        return self._runner.is_busy

    def connect(self):
        """Connect the widgets to the parameters in the scene."""
        if self._parameters is None:
            node = self._parameter_node()
            if self._wrapper is None or self._wrapper.parameterNode is not node:
                self._wrapper = SuperResolveParameterNode(node)
            self._connect(self._wrapper)

    def enter(self):
        """The panel is shown: connect it, and look for devices."""
        self.connect()
        if self._devices is None and is_torch_there() and not self._search.is_busy:
            self._search.start(lambda progress, say: find_devices())

    def leave(self):
        """The panel is hidden, or the scene closes: a run goes on unless its volumes are gone."""
        self._connect(None)

    def close(self):
        """The module is unloaded."""
        self._runner.abandon()
        self._search.abandon()
        self._connect(None)
        self.removeObservers()

    # --- parameters and widgets

    def _connect(self, parameters):
        if self._parameters is not None:
            self._parameters.disconnectGui(self._connection)
            self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._parameters = parameters
        if parameters is None:
            self._watch(None)
            return
        if parameters.inputVolume is None:
            parameters.inputVolume = scene.first_volume()
        named = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        named.pop(None, None)
        # as connectGui does, which returns what is needed to disconnect in newer versions of Slicer alone
        self._connection = parameters.connectParametersToGui(named)
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._refresh()

    def _boxes(self):
        """The combo boxes, by the parameter that they show."""
        ui = self.ui
        return {"target": ui.targetBox, "plane": ui.planeBox, "model": ui.modelBox, "device": ui.deviceBox}

    def _chosen(self, *_args):
        """Take what a combo box shows into the parameters."""
        if self._parameters is not None:
            for name, box in self._boxes().items():
                chosen = choices.chosen(box)
                if chosen and getattr(self._parameters, name) != chosen:
                    setattr(self._parameters, name, chosen)

    def _refresh(self, *_args):
        """Show the parameters, and what they lead to."""
        parameters, ui = self._parameters, self.ui
        if parameters is None:
            return
        self._watch(parameters.inputVolume)
        plan, reason = self._plan()
        models, devices = choices.models(plan), choices.devices(self._devices)
        for name, pairs in (("model", models), ("device", devices)):
            known = plan is not None or self._usable() if name == "model" else self._devices is not None
            chosen = getattr(parameters, name)
            if chosen not in dict(pairs):
                if known:
                    setattr(parameters, name, AUTO)  # comes back here
                    return
                pairs.append((chosen, chosen))  # what was saved with a scene that is still being loaded
        choices.fill(ui.modelBox, models)
        choices.fill(ui.deviceBox, devices)
        for name, box in self._boxes().items():
            choices.choose(box, getattr(parameters, name))
        for widget in (ui.spacingLabel, ui.spacingBox):
            widget.visible = parameters.target == "spacing"
        ui.planeBox.enabled = parameters.target.startswith("x")
        ui.cardText.text = "\n\n".join(map(words.card, choices.cards(plan)))
        ui.summaryLabel.text = reason if plan is None else forecast.summary(plan, self._dtype())
        warnings = [] if plan is None else forecast.warnings(plan, self._dtype(), parameters.compare)
        ui.warningLabel.text = "\n".join(warnings)
        ui.warningLabel.visible = bool(ui.warningLabel.text)
        if not self.is_running:
            ui.runButton.enabled = plan is not None
            ui.runButton.toolTip = reason or _("Make the finer volume")

    def _watch(self, node):
        """Notice when the voxels of the input change, or their place."""
        if node is self._watched:
            return
        for watched, change in ((self._watched, self.removeObserver), (node, self.addObserver)):
            if watched is not None:
                for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent):
                    change(watched, event, self._refresh)
        self._watched = node

    def _usable(self):
        return scene.why_not(self._parameters.inputVolume) is None

    def _asked(self):
        parameters = self._parameters
        model = None if parameters.model == AUTO else parameters.model
        if parameters.target.startswith("x"):
            return {"scale": int(parameters.target[1:]), "plane": parameters.plane, "model": model}
        isotropic = parameters.target == "isotropic"
        return {"spacing": "isotropic" if isotropic else parameters.spacing, "model": model}

    def _plan(self):
        """The plan and None, or None and why there is none."""
        from espcn_core.errors import EspcnError

        node = self._parameters.inputVolume
        reason = scene.why_not(node)
        if reason is not None:
            return None, reason[0].upper() + reason[1:] + "."
        try:
            plan = make_plan(scene.grid_of(node), **self._asked())
        except EspcnError as error:
            return None, words.for_panel(str(error))
        if not plan.steps:
            return None, _("The volume is as fine as that already.")
        return plan, None

    def _dtype(self):
        """The type of the result's voxels."""
        kept = self._parameters.inputVolume.GetImageData().GetScalarType()
        return scene.dtype_of(kept if self._parameters.keepType else scene.FLOAT)

    # --- the run

    def _pressed(self, *_args):
        if self.is_running:
            self.cancel()
        elif self._parameters is not None:
            self._start()

    def cancel(self):
        """Ask the run to stop; the scene stays as it was."""
        self.ui.runButton.text = _("Cancelling…")
        self.ui.runButton.enabled = False
        self._runner.cancel()

    def _start(self):
        from espcn_core.errors import EspcnError

        parameters = self._parameters
        try:
            ensure_torch()
            self._task = self.logic.prepare(
                parameters.inputVolume,
                parameters.outputVolume,
                parameters.device,
                parameters.compare,
                parameters.keepType,
                **self._asked(),
            )
        except (EspcnError, InstallError) as error:
            self._say(words.for_panel(str(error)))
            return
        except MemoryError:
            self._say(_("There is not enough memory for a copy of the volume."))
            return
        work, self._shows = self._task.work, parameters.showInViews
        self._say(str(work.plan))
        self.ui.runButton.text = _("Cancel")
        self.ui.progressBar.maximum = 0  # busy, until the first slices are done
        self.ui.progressBar.visible = True
        self._runner.start(lambda progress, say: compute(work, progress, say))

    def _happened(self, event):
        """Something happened in the run."""
        if event.kind == "progress":
            self.ui.progressBar.maximum = event.total
            self.ui.progressBar.value = event.done
            if not self._runner.is_cancelled:
                text = _("{done} of {total} slices, {left} left")
                left = words.clock(event.seconds_left or 0)
                self.ui.statusLabel.text = text.format(done=event.done, total=event.total, left=left)
        elif event.kind == "note":
            self._say(event.text)
        else:
            task, self._task = self._task, None
            self.ui.progressBar.visible = False
            self.ui.runButton.text = _("Super-resolve")
            self.ui.runButton.enabled = True
            if event.kind == "done":
                self._deliver(task, event.result)
            else:
                self._say(_("Cancelled.") if event.kind == "cancelled" else words.for_panel(event.text))
            self._refresh()

    def _deliver(self, task, made):
        from espcn_core.errors import EspcnError

        try:
            output, other = self.logic.deliver(task, made)
        except EspcnError as error:
            self._say(str(error))
            return
        except MemoryError:
            self._say(_("There is not enough memory to put the result into the scene."))
            return
        if self._shows:
            slicer.util.setSliceViewerLayers(background=task.input, foreground=output, foregroundOpacity=1.0)
        names = output.GetName() if other is None else f"{output.GetName()}, {other.GetName()}"
        self._say(_("{names}: done in {seconds:.1f} s on {device}.").format(
            names=names, seconds=made.seconds, device=made.device
        ))  # fmt: skip

    def _say(self, sentence):
        self.ui.statusLabel.text = sentence
        self.ui.logText.appendPlainText(sentence)

    def _found_devices(self, event):
        if event.kind == "done":
            self._devices = event.result
            self._refresh()
        elif event.kind == "failed":
            self.ui.logText.appendPlainText(_("No devices were found: {why}").format(why=event.text))

    # --- the scene

    def _scene_closes(self, *_args):
        if self.is_running:
            self.cancel()
        self.leave()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_goes(self, _caller, _event, node):
        if self.is_running and node in (self._task.input, self._task.output):
            self.cancel()
