"""The volumes of a sequence, upscaled one after the other under one intensity map."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from ESPCNSlicerLib import scene, words
from ESPCNSlicerLib.plans import facts, make_plan
from ESPCNSlicerLib.work import Work, compute


def upscale(browser, progress, device, asked):
    """The new sequence of a browser (`ESPCNSlicerLib.logic.SuperResolve.upscaleSequence`)."""
    from espcn_core.errors import RequestError, VolumeError

    sequence = browser.GetMasterSequenceNode() if browser is not None else None
    if sequence is None or not sequence.GetNumberOfDataNodes():
        raise VolumeError(_("the sequence browser has no volumes"))
    nodes = [sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes())]
    sources = [scene.read(node) for node in nodes]
    first = sources[0]
    if any(other.scalar_type != first.scalar_type or not first.grid.matches(other.grid) for other in sources):
        reason = _("the volumes of {name} differ in size, place or type: upscale them one by one")
        raise VolumeError(reason.format(name=sequence.GetName()))
    plan = make_plan(first.grid, **asked)
    if not plan.steps:
        raise RequestError(_("{name} is as fine as that already").format(name=sequence.GetName()))
    try:
        array = np.stack([source.array for source in sources], axis=-1)
    except MemoryError:
        raise VolumeError(_("there is not enough memory for all volumes of the sequence at once")) from None
    made = compute(Work(plan, array, array.dtype, device), progress)

    result = slicer.vtkMRMLSequenceNode()
    result.SetName(slicer.mrmlScene.GenerateUniqueName(f"{sequence.GetName()} {words.suffix(plan)}"))
    for name in ("IndexName", "IndexUnit", "IndexType", "NumericIndexValueTolerance"):
        getattr(result, f"Set{name}")(getattr(sequence, f"Get{name}")())
    scene.describe(result, facts(plan, made.device))
    for number, source in enumerate(sources):
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(f"{source.name} {words.suffix(plan)}")
        scene.write(node, made.array[..., number], source.scalar_type, plan.target.affine)
        result.SetDataNodeAtValue(node, sequence.GetNthIndexValue(number))
    slicer.mrmlScene.AddNode(result)
    browser.AddSynchronizedSequenceNodeID(result.GetID())
    shown, like = browser.GetProxyNode(result), browser.GetProxyNode(sequence)
    if shown is not None and like is not None:
        scene.take_over(shown, like)
    return result
