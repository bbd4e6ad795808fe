"""From a collection of photographs to the files and the manifest of a store; prepare.py puts them in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED, Published
from msgbench.console import say
from msgbench.data.findings import examples
from msgbench.data.manifest import (
    IMAGES_TSV,
    IMAGES_ZIP,
    RULE_VERSION,
    FileFact,
    Manifest,
    Packing,
    SourceFacts,
    content_fingerprint,
    moments,
)
from msgbench.data.packing import ZIP_FROM_SIDE, Totals, pack
from msgbench.data.sources import open_photographs
from msgbench.data.sources.collection import RECIPE_VERSION, Collection, rule_of
from msgbench.data.sources.photographs import ALLOWED, DECODING_VERSION, Rule, libraries
from msgbench.data.stand_ins import draw_raw, published_of
from msgbench.errors import DatasetError
from msgbench.records import sha256_file

_RAW = "raw"
# Of a line of images.tsv and one of the journal.
_LINE_BYTES = 600
# Photographs as PNG files of their pixels have 1.2 to 1.7 bytes a pixel.
_PNG_BYTES_PER_PIXEL = 1.7


class PhotographStore:
    """A store that is about to be built; make one with `PhotographStore.open`."""

    def __init__(
        self,
        spec: DatasetSpec,
        published: Published,
        collection: Collection | None,
        workers: int,
        rule: Rule | None = None,
    ) -> None:
        self.spec, self.published = spec, published
        self._collection = collection
        self._workers = workers
        self._rule = rule_of(spec, published) if rule is None else rule

    @classmethod
    def open(cls, spec: DatasetSpec, workers: int) -> PhotographStore:
        """The store that `spec` asks for, of a source that was looked at; raises DatasetError, writes nothing."""
        if spec.drawn is not None:
            published = published_of(spec)
            return cls(spec, published, None, workers)
        published = PUBLISHED[spec.source]
        if published.terms is not None and not spec.accept_terms:
            raise DatasetError(
                f"datasets.{spec.name}.accept_terms: is false; {published.title} may be used only under its "
                f"publisher's terms: {published.terms}; set it to true if you accept them"
            )
        return cls(spec, published, open_photographs(spec), workers)

    @property
    def drawn(self) -> bool:
        """Whether msgbench draws the photographs itself."""
        return self.spec.drawn is not None

    @property
    def collection(self) -> Collection:
        """The photographs, once they were located."""
        assert self._collection is not None
        return self._collection

    def locate(self, folder: Path) -> None:
        """Draw or unpack, below `folder`, what cannot be read where it lies; nothing where that was done before."""
        if self._collection is None:
            raw = draw_raw(self.spec, folder / _RAW)
            self._collection = open_photographs(
                self.spec.model_copy(update={"path": str(raw), "drawn": None})
            )
        if self._collection.unpack is not None:
            self._collection = replace(self._collection.unpack(folder), form=self._collection.form)
        self._check_count()

    @property
    def count(self) -> int:
        """Images that the store will hold; 0 while nobody can know."""
        return min(self.collection.count, self.spec.num_images or self.collection.count)

    def _check_count(self) -> None:
        found, spec = self.collection.count, self.spec
        if spec.num_images is not None and spec.num_images > found:
            raise DatasetError(
                f"datasets.{spec.name}.num_images: is {spec.num_images}, the source holds {found} images of split "
                f"{spec.split}"
            )
        most = self.published.counts.get(spec.split, found)
        if found > most:
            raise DatasetError(
                f"{spec.path}: holds {found:,} images, {self.published.title} has {most:,} of split {spec.split}; "
                "is it another dataset?"
            )

    def bytes_to_write(self, folder: Path) -> int:
        """An estimate of what building takes on the disk beyond what lies in `folder` already."""
        collection = self.collection
        if collection.unpack is None:
            self._check_count()
        pixels = self.count * self.spec.resolution**2
        is_zip = self.spec.resolution >= ZIP_FROM_SIDE
        images = int(pixels * _PNG_BYTES_PER_PIXEL) if is_zip else pixels * 3
        there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        wanted = images + self.count * _LINE_BYTES + collection.unpacked_bytes
        return max(0, wanted - there)

    def build(self, folder: Path) -> Manifest:
        """Pack everything into `folder`, or go on with it; beside the store's files it leaves what it worked with."""
        spec = self.spec
        key = {
            "recipe": spec.fingerprint,
            "source": self.collection.signature,
            "count": self.count,
            "versions": [RECIPE_VERSION, DECODING_VERSION, RULE_VERSION],
            "libraries": libraries(),
        }
        left = self.collection.passed_over
        if left:
            say(
                f"{spec.name}: {len(left):,} of the files are left out, which are images by their names and not "
                f"{ALLOWED}: {examples(left)}"
            )
        totals = pack(
            self.collection,
            self._rule,
            self.count,
            folder,
            json.dumps(key, sort_keys=True),
            f"prepare {spec.name} ({spec.split})",
            self._workers,
        )
        return self._manifest(totals, folder)

    def _manifest(self, totals: Totals, folder: Path) -> Manifest:
        spec, collection, side = self.spec, self.collection, self.spec.resolution
        mean, std = moments(totals.sums, totals.squares, totals.images * side * side)
        table = folder / IMAGES_TSV
        expected = self.published.counts.get(spec.split, collection.count)
        return Manifest(
            name=spec.name,
            split=spec.split,
            count=totals.images,
            resolution=side,
            requested_images=spec.num_images,
            stand_in=self.drawn,
            complete=collection.count == expected,
            mean=mean,
            std=std,
            images_sha256=totals.images_sha256,
            labels_sha256=None,
            label_names=None,
            files=(
                totals.images_file,
                FileFact(name=table.name, bytes=table.stat().st_size, sha256=sha256_file(table)),
            ),
            source=SourceFacts(
                recipe=spec.source,
                recipe_version=RECIPE_VERSION,
                form=collection.form,
                archive=collection.archive,
                files=(
                    FileFact(name="images", bytes=totals.source_bytes, sha256=totals.source_sha256),
                ),
                count=collection.count,
                expected_count=expected,
            ),
            rule_version=RULE_VERSION,
            fingerprint=content_fingerprint(totals.images, side, totals.images_sha256, None),
            packing=self._packing(totals),
        )

    def _packing(self, totals: Totals) -> Packing:
        rule = self._rule
        fit: str = rule.fit
        if rule.window is not None:
            fit = "window {},{} to {},{}".format(*rule.window)
        return Packing(
            recipe_fingerprint=self.spec.fingerprint,
            storage="zip" if totals.images_file.name == IMAGES_ZIP else "npy",
            decoding_version=DECODING_VERSION,
            fit=fit,
            resize=rule.resize,
            libraries=libraries(),
            changes=totals.changes,
            licence="drawn by msgbench" if self.drawn else self.published.licence,
            terms=None if self.drawn else self.published.terms,
            accept_terms=self.spec.accept_terms,
        )
