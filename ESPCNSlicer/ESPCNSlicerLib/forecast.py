"""What will come out of a plan, and what may go wrong, said before the run."""

from slicer.i18n import tr as _

from ESPCNSlicerLib import choices, words
from ESPCNSlicerLib.devices import free_memory


def summary(plan, dtype):
    """Sizes before and after, the memory that the result takes, and how it comes about."""
    return f"{words.sizes(plan)}, {words.megabytes(_bytes_of(plan, dtype))}\n{words.steps(plan)}"


def warnings(plan, dtype, compare):
    """Sentences about spacings that the networks have not seen, and about too little memory.

    Parameters
    ----------
    plan : espcn_core.upscaling.plan.Plan
    dtype : numpy.dtype
        Of the result.
    compare : bool
        Whether a second volume is made by interpolation.
    """
    from espcn_core.upscaling.memory import bytes_needed

    found = choices.spacing_warnings(plan)
    needed, free = bytes_needed(plan, 1, dtype), free_memory()
    needed += _bytes_of(plan, dtype) if compare else 0
    if free is not None and needed > free:
        text = _("This needs up to {needed} of memory, and {free} are free.")
        found.append(text.format(needed=words.megabytes(needed), free=words.megabytes(free)))
    return found


def _bytes_of(plan, dtype):
    i, j, k = plan.target.shape
    return i * j * k * dtype.itemsize
