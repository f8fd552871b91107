"""The parts of the module "Super-resolve".

`parameters` holds what the user chose, `widget` the panel, `logic` what scripts call. A run goes from the
scene (`scene`) to a computation that knows neither scene nor panel (`work`), in a thread of its own (`job`),
and back.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("espcn_core") is None:
    # An installed extension has it beside the module; in a source checkout it lies at the top.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
