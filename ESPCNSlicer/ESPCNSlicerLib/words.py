"""Sentences and names that the panel shows."""

from slicer.i18n import tr as _


def sizes(plan):
    """What comes out: ``256 x 256 x 24 at 0.9 x 0.9 x 5 mm -> 512 x 512 x 24 at 0.45 x 0.45 x 5 mm``."""
    return str(plan).partition(": ")[0].replace("->", "\u2192")


def steps(plan):
    """How it comes about: ``axial slices x2 by espcn-r-x2``."""
    return str(plan).partition(": ")[2]


def scale(plan):
    """Voxels for each voxel along the axes of the image: ``2 x 2 x 1``."""
    pairs = zip(plan.source.spacing, plan.target.spacing, strict=True)
    return " x ".join(f"{old / new:.4g}" for old, new in pairs)


def suffix(plan):
    """The end of the name of a result: ``x2``, or ``0.9 mm`` where no two axes share a whole factor."""
    ratios = [round(old / new, 3) for old, new in zip(plan.source.spacing, plan.target.spacing, strict=True)]
    finer = sorted(ratios)[1:]
    if finer[0] == finer[1] and ratios.count(finer[0]) >= 2 and finer[0] == int(finer[0]):
        return f"x{finer[0]:.0f}"
    return " x ".join(dict.fromkeys(f"{mm:.3g}" for mm in plan.target.spacing)) + " mm"


def megabytes(count):
    """``48 MB``."""
    return f"{count / 2**20:,.0f} MB" if count >= 2**20 else f"{count / 2**20:.1f} MB"


def clock(seconds):
    """``1:05``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def for_panel(sentence):
    """A sentence of the command line without the advice that names its options."""
    said, _, advice = sentence.rpartition(": ")
    return said if said and "--" in advice else sentence


def card(card):
    """What a user should know of a model, as lines of text."""
    training, metrics = card.training, card.metrics
    spacing = training.get("spacing_range_mm")
    known = {key: training.get(key, "?") for key in ("data", "patients", "contrast", "licence")}
    lines = [
        f"{card.name} ({card.architecture}, x{max(card.factor)})",
        _("Trained on: {data}, {patients} patients, {contrast}").format(**known),
        _("Licence of the data: {licence}").format(**known),
    ]
    if spacing is not None:
        text = _("Spacing of its coarse images: {low:.3g} to {high:.3g} mm")
        lines.append(text.format(low=spacing[0], high=spacing[1]))
    if "gain" in metrics:
        text = _("Gain over bicubic interpolation: {gain:+.2f} dB on {slices} held-out slices")
        lines.append(text.format(gain=metrics["gain"], slices=metrics.get("slices", "?")))
    lines.append(_("Not for: {what}").format(what=card.not_for))
    return "\n".join(lines)
