"""What the combo boxes of the panel offer, and how they are filled and read."""

from functools import lru_cache
from pathlib import Path

from slicer.i18n import tr as _

from ESPCNSlicerLib.parameters import AUTO, PLANES


def targets():
    """What to make."""
    return [
        ("x2", _("2x in the slices")),
        ("x3", _("3x in the slices")),
        ("x4", _("4x in the slices")),
        ("isotropic", _("Isotropic, at the finest spacing")),
        ("spacing", _("A spacing on all axes")),
    ]


def planes():
    """Of the slices."""
    names = {"auto": _("Automatic"), "axial": _("Axial"), "coronal": _("Coronal"), "sagittal": _("Sagittal")}
    return [(plane, names[plane]) for plane in PLANES]


def devices(found):
    """Automatic, the CPU, and what was found."""
    return [(AUTO, _("Automatic")), *(found or [("cpu", _("CPU"))])]


def models(plan):
    """Automatic, and all weights that have the factors of a pass of the plan."""
    wanted = {tuple(sorted(only.factors)) for only in _passes(plan)}
    names = [name for name, card in _shipped().items() if tuple(sorted(card.factor)) in wanted]
    return [(AUTO, _("Automatic")), *((name, name) for name in sorted(names, key=len))]  # specialists last


def cards(plan):
    """The cards of the weights that a plan uses."""
    return [_shipped()[model] for model in dict.fromkeys(only.model for only in _passes(plan))]


def spacing_warnings(plan):
    """A sentence for each network that was trained on another spacing."""
    from espcn_core.models.outside import range_warning

    found = []
    grid = plan.source
    for step in plan.steps:
        for only in step.passes:
            card = _shipped()[only.model]
            spacing = [mm for axis, mm in enumerate(grid.spacing) if axis != only.slice_axis]
            if only.factors != card.factor:
                spacing.reverse()
            warning = range_warning(card, tuple(spacing), {})
            if warning and warning not in found:
                found.append(warning)
        grid = step.grid
    return found


def fill(box, pairs):
    """Let a combo box offer pairs of a key and a name; what is chosen stays chosen."""
    if [(box.itemData(n), box.itemText(n)) for n in range(box.count)] == list(pairs):
        return
    before = chosen(box)
    box.blockSignals(True)
    box.clear()
    for key, name in pairs:
        box.addItem(name, key)
    box.blockSignals(False)
    choose(box, before or pairs[0][0])


def chosen(box):
    """The key of what a combo box shows."""
    return box.itemData(box.currentIndex)


def choose(box, key):
    """Let a combo box show a key, without telling anyone."""
    index = box.findData(key)
    if index >= 0 and index != box.currentIndex:
        box.blockSignals(True)
        box.currentIndex = index
        box.blockSignals(False)


def _shipped():
    from espcn_core.models import cards

    return _cards_in(cards.SHIPPED)


@lru_cache(maxsize=1)  # they are asked for at every change in the panel
def _cards_in(_folder: Path):
    from espcn_core.models.cards import shipped_cards

    return shipped_cards()


def _passes(plan):
    return [only for step in plan.steps for only in step.passes] if plan is not None else []
