"""How every figure looks: sizes, type, and one colour for each method, the same in all of them.

The colours are those of Okabe and Ito, which are told apart with any colour vision; lines also differ in marker and
dashes. A baseline has the light, its multi-scale version the strong colour of a pair.
"""

from __future__ import annotations

from typing import Any

# One column of a paper, and both.
COLUMN_INCHES = 3.25
WIDE_INCHES = 6.9
PNG_DPI = 300

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = (
    "-",
    (0.0, (5.0, 1.5)),
    (0.0, (1.0, 1.0)),
    (0.0, (5.0, 1.5, 1.0, 1.5)),
    (0.0, (8.0, 2.0)),
)
# Of the variants of one method, the one that is the method itself first.
STRENGTHS = (1.0, 0.75, 0.6, 0.5, 0.42)
INK, FAINT, RULE = "#1a1a1a", "#6b6b6b", "#dcdcdc"

# Places in the palette.
_SLOTS = {"msg-progan": 0, "msg-stylegan": 1, "msg-gan-v1": 2, "stylegan": 4, "progan": 5}
OTHER_SLOT = 3
METHOD_TITLES = {
    "msg-progan": "MSG-ProGAN",
    "msg-stylegan": "MSG-StyleGAN",
    "msg-gan-v1": "MSG-GAN v1",
    "stylegan": "StyleGAN",
    "progan": "ProGAN",
}

# Of resolutions, which are ordered: light to dark, also without colour.
_SCALES = (
    "#cdb01f", "#a9a154", "#8f937a", "#6f7c7e", "#566a86", "#3b5486", "#1f4287", "#0c2c6e", "#001a4d",
)  # fmt: skip

# Keys are a closed set of literals to the type checker, which it cannot infer for a module's dict.
STYLE: dict[Any, Any] = {
    "font.size": 8.0, "axes.titlesize": 8.0, "axes.labelsize": 7.5, "xtick.labelsize": 7.0, "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4, "xtick.minor.width": 0.4,
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "axes.titlecolor": INK, "axes.titlelocation": "left", "svg.fonttype": "none", "svg.hashsalt": "msgbench",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}  # fmt: skip


def slot_of(method: str) -> int:
    """The place of a method's colour in the palette; methods that the papers do not have share one."""
    return _SLOTS.get(method, OTHER_SLOT)


def colour_of_slot(slot: int) -> str:
    """The colour at a place of the palette; the faint one for -1, which belongs to no method."""
    return PALETTE[slot % len(PALETTE)] if slot >= 0 else FAINT


def method_title(method: str) -> str:
    """A method's name as the papers write it, else its key."""
    return METHOD_TITLES.get(method, method)


def scale_colour(resolution: int) -> str:
    """The colour of a resolution, from 4 px (light) to 1024 px (dark)."""
    return _SCALES[min(resolution.bit_length() - 3, len(_SCALES) - 1)]
