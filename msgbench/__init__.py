"""msgbench: the reproducibility benchmark of MSG-GAN (Karnewar & Wang, CVPR 2020).

The package is a house of floors; imports only go down (ARCHITECTURE.md names the rooms).
"""

__version__ = "0.1.0"
