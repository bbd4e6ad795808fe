"""Statistics of real images: cached equals uncached, and a cache file serves only what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.metrics.extractors.weights import ExtractorWeights, resolve_weights
from msgbench.metrics.fidelity import Extractor, Features
from msgbench.metrics.real_statistics import RealReference
from msgbench.metrics.reals import RealSet, halves, reals_of
from msgbench.protocols import SMALL, Protocol


class CountingExtractor(Extractor):
    """The small extractor, counting the passes over an image set."""

    def __init__(self) -> None:
        super().__init__(resolve_weights(SMALL))
        self.passes = 0

    def features(self, batches: Iterable[Tensor]) -> Features:
        self.passes += 1
        return super().features(batches)


@pytest.fixture
def counting() -> CountingExtractor:
    return CountingExtractor()


def test_image_batches_keep_order_and_content(drawn_store: Store) -> None:
    sizes: list[int] = []
    batches = list(RealSet(drawn_store, 70).batches(32, sizes.append))
    assert sizes == [32, 32, 6]
    joined = torch.cat(batches)
    assert joined.dtype == torch.uint8
    np.testing.assert_array_equal(joined.permute(0, 2, 3, 1), drawn_store.images[:70])


def test_cached_equals_uncached(
    drawn_store: Store, counting: CountingExtractor, tmp_path: Path
) -> None:
    uncached = RealReference(RealSet(drawn_store, 100), counting, cache=None)
    first = RealReference(RealSet(drawn_store, 100), counting, cache=tmp_path)
    assert counting.passes == 0  # nothing before it is asked for
    expected_statistics, expected_features = uncached.statistics(), uncached.features()
    assert counting.passes == 1  # one pass serves both
    first.statistics(), first.features()
    again = RealReference(RealSet(drawn_store, 100), counting, cache=tmp_path)
    found_statistics, found_features = again.statistics(), again.features()
    assert counting.passes == 2
    np.testing.assert_array_equal(found_statistics.mean, expected_statistics.mean)
    np.testing.assert_array_equal(found_statistics.covariance, expected_statistics.covariance)
    assert found_statistics.mean.dtype == np.float64
    assert found_statistics.count == 100
    assert torch.equal(found_features, expected_features)
    assert list(found_features.shape) == [100, 128]


WEIGHTS = resolve_weights(SMALL)


@pytest.mark.parametrize(
    ("count", "weights"),
    [
        (90, WEIGHTS),
        (100, ExtractorWeights(SMALL, WEIGHTS.path, "f" * 64)),
        (100, ExtractorWeights("another", WEIGHTS.path, WEIGHTS.sha256)),
    ],
    ids=["other count", "other weights", "other extractor"],
)
def test_a_change_never_meets_the_old_cache(
    drawn_store: Store, tmp_path: Path, count: int, weights: ExtractorWeights
) -> None:
    old, new = CountingExtractor(), CountingExtractor()
    new.weights = weights
    for kind in ("statistics", "features"):
        before = RealReference(RealSet(drawn_store, 100), old, tmp_path).cache_file(
            kind, "features"
        )
        assert (
            RealReference(RealSet(drawn_store, count), new, tmp_path).cache_file(kind, "features")
            != before
        )
        # Where the weights file lies does not matter.
        new.weights = ExtractorWeights(WEIGHTS.name, tmp_path / "moved", WEIGHTS.sha256)
        assert (
            RealReference(RealSet(drawn_store, 100), new, tmp_path).cache_file(kind, "features")
            == before
        )
        new.weights = weights


def test_a_changed_dataset_never_meets_the_old_cache(
    drawn_store: Store, counting: CountingExtractor, tmp_path: Path
) -> None:
    old = RealReference(RealSet(drawn_store, 100), counting, cache=tmp_path / "cache").statistics()
    # The same name and size, other pixels.
    spec = DatasetSpec(
        name="drawn", source="embedded", resolution=8, split="test", num_images=120, mirror=False
    )
    prepare(spec, tmp_path / "store")
    changed = Store.open(tmp_path / "store")
    new = RealReference(RealSet(changed, 100), counting, cache=tmp_path / "cache").statistics()
    assert counting.passes == 2
    assert np.abs(new.mean - old.mean).max() > 1e-3
    expected = RealReference(RealSet(changed, 100), counting, cache=None).statistics()
    np.testing.assert_array_equal(new.mean, expected.mean)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def of_another_key(path: Path) -> None:
    """A sound file under the wrong name."""
    other = next(file for file in path.parent.iterdir() if file != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [half, emptied, one_bit, of_another_key])
@pytest.mark.parametrize("kind", ["statistics", "features"])
def test_a_damaged_cache_file_is_ignored_and_replaced(
    drawn_store: Store,
    counting: CountingExtractor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    kind: str,
) -> None:
    first = RealReference(RealSet(drawn_store, 100), counting, cache=tmp_path)
    first.statistics(), first.features()
    path = first.cache_file(kind, "features")
    assert path is not None
    sound = path.read_bytes()
    damage(path)
    again = RealReference(RealSet(drawn_store, 100), counting, cache=tmp_path)
    if kind == "features":
        assert torch.equal(again.features(), first.features())
    else:
        np.testing.assert_array_equal(again.statistics().covariance, first.statistics().covariance)
    assert path.read_bytes() == sound
    assert f"{path}: is damaged; computing these real statistics again" in capsys.readouterr().err


def test_writers_at_the_same_time(drawn_store: Store, tmp_path: Path) -> None:
    extractors = [CountingExtractor() for _ in range(8)]

    def compute(extractor: Extractor) -> float:
        return float(
            RealReference(RealSet(drawn_store, 50), extractor, tmp_path).statistics().mean.sum()
        )

    with ThreadPool(4) as pool:
        sums = pool.map(compute, extractors)
    assert len(set(sums)) == 1
    assert sum(extractor.passes for extractor in extractors) == 1  # the others waited for it
    files = sorted(file.name for file in (tmp_path / "real-statistics").iterdir())
    assert [Path(name).suffix for name in files] == [".lock", ".safetensors"]


def test_reals_are_those_that_the_protocol_names(drawn_store: Store) -> None:
    def reals(num_real: int | None) -> RealSet:
        return reals_of(drawn_store, Protocol("fid_big", 1, "fid", "", 10, num_real, SMALL), True)

    assert len(reals(None)) == 120
    assert len(reals(100)) == 100
    # Each once and as it is, also where the training mirrors.
    assert reals(100).describe() == {"count": 100, "distinct": 100, "passes": 0.8333, "flipped": 0}
    with pytest.raises(MeasurementError) as caught:
        reals(50_000)
    assert (
        str(caught.value) == "fid_big: needs 50,000 real images, the store of dataset drawn has 120"
    )


STREAM = Protocol("fid300_stream", 1, "fid", "", 10, 300, SMALL, reals="stream")


def test_the_stream_repeats_the_store_in_order_and_flips_half(drawn_store: Store) -> None:
    reals = reals_of(drawn_store, STREAM, mirror=True)
    found = torch.cat(list(reals.batches(64))).permute(0, 2, 3, 1).numpy()
    flips = reals.flips()
    for position in range(300):
        image = drawn_store.images[position % 120]
        expected = image[:, ::-1] if flips[position] else image
        np.testing.assert_array_equal(found[position], expected)
    # Binomial(300, 1/2): five deviations of 8.7.
    assert 106 < flips.sum() < 194
    assert reals.describe() == {
        "count": 300, "distinct": 120, "passes": 2.5, "flipped": int(flips.sum()),
    }  # fmt: skip
    # Passes flip anew, and the store itself is left as it was.
    assert (flips[:120] != flips[120:240]).any()
    drawn_store.verify()
    # Golden: other flips here mean another number under an old protocol version.
    assert np.packbits(flips[:32]).tobytes().hex() == "9df8ccce"


def test_the_stream_without_mirroring_is_the_images_again(drawn_store: Store) -> None:
    reals = reals_of(drawn_store, STREAM, mirror=False)
    found = torch.cat(list(reals.batches(100))).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found[:120], drawn_store.images)
    np.testing.assert_array_equal(found[120:240], drawn_store.images)
    assert reals.describe()["flipped"] == 0


def test_stream_and_once_are_two_numbers_and_two_cache_files(
    drawn_store: Store, counting: CountingExtractor, tmp_path: Path
) -> None:
    stream = RealReference(reals_of(drawn_store, STREAM, True), counting, tmp_path)
    once = RealReference(RealSet(drawn_store, 120), counting, tmp_path)
    assert stream.cache_file("statistics", "features") != once.cache_file("statistics", "features")
    difference = np.abs(stream.statistics().mean - once.statistics().mean).max()
    assert 1e-3 < difference < 1.0
    other_seed = RealSet(drawn_store, 300, mirror=True, seed=1)
    assert other_seed.key() != stream.reals.key()
    # A whole store that is not mirrored is the same set by either rule.
    assert RealSet(drawn_store, 120, mirror=False, seed=7).key() == once.reals.key()


def test_halves_share_no_image_and_leave_none_out() -> None:
    first, second = halves(120, seed=1)
    assert len(first) == len(second) == 60
    assert sorted([*first, *second]) == list(range(120))
    assert not np.array_equal(first, halves(120, seed=2)[0])
    odd = halves(7, seed=1)
    assert [len(part) for part in odd] == [3, 3]
    assert not set(odd[0]) & set(odd[1])


def test_the_cached_root_is_the_root(
    drawn_store: Store, counting: CountingExtractor, tmp_path: Path
) -> None:
    RealReference(RealSet(drawn_store, 100), counting, tmp_path).statistics()
    found = RealReference(RealSet(drawn_store, 100), counting, tmp_path).statistics()
    assert "root" in found.__dict__  # read, not made again
    # 100 images of 128 features: rank-deficient; roots of rounding noise are 1e-8.
    np.testing.assert_allclose(found.root @ found.root, found.covariance, atol=1e-9)
