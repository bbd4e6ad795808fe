"""The tables that stand beside those of config.yaml: parameters by the number of scales, numbers in running text."""

from __future__ import annotations

from pathlib import Path

from msgbench.analysis.collect import collect
from msgbench.analysis.parameter_table import parameter_forms
from msgbench.analysis.table_forms import make_table, write_forms
from msgbench.analysis.text_numbers import text_forms
from msgbench.config import OWN_TABLES, Benchmark, ModelSpec
from msgbench.layout import Layout

# "Model full" of the paper's Tables 6 and 7.
PUBLISHED = ModelSpec(family="progan", resolution=1024)


def make_any_table(benchmark: Benchmark, layout: Layout, name: str) -> Path:
    """Write the table called `name`, of config.yaml or of OWN_TABLES, in its three forms; returns the CSV.

    Raises ResultsError when there is no such table.
    """
    out = layout.table_csv(name)
    if name not in OWN_TABLES:
        return make_table(benchmark, layout, name, out)
    if name == "parameters":
        return write_forms(parameter_forms(PUBLISHED), out)
    return write_forms(text_forms(collect(benchmark, layout), out.parent), out)
