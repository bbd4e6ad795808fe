"""Picture sets: what the figures of the papers are laid out from. Drawn once, uncurated, with their seeds."""
