"""The claims as data: what a claim of claims.yaml may say.

Each kind of test states what is compared. Experiments, tables and protocols are names of config.yaml; whether they
exist there is asked when a claim is assessed, because a benchmark may be cut down.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

import msgbench.reference
from msgbench.reference import Paper

_FILE = Path(msgbench.reference.__file__).parent / "claims.yaml"


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrintedCell(_Spec):
    """A score that the same paper prints."""

    table: str
    row: str


class Pair(_Spec):
    """An experiment and what it is compared with: another one, or a printed score."""

    ours: str
    than: str | None = None
    than_printed: PrintedCell | None = None
    worse_than_printed: PrintedCell | None = None

    @model_validator(mode="after")
    def _one_other_side(self) -> Pair:
        given = (self.than, self.than_printed, self.worse_than_printed)
        if sum(side is not None for side in given) != 1:
            raise ValueError("give exactly one of than, than_printed and worse_than_printed")
        return self

    @property
    def printed(self) -> PrintedCell | None:
        """The printed side, if it is one."""
        return self.than_printed or self.worse_than_printed


class _OfPairs(_Spec):
    pairs: tuple[Pair, ...] = Field(min_length=1)


class _OfExperiments(_Spec):
    experiments: tuple[str, ...] = Field(min_length=1)


class Better(_OfPairs):
    """Each pair's best score of `ours` is better, by the protocol of `table`."""

    kind: Literal["better"]
    table: str


class Near(_OfPairs):
    """Each pair's mean best scores are at most `percent` of the other side's apart."""

    kind: Literal["near"]
    table: str
    percent: float = Field(gt=0)


class Similar(_OfExperiments):
    """The mean best scores of all experiments lie in a range of at most `at_most`."""

    kind: Literal["similar"]
    table: str
    at_most: float = Field(gt=0)


class Sooner(_OfPairs):
    """`ours` reaches the mean best score of the other earlier than the other does."""

    kind: Literal["sooner"]
    table: str
    by: Literal["images", "hours"]


class HoursToBest(_OfPairs):
    """`ours` takes at most `at_most` times the hours of the other until its own best score."""

    kind: Literal["hours_to_best"]
    table: str
    at_most: float = Field(gt=0)


class SlowerThanFirst(_OfPairs):
    """An image takes `ours` longer than one of the first tenth takes the other."""

    kind: Literal["slower_than_first"]


class ConstantTime(_OfPairs):
    """The time of an image changes by at most `percent` in `ours`, and grows in the other, from first to last tenth."""

    kind: Literal["constant_time"]
    percent: float = Field(gt=0)


class Learns(_OfExperiments):
    """Each experiment's best score is better than that of its untrained generator, by `table` (or `also`)."""

    kind: Literal["learns"]
    table: str
    also: str | None = None


class Settles(_OfExperiments):
    """Images of fixed latents change less in the last quarter of the epochs than in the first, at every scale."""

    kind: Literal["settles"]


class Steadier(_OfPairs):
    """In the last quarter of the epochs images of fixed latents change less in `ours`, at full resolution."""

    kind: Literal["steadier"]


class Synchronises(_OfExperiments):
    """The scales agree as well as twice their last difference within this part of the training."""

    kind: Literal["synchronises"]
    within: float = Field(gt=0, lt=1)


class ColourFirst(_OfExperiments):
    """The difference of the scales in colour comes within twice its last value before that in brightness does."""

    kind: Literal["colour_first"]


class ScalesAgreeMore(_OfPairs):
    """The scales of the finished generator agree more in `ours`, in the picture set of all scales."""

    kind: Literal["scales_agree_more"]


class PartHigher(_OfPairs):
    """A part of a protocol's score (precision, recall) is higher in `ours`, at the final snapshot."""

    kind: Literal["part_higher"]
    protocol: str
    part: str


class NoiseMovesLess(_OfPairs):
    """Pixels deviate less over draws of the noise in `ours`, in the picture set of noise draws."""

    kind: Literal["noise_moves_less"]


class Parameters(_OfExperiments):
    """A statement on numbers of parameters, counted from the specs."""

    kind: Literal["parameters"]
    what: Literal["linear", "exponential", "equal"]


class SameSettings(_Spec):
    """Optimizer, losses and average are the same in each group of experiments."""

    kind: Literal["same_settings"]
    groups: tuple[tuple[str, ...], ...] = Field(min_length=1)


class NotMeasurable(_Spec):
    """Nothing that is computed here decides the claim."""

    kind: Literal["not_measurable"]
    why: str


Test = Annotated[
    Better
    | Near
    | Similar
    | Sooner
    | HoursToBest
    | SlowerThanFirst
    | ConstantTime
    | Learns
    | Settles
    | Steadier
    | Synchronises
    | ColourFirst
    | ScalesAgreeMore
    | PartHigher
    | NoiseMovesLess
    | Parameters
    | SameSettings
    | NotMeasurable,
    Field(discriminator="kind"),
]


class Claim(_Spec):
    """One sentence of a paper and how it is tested."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    paper: Paper
    place: str
    quote: str
    title: str
    test: Test


@functools.cache
def load_claims() -> tuple[Claim, ...]:
    """All claims, in the order of the papers."""
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    claims = TypeAdapter(tuple[Claim, ...]).validate_python(content)
    assert len({claim.id for claim in claims}) == len(claims), f"{_FILE.name}: one id stands twice"
    return claims


def experiments_in(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Experiments that the tests of `claims` look at, each once."""
    found: list[str] = []
    for claim in claims:
        test = claim.test
        if isinstance(test, _OfPairs):
            found += [name for pair in test.pairs for name in (pair.ours, pair.than) if name]
        elif isinstance(test, _OfExperiments):
            found += test.experiments
        elif isinstance(test, SameSettings):
            found += [name for group in test.groups for name in group]
    return tuple(dict.fromkeys(found))
