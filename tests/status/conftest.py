"""The results tree of the analysis tests, for the status."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).resolve().parent.parent / "analysis" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("msgbench_status_tree", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE  # dataclasses look their module up
_SPEC.loader.exec_module(_MODULE)

make_tree = _MODULE.make_tree
