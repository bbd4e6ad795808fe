"""The experiments of the papers' tables in config.yaml: recipes of the paper tier, levels of mini and smoke."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.config import Benchmark, ExperimentSpec, load_benchmark
from msgbench.config.dataset import PHOTOGRAPHS
from msgbench.reference import rows_of

ROOT = Path(__file__).resolve().parents[2]


def benchmark(tier: str) -> Benchmark:
    return load_benchmark(ROOT / "config.yaml", {"tier": tier})


PAPER = benchmark("paper")

FFHQ = ("ffhq-msg-progan", "ffhq-msg-stylegan")
VARIANTS = {
    "ffhq-msg-progan": ["none", "coarse", "middle", "fine", "phi_lin_cat", "phi_cat_lin"],
    "ffhq-msg-stylegan": ["phi_simple", "phi_lin_cat"],
}

# experiment -> resolution, batch, total kimg, kimg between measured snapshots, mirrored.
RECIPES = {
    "flowers-msg-progan": (256, 32, 2550, 100, True),
    "flowers-msg-stylegan": (256, 32, 3200, 1600, True),
    "indian-celebs-msg-progan": (256, 32, 3000, 100, True),
    "indian-celebs-msg-stylegan": (256, 16, 2000, 1000, True),
    "churches-msg-stylegan": (256, 32, 36000, 1000, False),
    "celeba-hq-msg-progan": (1024, 16, 4800, 200, True),
    "celeba-hq-msg-stylegan": (1024, 32, 16500, 1000, True),
    "ffhq-msg-progan": (1024, 16, 9000, 200, True),
    "ffhq-msg-stylegan": (1024, 16, 14400, 1600, True),
    "cifar10-msg-stylegan": (32, 64, 12000, 1000, False),
    "cifar10-msg-gan-v1": (32, 64, 12000, 500, False),
    "flowers-msg-gan-v1": (256, 32, 2550, 500, True),
    "celeba-hq-msg-gan-v1": (1024, 16, 4800, 500, True),
    "celeba-msg-progan": (128, 64, 42000, 2000, True),
    "bedrooms-msg-progan": (128, 64, 150000, 10000, False),
}


def recipe(spec: ExperimentSpec) -> tuple[int, int, float, float, bool]:
    training = spec.training
    return (
        spec.model.resolution,
        training.batch_size,
        training.total_kimg,
        training.snapshot_kimg,
        spec.dataset.mirror,
    )


@pytest.mark.parametrize("name", RECIPES)
def test_lengths_and_batches_of_the_paper_tier(name: str) -> None:
    assert recipe(PAPER.experiment(name)) == RECIPES[name]
    assert PAPER.experiment(name).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("base", "variant"), [(base, variant) for base in FFHQ for variant in VARIANTS[base]]
)
def test_a_variant_differs_from_its_base_in_one_thing(base: str, variant: str) -> None:
    one, other = PAPER.experiment(base), PAPER.experiment(f"{base}-{variant}")
    changed = {
        (section, name)
        for section, fields in one.model_dump().items()
        if isinstance(fields, dict)
        for name, value in fields.items()
        if other.model_dump()[section][name] != value
    }
    assert changed == {("model", "combine" if variant.startswith("phi") else "connections")}


@pytest.mark.parametrize(
    ("family", "loss", "ema", "lr"),
    [
        ("msg-progan", ("wgan", "gradient_penalty", 0.001), {"beta": 0.999}, 0.003),
        ("msg-stylegan", ("non_saturating", "r1", 0.0), {"halflife_kimg": 10}, 0.003),
        ("msg-gan-v1", ("ra_hinge", "none", 0.0), {"beta": 0.999}, 0.001),
    ],
)
def test_recipes_of_the_three_methods(
    family: str, loss: tuple[str, str, float], ema: dict[str, float], lr: float
) -> None:
    specs = [spec for name, spec in PAPER.experiments.items() if name in RECIPES]
    specs = [spec for spec in specs if spec.method == family]
    assert specs
    for spec in specs:
        assert (spec.loss.adversarial, spec.loss.penalty, spec.loss.drift_weight) == loss
        assert spec.loss.r1_gradient == "total"
        assert spec.training.precision == "tf32"
        assert spec.ema.model_dump(exclude_defaults=True) == ema
        optimizer = spec.optimizer
        assert (optimizer.algorithm, optimizer.beta1, optimizer.beta2) == ("adam", 0.0, 0.99)
        assert (optimizer.eps, optimizer.lr_of("G"), optimizer.lr_of("D")) == (1e-8, lr, lr)


@pytest.mark.parametrize(
    ("tier", "levels"),
    [
        ("paper", [(), (4, 8), (16, 32), (64, 128, 256, 512), (4, 8, 16, 32, 64, 128, 256, 512)]),
        ("mini", [(), (4, 8), (16, 32), (64,), (4, 8, 16, 32, 64)]),
        ("smoke", [(), (4,), (8,), (16,), (4, 8, 16)]),
    ],
)
def test_levels_of_table_4(tier: str, levels: list[tuple[int, ...]]) -> None:
    resolved = benchmark(tier)
    names = resolved.tables["table4"].experiments
    assert names[-1] == "ffhq-progan"  # the row below the levels
    models = [resolved.experiment(name).model for name in names[:-1]]
    assert [model.connected[:-1] for model in models] == levels
    assert {model.connected[-1] for model in models} == {models[0].resolution}


def test_tables_share_the_runs_that_they_have_in_common() -> None:
    tables = {name: PAPER.tables[name].experiments for name in ("table2", "table4", "table5")}
    assert set(tables["table2"]) & set(tables["table4"]) == {"ffhq-msg-progan", "ffhq-progan"}
    assert set(tables["table2"]) & set(tables["table5"]) == set(FFHQ)
    assert len(PAPER.table_experiments()) == len(set(PAPER.table_experiments())) == 35


def test_the_group_of_techniques_is_outside_all() -> None:
    group = set(PAPER.tables["v1-techniques"].experiments)
    assert group & set(PAPER.table_experiments()) == {"cifar10-msg-gan-v1"}
    assert len(group) == 13
    assert {PAPER.experiment(name).dataset.name for name in group} == {"cifar10"}


@pytest.mark.parametrize("tier", ["smoke", "mini", "paper"])
def test_every_tier_resolves_and_smoke_alone_has_stand_ins(tier: str) -> None:
    resolved = benchmark(tier)
    stand_ins = {name for name, dataset in resolved.datasets.items() if dataset.is_stand_in}
    assert stand_ins == (set(resolved.datasets) if tier == "smoke" else set())
    if tier != "smoke":
        sources = {dataset.source for dataset in resolved.datasets.values()}
        assert sources == {"cifar10", *PHOTOGRAPHS} - {"folder"}
    names = {name for table in resolved.tables.values() for name in table.experiments}
    outside = {"cifar10-five-minutes", "cifar10-first-training", "celeba-hq-progan-authors"}
    assert names | outside == set(resolved.experiments)


def test_every_row_of_a_table_has_its_number() -> None:
    for name, table in PAPER.tables.items():
        printed = rows_of(table.numbers or name, table.paper)
        asked = [row.reference for row in table.rows if row.reference is not None]
        assert set(asked) <= set(printed), name


def test_rows_that_another_paper_printed_are_quoted_and_no_others() -> None:
    from msgbench.protocols import get_protocol
    from msgbench.reference import cell

    for name, table in PAPER.tables.items():
        metric = get_protocol(table.protocol).metric
        for row in table.rows:
            if row.reference is not None and row.real_images is None:
                origin = cell(table.numbers or name, row.reference, metric, table.paper).origin
                # ProGAN's own 8.80 on CIFAR-10 is printed from its paper, and trained here beside it.
                expected = origin == "quoted" and row.experiment != "cifar10-progan"
                assert row.quoted == expected, (name, row.reference)
