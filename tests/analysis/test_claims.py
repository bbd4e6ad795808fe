"""Claims: the sentences are the papers', each kind of test on cases made by hand, and what a tier may say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from msgbench.analysis.claims import Claim, assess, load_claims, make_claims
from msgbench.analysis.claims.assess import claim_verdict
from msgbench.analysis.claims.kinds import Assessor
from msgbench.analysis.claims.measured import Measured, observations
from msgbench.analysis.claims.outcome import (
    Evidence,
    Outcome,
    Sample,
    State,
    all_hold,
    constant,
    less,
)
from msgbench.analysis.claims.spec import Pair, Test, experiments_in
from msgbench.analysis.collect import collect
from msgbench.config import load_benchmark
from msgbench.errors import ResultsError
from msgbench.layout import EVALUATE_JSON, OBSERVATIONS_JSONL, TRAIN_JSON, Layout, record_file
from msgbench.protocols import get_protocol
from msgbench.synthetic import ResultsTree, learning

from ..made_up_tree import ROOT

PAPERS = ROOT.parent / "shared" / "papers"
FID = "fid50k"
TESTS: TypeAdapter[Any] = TypeAdapter(Test)

A, B = "flowers-msg-progan", "flowers-progan"


def sample(values: Iterable[float | None], label: str = "ours") -> Sample:
    return Sample(label, "", tuple(Evidence(label, value, "", None) for value in values))


# The sentences.


def squeezed(text: str) -> str:
    text = re.sub(r"-\n", "", text.replace("*", ""))
    return re.sub(r"\s+", "", text)


@pytest.mark.skipif(
    not PAPERS.is_dir(), reason="quotes are not compared: ../shared/papers is not there"
)
def test_every_quote_stands_in_its_paper() -> None:
    texts = {
        paper: squeezed(next(PAPERS.glob(pattern)).read_text())
        for paper, pattern in (("cvpr2020", "000_*.txt"), ("arxiv-v1", "001_*.txt"))
    }
    for claim in load_claims():
        text, quote = texts[claim.paper], squeezed(claim.quote)
        # Figure 4 and Table 2 stand in the middle of one sentence.
        head, _, tail = quote.partition("betterFID")
        assert quote in text or (tail and head in text and tail in text), claim.id


def test_claims_name_what_config_has() -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    unknown = set(experiments_in(load_claims())) - set(benchmark.experiments)
    assert not unknown
    tables = {
        t
        for c in load_claims()
        for t in (getattr(c.test, "table", None), getattr(c.test, "also", None))
        if t
    }
    assert tables <= set(benchmark.tables)
    assert len(load_claims()) >= 25


def test_a_pair_has_one_other_side() -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        Pair.model_validate({"ours": "a"})
    with pytest.raises(ValidationError, match="exactly one of"):
        Pair.model_validate({"ours": "a", "than": "b", "than_printed": {"table": "t", "row": "r"}})


# One comparison.


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], "holds"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], "fails"),
        ([1.0, 2.0, 3.0], [1.1, 2.1, 3.1], "undecided"),
        ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], "undecided"),  # in 92 % of resamples
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], "undecided"),
        ([1.0, 1.1], [2.0, 2.1, 2.2], "undecided"),  # two seeds decide nothing, however far apart
        ([1.0, 1.1, 1.2], [2.0], "undecided"),
        ([1.0, 1.1, 1.2], [None, None, None], "holds"),  # never reached is later than anything
        ([None, 1.0, 1.0], [2.0, 2.0, 2.0], "undecided"),  # a third of the seeds never gets there
    ],
)
def test_an_ordering_needs_95_percent_and_three_seeds(
    low: list[float | None], high: list[float | None], state: State
) -> None:
    outcome = less("claim", sample(low), sample(high, "theirs"))
    assert outcome.state == state, outcome.reason
    assert len(outcome.evidence) == len(low) + len(high)


def test_a_constant_is_not_counted_as_a_seed() -> None:
    assert less("claim", sample([1.0, 1.1, 1.2]), constant("bound", 2.0, "")).state == "holds"
    assert less("claim", sample([1.0, 1.1]), constant("bound", 2.0, "")).state == "undecided"


def test_several_orderings_hold_together_and_fail_alone() -> None:
    holds, fails, open_ = (Outcome(state, state) for state in ("holds", "fails", "undecided"))
    assert all_hold([holds, holds]).state == "holds"
    assert all_hold([holds, open_]).state == "undecided"
    assert all_hold([holds, open_, fails]).state == "fails"
    assert all_hold([holds, open_, fails]).reason == "fails"  # what decided, not the rest


# What a tier may say.


@pytest.mark.parametrize(
    ("tier", "outcome", "departures", "verdict"),
    [
        ("paper", Outcome("holds", "r"), (), "reproduced"),
        ("paper", Outcome("fails", "r"), (), "contradicted"),
        ("paper", Outcome("undecided", "r"), (), "inconclusive"),
        ("paper", Outcome("holds", "r"), ("half the channels",), "inconclusive"),
        ("paper", Outcome("fails", "r"), ("half the channels",), "inconclusive"),
        ("paper", Outcome("holds", "r", unfit=("own extractor",)), (), "inconclusive"),
        ("mini", Outcome("holds", "r"), ("half the channels",), "holds at mini scale"),
        ("mini", Outcome("fails", "r"), ("half the channels",), "fails at mini scale"),
        ("mini", Outcome("holds", "r", compares_with_printed=True), (), "inconclusive"),
        ("mini", Outcome("holds", "r", unfit=("own extractor",)), (), "inconclusive"),
        ("smoke", Outcome("holds", "r"), (), "not assessed"),
        ("smoke", Outcome("not measurable", "r"), (), "not measurable here"),
        ("paper", Outcome("not measurable", "r"), (), "not measurable here"),
    ],
)
def test_verdicts_of_a_tier(
    tier: Any, outcome: Outcome, departures: tuple[str, ...], verdict: str
) -> None:
    assert claim_verdict(tier, outcome, departures)[0] == verdict


# Each kind, on a small benchmark in the paper tier.


@pytest.fixture
def tree(tmp_path: Path) -> ResultsTree:
    """Three seeds of a few experiments, in the paper tier, with sparse statistics; nothing written yet."""
    datasets = {name: {"path": "made-up", "accept_terms": True} for name in ("cifar10", "flowers")}
    sparse = {"defaults": {"training": {"stats_kimg": 50}}}
    benchmark = load_benchmark(
        ROOT / "config.yaml", {"tier": "paper", "datasets": datasets, **sparse}
    )
    shown = {name: benchmark.tables[name] for name in ("table1", "table3")}
    return ResultsTree(replace(benchmark, tables=shown), Layout(tmp_path / "results", "paper"))


def run(
    tree: ResultsTree, experiment: str, of: Callable[[int], float], hours: float = 10.0
) -> None:
    """Three seeds of `experiment` that score `of(seed)` better than nothing, more so at the end."""
    for seed in (0, 1, 2):
        tree.train(experiment, seed, device="NVIDIA H200", seconds=3600 * hours)

        def scores(protocol: str, nimg: int, seed: int = seed) -> float:
            last = tree.lengths(experiment)[-1]
            away = 100 * (1 - nimg / last)
            return (
                of(seed) + away
                if get_protocol(protocol).direction == "lower"
                else of(seed) - away / 50
            )

        tree.evaluate(experiment, seed, scores)


def without(tree: ResultsTree, experiment: str, seed: int) -> None:
    shutil.rmtree(tree.folder(experiment, seed))


def outcome_of(tree: ResultsTree, **test: Any) -> Outcome:
    collection = collect(tree.benchmark, tree.layout)
    return Assessor("claim", "cvpr2020", Measured(collection)).outcome(TESTS.validate_python(test))


def of_pair(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "pairs": [{"ours": A, "than": B}], **more}


def test_better_and_its_evidence(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0 + seed)
    run(tree, B, lambda seed: 60.0 + seed)
    outcome = outcome_of(tree, **of_pair("better", table="table1"))
    assert outcome.state == "holds"
    assert sorted(e.value or 0 for e in outcome.evidence) == [28, 29, 30, 60, 61, 62]
    assert all(e.source is not None and e.source.is_file() for e in outcome.evidence)
    swapped = {"kind": "better", "table": "table1", "pairs": [{"ours": B, "than": A}]}
    assert outcome_of(tree, **swapped).state == "fails"


def test_a_printed_score_on_the_other_side(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0 + seed)
    cell = {"table": "table1", "row": "oxford-flowers-progan"}  # 60.40
    test = {"kind": "better", "table": "table1", "pairs": [{"ours": A, "than_printed": cell}]}
    outcome = outcome_of(tree, **test)
    assert (outcome.state, outcome.compares_with_printed) == ("holds", True)
    test["pairs"] = [{"ours": A, "worse_than_printed": cell}]
    assert outcome_of(tree, **test).state == "fails"


def test_missing_runs_and_names_are_reasons(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0 + seed)
    outcome = outcome_of(tree, **of_pair("better", table="table1"))
    assert outcome.state == "undecided"
    assert outcome.reason == f"{B}, seeds 0, 1, 2: not run: not planned"
    assert (
        outcome_of(tree, **of_pair("better", table="table9")).reason
        == "config.yaml has no table table9"
    )
    unknown = {"kind": "better", "table": "table1", "pairs": [{"ours": A, "than": "nobody"}]}
    assert "config.yaml has no experiment nobody" in outcome_of(tree, **unknown).reason


def test_near(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 60.0 + seed)
    run(tree, B, lambda seed: 62.0 + seed)
    assert outcome_of(tree, **of_pair("near", table="table1", percent=10)).state == "holds"
    assert outcome_of(tree, **of_pair("near", table="table1", percent=1)).state == "fails"
    without(tree, B, 2)
    assert outcome_of(tree, **of_pair("near", table="table1", percent=10)).state == "undecided"


def test_similar_is_a_range_of_means(tree: ResultsTree) -> None:
    rates = ["cifar10-msg-progan-lr0.003", "cifar10-msg-progan-lr0.001"]
    run(tree, rates[0], lambda seed: 8.6 + 0.01 * seed)
    run(tree, rates[1], lambda seed: 8.0 + 0.01 * seed)
    test = {"kind": "similar", "table": "table3", "experiments": rates}
    assert outcome_of(tree, **test, at_most=0.71).state == "holds"
    assert outcome_of(tree, **test, at_most=0.5).state == "fails"
    planned = load_benchmark(ROOT / "config.yaml", {"tier": "paper", "defaults": {"seeds": [0, 1]}})
    two = ResultsTree(replace(planned, tables=tree.benchmark.tables), tree.layout)
    for experiment, score in zip(rates, (8.6, 8.0), strict=True):
        run(two, experiment, lambda seed, score=score: score)
    fewer = outcome_of(two, **test, at_most=0.71)
    assert (fewer.state, "three are needed" in fewer.reason) == ("undecided", True)


def test_sooner_in_images_and_in_hours(tree: ResultsTree) -> None:
    """B is at its best, 60, after all of its 12 million images; A passes 60 on its way to 28 long before."""
    run(tree, A, lambda seed: 28.0, hours=44)
    run(tree, B, lambda seed: 60.0, hours=104)
    images = outcome_of(tree, **of_pair("sooner", table="table1", by="images"))
    assert images.state == "holds"
    reached = {e.value for e in images.evidence if e.what.startswith(A)}
    lengths = tree.lengths(A)
    first = next(n for n in lengths if n and 28 + 100 * (1 - n / lengths[-1]) <= 60)
    assert reached == {first}
    hours = outcome_of(tree, **of_pair("sooner", table="table1", by="hours"))
    assert hours.state == "holds"
    back = {"kind": "sooner", "table": "table1", "pairs": [{"ours": B, "than": A}], "by": "images"}
    never = outcome_of(tree, **back)
    assert (never.state, {e.value for e in never.evidence if e.what.startswith(B)}) == (
        "fails",
        {None},
    )


def test_hours_on_different_hardware_are_not_compared(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0, hours=44)
    run(tree, B, lambda seed: 60.0, hours=104)
    test = of_pair("hours_to_best", table="table1", at_most=1.5)
    assert outcome_of(tree, **test).state == "holds"
    sooner = of_pair("sooner", table="table1", by="hours")
    assert outcome_of(tree, **sooner).state == "holds"
    tree.train(B, 1, device="Tesla V100-SXM2-32GB", seconds=3600 * 104)
    for kind in (test, sooner):
        other = outcome_of(tree, **kind)
        assert (other.state, "different hardware" in other.reason) == ("undecided", True)


def test_hours_are_those_of_all_gpus_and_bounded_by_a_factor(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0, hours=44)
    run(tree, B, lambda seed: 60.0, hours=104)
    bound = {at: of_pair("hours_to_best", table="table1", at_most=at) for at in (0.3, 0.5, 1.5)}
    assert [outcome_of(tree, **test).state for test in bound.values()] == [
        "fails",
        "holds",
        "holds",
    ]
    for seed in (0, 1, 2):
        path = tree.folder(A, seed) / TRAIN_JSON
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "gpu_seconds": 4 * content["seconds"]}))
    outcome = outcome_of(tree, **bound[1.5])
    assert outcome.state == "fails"
    assert [e.value for e in outcome.evidence] == pytest.approx([4 * 44.0] * 3 + [104.0] * 3)


def test_as_good_is_reached_and_untrained_is_not(tree: ResultsTree) -> None:
    """B is at its best, 60, at the end; A scores exactly that in the end, and better before it was trained."""
    run(tree, B, lambda seed: 60.0)
    lengths = tree.lengths(A)
    for seed in (0, 1, 2):
        tree.train(A, seed)
        tree.evaluate(A, seed, lambda protocol, nimg: {0: 10.0, lengths[-1]: 60.0}.get(nimg, 61.0))
    outcome = outcome_of(tree, **of_pair("sooner", table="table1", by="images"))
    assert {e.value for e in outcome.evidence if e.what.startswith(A)} == {lengths[-1]}


def test_learns(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0 + seed)
    test = {"kind": "learns", "table": "table1", "experiments": [A]}
    assert outcome_of(tree, **test).state == "holds"
    for seed in (0, 1, 2):
        tree.evaluate(A, seed, lambda protocol, nimg: 300.0 + nimg / 1e4)
    assert outcome_of(tree, **test).state == "fails"


def speeds(tree: ResultsTree, experiment: str, of: Callable[[float], float]) -> None:
    """Rewrites images_per_second as `of` the part of the training."""
    for seed in (0, 1, 2):
        path = tree.stats(experiment, seed) / "stats.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        total = lines[-1]["cur_nimg"]
        for line in lines:
            line["images_per_second"] = of(line["cur_nimg"] / total)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_times_of_an_image(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0)
    run(tree, B, lambda seed: 60.0)
    speeds(tree, A, lambda part: 100.0)
    speeds(tree, B, lambda part: 1000.0 if part < 0.5 else 90.0)
    assert outcome_of(tree, **of_pair("slower_than_first")).state == "holds"
    assert outcome_of(tree, **of_pair("constant_time", percent=10)).state == "holds"
    speeds(tree, A, lambda part: 100.0 if part < 0.5 else 80.0)
    assert outcome_of(tree, **of_pair("constant_time", percent=10)).state == "fails"
    speeds(tree, B, lambda part: 50.0)
    speeds(tree, A, lambda part: 100.0 if part < 0.5 else 25.0)
    slower = outcome_of(tree, **of_pair("slower_than_first"))
    assert slower.state == "holds"
    times = [e.value for e in slower.evidence if e.what.startswith(A)]
    assert times == pytest.approx(
        [(1 / 100 + 1 / 25) / 2] * 3, rel=0.02
    )  # of seconds, not of speeds
    speeds(tree, A, lambda part: 100.0)
    assert outcome_of(tree, **of_pair("slower_than_first")).state == "fails"


def test_fixed_latents(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0)
    run(tree, B, lambda seed: 60.0)
    for seed in (0, 1, 2):
        tree.observe(A, seed)
        tree.observe(B, seed)
    assert outcome_of(tree, kind="settles", experiments=[A]).state == "holds"
    assert outcome_of(tree, **of_pair("steadier")).state == "undecided"  # both die away alike
    assert outcome_of(tree, kind="synchronises", experiments=[A], within=0.9).state == "holds"
    assert outcome_of(tree, kind="synchronises", experiments=[A], within=0.25).state == "fails"

    def edit(experiment: str, change: Callable[[int, dict[str, Any]], None]) -> None:
        for seed in (0, 1, 2):
            path = tree.folder(experiment, seed) / OBSERVATIONS_JSONL
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for epoch, line in enumerate(lines):
                change(epoch, line)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    edit(B, lambda epoch, line: line["change"].update(dict.fromkeys(line["change"], 1.0)))
    assert outcome_of(tree, **of_pair("steadier")).state == "holds"
    edit(A, lambda epoch, line: line.update(
        synchronisation_colour={"4": 1.0 if epoch < 4 else 0.1},
        synchronisation_brightness={"4": 1.0 if epoch < 12 else 0.1}))  # fmt: skip
    assert outcome_of(tree, kind="colour_first", experiments=[A]).state == "holds"
    edit(A, lambda epoch, line: line["change"].update({"4": float(epoch)} if epoch else {}))
    assert outcome_of(tree, kind="settles", experiments=[A]).state == "fails"


def test_a_torn_last_line_is_left_out_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / OBSERVATIONS_JSONL
    assert observations(path) == ()
    path.write_text('{"cur_nimg": 8}\n{"cur_nimg": 16}\n{"cur_n')
    assert [line["cur_nimg"] for line in observations(path)] == [8, 16]
    path.write_text('{"cur_nimg": 8}\n{"epoch": 1}\n{"cur_nimg": 24}\n')
    with pytest.raises(ResultsError, match="line 2 is no observation"):
        observations(path)


def drawn(tree: ResultsTree, experiment: str, name: str, **arrays: np.ndarray) -> None:
    for seed in (0, 1, 2):
        folder = tree.folder(experiment, seed) / "samples"
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"{name}.npz", **arrays)


def test_scales_of_pictures(tree: ResultsTree) -> None:
    """Scales that are each other's means agree; a grown generator's depths, of other colours, do not."""
    run(tree, A, lambda seed: 28.0)
    run(tree, B, lambda seed: 60.0)
    assert "not drawn (target samples)" in outcome_of(tree, **of_pair("scales_agree_more")).reason
    large = np.full((2, 8, 8, 3), 100, np.uint8)
    small = np.full((2, 4, 4, 3), 100, np.uint8)
    drawn(tree, A, "scales", scale_0004=small, scale_0008=large)
    drawn(tree, B, "depths", scale_0004=small + 50, scale_0008=large)
    outcome = outcome_of(tree, **of_pair("scales_agree_more"))
    assert outcome.state == "holds"
    apart = pytest.approx([0.0] * 3 + [(50 / 127.5) ** 2] * 3)
    assert [e.value for e in outcome.evidence] == apart


def test_noise_of_pictures(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0)
    run(tree, B, lambda seed: 60.0)
    drawn(tree, A, "noise", deviation=np.full((2, 4, 4, 3), 0.1, np.float32))
    drawn(tree, B, "noise", deviation=np.full((2, 4, 4, 3), 0.2, np.float32))
    assert outcome_of(tree, **of_pair("noise_moves_less")).state == "holds"


def test_parameters_are_counted_from_the_specs(tree: ResultsTree) -> None:
    """Table 7's D has 27 weights a channel of each scale more than one without connections (23,095,425 at 1024 px)."""
    linear = outcome_of(tree, kind="parameters", what="linear", experiments=["ffhq-msg-progan"])
    assert linear.state == "holds"
    added = [e.value for e in linear.evidence]
    assert added[0] == 27 * 512  # one more scale, 4 px, in a D of 8 px
    assert added[-1] == 27 * (512 * 4 + 256 + 128 + 64 + 32)
    # One D a resolution: the sum of their parameters grows by less and less of itself, not by a constant factor.
    several = outcome_of(
        tree, kind="parameters", what="exponential", experiments=["ffhq-msg-progan"]
    )
    assert several.state == "fails"
    same = {"kind": "parameters", "what": "equal"}
    bmsg = outcome_of(tree, **same, experiments=["celeba-hq-msg-gan-v1", "ffhq-progan"])
    assert bmsg.state == "fails"
    assert "G has the same number of parameters" in bmsg.reason
    assert (
        outcome_of(tree, **same, experiments=["ffhq-msg-progan", "celeba-hq-msg-progan"]).state
        == "holds"
    )


