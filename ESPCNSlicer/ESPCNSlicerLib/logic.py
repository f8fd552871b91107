"""Upscaling without any widget: out of the scene, through the networks, and into the scene."""

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from ESPCNSlicerLib import scene, sequences, words
from ESPCNSlicerLib.plans import facts, make_plan
from ESPCNSlicerLib.work import Work, compute


@dataclass(frozen=True, eq=False)
class Task:
    """A run that is about to begin.

    Attributes
    ----------
    source : scene.Source
    work : Work
    input, output : vtkMRMLScalarVolumeNode
        The output gets the result; a new node if there is none. Not their IDs: these are given anew when the
        scene is closed.
    keep_type : bool
    """

    source: scene.Source
    work: Work
    input: object
    output: object
    keep_type: bool


class SuperResolve:
    """What scripts call. Everything but `compute` runs on the main thread."""

    def upscale(
        self,
        inputNode,
        scale=2,
        spacing=None,
        outputNode=None,
        model=None,
        plane="auto",
        device="auto",
        compare=False,
        keepType=True,
        progress=None,
    ):
        """Make a finer volume of a volume node.

        Parameters
        ----------
        inputNode : vtkMRMLScalarVolumeNode
        scale : int or three int
            Voxels for each voxel, along both axes of the slices or along the axes of the image.
        spacing : float, three float, or "isotropic"
            Instead of the scale, in mm. Axes that are finer already stay as they are.
        outputNode : vtkMRMLScalarVolumeNode, optional
            Gets the result; by default a new node.
        model : str, optional
            Name of shipped weights, or path of a weight file.
        plane : {"auto", "axial", "coronal", "sagittal"}
            Of the slices, where the scale is one number.
        device : {"auto", "cpu", "cuda", "mps"}
        compare : bool
            Whether a second node is made by cubic interpolation.
        keepType : bool
            Whether the voxels keep their type; else they become 32-bit floating point numbers.
        progress : callable, optional
            Called with (slices done, slices in all); the run stops if it returns False.

        Returns
        -------
        vtkMRMLScalarVolumeNode

        Raises
        ------
        espcn_core.errors.EspcnError
            A sentence that says what is wrong; `CancelledError` if ``progress`` returned False. The scene is
            then as it was.

        Examples
        --------
        >>> head = slicer.util.getNode("MRHead")
        >>> logic = slicer.util.getModuleLogic("ESPCNSlicer")
        >>> finer = logic.upscale(head, scale=2)
        >>> cube = logic.upscale(head, spacing="isotropic")
        """
        asked = {"scale": scale, "spacing": spacing, "plane": plane, "model": model}
        task = self.prepare(inputNode, outputNode, device, compare, keepType, **asked)
        return self.deliver(task, compute(task.work, progress))[0]

    def upscaleSequence(self, browserNode, progress=None, device="auto", **asked):
        """Make a finer volume of each volume of a sequence; they become a new sequence of the same browser.

        All are mapped to the networks' range by one map, so that nothing flickers.

        Parameters
        ----------
        browserNode : vtkMRMLSequenceBrowserNode
            Its master sequence is upscaled: scalar volumes of one size, type and place.
        progress : callable, optional
        device : {"auto", "cpu", "cuda", "mps"}
        **asked
            ``scale``, ``spacing``, ``plane`` and ``model`` of `upscale`.

        Returns
        -------
        vtkMRMLSequenceNode
        """
        return sequences.upscale(browserNode, progress, device, asked)

    def prepare(self, inputNode, outputNode=None, device="auto", compare=False, keepType=True, **asked):
        """The task for a volume node, whose voxels are copied; raises `EspcnError`."""
        from espcn_core.errors import RequestError, VolumeError

        source = scene.read(inputNode)
        plan = make_plan(source.grid, **asked)
        if not plan.steps:
            raise RequestError(_("{name} is as fine as that already").format(name=source.name))
        for node in (inputNode, outputNode):
            if node is not None and node.GetScene() is not slicer.mrmlScene:
                raise VolumeError(_("{name} is not in the scene: add it first").format(name=node.GetName()))
        if outputNode is not None and outputNode.GetClassName() != "vtkMRMLScalarVolumeNode":
            reason = _("{name} is no scalar volume: choose another output node")
            raise RequestError(reason.format(name=outputNode.GetName()))
        if outputNode is inputNode:
            reason = _("{name} cannot be its own output: choose another node, or a new one")
            raise RequestError(reason.format(name=source.name))
        dtype = source.array.dtype if keepType else scene.dtype_of(scene.FLOAT)
        work = Work(plan, source.array, dtype, device, compare)
        return Task(source, work, inputNode, outputNode, keepType)

    def deliver(self, task, made):
        """Put what was made into the scene; returns the node, and that of the interpolation or None.

        Raises
        ------
        VolumeError
            If the input or the output node is gone.
        """
        from espcn_core.errors import VolumeError

        source, plan = task.source, task.work.plan
        like, output = task.input, task.output
        for node, name in ((like, source.name), (output, _("the output"))):
            if node is not None and node.GetScene() is not slicer.mrmlScene:
                raise VolumeError(_("{name} is no longer in the scene").format(name=name))
        kind = source.scalar_type if task.keep_type else scene.FLOAT
        name = f"{source.name} {words.suffix(plan)}"
        if output is None:
            output = scene.new_volume(name, like, made.array, kind, plan.target.affine)
        else:
            scene.write(output, made.array, kind, plan.target.affine)
            scene.take_over(output, like)
        scene.describe(output, facts(plan, made.device))
        other = None
        if made.interpolated is not None:
            other = scene.new_volume(f"{name} cubic", like, made.interpolated, kind, plan.target.affine)
        return output, other
