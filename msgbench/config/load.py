"""From config.yaml to experiments: read, check, lay the tier over the base, resolve.

The order of the layers of an experiment, later ones win: defaults, its method, itself, then the tier's
defaults, the tier's overlay of the method, the tier's overlay of the experiment. The base is the paper;
`tiers.paper` is therefore empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from msgbench.config.assignments import changed
from msgbench.config.benchmark import Benchmark
from msgbench.config.document import (
    LAYER_TABLES,
    OWN_TABLES,
    Document,
    FigureSpec,
    Overlay,
    TableSpec,
)
from msgbench.config.figures import check_figure
from msgbench.config.patches import merge
from msgbench.config.rows import check_table, require_different
from msgbench.config.sentences import nearest, sentence
from msgbench.config.specs import DatasetSpec, ExperimentSpec
from msgbench.config.yaml_text import read_yaml
from msgbench.errors import ConfigError
from msgbench.protocols import PROTOCOLS

SpecT = TypeVar("SpecT", DatasetSpec, ExperimentSpec, TableSpec, FigureSpec)


def load_benchmark(
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> Benchmark:
    """The benchmark of the config file `path`, with `overrides` (nested mapping) laid over it first.

    `assignments` (`key.path=value`, see `parse_override`) are laid over that, one after the other.
    """
    raw = read_yaml(path)
    changes = changed(raw, overrides or {}, assignments)
    return replace(resolve(merge(raw, changes)), changes=changes)


def load_dataset(path: Path, name: str, assignments: Sequence[str] = ()) -> DatasetSpec:
    """One dataset of the config file `path`, whether or not the experiments that use it fit it."""
    raw = read_yaml(path)
    document, overlay = _read_document(merge(raw, changed(raw, {}, assignments)))
    if name not in document.datasets:
        raise ConfigError(f"datasets.{name}: no such dataset{nearest(name, document.datasets)}")
    over = overlay.model_dump(mode="json")["datasets"].get(name, {})
    return _dataset(name, merge(document.datasets[name], over))


def _read_document(raw: Mapping[str, Any]) -> tuple[Document, Overlay]:
    """config.yaml's content, checked where it was written, and the overlay of its tier; raises ConfigError."""
    try:
        document = Document.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise ConfigError(sentence(error, Document, ())) from None
    overlay = document.tiers.get(document.tier)
    if overlay is None:
        raise ConfigError(
            f"tiers.{document.tier}: is missing; it may be empty: `{document.tier}: {{}}`"
        )
    return document, overlay


def resolve(raw: Mapping[str, Any]) -> Benchmark:
    """The benchmark that the mapping `raw` (config.yaml's content) describes.

    Raises ConfigError with one sentence: the key's path, the value, what is allowed.
    """
    document, overlay = _read_document(raw)
    _check_protocols(document)
    layers = overlay.model_dump(mode="json")
    for part in ("datasets", "methods", "experiments", "tables", "figures"):
        _known(f"tiers.{document.tier}.{part}", layers[part], getattr(document, part))
    _check_table_names(document)
    datasets = {
        name: _dataset(name, merge(entry, layers["datasets"].get(name, {})))
        for name, entry in document.datasets.items()
    }
    experiments = {
        name: _experiment(name, document, layers, datasets) for name in document.experiments
    }
    published = _published(document)
    tables = {
        name: _table(name, merge(entry, layers["tables"].get(name, {})), datasets, experiments)
        for name, entry in document.tables.items()
    }
    figures = {
        name: _figure(name, merge(entry, layers["figures"].get(name, {})), experiments, tables)
        for name, entry in document.figures.items()
    }
    stated = {
        name: _merged(name, document, layers).get("model", {}).get("connections", "all")
        for name in experiments
    }
    for name, table in tables.items():
        require_different(name, table, experiments, stated)
    return Benchmark(
        tier=document.tier,
        results=document.results,
        launcher=document.launcher,
        accept_gpu_hours=document.accept_gpu_hours,
        allow_missing=document.allow_missing,
        weights=document.weights,
        datasets=datasets,
        experiments=experiments,
        tables=tables,
        figures=figures,
        cluster=document.cluster.merged(overlay.cluster),
        published=published,
    )


def _published(document: Document) -> dict[str, ExperimentSpec]:
    """The experiments without any tier's overlay; those that only a tier completes are left out."""
    bare = Overlay().model_dump(mode="json")
    found = {}
    for name in document.experiments:
        try:
            dataset = document.experiments[name]["dataset"]
            # As published: without the stand-in that a missing path would choose.
            entry = {**document.datasets[dataset], "stand_in": None}
            datasets = {dataset: _dataset(dataset, entry)}
            found[name] = _experiment(name, document, bare, datasets)
        except (ConfigError, KeyError):
            continue
    return found