def test_same_settings(tree: ResultsTree) -> None:
    groups = [["flowers-msg-progan", "ffhq-msg-progan"]]
    assert outcome_of(tree, kind="same_settings", groups=groups).state == "holds"
    groups = [["flowers-msg-progan", "cifar10-msg-progan-lr0.01"]]
    outcome = outcome_of(tree, kind="same_settings", groups=groups)
    assert (outcome.state, "optimizer.lr is 0.01" in outcome.reason) == ("fails", True)


def recall_of(tree: ResultsTree, experiment: str, seed: int, recalls: tuple[float, float]) -> None:
    """Adds records of the last two snapshots by prc50k."""
    folder, of_run = tree.folder(experiment, seed), tree.run(experiment, seed)
    listed = json.loads((folder / EVALUATE_JSON).read_text())
    for nimg, recall in zip(tree.lengths(experiment)[-2:], recalls, strict=True):
        file = record_file("prc50k", nimg)
        record = tree.record(
            "prc50k", 0.5, parts={"precision": 0.5, "recall": recall}, run=of_run.run_id, tier="paper",
            experiment=experiment, seed=seed, cur_nimg=nimg, kimg=nimg / 1000, fingerprint=of_run.fingerprint,
        )  # fmt: skip
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(record))
        listed["records"].append(
            {"file": file, "protocol": "prc50k", "cur_nimg": nimg, "value": 0.5}
        )
    (folder / EVALUATE_JSON).write_text(json.dumps(listed))


