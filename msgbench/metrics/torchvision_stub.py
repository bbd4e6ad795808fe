"""Makes torchvision importable beside a CPU-only torch; the only place that knows of the matter.

torch-fidelity imports torchvision. The torchvision wheel of the ordinary package index is built for CUDA; beside a
CPU build of torch its compiled library does not load and the import dies, because two detection operators were never
registered. Measuring needs neither. They are declared here, without an implementation, only when the plain import
fails for this very reason; a matching pair of wheels never comes here.
"""

from __future__ import annotations

import functools
import sys

import torch

from msgbench.console import say

MISSING_OPERATORS = ("nms", "qnms")


@functools.cache
def import_torchvision() -> torch.library.Library | None:
    """Imports torchvision; returns the library with the declared operators, or None when they were not needed.

    The cache keeps the library alive: the operators vanish with it. Raises what `import torchvision` raises when the
    reason is another one.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    else:
        return None
    # The failed import leaves half-made modules behind, which would be taken for the finished ones.
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in MISSING_OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    # Imported for its effect: it works now, and everything later finds it in sys.modules.
    import torchvision  # noqa: F401

    say(
        "torchvision's compiled operators do not load beside this torch; measuring goes on without them"
    )
    return library