def _check_table_names(document: Document) -> None:
    """No table of the config has the name of one that is made without it."""
    for name in LAYER_TABLES:
        if name in document.tables:
            raise ConfigError(
                f"tables.{name}: is made from the networks by itself; give this table another name"
            )
    for name in OWN_TABLES:
        if name in document.tables:
            raise ConfigError(
                f"tables.{name}: is the name of a table that is made by itself; give this table another name"
            )


def _check_protocols(document: Document) -> None:
    """Every protocol that any layer names exists, also one that the present tier does not use."""
    overlays = [(f"tiers.{tier}.", overlay) for tier, overlay in document.tiers.items()]
    levels: list[tuple[str, Document | Overlay]] = [("", document), *overlays]
    for prefix, layers in levels:
        named = [
            (f"{prefix}tables.{name}", table, "protocol", "also")
            for name, table in layers.tables.items()
        ]
        parts = [("defaults", layers.defaults)]
        parts += [(f"methods.{name}", layer) for name, layer in layers.methods.items()]
        parts += [(f"experiments.{name}", layer) for name, layer in layers.experiments.items()]
        named += [
            (f"{prefix}{path}.evaluation", layer.get("evaluation", {}), "", "protocols")
            for path, layer in parts
        ]
        for path, layer, single, several in named:
            asked = [(f"{path}.{several}", protocol) for protocol in layer.get(several) or ()]
            if layer.get(single):
                asked.append((f"{path}.{single}", layer[single]))
            for where, protocol in asked:
                if protocol not in PROTOCOLS:
                    raise ConfigError(
                        f"{where}: {protocol!r} is no protocol{nearest(protocol, PROTOCOLS)}"
                    )


def _known(path: str, layer: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    for name in layer:
        if name not in base:
            raise ConfigError(f"{path}.{name}: no such entry{nearest(name, base)}")


def _dataset(name: str, entry: dict[str, Any]) -> DatasetSpec:
    entry = {key: value for key, value in entry.items() if value is not None}
    stand_in = entry.pop("stand_in", None)
    if not entry.get("path") and stand_in is not None:
        entry = merge(entry, stand_in)
    return _build(DatasetSpec, {**entry, "name": name}, ("datasets", name))


def _experiment(
    name: str, document: Document, layers: dict[str, Any], datasets: dict[str, DatasetSpec]
) -> ExperimentSpec:
    own = merge(document.experiments[name], layers["experiments"].get(name, {}))
    path = ("experiments", name)
    method, dataset = own.get("method"), own.get("dataset")
    if method not in document.methods:
        raise ConfigError(
            f"experiments.{name}.method: {method!r} is no method{nearest(method, document.methods)}"
        )
    if dataset not in datasets:
        raise ConfigError(
            f"experiments.{name}.dataset: {dataset!r} is no dataset{nearest(dataset, datasets)}"
        )
    merged = _merged(name, document, layers)
    spec = datasets[dataset]
    stated = merged.get("model", {}).get("resolution", spec.resolution)
    if stated != spec.resolution:
        raise ConfigError(
            f"experiments.{name}.model.resolution: {stated} is not the resolution of "
            f"dataset {dataset} ({spec.resolution})"
        )
    merged["model"] = {**merged.get("model", {}), "resolution": spec.resolution}
    if merged.get("growing") is not None:
        merged["model"] = {"growing": True, **merged["model"]}
    merged["dataset"] = spec.model_dump(mode="json")
    merged["method"] = method
    return _build(ExperimentSpec, merged, path)


def _merged(name: str, document: Document, layers: dict[str, Any]) -> dict[str, Any]:
    """All layers of an experiment, laid on one another."""
    overlay = layers["experiments"].get(name, {})
    method = merge(document.experiments[name], overlay)["method"]
    merged: dict[str, Any] = {}
    for layer in (
        document.defaults,
        document.methods[method],
        document.experiments[name],
        layers["defaults"],
        layers["methods"].get(method, {}),
        overlay,
    ):
        merged = merge(merged, layer)
    return merged


def _table(
    name: str,
    entry: dict[str, Any],
    datasets: dict[str, DatasetSpec],
    experiments: dict[str, ExperimentSpec],
) -> TableSpec:
    table = _build(TableSpec, entry, ("tables", name))
    check_table(name, table, datasets, experiments)
    return table


def _figure(
    name: str,
    entry: dict[str, Any],
    experiments: dict[str, ExperimentSpec],
    tables: dict[str, TableSpec],
) -> FigureSpec:
    figure = _build(FigureSpec, entry, ("figures", name))
    check_figure(name, figure, experiments, tables)
    return figure


def _build(spec: type[SpecT], raw: dict[str, Any], path: tuple[str, ...]) -> SpecT:
    try:
        return spec.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise ConfigError(sentence(error, spec, path)) from None
