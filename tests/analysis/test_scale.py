"""The sentence that says what is scaled down."""

from __future__ import annotations

from msgbench.analysis.scale import statement


def test_departures_from_several_published_values_are_one() -> None:
    departures = (
        "400 real images shown instead of 3.2M",
        "32 px instead of 1024",
        "600 images drawn by msgbench in place of celeba-hq",
        "400 real images shown instead of 11M",
        "600 images drawn by msgbench in place of ffhq",
        "400 real images shown instead of 6M",
        "connections at 4 px stand for 4, 8",
    )
    assert statement("smoke", departures) == (
        "smoke tier: scaled down (400 real images shown instead of 3.2M, 11M or 6M; 32 px instead of 1024; "
        "600 images drawn by msgbench in place of celeba-hq or ffhq; connections at 4 px stand for 4, 8); "
        "nothing here is a reproduction"
    )
    assert statement("paper", ()) == ""
