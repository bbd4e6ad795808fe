"""Where all randomness comes from: explicit seeds derived from (seed, cur_nimg, purpose).

Nothing in the project draws from a global generator. Because the seed of a step depends on the number
of images shown and not on the history, a resumed training draws exactly what an uninterrupted one draws.
"""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, cur_nimg: int, purpose: str) -> int:
    """A 63-bit seed that is a function of its three arguments alone, the same on every platform.

    `purpose` names the use ("latents-d", "mirror", ...), so that two uses never share random numbers.
    """
    digest = hashlib.sha256(f"{seed}|{cur_nimg}|{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
