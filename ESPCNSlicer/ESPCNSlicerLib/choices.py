"""What the combo boxes of the panel offer, and how they are filled and read."""

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
    from espcn_core.models.cards import shipped_cards

    wanted = {tuple(sorted(only.factors)) for only in _passes(plan)}
    names = [name for name, card in shipped_cards().items() if tuple(sorted(card.factor)) in wanted]
    return [(AUTO, _("Automatic")), *((name, name) for name in names)]


def cards(plan):
    """The cards of the weights that a plan uses."""
    from espcn_core.models.cards import find_weights, read_card

    used = dict.fromkeys(only.model for only in _passes(plan))
    return [read_card(find_weights(model).with_suffix(".json")) for model in used]


def spacing_warnings(plan):
    """A sentence for each network that was trained on another spacing."""
    from espcn_core.models.ranges import range_warning

    by_name, found = {card.name: card for card in cards(plan)}, []
    grid = plan.source
    for step in plan.steps:
        for only in step.passes:
            card = by_name.get(only.model)
            spacing = [mm for axis, mm in enumerate(grid.spacing) if axis != only.slice_axis]
            if card is not None and tuple(only.factors) != tuple(card.factor):
                spacing.reverse()
            warning = card and range_warning(card, tuple(spacing), {})
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


def _passes(plan):
    return [only for step in plan.steps for only in step.passes] if plan is not None else []
