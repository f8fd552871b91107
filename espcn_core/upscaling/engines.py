"""The networks of a run, each loaded once."""

from __future__ import annotations

import threading

from espcn_core.errors import DeviceMemoryError
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.precision import precision_for
from espcn_core.upscaling.torch_engine import TorchEngine, choose_device, is_out_of_memory


class Engines:
    """The networks on a device, each loaded when it is first asked for. Threads may share them.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "fp32", "bf16"}
        With ``bf16``, which ``auto`` takes where a CPU computes with it, networks run about twice as fast,
        and results differ by up to a hundredth of the range; with ``fp32`` they are the same to 1e-5, however
        they are cut into pieces.

    Raises
    ------
    RequestError
        If there is no such device here, or no such precision.
    """

    def __init__(self, device: str = "auto", precision: str = "fp32") -> None:
        self.device = choose_device(device)
        precision_for(precision, self.device, residual=True)  # a wrong one says so before any is loaded
        self.precision = precision
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def load(self, model: str) -> Engine:
        """The engine of shipped weights or of a weight file.

        Raises what `load_model` does, and `DeviceMemoryError` if the device has no memory for it.
        """
        with self._lock:
            if model not in self._loaded:
                try:
                    self._loaded[model] = TorchEngine(model, self.device, self.precision)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    raise DeviceMemoryError(
                        f"the memory of device {self.device} has no place for a network: use --device cpu"
                    ) from None
            return self._loaded[model]
