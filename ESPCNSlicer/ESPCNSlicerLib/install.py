"""What upscaling needs beside Slicer: torch, installed when the user presses the button, after a question."""

import importlib.metadata

import slicer
from slicer.i18n import tr as _

from ESPCNSlicerLib.devices import is_torch_there

LEAST = (2, 4)

REQUIREMENT = "torch>=2.4"

QUESTION = _(
    "Super-resolve needs PyTorch, which is not installed. The download is large (0.2 to 3 GB) and may take "
    "several minutes. Install it now?"
)

REFUSED = _("PyTorch is not installed: press the button again to install it, or use the PyTorch extension")


class InstallError(RuntimeError):
    """Torch is not there after all; the message is a sentence for the user."""


def ensure_torch():
    """Install torch if it is missing: by the PyTorch extension, or by pip.

    Raises
    ------
    InstallError
        If the user refused, or it failed.
    """
    if is_torch_there() and not _is_old():
        return
    try:
        import PyTorchUtils
    except ImportError:
        _by_pip()
    else:
        # The extension chooses the build for the graphics card; it asks by itself.
        version = REQUIREMENT.removeprefix("torch")
        logic = PyTorchUtils.PyTorchUtilsLogic()
        try:
            torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=version)
        except Exception as error:
            raise _failed(error) from error
        if torch is None:
            raise InstallError(REFUSED)
    if not is_torch_there():
        raise InstallError(_("PyTorch is not there: if it was installed just now, restart Slicer"))
    if _is_old():
        text = _("PyTorch is older than {version}: update it by the PyTorch extension, and restart Slicer")
        raise InstallError(text.format(version=".".join(map(str, LEAST))))


def _is_old():
    """Whether the torch that is installed is older than `LEAST`."""
    try:
        numbers = importlib.metadata.version("torch").split(".")[:2]
        return tuple(map(int, numbers)) < LEAST
    except (importlib.metadata.PackageNotFoundError, ValueError):  # installed in a way of its own
        return False


def _by_pip():
    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        if not slicer.util.confirmOkCancelDisplay(QUESTION, _("Super-resolve")):
            raise InstallError(REFUSED) from None
        try:
            slicer.util.pip_install(REQUIREMENT)
        except Exception as error:
            raise _failed(error) from error
    else:
        try:
            pip_ensure([REQUIREMENT], requester="Super-resolve")
        except RuntimeError as error:
            raise InstallError(f"{REFUSED} ({error})") from error
        except Exception as error:
            raise _failed(error) from error


def _failed(error):
    return InstallError(_("PyTorch could not be installed: {error}").format(error=error))
