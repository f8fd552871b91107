"""What makes a process of our own faster, and what a library must not do to its host."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Sequence
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


def import_less() -> None:
    """Leave out what a process that upscales has no use for: 0.4 s and 10 MB of its imports.

    Before torch, nibabel and OpenVINO are imported; what is there already stays.

    A third of ``import torch`` is what it knows of tensors without values, for its compilers, and how it
    exports networks: these modules are run if one of their names is asked for. nibabel imports pydicom to
    take apart the DICOM header that a NIfTI file may carry; without it the bytes of that stay as they are.
    OpenVINO imports what converts models of other libraries.
    """
    if "torch" not in sys.modules:
        for name in ("torch._meta_registrations", "torch.export"):
            sys.meta_path.insert(0, _PutOff(name))
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino.tools", None)  # type: ignore[arg-type]
    if not {"nibabel", "pydicom"} & sys.modules.keys():
        sys.modules["pydicom"] = None  # type: ignore[assignment]
        try:
            import nibabel  # noqa: F401
        finally:
            del sys.modules["pydicom"]  # for DICOM series


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """A process of ours: at its end what it holds is left to the system, and not taken apart, for 0.1 s.

    Threads and what is registered to be done at the end come before that, as ever.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # one that was closed before the process began
                    stream.flush()
            os._exit(codes[0])

    atexit.register(leave)  # what is registered first is called last
    try:
        yield
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            codes.append(end.code or 0)
        raise
    codes.append(0)


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
