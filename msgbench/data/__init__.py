"""The data room: from a dataset as its publisher ships it to batches of training images.

`prepare` reads a source once and packs it into a store (images.npy and manifest.json); everything after
that reads stores only. Import the modules by name; this package imports nothing by itself, so that
preparing a dataset never loads torch.
"""
