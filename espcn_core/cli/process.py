"""What makes a process of our own faster, and what a library must not do to its host."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from espcn_core.cores import usable_cores

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_KEPT, _LARGE = 64 << 20, 16 << 20


def prepare() -> None:
    """Set how memory is kept and how threads wait; before torch and NumPy are imported, which read that once.

    A network makes and drops some ten arrays of 4 to 16 MB for each slice. By default glibc gives each back
    to the system, which then clears every page anew: a third of a run. Here what is freed is kept, up to 64
    MB, if it is smaller than 16 MB, so that whole volumes still go back. And it is kept for all threads
    together, not for each.

    Threads of OpenMP wait for their next work by turning in a circle, and those of OpenVINO miss a core
    meanwhile. They are to sleep after some microseconds. And they are as many as the process may use.

    NumPy multiplies matrices by OpenBLAS, whose own threads wait for one another in circles too: where the
    cores have other work, that takes many times as long as one thread alone, which is enough for a slice.

    Python looks for unreachable cycles again and again while torch, with its half a million objects, is
    imported, and once more at the end: together 0.4 s. It is to look less often, and not at the end.

    What the user has set in the environment stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "10000"
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        with contextlib.suppress(OSError, AttributeError):  # another C library
            malloc = ctypes.CDLL(None).mallopt
            malloc(_MMAP_THRESHOLD, _LARGE)
            malloc(_TRIM_THRESHOLD, _KEPT)
            malloc(_ARENA_MAX, 1)


def put_off_meta_kernels() -> None:
    """Leave out a third of ``import torch``: what it knows of tensors without values, for its compilers.

    Before torch is imported, in a process that compiles and exports nothing by it. The module is run if one
    of its names is asked for.
    """
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _PutOff("torch._meta_registrations"))


class _PutOff(MetaPathFinder, Loader):
    """Finds one module, and runs it no sooner than one of its names is asked for.

    `importlib.util.LazyLoader` runs it as soon as it is imported for a second time.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loader: Loader | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == self._name else None
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        names = vars(module)

        def run(name: str) -> Any:
            if name.startswith("__") or self._loader is None:  # Python's own questions, of each import
                raise AttributeError(name)
            del names["__getattr__"]
            self._loader.exec_module(module)
            return getattr(module, name)

        names["__getattr__"] = run
