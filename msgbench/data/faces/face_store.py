"""A store of faces that is about to be built: look at everything, decide, then pack what is kept as any photographs.

What was seen lies beside the stores of the dataset (`seen/`, with names.csv and review.csv), under the rules it was
seen by; other thresholds make another store from it. A store has its log, summary and sheets beside its images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from msgbench.config import DatasetSpec, fingerprint_of
from msgbench.config.published import PUBLISHED
from msgbench.console import say
from msgbench.data.faces.decide import OUTCOMES, Decided, decide
from msgbench.data.faces.detectors import described, open_detector, require_detector
from msgbench.data.faces.examine import (
    EXAMINE_VERSION,
    Rules,
    all_libraries,
    crop_file,
    look_at_all,
)
from msgbench.data.faces.inputs import Input, list_inputs
from msgbench.data.faces.outcomes import (
    FACES_CSV,
    NAMES_CSV,
    OUTCOMES_CSV,
    SUMMARY_CSV,
    counts,
    write_names,
    write_outcomes,
)
from msgbench.data.faces.review import Review, review_path
from msgbench.data.faces.sheets import write_sheets
from msgbench.data.manifest import FaceFacts, FileFact, Manifest
from msgbench.data.photograph_store import PhotographStore
from msgbench.data.sources.collection import Collection
from msgbench.data.sources.items import Item
from msgbench.data.sources.photographs import Rule
from msgbench.data.stand_ins import draw_raw
from msgbench.errors import DatasetError
from msgbench.layout import SHEETS, seen_dir, short
from msgbench.locks import FolderLock
from msgbench.records import sha256_file

_RAW = "raw"
_SPARE_BYTES_A_PHOTOGRAPH = 200_000  # crop, thumbnail and lines
_EXAMPLES = 3


def is_current(spec: DatasetSpec, store_dir: Path, manifest: Manifest) -> bool:
    """Whether a store was made of the files that lie there and by the decisions as they are now.

    Of files their number and sizes are looked at; where there are none any more, the store outlives them. Raises
    DatasetError for a malformed review.
    """
    facts = manifest.faces
    if facts is None or Review.read(review_path(spec, store_dir)).sha256 != facts.review_sha256:
        return False
    if spec.path is None:
        return True
    try:
        inputs = list_inputs(spec)
    except DatasetError:
        return True
    stated = sum(facts.inputs.values()), manifest.source.files[0].bytes
    return stated == (len(inputs), sum(one.size for one in inputs))


class FaceStore:
    """What `prepare` builds of a source with faces; make one with `FaceStore.open`."""

    def __init__(
        self,
        spec: DatasetSpec,
        store_dir: Path,
        inputs: list[Input],
        review: Review,
        workers: int,
    ) -> None:
        self.spec, self._store_dir = spec, store_dir
        self._inputs, self._review, self._workers = inputs, review, workers
        self._decided: Decided | None = None
        self._seen_folder = Path()

    @classmethod
    def open(cls, spec: DatasetSpec, store_dir: Path, workers: int) -> FaceStore:
        """The store that `spec` asks for, of files that were listed; raises DatasetError, writes nothing."""
        published = PUBLISHED[spec.source]
        if spec.drawn is None and not spec.accept_terms:
            raise DatasetError(
                f"datasets.{spec.name}.accept_terms: is false; {published.title} may be used only under these terms: "
                f"{published.terms}; set it to true if you accept them"
            )
        require_detector(spec.face_rules, spec.name)
        review = Review.read(review_path(spec, store_dir))
        inputs = [] if spec.drawn is not None else list_inputs(spec)
        return cls(spec, store_dir, inputs, review, workers)

    @property
    def drawn(self) -> bool:
        """Whether msgbench draws the photographs itself."""
        return self.spec.drawn is not None

    @property
    def count(self) -> int:
        """Faces that the store will hold, once they were decided on."""
        found = len(self.decided.kept)
        return min(found, self.spec.num_images or found)

    @property
    def decided(self) -> Decided:
        """What becomes of everything, once it was looked at."""
        assert self._decided is not None
        return self._decided

    def bytes_to_write(self, folder: Path) -> int:
        """An estimate of what building takes on the disk beyond what lies in `folder` already."""
        if self._decided is None:
            return len(self._inputs) * _SPARE_BYTES_A_PHOTOGRAPH
        return self.count * self.spec.resolution**2 * 3

    def locate(self, folder: Path) -> None:
        """Look at every photograph, decide, and write the log of it into `folder`; review.csv gets what is new."""
        spec = self.spec
        if self.drawn:
            raw = draw_raw(spec, folder / _RAW)
            self._inputs = list_inputs(spec.model_copy(update={"path": str(raw), "drawn": None}))
        self._review = Review.read(
            review_path(spec, self._store_dir)
        )  # others may have added lines
        rules = Rules.of(spec)
        place = seen_dir(self._store_dir)
        self._seen_folder = place / short(rules.key())
        with FolderLock(place, "prepare", wait=True):
            looked = look_at_all(
                self._inputs, rules, self._seen_folder, f"faces of {spec.name}", self._workers
            )
        self._decided = decided = decide(looked, spec.face_rules, self._review)
        folder.mkdir(parents=True, exist_ok=True)
        write_outcomes(decided, folder)
        write_names(decided, place / NAMES_CSV)
        self._sheets = write_sheets(decided, self._seen_folder, folder / SHEETS)
        self._update_review()
        self._require_enough()

    def _update_review(self) -> None:
        review = self._review
        faces = [(one.id, one.face.box) for one in self.decided.faces]
        if not review.add(faces):
            say(
                f"{review.path}: was edited while faces were looked at; run the same command again to obey it"
            )
        lost = review.unmatched
        if lost:
            shown = ", ".join(f"line {one.line} ({one.photograph})" for one in lost[:_EXAMPLES])
            more = f", and {len(lost) - _EXAMPLES} more" if len(lost) > _EXAMPLES else ""
            say(
                f"{review.path}: {len(lost)} decisions match no face of these photographs: {shown}{more}"
            )
        for one in self.decided.faces:
            if one.review == "keep" and not one.face.crop_bytes:
                say(
                    f"{review.path}: {one.id} cannot be kept, its crop leaves the photograph and pad is none"
                )

    def _require_enough(self) -> None:
        decided, spec = self.decided, self.spec
        kept = len(decided.kept)
        wanted = spec.num_images or 1
        if kept < wanted:
            found = ", ".join(
                f"{count:,} {name}" for name, count in counts(decided).items() if count
            )
            key = (
                "num_images: is"
                if spec.num_images
                else "path: gives no face that is kept, asked for are"
            )
            raise DatasetError(
                f"datasets.{spec.name}.{key} {wanted:,}, of {len(decided.inputs):,} inputs {kept:,} faces are kept "
                f"({found})"
            )

    def build(self, folder: Path) -> Manifest:
        """Pack what is kept into `folder`, where the log lies already, and describe all of it."""
        spec = self.spec
        side = spec.resolution
        rule = Rule(side=side, fit="crop", resize="box", size=None, window=None, title="faces")
        store = PhotographStore(
            spec, PUBLISHED[spec.source], self._collection(), self._workers, rule
        )
        manifest = store.build(folder)
        assert manifest.packing is not None
        faces = spec.face_rules
        rules = Rules.of(spec)
        smaller = f" to {rules.side} px, then box" if side < rules.side else ""
        level = ", eyes level" if faces.align and faces.detector == "yunet" else ""
        packing = manifest.packing.model_copy(
            update={
                "fit": f"square of {faces.margin:g} face sizes{level}",
                "resize": f"{rules.resize}{smaller}",
                "libraries": dict(sorted(all_libraries().items())),
                "changes": self._changes(),
            }
        )
        source = manifest.source.model_copy(
            update={
                "form": "drawn photographs" if self.drawn else "photographs of people",
                "files": (self._inputs_fact(),),
                "count": len(self.decided.kept),
                "expected_count": len(self.decided.kept),
            }
        )
        return manifest.model_copy(
            update={
                "packing": packing,
                "source": source,
                "complete": True,
                "faces": self._facts(folder),
            }
        )

    def _collection(self) -> Collection:
        """What is kept, as photographs: crops by the ids of their faces."""
        kept = self.decided.kept[: self.count]

        def items(start: int, after: str | None) -> Iterator[Item]:
            for one in kept[start:]:
                yield Item(one.id, str(crop_file(self._seen_folder, one.id)))

        listed = [[one.id, one.photograph.sha256, one.face.crop_bytes] for one in kept]
        return Collection(
            form="faces",
            count=len(kept),
            signature=fingerprint_of([listed, self._seen_folder.name]),
            bytes=sum(one.face.crop_bytes for one in kept),
            items=items,
        )

    def _changes(self) -> dict[str, int]:
        """Kept faces whose pixels a rule changed, by rule."""
        found: dict[str, int] = {}
        for one in self.decided.kept[: self.count]:
            rules = [*one.photograph.changes]
            rules += ["turned"] if one.face.turn else []
            rules += ["moved"] if one.face.shift else []
            rules += ["padded"] if one.face.padded else []
            rules += ["enlarged"] if one.face.enlarged else []
            for name in rules:
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))

    def _inputs_fact(self) -> FileFact:
        """All inputs as one entry: the sha256 of their sorted digests, which knows no names and no order."""
        digests = sorted(one.seen.sha256 for one in self.decided.inputs if one.seen is not None)
        listed = hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode())
        size = sum(one.size for one in self._inputs)
        return FileFact(name="photographs", bytes=size, sha256=listed.hexdigest())

    def _facts(self, folder: Path) -> FaceFacts:
        decided, rules = self.decided, self.spec.face_rules
        reviewed = [one.review for one in decided.faces]
        names = (
            OUTCOMES_CSV,
            FACES_CSV,
            SUMMARY_CSV,
            *(f"{SHEETS}/{name}" for name in self._sheets),
        )
        return FaceFacts(
            rules=rules.rules(),
            detector=described(open_detector(rules.detector, rules.yunet)),
            version=EXAMINE_VERSION,
            inputs=counts(decided),
            outcomes=dict(OUTCOMES),
            faces_found=len(decided.faces),
            faces_kept=len(decided.kept),
            review_sha256=self._review.sha256,
            review_keeps=reviewed.count("keep"),
            review_drops=reviewed.count("drop"),
            files=tuple(_fact(folder, name) for name in names),
        )


def _fact(folder: Path, name: str) -> FileFact:
    path = folder / name
    return FileFact(name=name, bytes=path.stat().st_size, sha256=sha256_file(path))
