"""The devices that networks can run on, with names that people know."""

import importlib
import importlib.util
import sys
from pathlib import Path


def is_torch_there():
    """Whether torch is installed; it is not imported for that."""
    importlib.invalidate_caches()  # it may have been installed a moment ago
    return importlib.util.find_spec("torch") is not None


def find_devices():
    """Pairs of a device's key and its name, the fastest first.

    Imports torch, which takes seconds: to be called from a thread.
    """
    import torch

    found = []
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found.append(("cuda", f"{card.name}, {card.total_memory / 2**30:.0f} GB"))
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    threads = torch.get_num_threads()
    found.append(("cpu", f"CPU, {threads} thread{'s' if threads > 1 else ''}"))
    return found


def free_memory():
    """Bytes of memory that are free; None where nothing here can say, as on macOS without psutil."""
    try:
        import psutil  # Slicer does not bring it

        return psutil.virtual_memory().available
    except ImportError:
        pass
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX: its length, the load, and seven sizes
        return status[2] if ctypes.windll.kernel32.GlobalMemoryStatusEx(status) else None
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
