"""`evaluation.keep`: which snapshots its words name, and that it decides no bits."""

from __future__ import annotations

import pytest

from msgbench.config import load_benchmark
from msgbench.config.keep import Keep

EXPERIMENT = "cifar10-msg-progan-lr0.003"


def lengths_kept(words: tuple[str, ...], lengths: list[int]) -> list[int]:
    return sorted(Keep(words).reasons(lengths))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("all",), [0, 250, 500, 750, 1000, 1250]),
        (("final",), [1250]),
        (("every 0.5 kimg",), [0, 500, 1000]),
        (("every 0.6 kimg",), [0, 750, 1250]),  # the first at or after 600 and 1200
        (("every 0.1 kimg",), [0, 250, 500, 750, 1000, 1250]),
        (("every 5 kimg",), [0]),
        (("0.25 kimg", "0.3 kimg"), [250, 500]),
        (("9 kimg",), [1250]),
        (("best",), []),  # depends on the scores
        (("best", "final", "every 1 kimg"), [0, 1000, 1250]),
    ],
)
def test_words_name_lengths(words: tuple[str, ...], kept: list[int]) -> None:
    assert lengths_kept(words, [0, 250, 500, 750, 1000, 1250]) == kept


def test_lengths_of_batches_that_do_not_divide_a_kimg() -> None:
    """Snapshots lie at the first whole batch: at 1,000,008 images for 1000 kimg and batches of 12."""
    taken = [0, 1_000_008, 2_000_004, 3_000_000]
    assert lengths_kept(("every 1000 kimg",), taken) == taken
    assert lengths_kept(("1000 kimg",), taken) == [1_000_008]


def test_reasons_say_which_words() -> None:
    assert Keep(("final", "every 1 kimg")).reasons([0, 500, 1000]) == {
        0: ["every 1 kimg"],
        1000: ["final", "every 1 kimg"],
    }


def test_it_is_no_part_of_the_fingerprint_and_smoke_keeps_everything(root) -> None:
    def spec(tier, keep=None):
        changes = {"tier": tier}
        if keep:
            changes["experiments"] = {EXPERIMENT: {"evaluation": {"keep": keep}}}
        return load_benchmark(root / "config.yaml", changes).experiment(EXPERIMENT)

    default = spec("paper")
    assert default.evaluation.keep == ("best", "final", "every 1000 kimg")
    assert spec("mini").evaluation.keep == default.evaluation.keep
    assert spec("smoke").evaluation.keep == ("all",)
    assert spec("paper", "all").evaluation.keep == ("all",)
    assert spec("paper", "all").fingerprint == default.fingerprint
