"""Networks of the paper: equalised layers, combine functions, generators, discriminators.

Not losses, not training. This module imports nothing, so that `msgbench.models.channels` (which needs
no torch) stays cheap to import; build networks with `msgbench.models.build`.
"""
