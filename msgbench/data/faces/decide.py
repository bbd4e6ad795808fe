"""What becomes of every photograph and every face: one function of all that was seen, the thresholds and the review.

Nothing here depends on the order of the inputs or on their names: photographs are told by their content, and of
near-duplicates the largest face is kept, then the sharpest, then the first by content.
"""

from __future__ import annotations

from typing import NamedTuple

from msgbench.config import FacesSpec
from msgbench.data.faces.duplicates import Fingerprints, copies_of
from msgbench.data.faces.examine import FaceSeen, Looked, Seen
from msgbench.data.faces.review import Decision, Review

KEPT, DROPPED, DUPLICATE, NOT_CHOSEN = "kept", "dropped", "duplicate", "not_chosen"
UNLIKELY, TOO_SMALL, OUTSIDE = "unlikely_face", "too_small", "outside"
DARK, OVEREXPOSED, BLURRED = "dark", "overexposed", "blurred"
NO_FACE, UNREADABLE = "no_face", "unreadable"
# In words, for people; in the order in which summaries have them.
OUTCOMES: dict[str, str] = {
    KEPT: "in the set",
    DROPPED: "dropped by the review",
    DUPLICATE: "a copy of a face or photograph that is kept",
    BLURRED: "less sharp than min_sharpness",
    OVEREXPOSED: "more clipped than max_clipped",
    DARK: "darker than min_brightness",
    OUTSIDE: "the crop would leave the photograph",
    TOO_SMALL: "smaller than min_face_px",
    UNLIKELY: "an erroneous detection: less certain than min_score",
    NOT_CHOSEN: "the photograph has a larger face",
    NO_FACE: "no face found",
    UNREADABLE: "no photograph that can be read",
}


class FaceOutcome(NamedTuple):
    """What became of a face."""

    photograph: Seen
    number: int
    outcome: str
    reason: str
    duplicate_of: str
    """id of the face that is kept instead; empty: none"""
    bits: int | None
    """in which their hashes differ"""
    review: str
    """keep, drop, or empty"""

    @property
    def face(self) -> FaceSeen:
        return self.photograph.faces[self.number]

    @property
    def id(self) -> str:
        return self.photograph.face_id(self.number)


class InputOutcome(NamedTuple):
    """What became of an input."""

    id: str
    """of the photograph; `unread-<number>` where its file cannot be read"""
    copy: int
    """0, or the number of this copy of the same file"""
    seen: Seen | None
    outcome: str
    reason: str
    faces: list[FaceOutcome]
    deciding: FaceOutcome | None
    """the face whose outcome is that of the photograph"""
    name: str
    """of its file, which is never published"""


class Decided(NamedTuple):
    """Everything that was decided."""

    inputs: list[InputOutcome]
    faces: list[FaceOutcome]
    """of all photographs, each once, in the order of the set"""

    @property
    def kept(self) -> list[FaceOutcome]:
        """The set."""
        return [face for face in self.faces if face.outcome == KEPT]


class _Candidate(NamedTuple):
    """A face before near-duplicates are looked for."""

    seen: Seen
    number: int
    failed: list[tuple[str, str]]
    """outcome and reason of each filter that it does not pass"""
    decision: Decision | None


def decide(looked: list[Looked], rules: FacesSpec, review: Review) -> Decided:
    """The outcome of every input and every face, sorted by content."""
    photographs = {one.seen.sha256: one.seen for one in looked if one.seen is not None}
    candidates = [
        candidate
        for digest in sorted(photographs)
        for candidate in _candidates(photographs[digest], rules, review)
    ]
    faces = _without_copies(candidates, rules)
    by_photograph: dict[str, list[FaceOutcome]] = {}
    for face in faces:
        by_photograph.setdefault(face.photograph.sha256, []).append(face)
    return Decided(_inputs(looked, by_photograph, review), faces)


def _candidates(seen: Seen, rules: FacesSpec, review: Review) -> list[_Candidate]:
    """The faces of a photograph with what speaks against each."""
    likely = [face.score >= rules.score_from for face in seen.faces]
    first = likely.index(True) if any(likely) else None
    found = []
    for number, face in enumerate(seen.faces):
        if not likely[number]:
            failed = [(UNLIKELY, f"score {face.score:g} is below {rules.score_from:g}")]
        elif rules.choose == "largest" and number != first:
            failed = [(NOT_CHOSEN, f"{seen.face_id(first or 0)} is larger")]
        else:
            failed = _failed(face, rules)
        found.append(_Candidate(seen, number, failed, review.of_face(seen.id, face.box)))
    return found


def _failed(face: FaceSeen, rules: FacesSpec) -> list[tuple[str, str]]:
    """The filters that a face does not pass, with values."""
    failed = []
    if face.size < rules.min_face_px:
        failed.append((TOO_SMALL, f"{face.size:g} px is below {rules.min_face_px} px"))
    if face.shift is None:
        failed.append((OUTSIDE, f"{face.padded:.0%} of the crop lies outside"))
    elif face.shift > rules.max_shift:
        failed.append((OUTSIDE, f"a shift of {face.shift:g} is above {rules.max_shift:g}"))
    if face.brightness < rules.min_brightness:
        failed.append((DARK, f"brightness {face.brightness:g} is below {rules.min_brightness}"))
    if face.clipped > rules.max_clipped:
        failed.append((OVEREXPOSED, f"{face.clipped:g} clipped is above {rules.max_clipped:g}"))
    if face.sharpness < rules.min_sharpness:
        failed.append((BLURRED, f"sharpness {face.sharpness:g} is below {rules.min_sharpness:g}"))
    return failed


