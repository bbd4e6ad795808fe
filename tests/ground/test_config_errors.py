"""Every way a configuration can be wrong: the exact sentence, through the command line, and nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from msgbench.config import RECIPES, load_benchmark, merge, parse_override, resolve
from msgbench.config.yaml_text import read_yaml
from msgbench.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
E3 = "cifar10-msg-progan-lr0.003"


NAMES = sorted(read_yaml(ROOT / "config.yaml")["experiments"])


def experiment(section: str, **values: object) -> dict[str, object]:
    """An override of one experiment."""
    return {"experiments": {E3: {section: values}}}


def smoke(**experiments: object) -> dict[str, object]:
    """An override of experiments of the smoke tier; _ stands for - in their names."""
    changed = {name.replace("_", "-"): values for name, values in experiments.items()}
    return {"tiers": {"smoke": {"experiments": changed}}}


def growing(**values: object) -> dict[str, object]:
    """An override of a growing experiment's schedule."""
    return {"experiments": {"flowers-progan": {"growing": values}}}


CASES = [
    (
        "second derivatives that nothing compiles",
        {"tier": "mini", "defaults": {"training": {"compile": "default"}}},
        "experiments.cifar10-msg-progan-lr0.003.training: second_derivatives direct is not allowed with compile "
        "default; allowed: autograd",
    ),
    ("unknown top key", {"tierr": "smoke"}, "tierr: unknown key; did you mean 'tier'?"),
    (
        "unknown key in defaults",
        {"defaults": {"optimizer": {"lrr": 0.1}}},
        "defaults.optimizer.lrr: unknown key; did you mean 'lr'?",
    ),
    (
        "unknown key in a method",
        {"methods": {"msg-progan": {"model": {"with_multiplier": 1}}}},
        "methods.msg-progan.model.with_multiplier: unknown key; did you mean 'width_multiplier'?",
    ),
    (
        "unknown key in an experiment",
        experiment("training", batchsize=4),
        f"experiments.{E3}.training.batchsize: unknown key; did you mean 'batch_size'?",
    ),
    (
        "unknown key in a tier",
        {"tiers": {"smoke": {"defaults": {"training": {"total": 4}}}}},
        "tiers.smoke.defaults.training.total: unknown key; did you mean 'total_kimg'?",
    ),
    (
        "unknown key in a table row",
        {"tables": {"table3": {"rows": [{"reference": "x", "experimnt": E3}]}}},
        "tables.table3.rows.0.experimnt: unknown key; did you mean 'experiment'?",
    ),
    (
        "unknown key in a stand-in",
        {"datasets": {"cifar10": {"stand_in": {"sauce": "embedded"}}}},
        "datasets.cifar10.stand_in.sauce: unknown key; did you mean 'source'?",
    ),
    (
        "wrong type",
        {"defaults": {"optimizer": {"lr": "fast"}}},
        "defaults.optimizer.lr: 'fast' is not allowed; allowed: a number",
    ),
    (
        "a number as text is no number",
        {"defaults": {"optimizer": {"lr": "0.003"}}},
        "defaults.optimizer.lr: '0.003' is not allowed; allowed: a number",
    ),
    (
        "a fraction for a whole number",
        experiment("training", batch_size=2.5),
        f"experiments.{E3}.training.batch_size: 2.5 is not allowed; allowed: a whole number",
    ),
    (
        "yes for a number",
        {"defaults": {"optimizer": {"lr": True}}},
        "defaults.optimizer.lr: True is not allowed; allowed: a number",
    ),
    (
        "below range",
        {"defaults": {"optimizer": {"lr": 0}}},
        "defaults.optimizer.lr: 0 is not allowed; allowed: a number greater than 0.0",
    ),
    (
        "above range",
        {"methods": {"msg-progan": {"model": {"width_multiplier": 1.5}}}},
        "methods.msg-progan.model.width_multiplier: 1.5 is not allowed; "
        "allowed: a number of at most 1.0",
    ),
    (
        "unknown connections",
        {"methods": {"msg-progan": {"model": {"connections": "corse"}}}},
        "methods.msg-progan.model.connections: 'corse' is not allowed; "
        "allowed: none, coarse, middle, fine, all, or a list of resolutions",
    ),
    (
        "a connection at a resolution that there is not",
        experiment("model", connections=[4, 64]),
        f"experiments.{E3}.model: connections name the resolution 64; allowed: 4, 8, 16, 32",
    ),
    (
        "a family with what it has not",
        experiment("model", family="stylegan", pixel_norm="after_3x3"),
        f"experiments.{E3}.model: pixel_norm after_3x3 does not fit family stylegan; allowed: off",
    ),
    (
        "a variant with another combine function",
        experiment("model", variant="bmsg"),
        f"experiments.{E3}.model: combine phi_simple does not fit variant bmsg; allowed: phi_lin_cat",
    ),
    (
        "two rows of a table with equal discriminator inputs",
        {
            "experiments": {
                E3: {"model": {"connections": "none"}},
                "cifar10-msg-progan-lr0.001": {
                    "model": {"connections": "fine"},
                    "optimizer": {"lr": 0.003},
                },
            }
        },
        "tables.table3.rows.2.experiment: 'cifar10-msg-progan-lr0.001' is the same training as "
        f"'{E3}': model.connections fine and none both mean [32] at 32 px; "
        "give lists that differ, or a larger resolution",
    ),
    (
        "equal discriminator inputs, and another distance between states",
        smoke(ffhq_msg_progan_fine={"model": {"connections": "fine"}, "training": {"state_kimg": 0.2}}),
        "tables.table4.rows.3.experiment: 'ffhq-msg-progan-fine' is the same training as "
        "'ffhq-msg-progan-none': model.connections fine and none both mean [32] at 32 px; "
        "give lists that differ, or a larger resolution",
    ),
    (
        "equal discriminator inputs, and another learning rate",
        smoke(ffhq_msg_progan_fine={"model": {"connections": "fine"}, "optimizer": {"lr": 0.001}}),
        "tables.table4.rows.3.experiment: 'ffhq-msg-progan-fine' has the same discriminator and inputs as "
        "'ffhq-msg-progan-none': model.connections fine and none both mean [32] at 32 px; "
        "give lists that differ, or a larger resolution",
    ),
    (
        "equal discriminator inputs, and another way to combine nothing",
        smoke(ffhq_msg_progan_fine={"model": {"connections": "fine", "combine": "phi_cat_lin"}}),
        "tables.table4.rows.3.experiment: 'ffhq-msg-progan-fine' is the same training as "
        "'ffhq-msg-progan-none': model.connections fine and none both mean [32] at 32 px; "
        "give lists that differ, or a larger resolution",
    ),
    (
        "one training under two names",
        {"experiments": {"ffhq-msg-progan-phi_cat_lin": {"model": {"combine": "phi_simple"}}}},
        "tables.table5.rows.2.experiment: 'ffhq-msg-progan' is the same training as 'ffhq-msg-progan-phi_cat_lin': "
        "nothing that a training depends on differs; let them differ, or give 'ffhq-msg-progan-phi_cat_lin' in this "
        "row, too",
    ),
    (
        "one training under two names, written down more often",
        {"experiments": {"cifar10-msg-progan-lr0.001": {"optimizer": {"lr": 0.003}}},
         "tiers": {"smoke": {"experiments": {"cifar10-msg-progan-lr0.001": {
             "training": {"snapshot_kimg": 1, "state_kimg": 1, "grid_kimg": 1, "stats_kimg": 1}}}}}},
        "tables.table3.rows.2.experiment: 'cifar10-msg-progan-lr0.001' is the same training as "
        f"'{E3}': nothing that a training depends on differs; let them differ, or give '{E3}' in this row, too",
    ),
    (
        "a row that the paper does not have",
        {"tables": {"table3": {"rows": [{"reference": "msg-progan-lr0.03", "experiment": E3}]}}},
        "tables.table3.rows.0.reference: the paper prints no IS for 'msg-progan-lr0.03' in table3; "
        "did you mean 'msg-progan-lr0.003'?",
    ),
    (
        "a metric that the paper does not print",
        {"tiers": {"smoke": {"tables": {"table3": {"protocol": "fid2k_small"}}}}},
        "tables.table3.rows.0.reference: the paper prints no FID for 'real-images' in table3; it prints IS",
    ),
    (
        "a table that the paper does not have",
        {"tables": {"table4": {"numbers": "table9"}}},
        "tables.table4.numbers: 'table9' is not allowed; allowed: table1, table2, table3, table4, table5, text",
    ),
    (
        "a table with the name of one that is made from the networks",
        {
            "tables": {
                "table6": {
                    "title": "x", "protocol": "is2k_small",
                    "rows": [{"reference": "x", "experiment": E3}],
                }
            }
        },
        "tables.table6: is made from the networks by itself; give this table another name",
    ),
    ("unknown tier", {"tier": "smok"}, "tier: 'smok' is not allowed; allowed: smoke, mini, paper"),
    (
        "unknown choice",
        {"methods": {"msg-progan": {"loss": {"adversarial": "rahinge"}}}},
        "methods.msg-progan.loss.adversarial: 'rahinge' is not allowed; allowed: wgan, non_saturating, hinge, "
        "lsgan, ra_hinge, ra_lsgan",
    ),
    (
        "a critic without a bound",
        experiment("loss", penalty="none"),
        f"experiments.{E3}.loss: adversarial wgan with penalty none has no bound on its scores; "
        "allowed: penalty gradient_penalty, one_sided or r1",
    ),
    (
        "an option of another penalty",
        experiment("loss", r1_gradient="partial"),
        f"experiments.{E3}.loss: r1_gradient partial has no effect with penalty gradient_penalty; "
        "allowed: leave it at total, or penalty r1",
    ),
    (
        "a target that R1 does not have",
        experiment("loss", penalty="r1", gp_target=750.0),
        f"experiments.{E3}.loss: gp_target 750.0 has no effect with penalty r1; "
        "allowed: leave it at 1.0, or penalty gradient_penalty or one_sided",
    ),
    (
        "a momentum that RMSprop does not have",
        experiment("optimizer", algorithm="rmsprop_tf", beta1=0.9),
        f"experiments.{E3}.optimizer: beta1 0.9 has no effect with algorithm rmsprop_tf; allowed: leave it at 0",
    ),
    (
        "an average that is switched off",
        {"tiers": {"smoke": {"defaults": {"ema": {"beta": 0.9, "enabled": False}}}}},
        "tiers.smoke.defaults.ema: enabled: false takes neither beta nor halflife_kimg",
    ),
    (
        "a section that is no mapping",
        {"datasets": {"cifar10": 5}},
        "datasets.cifar10: 5 is not allowed; allowed: a mapping of keys and values",
    ),
    (
        "a list that is no list",
        {"defaults": {"seeds": 0}},
        "defaults.seeds: 0 is not allowed; allowed: a list",
    ),
    (
        "no seed",
        {"tiers": {"smoke": {"defaults": {"seeds": []}}}},
        "tiers.smoke.defaults.seeds: [] is not allowed; allowed: at least 1 entries",
    ),
    (
        "a seed twice",
        {"tiers": {"smoke": {"defaults": {"seeds": [1, 1]}}}},
        "experiments.cifar10-msg-progan-lr0.003: seeds [1, 1] name one seed twice",
    ),
    (
        "a bad name",
        {"experiments": {"My Run": {"method": "msg-progan", "dataset": "cifar10"}}},
        "experiments.My Run: 'My Run' is not allowed; allowed: lower-case letters, digits and . _ -",
    ),
    (
        "unknown method",
        {"experiments": {E3: {"method": "msg-progn"}}},
        f"experiments.{E3}.method: 'msg-progn' is no method; did you mean 'msg-progan'?",
    ),
    (
        "unknown dataset",
        {"experiments": {E3: {"dataset": "cifar"}}},
        f"experiments.{E3}.dataset: 'cifar' is no dataset; did you mean 'cifar10'?",
    ),
    (
        "unknown experiment in a tier",
        {"tiers": {"smoke": {"experiments": {"cifar10-msg-progan-lr0.03": {}}}}},
        "tiers.smoke.experiments.cifar10-msg-progan-lr0.03: no such entry; "
        "did you mean 'cifar10-msg-progan-lr0.003'?",
    ),
    (
        "unknown protocol in a table of another tier",
        {"tables": {"table3": {"protocol": "is50"}}},
        "tables.table3.protocol: 'is50' is no protocol; did you mean 'is50k'?",
    ),
    (
        "unknown experiment in a table",
        {"tables": {"table3": {"rows": [{"reference": "x", "experiment": "y"}]}}},
        f"tables.table3.rows.0.experiment: 'y' is no experiment; allowed: {', '.join(NAMES[:12])} "
        f"and {len(NAMES) - 12} more",
    ),
    (
        "a row that shows nothing",
        {"tables": {"table3": {"rows": [{"reference": "x"}]}}},
        "tables.table3.rows.0: give exactly one of experiment, real_images, record and quoted",
    ),
    (
        "a row that shows two things",
        {"tables": {"table3": {"rows": [{"reference": "x", "experiment": E3, "quoted": True}]}}},
        "tables.table3.rows.0: give exactly one of experiment, real_images, record and quoted",
    ),
    (
        "a row without a name",
        {"tables": {"table3": {"rows": [{"experiment": E3}]}}},
        "tables.table3.rows.0: give reference or label",
    ),
    (
        "a quoted row that names no number",
        {"tables": {"table3": {"rows": [{"label": "x", "quoted": True}]}}},
        "tables.table3.rows.0: a quoted row needs its reference",
    ),
    (
        "resolution that is no power of two",
        {"datasets": {"cifar10": {"resolution": 33}}},
        "datasets.cifar10: resolution 33 is not allowed; allowed: a power of two from 8 to 1024",
    ),
    (
        "all images of what is published in one split",
        {"tier": "paper", "datasets": {"ffhq": {"split": "all"}}},
        "datasets.ffhq: split all does not fit source ffhq; allowed: train",
    ),
    (
        "two ways to average",
        {"tiers": {"smoke": {"defaults": {"ema": {"beta": 0.9, "halflife_kimg": 1}}}}},
        "tiers.smoke.defaults.ema: give exactly one of beta and halflife_kimg",
    ),
    (
        "batch that does not fit the groups",
        {"tiers": {"smoke": {"defaults": {"training": {"batch_size": 6}}}}},
        f"experiments.{E3}: training.batch_size 6 is not a multiple of model.mbstd_group_size 4",
    ),
    (
        "shorter than one batch",
        {"tiers": {"smoke": {"defaults": {"training": {"total_kimg": 0.001}}}}},
        f"experiments.{E3}.training: total_kimg 0.001 is 1 images, less than one batch of 8",
    ),
    (
        "an unknown recipe",
        growing(recipe="progan-v2-3gpu"),
        "experiments.flowers-progan.growing.recipe: 'progan-v2-3gpu' is not allowed; allowed: "
        + ", ".join(RECIPES),
    ),
    (
        "a batch of a resolution that there is not",
        growing(batch_sizes={48: 4}),
        "experiments.flowers-progan.growing: batch_sizes names the resolution 48; "
        "allowed: powers of two from 4 to 1024",
    ),
    (
        "an empty batch",
        growing(batch_sizes={8: 0}),
        "experiments.flowers-progan.growing.batch_sizes.8: 0 is not allowed; allowed: a number of at least 1",
    ),
    (
        "a growing batch that does not fit the groups",
        growing(batch_sizes={8: 6}),
        "experiments.flowers-progan: growing.batch_sizes: 6 is not a multiple of model.mbstd_group_size 4",
    ),
    (
        "a training that ends before it has grown",
        {"tier": "paper", "experiments": {"flowers-progan": {"training": {"total_kimg": 5000}}}},
        "experiments.flowers-progan: training.total_kimg 5000 ends before the networks have grown to 256 px, at "
        "7200 kimg; allowed: more, or shorter growing.stable_kimg and fade_kimg",
    ),
    (
        "a schedule that is never looked at",
        {"tier": "paper", **growing(repeats=100_000)},
        "experiments.flowers-progan: growing.repeats 100000 steps of 128 images do not fit into growing.stable_kimg "
        "600; allowed: fewer steps or images between two looks at the schedule",
    ),
    (
        "a start above the end",
        growing(start_resolution=64),
        "experiments.flowers-progan: growing.start_resolution 64 is larger than the dataset's 32 px",
    ),
    (
        "connections of one image",
        {"experiments": {"flowers-progan": {"model": {"connections": [8]}}}},
        "experiments.flowers-progan.model: connections [8] do not fit a growing discriminator, which looks at one "
        "image; allowed: none",
    ),
    (
        "mixed styles of all scales at once",
        {"experiments": {"ffhq-msg-stylegan": {"loss": {"style_mixing": 0.9}}}},
        "experiments.ffhq-msg-stylegan: loss.style_mixing 0.9 does not fit a generator that is not StyleGAN's or that "
        "is trained at all scales at once, where mixing is not possible (paper, section 4); allowed: 0",
    ),
    (
        "rates of each network and of each resolution",
        {"tier": "paper", "experiments": {"flowers-progan": {"optimizer": {"g_lr": 0.1}}}},
        "experiments.flowers-progan: growing.learning_rates are those of both networks, so optimizer.g_lr and d_lr "
        "have no effect; allowed: either the one or the other",
    ),
    (
        "a relativistic loss that grows",
        {"experiments": {"flowers-progan": {"loss": {"adversarial": "ra_hinge", "penalty": "none"}}}},
        "experiments.flowers-progan: loss.adversarial ra_hinge is not built for growing networks; "
        "allowed: wgan, non_saturating, hinge, lsgan",
    ),
    (
        "growing without a schedule",
        {"experiments": {"ffhq-msg-progan": {"model": {"growing": True}}}},
        "experiments.ffhq-msg-progan: model.growing True does not fit: it is filled in from the section `growing`",
    ),
    (
        "a required value is missing",
        {"experiments": {"new": {"method": "msg-progan", "dataset": "cifar10"}},
         "tiers": {"smoke": {"defaults": {"training": {"batch_size": None}}}}},
        "tiers.smoke.defaults.training.batch_size: None is not allowed; allowed: a whole number",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_wrong_configurations_get_one_sentence(override: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(merge(read_yaml(ROOT / "config.yaml"), override))
    assert str(caught.value) == expected


FILES = [
    ("missing", None, "{path}: no such file"),
    ("empty", "", "{path}: is empty, a mapping of sections is needed"),
    ("a list", "- a\n", "{path}: holds list, a mapping of sections is needed"),
    (
        "broken YAML",
        "tier: [smoke\nresults: x\n",
        "{path}, line 2: is not valid YAML (expected ',' or ']', but got ':')",
    ),
    ("a key twice", "tier: smoke\ntier: mini\n", "{path}: line 2: the key 'tier' stands twice"),
    (
        "a number and a text that are one key",
        "x: {8: 1, '8': 2}\n",
        "{path}: line 1: the key '8' stands twice",
    ),
    (
        "an alias of itself",
        "datasets: &all\n  again: *all\n",
        "{path}: an alias (*) stands inside of what it names",
    ),
    ("brackets without end", "x: " + "[" * 5000, "{path}: its values nest too deep"),
]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in FILES], ids=[c[0] for c in FILES]
)
def test_unreadable_files_get_one_sentence_and_exit_code_2(
    tmp_path: Path, text: str | None, expected: str
) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "msgbench.cli", "plan", "--config", str(path)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.stderr == f"msgbench: error: {expected.format(path=path)}\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert sorted(tmp_path.iterdir()) == before


def test_numbers_in_exponent_form_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-8\nb: 3E4\nc: 1e-8x\nd: 12e3\n")
    assert read_yaml(path) == {"a": 1e-8, "b": 3e4, "c": "1e-8x", "d": 12e3}


def test_overrides_reach_keys_with_dots() -> None:
    parsed = parse_override(json.dumps(["experiments", E3, "optimizer", "lr"]) + "=0.5")
    assert load_benchmark(ROOT / "config.yaml", parsed).experiments[E3].optimizer.lr == 0.5
    assert parse_override("defaults.seeds=[1, 2]") == {"defaults": {"seeds": [1, 2]}}
    with pytest.raises(ConfigError, match=r"is not of the form key\.path=value"):
        parse_override("defaults.seeds")


def test_known_names_with_dots_need_no_brackets() -> None:
    """Also below a tier that does not change them yet, and where one name begins another."""
    known = {
        "experiments": {"lr0.1": {}, "lr0.1.5": {}, "lr0": {"1": {}}},
        "tiers": {"smoke": None, "mini": {"experiments": {}}},
    }
    for path, parts in [
        ("experiments.lr0.1.seeds", ["experiments", "lr0.1", "seeds"]),
        ("experiments.lr0.1.5.seeds", ["experiments", "lr0.1.5", "seeds"]),
        ("experiments.lr0.2.seeds", ["experiments", "lr0", "2", "seeds"]),
        ("tiers.mini.experiments.lr0.1.seeds", ["tiers", "mini", "experiments", "lr0.1", "seeds"]),
        (
            "tiers.smoke.experiments.lr0.1.seeds",
            ["tiers", "smoke", "experiments", "lr0.1", "seeds"],
        ),
        ("a.b.c", ["a", "b", "c"]),
    ]:
        expected: object = 1
        for part in reversed(parts):
            expected = {part: expected}
        assert parse_override(f"{path}=1", known) == expected
    changed = load_benchmark(
        ROOT / "config.yaml",
        assignments=[f"experiments.{E3}.optimizer.lr=1", f"tiers.smoke.experiments.{E3}.seeds=[7]"],
    ).experiments[E3]
    assert (changed.optimizer.lr, changed.seeds) == (1.0, (7,))


def test_a_later_assignment_goes_before_an_earlier_one() -> None:
    changes = [
        "defaults.seeds=[1]",
        "tiers.smoke.defaults.seeds=[2]",
        "tiers.smoke.defaults.seeds=[3]",
    ]
    changed = load_benchmark(ROOT / "config.yaml", assignments=changes)
    assert changed.experiments[E3].seeds == (3,)
    assert changed.changes == {
        "defaults": {"seeds": [1]}, "tiers": {"smoke": {"defaults": {"seeds": [3]}}},
    }  # fmt: skip


COMMANDS = [
    ("prepare cifar --source copy", "datasets.cifar: no such dataset; did you mean 'cifar10'?"),
    ("prepare cifar", "datasets.cifar: no such dataset; did you mean 'cifar10'?"),
    (
        "table table3 --set results=notes.md",
        "results: 'notes.md' is not allowed, notes.md is a file; allowed: a folder, or a new one",
    ),
    (
        "plan --set results=notes.md/below",
        "results: 'notes.md/below' is not allowed, notes.md is a file; allowed: a folder, or a new one",
    ),
    (
        "report --set results=disk/below",
        "results: 'disk/below' is not allowed, disk is a link to unplugged, which is not there; allowed: a folder, or "
        "a new one",
    ),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_commands_with_names_and_places_that_cannot_be(
    tmp_path: Path, command: str, expected: str
) -> None:
    (tmp_path / "notes.md").write_text("mine\n")
    (tmp_path / "disk").symlink_to("unplugged")
    done = subprocess.run(
        [sys.executable, "-m", "msgbench.cli", *command.split(), "--config", str(ROOT / "config.yaml")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, f"msgbench: error: {expected}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "notes.md"]


def test_rows_of_a_table_may_share_an_experiment_and_differ_in_their_inputs_alone() -> None:
    raw = read_yaml(ROOT / "config.yaml")
    rows = [{"label": label, "experiment": E3} for label in ("once", "again")]
    shared = resolve(
        merge(raw, {"tables": {"own": {"title": "x", "protocol": "is2k_small", "rows": rows}}})
    )
    assert shared.tables["own"].experiments == (E3, E3)
    # Stated otherwise and other inputs: what Table 4 is about.
    other = smoke(ffhq_msg_progan_fine={"model": {"connections": [4, 16]}})
    assert resolve(merge(raw, other)).experiments["ffhq-msg-progan-fine"].model.connected == (
        4,
        16,
        32,
    )
