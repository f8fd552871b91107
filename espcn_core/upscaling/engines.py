"""The networks of a run, each loaded once, and what each of them runs on."""

from __future__ import annotations

import importlib.util
import threading
from functools import partial

from espcn_core.errors import DeviceMemoryError, RequestError
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.faster import is_openvino_faster
from espcn_core.upscaling.precision import check_precision
from espcn_core.upscaling.torch_engine import TorchEngine, choose_device, is_out_of_memory

ENGINES = ("auto", "torch", "openvino")


class Engines:
    """The networks on a device, each loaded when it is first asked for. Threads may share them.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "fp32", "bf16", "int8"}
        What their layers compute in (`espcn_core.upscaling.precision`).
    engine : {"torch", "openvino", "auto"}
        What runs them: ``auto`` takes OpenVINO on a CPU where it is installed and faster.

    Raises
    ------
    RequestError
        If there is no such device here, no such precision or engine, or they do not go together.
    """

    def __init__(self, device: str = "auto", precision: str = "fp32", engine: str = "torch") -> None:
        self.device = choose_device(device)
        check_precision(precision)  # a wrong one says so before any is loaded
        self.precision = precision
        self._engine = _checked(engine, self.device.type, precision)
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """What the networks that were loaded run on, as the user should read it."""
        return " and ".join(sorted({engine.place for engine in self._loaded.values()})) or str(self.device)

    def load(self, model: str) -> Engine:
        """The engine of shipped weights or of a weight file.

        Raises what `load_model` does, and `DeviceMemoryError` if the device has no memory for it.
        """
        with self._lock:
            if model not in self._loaded:
                self._loaded[model] = self._new(model)
            return self._loaded[model]

    def _new(self, model: str) -> Engine:
        by_torch = partial(self._by_torch, model)
        if self._engine == "torch" or (
            self._engine == "auto" and not is_openvino_faster(model, self.precision, by_torch)
        ):
            return by_torch()
        from espcn_core.upscaling.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(model, self.precision)

    def _by_torch(self, model: str) -> Engine:
        try:
            return TorchEngine(model, self.device, self.precision)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceMemoryError(
                f"the memory of device {self.device} has no place for a network: use --device cpu"
            ) from None


def _checked(engine: str, device: str, precision: str) -> str:
    """The engine to take; ``auto`` where it is to be measured."""
    if engine not in ENGINES:
        raise RequestError(f"no engine is called {engine!r}: there are {', '.join(ENGINES)}")
    there = importlib.util.find_spec("openvino") is not None
    if engine == "auto" and precision == "int8":
        engine = "openvino"
    if engine == "auto":
        return "auto" if there and device == "cpu" else "torch"
    if engine == "openvino" and not there:
        raise RequestError(
            "the package openvino is not installed: pip install espcn-core[fast], or do without "
            "--engine openvino and --precision int8"
        )
    if engine == "openvino" and device != "cpu":
        raise RequestError(f"OpenVINO runs networks on the CPU, not on {device}: use --device cpu")
    if engine == "torch" and precision == "int8":
        raise RequestError("torch computes in fp32 and bf16: int8 needs --engine openvino")
    return engine