def _without_copies(candidates: list[_Candidate], rules: FacesSpec) -> list[FaceOutcome]:
    """Outcomes of all faces, in their order; what passed the filters or is kept by the review is compared."""
    compared = [place for place, one in enumerate(candidates) if _is_compared(one)]
    compared.sort(key=lambda place: _rank(candidates[place]))
    matches: dict[int, tuple[int, int, bool]] = {}
    if rules.duplicate_bits is not None:
        prints = [_fingerprints(candidates[place]) for place in compared]
        for place, match in zip(compared, copies_of(prints, rules.duplicate_bits), strict=True):
            if match is not None:
                matches[place] = compared[match.first], match.bits, match.mirrored
    return [_outcome(one, matches.get(place), candidates) for place, one in enumerate(candidates)]


def _is_compared(one: _Candidate) -> bool:
    return bool(one.seen.faces[one.number].crop_bytes) and (not one.failed or _keeps(one))


def _keeps(one: _Candidate) -> bool:
    return one.decision is not None and one.decision.keep


def _rank(one: _Candidate) -> tuple[bool, float, float, str, int]:
    """Of copies the first by this is kept; one that the review drops does not make room for its copies."""
    face = one.seen.faces[one.number]
    return (not _keeps(one), -face.size, -face.sharpness, one.seen.sha256, one.number)


def _fingerprints(one: _Candidate) -> Fingerprints:
    seen, face = one.seen, one.seen.faces[one.number]
    left, top, width, height = face.box
    return Fingerprints(
        photograph=seen.hash,
        photograph_mirrored=seen.mirrored,
        crop=face.hash,
        crop_mirrored=face.mirrored,
        x=(left + width / 2) / seen.width,
        y=(top + height / 2) / seen.height,
    )


def _outcome(
    one: _Candidate, match: tuple[int, int, bool] | None, candidates: list[_Candidate]
) -> FaceOutcome:
    decision = one.decision
    reviewed = "" if decision is None else ("keep" if decision.keep else "drop")
    why = "" if decision is None or not decision.why else f" ({decision.why})"
    other, bits = "", None
    reasons = [text for _, text in one.failed]
    if match is not None:
        first, bits, mirrored = match
        other = candidates[first].seen.face_id(candidates[first].number)
        if not one.failed:
            kind = "mirrored copy" if mirrored else "copy"
            reasons = [f"{kind} of {other}, {bits} of 256 bits differ"]
    outcome = one.failed[0][0] if one.failed else DUPLICATE if match is not None else KEPT
    if decision is not None and not decision.keep:
        outcome, reasons = DROPPED, [f"review: drop{why}", *reasons]
    elif decision is not None and one.seen.faces[one.number].crop_bytes:
        outcome, reasons = KEPT, [f"review: keep{why}", *reasons]
        other, bits = "", None
    elif decision is not None:
        reasons = [*reasons, f"review: keep{why}, but there is no crop without pad"]
    return FaceOutcome(one.seen, one.number, outcome, "; ".join(reasons), other, bits, reviewed)


def _inputs(
    looked: list[Looked], faces: dict[str, list[FaceOutcome]], review: Review
) -> list[InputOutcome]:
    """One outcome for each input; copies of a file come after it."""
    found = []
    unread = [one for one in looked if one.seen is None]
    unread.sort(key=lambda one: (one.input.size, one.error, one.input.item.name))
    for number, one in enumerate(unread, 1):
        found.append(
            InputOutcome(
                f"unread-{number}", 0, None, UNREADABLE, one.error, [], None, one.input.item.name
            )
        )
    by_content: dict[str, list[Looked]] = {}
    for one in looked:
        if one.seen is not None:
            by_content.setdefault(one.seen.sha256, []).append(one)
    for digest in sorted(by_content):
        same = sorted(by_content[digest], key=lambda one: one.input.item.name)
        found += _of_photograph(same, faces.get(digest, []), review)
    return found


def _of_photograph(
    same: list[Looked], faces: list[FaceOutcome], review: Review
) -> list[InputOutcome]:
    seen = same[0].seen
    assert seen is not None
    deciding = None
    if seen.error is not None:
        outcome, reason = UNREADABLE, seen.error
    elif not faces:
        outcome, reason = NO_FACE, "the detector finds none"
        decision = review.of_photograph(seen.id)
        if decision is not None:
            outcome, reason = (
                DROPPED,
                f"review: drop ({decision.why})" if decision.why else "review: drop",
            )
    else:
        deciding = min(faces, key=_weight)
        outcome, reason = deciding.outcome, deciding.reason
    found = [
        InputOutcome(seen.id, 0, seen, outcome, reason, faces, deciding, same[0].input.item.name)
    ]
    for number, one in enumerate(same[1:], 1):
        word, why = DUPLICATE, f"the same file as {seen.id}"
        if outcome in (UNREADABLE, NO_FACE):
            word, why = outcome, reason
        found.append(InputOutcome(seen.id, number, seen, word, why, [], None, one.input.item.name))
    return found


def _weight(face: FaceOutcome) -> tuple[int, int]:
    """The face that stands for its photograph: a kept one, else the largest that is no mistake."""
    order = {KEPT: 0, UNLIKELY: 3, NOT_CHOSEN: 2}
    return order.get(face.outcome, 1), face.number
