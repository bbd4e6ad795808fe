"""Units of the project: training length in images, resolutions in powers of two.

Length is counted in images shown to the discriminator (`nimg`); config and tables speak of thousands
of images (`kimg`). Epochs and iterations are not used.
"""

from __future__ import annotations

LOWEST_RESOLUTION = 4
HIGHEST_RESOLUTION = 1024


def kimg_to_nimg(kimg: float) -> int:
    """Images in `kimg` thousands of images, rounded to whole images."""
    return round(kimg * 1000)


def nimg_to_kimg(nimg: int) -> float:
    """Thousands of images in `nimg` images."""
    return nimg / 1000


def nimg_label(nimg: int) -> str:
    """File-name form of a training length: images, zero-padded so that names sort by length.

    Ten digits hold the longest published run (150,000,000 images) with room to spare.
    """
    return f"{nimg:010d}"


def scales(resolution: int) -> tuple[int, ...]:
    """All resolutions of the pyramid, lowest first: `scales(32) == (4, 8, 16, 32)`.

    Raises ValueError when `resolution` is not a power of two of at least 4.
    """
    if resolution < LOWEST_RESOLUTION or resolution & (resolution - 1):
        raise ValueError(f"resolution {resolution} is not a power of two of at least 4")
    out = []
    scale = LOWEST_RESOLUTION
    while scale <= resolution:
        out.append(scale)
        scale *= 2
    return tuple(out)


def format_duration(seconds: float) -> str:
    """`75.2 -> '1:15'`, `4000 -> '1:06:40'`: the form of every time shown to a person."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{secs:02d}"
    return f"{minutes}:{secs:02d}"
