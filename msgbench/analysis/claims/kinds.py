"""Each kind of test as a function: from what was measured to an outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from msgbench.analysis.claims import facts, latents, spec
from msgbench.analysis.claims.measured import Measured
from msgbench.analysis.claims.outcome import (
    Outcome,
    Sample,
    all_hold,
    constant,
    less,
    number,
)
from msgbench.config import ExperimentSpec
from msgbench.protocols import SMALL, Protocol, get_protocol
from msgbench.reference import Paper, printed_value


@dataclass(frozen=True)
class Assessor:
    """Tests one claim."""

    claim: str
    paper: Paper
    measured: Measured

    def outcome(self, test: spec.Test) -> Outcome:
        """What testing gives."""
        match test:
            case spec.Better():
                return self._scored(
                    test.table, lambda p: [self._better(pair, p) for pair in test.pairs]
                )
            case spec.Near():
                near = test.percent / 100
                return self._scored(
                    test.table, lambda p: [self._near(pair, p, near) for pair in test.pairs]
                )
            case spec.Similar():
                return self._scored(test.table, lambda p: [self._similar(test, p)])
            case spec.Sooner():
                return self._scored(
                    test.table, lambda p: [self._sooner(pair, p, test.by) for pair in test.pairs]
                )
            case spec.HoursToBest():
                return self._scored(
                    test.table,
                    lambda p: [self._hours(pair, p, test.at_most) for pair in test.pairs],
                )
            case spec.Learns():
                return self._learns(test)
            case spec.SlowerThanFirst():
                return all_hold([self._slower(pair) for pair in test.pairs])
            case spec.ConstantTime():
                return all_hold(
                    [o for pair in test.pairs for o in self._constant(pair, test.percent / 100)]
                )
            case spec.PartHigher():
                return self._part(test)
            case spec.Settles():
                return all_hold([self._settles(name) for name in test.experiments])
            case spec.Steadier():
                return all_hold([self._steadier(pair) for pair in test.pairs])
            case spec.Synchronises():
                return all_hold(
                    [self._synchronises(name, test.within) for name in test.experiments]
                )
            case spec.ColourFirst():
                return all_hold([self._colour_first(name) for name in test.experiments])
            case spec.ScalesAgreeMore():
                return all_hold([self._scales_agree(pair) for pair in test.pairs])
            case spec.NoiseMovesLess():
                return all_hold([self._noise(pair) for pair in test.pairs])
            case spec.Parameters():
                return self._parameters(test)
            case spec.SameSettings():
                return self._same_settings(test)
            case spec.NotMeasurable():
                return Outcome("not measurable", test.why)

    # Scores.

    def _scored(self, table: str, outcomes: Callable[[Protocol], list[Outcome]]) -> Outcome:
        protocol = self.measured.protocol(table)
        if protocol is None:
            return Outcome("undecided", f"config.yaml has no table {table}")
        found = all_hold(outcomes(protocol))
        return replace(found, unfit=(*found.unfit, *_unfit(protocol)))

    def _better(self, pair: spec.Pair, protocol: Protocol) -> Outcome:
        ours, other = self.measured.best(pair.ours, protocol), self._other(pair, protocol)
        lower_first = (protocol.direction == "lower") != (pair.worse_than_printed is not None)
        found = less(self.claim, *((ours, other) if lower_first else (other, ours)))
        return replace(found, compares_with_printed=pair.printed is not None)

    def _near(self, pair: spec.Pair, protocol: Protocol, percent: float) -> Outcome:
        ours, other = self.measured.best(pair.ours, protocol), self._other(pair, protocol)
        if not other.values:
            return less(self.claim, ours, other)
        middle = sum(other.values) / len(other.values)
        apart = Sample(
            f"distance of {pair.ours} from {number(middle)}",
            ours.unit,
            tuple(replace(e, value=abs((e.value or 0.0) - middle)) for e in ours.evidence),
            ours.missing,
        )
        few = other if not other.constant and len(other.values) < 3 else None
        bound = constant(f"{percent:.0%} of {other.label}", percent * middle, "")
        found = less(self.claim, apart, few or bound)
        evidence = (*ours.evidence, *other.evidence)
        return replace(found, evidence=evidence, compares_with_printed=pair.printed is not None)

    def _other(self, pair: spec.Pair, protocol: Protocol) -> Sample:
        if pair.than is not None:
            return self.measured.best(pair.than, protocol)
        assert pair.printed is not None
        cell = printed_value(pair.printed.table, pair.printed.row, protocol.metric, self.paper)
        assert cell.value is not None, pair.printed
        label = f"printed {protocol.metric.upper()} of {pair.printed.row}"
        return constant(label, cell.value, "")

    def _similar(self, test: spec.Similar, protocol: Protocol) -> Outcome:
        sides = [self.measured.best(name, protocol) for name in test.experiments]
        evidence = tuple(e for side in sides for e in side.evidence)
        missing = [text for side in sides for text in side.missing]
        if missing or any(len(side.values) < 3 for side in sides):
            fewest = min(len(side.values) for side in sides)
            reason = "; ".join(missing) or f"{fewest} seeds of an experiment; three are needed"
            return Outcome("undecided", reason, evidence)
        means = [side.mean or 0.0 for side in sides]
        width = max(means) - min(means)
        state = "holds" if width <= test.at_most else "fails"
        return Outcome(
            "holds" if state == "holds" else "fails",
            f"means from {number(min(means))} to {number(max(means))}, {number(width)} apart; "
            f"at most {number(test.at_most)} is similar",
            evidence,
        )

    def _sooner(self, pair: spec.Pair, protocol: Protocol, by: str) -> Outcome:
        assert pair.than is not None
        target = self.measured.best(pair.than, protocol)
        if not target.values:
            return less(self.claim, self.measured.best(pair.ours, protocol), target)
        assert target.mean is not None
        ours = self.measured.reached(pair.ours, protocol, target.mean, by)
        at_best = self.measured.images_at_best if by == "images" else self.measured.hours_at_best
        found = less(self.claim, ours, at_best(pair.than, protocol))
        return self._same_hardware(found, pair) if by == "hours" else found

    def _hours(self, pair: spec.Pair, protocol: Protocol, at_most: float) -> Outcome:
        assert pair.than is not None
        ours = self.measured.hours_at_best(pair.ours, protocol)
        theirs = self.measured.hours_at_best(pair.than, protocol)
        allowed = replace(
            theirs,
            label=f"{at_most:g} times the {theirs.label}",
            evidence=tuple(replace(e, value=(e.value or 0.0) * at_most) for e in theirs.evidence),
        )
        found = less(self.claim, ours, allowed)
        found = replace(found, evidence=(*ours.evidence, *theirs.evidence))
        return self._same_hardware(found, pair)

    def _same_hardware(self, found: Outcome, pair: spec.Pair) -> Outcome:
        """Times are compared on the same hardware only (paper, section 3.1: "the same machines")."""
        assert pair.than is not None
        kinds = {
            device
            for name in (pair.ours, pair.than)
            for run in self.measured.runs(name)
            for device in run.devices
        }
        if len(kinds) <= 1 or found.state == "undecided":
            return found
        reason = (
            f"{pair.ours} and {pair.than} ran on different hardware ({', '.join(sorted(kinds))})"
        )
        return replace(found, state="undecided", reason=reason)

    def _learns(self, test: spec.Learns) -> Outcome:
        found = []
        for name in test.experiments:
            table = test.table
            shown = self.measured.collection.benchmark.tables.get(table)
            if test.also is not None and (shown is None or name not in shown.experiments):
                table = test.also
            found.append(self._scored(table, lambda p, name=name: [self._learned(name, p)]))  # type: ignore[misc]
        return all_hold(found)

    def _learned(self, experiment: str, protocol: Protocol) -> Outcome:
        best = self.measured.best(experiment, protocol)
        before = self.measured.untrained(experiment, protocol)
        return less(
            self.claim, *((best, before) if protocol.direction == "lower" else (before, best))
        )

    def _part(self, test: spec.PartHigher) -> Outcome:
        protocol = get_protocol(test.protocol)
        found = []
        for pair in test.pairs:
            assert pair.than is not None
            ours, other = (
                self.measured.part(n, protocol, test.part) for n in (pair.ours, pair.than)
            )
            found.append(less(self.claim, other, ours))
        return replace(all_hold(found), unfit=_unfit(protocol))

    # Times.

    def _slower(self, pair: spec.Pair) -> Outcome:
        assert pair.than is not None
        first = self.measured.seconds_an_image(pair.than, "first")
        found = less(self.claim, first, self.measured.seconds_an_image(pair.ours, "mean"))
        return self._same_hardware(found, pair)

    def _constant(self, pair: spec.Pair, percent: float) -> list[Outcome]:
        assert pair.than is not None
        first, last = (
            self.measured.seconds_an_image(pair.ours, part) for part in ("first", "last")
        )
        ratio = _ratio(f"last to first time of an image of {pair.ours}, off 1", first, last)
        change = replace(
            ratio,
            evidence=tuple(replace(e, value=abs(math.log(e.value or 1.0))) for e in ratio.evidence),
        )
        steady = less(self.claim, change, constant(f"{percent:.0%}", math.log1p(percent), ""))
        grown = less(
            self.claim,
            self.measured.seconds_an_image(pair.than, "first"),
            self.measured.seconds_an_image(pair.than, "last"),
        )
        return [replace(steady, evidence=(*first.evidence, *last.evidence)), grown]

    # What fixed latents showed.

    def _settles(self, experiment: str) -> Outcome:
        if experiment not in self.measured.collection.benchmark.experiments:
            return Outcome("undecided", f"config.yaml has no experiment {experiment}")
        scales = self.measured.collection.benchmark.experiment(experiment).model.scales
        found = []
        for side in scales:
            last, first = (
                self.measured.observed(
                    experiment,
                    f"change at {side} px, {name} quarter",
                    "",
                    latents.change(side, name),
                )
                for name in ("last", "first")
            )
            found.append(less(self.claim, last, first))
        return all_hold(found)

    def _steadier(self, pair: spec.Pair) -> Outcome:
        assert pair.than is not None
        sides = [
            self.measured.observed(
                name, "change at full resolution, last quarter", "", latents.change(None, "last")
            )
            for name in (pair.ours, pair.than)
        ]
        return less(self.claim, *sides)

    def _synchronises(self, experiment: str, within: float) -> Outcome:
        when = self.measured.observed(experiment, "part of the training until the scales agree", "",
                                      lambda lines: latents.agrees_from(lines, "synchronisation"))  # fmt: skip
        return less(self.claim, when, constant(f"{within:.0%} of the training", within, ""))

    def _colour_first(self, experiment: str) -> Outcome:
        colour, brightness = (
            self.measured.observed(experiment, f"part of the training until the scales agree in {name}", "",
                                   lambda lines, name=name: latents.agrees_from(lines, f"synchronisation_{name}"))  # type: ignore[misc]
            for name in ("colour", "brightness")
        )  # fmt: skip
        return less(self.claim, colour, brightness)

    def _scales_agree(self, pair: spec.Pair) -> Outcome:
        """A grown generator has one image; what its depths show is a set of its own."""
        assert pair.than is not None
        known = self.measured.collection.benchmark.experiments
        sides = []
        for name in (pair.ours, pair.than):
            grown = name in known and known[name].growing is not None
            picture_set = "depths" if grown else "scales"
            sides.append(
                self.measured.drawn(name, "difference of the scales", picture_set, latents.apart)
            )
        return less(self.claim, *sides)

    def _noise(self, pair: spec.Pair) -> Outcome:
        assert pair.than is not None
        label = "deviation under other noise"
        sides = [
            self.measured.drawn(name, label, "noise", latents.deviation)
            for name in (pair.ours, pair.than)
        ]
        return less(self.claim, *sides)

    # What the specs say.

    def _parameters(self, test: spec.Parameters) -> Outcome:
        specs = self._specs(test.experiments)
        if isinstance(specs, str):
            return Outcome("undecided", specs)
        if test.what == "equal":
            return facts.equal_parameters(specs)
        model = next(iter(specs.values())).model
        return facts.linear(model) if test.what == "linear" else facts.exponential(model)

    def _same_settings(self, test: spec.SameSettings) -> Outcome:
        groups: list[Mapping[str, ExperimentSpec]] = []
        for names in test.groups:
            specs = self._specs(names)
            if isinstance(specs, str):
                return Outcome("undecided", specs)
            groups.append(specs)
        return facts.same_settings(groups)

    def _specs(self, names: Sequence[str]) -> dict[str, ExperimentSpec] | str:
        known = self.measured.collection.benchmark.experiments
        absent = [name for name in names if name not in known]
        return (
            f"config.yaml has no experiment {', '.join(absent)}"
            if absent
            else {n: known[n] for n in names}
        )


def _unfit(protocol: Protocol) -> tuple[str, ...]:
    if protocol.extractor != SMALL:
        return ()
    return (f"scores of the project's own extractor ({protocol.name}) enter no verdict",)


def _ratio(label: str, below: Sample, above: Sample) -> Sample:
    """`above` by `below`, seed by seed, where both have all seeds."""
    if len(below.values) != len(above.values):
        return Sample(label, "", missing=(*below.missing, *above.missing))
    pairs = zip(above.evidence, below.evidence, strict=True)
    evidence = tuple(
        replace(a, what=label, value=(a.value or 0.0) / (b.value or 1.0), unit="") for a, b in pairs
    )
    return Sample(label, "", evidence, (*below.missing, *above.missing))
