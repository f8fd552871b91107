"""pydicom, which is an extra, and kept quiet: what it says quotes the header."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from espcn_core.errors import VolumeError

_ONE_AT_A_TIME = threading.Lock()  # filters of warnings belong to the process


def pydicom_module() -> Any:
    """The package, or a `VolumeError` that says how to get it."""
    try:
        import pydicom
    except ModuleNotFoundError:
        raise VolumeError("DICOM needs pydicom: pip install 'espcn-core[dicom]'") from None
    return pydicom


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """pydicom, which within the block neither warns nor insists on right values; one thread at a time."""
    pydicom = pydicom_module()
    settings = pydicom.config.settings
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading, writing = settings.reading_validation_mode, settings.writing_validation_mode
        settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            yield pydicom
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = reading, writing