def test_a_part_of_a_score(tree: ResultsTree) -> None:
    run(tree, A, lambda seed: 28.0)
    run(tree, B, lambda seed: 60.0)
    outcome = outcome_of(tree, **of_pair("part_higher", protocol="prc50k", part="recall"))
    assert "not measured by prc50k (its evaluation.protocols)" in outcome.reason
    # Of the last snapshot, whatever those before it had.
    for experiment, recalls in ((A, (0.1, 0.4)), (B, (0.9, 0.2))):
        for seed in (0, 1, 2):
            recall_of(tree, experiment, seed, recalls)
    outcome = outcome_of(tree, **of_pair("part_higher", protocol="prc50k", part="recall"))
    assert outcome.state == "holds", outcome.reason
    assert sorted(e.value or 0 for e in outcome.evidence) == [0.2] * 3 + [0.4] * 3


# The whole.


def test_smoke_assesses_nothing_and_writes_three_forms(
    make_tree: Callable[..., ResultsTree],
) -> None:
    tree = make_tree("smoke").complete()
    path = make_claims(tree.benchmark, tree.layout)
    content = json.loads(path.read_text())
    verdicts = {claim["verdict"] for claim in content["claims"]}
    assert verdicts == {"not assessed", "not measurable here"}
    rates = next(c for c in content["claims"] if c["id"] == "all-rates-converge")
    sources = [path.parent / e["source"] for e in rates["evidence"]]
    assert len(sources) == 8
    assert all(source.is_file() for source in sources)
    assert path.with_suffix(".csv").read_text().count("\n") >= len(content["claims"])
    assert f"\n{len(content['claims'])} claims: " in path.with_suffix(".md").read_text()


