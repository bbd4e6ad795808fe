"""`msgbench export`: a trained generator as a folder that needs nothing of msgbench.

Weights as safetensors, a loader in plain PyTorch (generator.py, copied as it stands) and a model card with what was
measured.
"""

from msgbench.export.write import default_folder, export_run, usable_weights

__all__ = ["default_folder", "export_run", "usable_weights"]
