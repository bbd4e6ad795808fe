"""When things happen in a training: steps, batches, resolutions, and what is due after how many images.

The training loop asks this schedule before every step, and the cost model and the report ask the same one without
torch. Everything is a function of the spec and of the number of images shown, so that a resumed training is where the
uninterrupted one was. MSG-GAN has one phase; the growing baselines have ProGAN's (PG train.py, TrainingSchedule).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from msgbench.config.growing import GrowingSpec
from msgbench.units import kimg_to_nimg


@dataclass(frozen=True)
class Phase:
    """What the schedule says of one step."""

    resolution: int
    """Side of the largest images that take part."""
    batch_size: int
    lod: float | None = None
    """Level of detail that is missing: 0 at full resolution, 1 at half of it, between two while one fades into
    the other; None where all scales are trained at once."""
    learning_rate: float | None = None
    """Of both networks; None: the optimizer's own."""

    @property
    def fade(self) -> float:
        """Share of the next smaller resolution in images and features: 0 when stable, just below 1 at first."""
        return 0.0 if self.lod is None else self.lod - math.floor(self.lod)

    @property
    def level(self) -> tuple[int, int] | None:
        """What stays the same between two changes of a growing training: the levels of detail around `lod`."""
        return None if self.lod is None else (math.floor(self.lod), math.ceil(self.lod))


@dataclass(frozen=True)
class Stretch:
    """Steps of one resolution and batch, from `start` to `end` images."""

    start: int
    end: int
    resolution: int
    batch_size: int


class Schedule:
    """The steps of one training to `resolution`, `total_kimg` long, of `batch_size` unless `growing` says other."""

    def __init__(
        self, resolution: int, total_kimg: float, batch_size: int, growing: GrowingSpec | None
    ) -> None:
        self.resolution, self.growing = resolution, growing
        self._batch_size = batch_size
        least = kimg_to_nimg(total_kimg)
        self.stretches = tuple(self._stretches(least))
        self._starts = [stretch.start for stretch in self.stretches]
        self.total_nimg = self.stretches[-1].end
        """Images shown when the training ends: the length rounded up to whole looks at the schedule."""

    def _stretches(self, least: int) -> list[Stretch]:
        if self.growing is None:
            return [Stretch(0, _up(least, self._batch_size), self.resolution, self._batch_size)]
        found, start = [], 0
        while start < least:
            resolution = self._resolution(start)
            batch = self.growing.batch_size(resolution, self._batch_size)
            look = batch * self.growing.repeats
            end = start + look
            last = start + _up(least - start, look)
            if self._resolution(last - look) == resolution:
                end = last
            else:
                # The first look at which the next resolution is seen, found by halving.
                low, high = 0, (last - look - start) // look
                while high - low > 1:
                    middle = (low + high) // 2
                    if self._resolution(start + middle * look) == resolution:
                        low = middle
                    else:
                        high = middle
                end = start + high * look
            found.append(Stretch(start, end, resolution, batch))
            start = end
        return found

    def lod(self, nimg: int) -> float:
        """Level of detail that is missing after `nimg` images, from log2(full / start resolution) down to 0.

        Raises ValueError where all scales are trained at once.
        """
        growing = self.growing
        if growing is None:
            raise ValueError("a training of all scales at once has no level of detail")
        kimg = nimg / 1000
        length = growing.stable_kimg + growing.fade_kimg
        index = math.floor(kimg / length)
        lod = math.log2(self.resolution) - math.log2(growing.start_resolution) - index
        if growing.fade_kimg > 0:
            lod -= max(kimg - index * length - growing.stable_kimg, 0.0) / growing.fade_kimg
        return max(lod, 0.0)

    def _resolution(self, nimg: int) -> int:
        return self.resolution >> math.floor(self.lod(nimg))

    def at(self, nimg: int) -> Phase:
        """What the step that starts at `nimg` images is made with; at the end, what the next one would be."""
        if self.growing is None:
            return Phase(self.resolution, self._batch_size)
        stretch = self._stretch(nimg)
        look = stretch.batch_size * self.growing.repeats
        lod = self.lod(stretch.start + (nimg - stretch.start) // look * look)
        resolution = self.resolution >> math.floor(lod)
        return Phase(
            resolution=resolution,
            batch_size=self.growing.batch_size(resolution, self._batch_size),
            lod=lod,
            learning_rate=self.growing.learning_rate(resolution),
        )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """All batches that take part, in order of their use."""
        return tuple(dict.fromkeys(stretch.batch_size for stretch in self.stretches))

    @property
    def full_from_nimg(self) -> int:
        """Images after which everything is at full resolution and nothing fades any more; 0 without growing."""
        if self.growing is None:
            return 0
        levels = int(math.log2(self.resolution // self.growing.start_resolution))
        return kimg_to_nimg(levels * (self.growing.stable_kimg + self.growing.fade_kimg))

    def first_from(self, nimg: int) -> int:
        """The first end of a step (or 0) at or after `nimg` images; the training's end at most."""
        stretch = self._stretch(nimg)
        end = stretch.start + _up(nimg - stretch.start, stretch.batch_size)
        return min(end, self.total_nimg)

    def is_due(self, every_kimg: float, nimg: int) -> bool:
        """Whether `nimg`, an end of a step, is the first at or after a multiple of `every_kimg`; 0 always is."""
        if nimg == 0:
            return True
        every = max(1, kimg_to_nimg(every_kimg))
        before = nimg - self._stretch(nimg - 1).batch_size
        return nimg // every > before // every

    def lengths(self, every_kimg: float) -> list[int]:
        """Images shown whenever `is_due`, and at the end."""
        every = max(1, kimg_to_nimg(every_kimg))
        due = (self.first_from(multiple) for multiple in range(0, self.total_nimg, every))
        return list(dict.fromkeys([*due, self.total_nimg]))

    def _stretch(self, nimg: int) -> Stretch:
        """The stretch of the step that shows image number `nimg`, counted from 0; at the end and beyond, the last."""
        return self.stretches[bisect_right(self._starts, nimg) - 1]


def _up(nimg: int, unit: int) -> int:
    """`nimg` rounded up to whole units."""
    return -(-nimg // unit) * unit