def test_a_shortened_run_of_the_paper_tier_reproduces_nothing(tmp_path: Path) -> None:
    datasets = {"cifar10": {"path": "made-up"}}
    short = {"training": {"total_kimg": 2000, "stats_kimg": 100}}
    rates = ("0.003", "0.001", "0.005", "0.01")
    names = [f"cifar10-msg-progan-lr{rate}" for rate in rates]

    def verdict(layers: dict[str, Any], folder: Path) -> tuple[str, str]:
        benchmark = load_benchmark(
            ROOT / "config.yaml", {"tier": "paper", "datasets": datasets, **layers}
        )
        shown = replace(benchmark, tables={"table3": benchmark.tables["table3"]})
        tree = ResultsTree(shown, Layout(folder, "paper"))
        tree.dataset()
        for name in names:
            for seed in (0, 1, 2):
                tree.train(name, seed)
                tree.evaluate(name, seed, lambda protocol, nimg: learning(protocol, nimg))
        claims = [c for c in load_claims() if c.id == "all-rates-converge"]
        (assessed,) = assess(collect(shown, tree.layout), claims)
        return assessed.verdict, assessed.reason

    sparse = {"defaults": {"training": {"stats_kimg": 500}}}
    assert verdict(sparse, tmp_path / "whole")[0] == "reproduced"
    changed = {"experiments": dict.fromkeys(names, short)}
    found, reason = verdict(changed, tmp_path / "short")
    assert found == "inconclusive"
    assert "2M real images shown instead of 12M" in reason


def test_claims_by_hand() -> None:
    """A claim of one's own is data, too."""
    claim = Claim.model_validate({
        "id": "mine", "paper": "cvpr2020", "place": "here", "quote": "q", "title": "t",
        "test": {"kind": "similar", "table": "table3", "experiments": ["a"], "at_most": 1.0},
    })  # fmt: skip
    assert experiments_in([claim]) == ("a",)
