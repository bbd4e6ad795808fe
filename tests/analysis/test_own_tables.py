"""The tables beside those of config.yaml: parameters against built networks, numbers in running text against tables."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from msgbench.analysis.collect import collect
from msgbench.analysis.own_tables import PUBLISHED, make_any_table
from msgbench.analysis.parameter_table import parameter_frame
from msgbench.analysis.tables import build_table
from msgbench.analysis.text_numbers import text_numbers
from msgbench.errors import ResultsError
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.describe import count_parameters
from msgbench.synthetic import ResultsTree


@pytest.mark.parametrize("combine", ["phi_simple", "phi_lin_cat", "phi_cat_lin"])
def test_parameters_are_those_of_built_networks(combine: str) -> None:
    narrow = PUBLISHED.model_copy(
        update={"resolution": 64, "fmap_base": 64, "fmap_max": 16, "latent_size": 16}
    )
    frame = parameter_frame(narrow).set_index("resolution")
    model = narrow.model_validate({**narrow.model_dump(), "combine": combine, "connections": "all"})
    alone = model.model_validate({**model.model_dump(), "connections": "none"})
    row = frame.loc[64]
    assert row["generator"] == count_parameters(build_generator(model))
    assert row[f"discriminator_{combine}"] == count_parameters(build_discriminator(model))
    assert row["discriminator_without_connections"] == count_parameters(build_discriminator(alone))


def test_the_published_counts() -> None:
    """D of Table 7: 23,163,681 with all connections, 23,095,425 without; several D grow by ever smaller factors."""
    frame = parameter_frame(PUBLISHED).set_index("resolution")
    assert frame.loc[1024, "discriminator_phi_simple"] == 23_163_681
    assert frame.loc[1024, "discriminator_without_connections"] == 23_095_425
    assert frame["factor"].is_monotonic_decreasing


def test_scores_of_the_text_are_those_of_the_tables(make_tree: Callable[..., ResultsTree]) -> None:
    tree = make_tree("smoke", tables=("table2", "appendix"))
    for name in tree.benchmark.table_datasets():
        tree.dataset(name)
    tree.train("celeba-msg-progan")
    tree.evaluate("celeba-msg-progan")
    collection = collect(tree.benchmark, tree.layout)
    found = {(n.paper.row, n.paper.column): n for n in text_numbers(collection)}
    appendix = build_table(collection, "appendix")
    celeba = found["celeba", "fid"]
    assert celeba.value == appendix.rows[0].best[0]
    assert (celeba.paper.printed, celeba.verdict) == ("8.86", "scaled")
    assert found["celeba", "real_images"].value == 240
    assert found["lsun-bedrooms", "fid"].verdict.startswith("not run")
    assert found["celeba-hq-stylegan-quoted", "fid"].verdict == "quoted"
    assert found["celeba-hq", "dataset_size"].verdict == "drawn in place of celeba-hq"


def test_own_tables_are_written_in_three_forms(make_tree: Callable[..., ResultsTree]) -> None:
    tree = make_tree("smoke").complete()
    for name in ("parameters", "text"):
        out = make_any_table(tree.benchmark, tree.layout, name)
        assert len(pd.read_csv(out)) >= 1
        assert out.with_suffix(".md").read_text().startswith("### ")
        assert rf"\label{{tab:{name}}}" in out.with_suffix(".tex").read_text()
    with pytest.raises(ResultsError, match="no such table"):
        make_any_table(tree.benchmark, tree.layout, "tables6")


def test_a_benchmark_that_answers_no_number_of_the_text_has_an_empty_table(
    make_tree: Callable[..., ResultsTree],
) -> None:
    tree = make_tree("smoke", tables=())
    out = make_any_table(tree.benchmark, tree.layout, "text")
    assert pd.read_csv(out).empty
    assert r"\toprule" in out.with_suffix(".tex").read_text()
