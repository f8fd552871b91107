"""The 3D Slicer module "Super-resolve": finer volumes by a small trained network.

Nothing is imported here that Slicer does not have; the parts are in ESPCNSlicerLib.
"""

import sys
from pathlib import Path

import slicer
from ESPCNSlicerLib.logic import SuperResolve
from ESPCNSlicerLib.samples import register_sample_data
from ESPCNSlicerLib.widget import Panel
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class ESPCNSlicer(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Super-resolve")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        parent.dependencies = []
        parent.contributors = ["The ESPCN for medical volumes developers"]
        parent.helpText = _(
            "Makes a volume finer, within its slices or across them, by a small trained network (ESPCN), "
            "with the geometry right. Not for diagnosis. Nothing leaves this computer."
        )
        parent.acknowledgementText = _(
            "After Shi et al. 2016, Real-Time Single Image and Video Super-Resolution Using an Efficient "
            "Sub-Pixel Convolutional Neural Network. The weights were trained on the brain tumor dataset of "
            "Jun Cheng (figshare, CC BY 4.0)."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


class ESPCNSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel in Slicer's module pane."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        form = slicer.util.loadUI(self.resourcePath("UI/ESPCNSlicer.ui"))
        self.layout.addWidget(form)
        form.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(form)
        self.logic = ESPCNSlicerLogic()
        self.panel = Panel(self.ui, self.logic, self.logic.getParameterNode)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.panel.connect()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:  # as after a setup that failed
            self.panel.close()

    def onReload(self):
        """Reload the parts as well."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "ESPCNSlicerLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.leave()

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.panel.enter()


class ESPCNSlicerLogic(ScriptedLoadableModuleLogic, SuperResolve):
    """What scripts call: ``slicer.util.getModuleLogic("ESPCNSlicer").upscale(node)``."""


class ESPCNSlicerTest(ScriptedLoadableModuleTest):
    """The self test inside Slicer."""

    def runTest(self):
        slicer.mrmlScene.Clear()
        self.test_the_sample_becomes_finer_where_it_is()

    def test_the_sample_becomes_finer_where_it_is(self):
        import SampleData
        from ESPCNSlicerLib.devices import is_torch_there

        head = SampleData.SampleDataLogic().downloadMRHead()
        logic = slicer.util.getModuleLogic("ESPCNSlicer")
        task = logic.prepare(head, scale=2)
        size = head.GetImageData().GetDimensions()
        assert sorted(n // m for n, m in zip(task.work.plan.target.shape, size, strict=True)) == [1, 2, 2]
        if not is_torch_there():
            self.delayDisplay("PyTorch is not installed: the networks were not tested")
            return
        finer = logic.upscale(head, scale=2)
        before, after = [0.0] * 6, [0.0] * 6
        head.GetRASBounds(before)
        finer.GetRASBounds(after)
        for old, new in zip(before, after, strict=True):
            assert abs(old - new) < 1e-5
        assert max(finer.GetImageData().GetDimensions()) == 2 * max(head.GetImageData().GetDimensions())
        self.delayDisplay(f"Test passed: {Path(__file__).stem}")
