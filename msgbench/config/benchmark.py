"""From config.yaml to experiments: read, check, lay the tier over the base, resolve.

The order of the layers of an experiment, later ones win: defaults, its method, itself, then the tier's
defaults, the tier's overlay of the method, the tier's overlay of the experiment. The base is the paper;
`tiers.paper` is therefore empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from msgbench.config.cluster import ClusterSpec
from msgbench.config.document import (
    LAYER_TABLES,
    OWN_TABLES,
    Document,
    FigureSpec,
    Launcher,
    Overlay,
    TableSpec,
    WeightsSpec,
)
from msgbench.config.figures import check_figure
from msgbench.config.patches import merge
from msgbench.config.rows import check_table, require_different
from msgbench.config.sentences import nearest, sentence
from msgbench.config.specs import DatasetSpec, ExperimentSpec, RunSpec, Tier
from msgbench.errors import ConfigError
from msgbench.protocols import PROTOCOLS


@dataclass(frozen=True)
class Benchmark:
    """The resolved benchmark of one tier."""

    tier: Tier
    results: str
    launcher: Launcher
    accept_gpu_hours: float
    weights: WeightsSpec
    datasets: dict[str, DatasetSpec]
    experiments: dict[str, ExperimentSpec]
    tables: dict[str, TableSpec]
    figures: dict[str, FigureSpec] = field(default_factory=dict)
    """Figures beside those that every table has."""
    cluster: ClusterSpec = field(default_factory=ClusterSpec)
    """What Slurm jobs ask for, the tier's overlay laid over."""
    published: Mapping[str, ExperimentSpec] = field(default_factory=dict)
    """The experiments as config.yaml's base has them, without the tier's overlay, where that is complete."""
    allow_missing: bool = False
    """Whether a target may end well although datasets are left out."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What was changed of the config file for this benchmark, as a nested mapping."""

    def experiment(self, name: str) -> ExperimentSpec:
        """The experiment called `name`; raises ConfigError with the nearest name."""
        if name not in self.experiments:
            raise ConfigError(
                f"experiments.{name}: no such experiment{nearest(name, self.experiments)}"
            )
        return self.experiments[name]

    def dataset(self, name: str) -> DatasetSpec:
        """The dataset called `name`; raises ConfigError with the nearest name."""
        if name not in self.datasets:
            raise ConfigError(f"datasets.{name}: no such dataset{nearest(name, self.datasets)}")
        return self.datasets[name]

    def run(self, experiment: str, seed: int) -> RunSpec:
        """The run of `experiment` with `seed`."""
        spec = self.experiment(experiment)
        return RunSpec(
            schema="msgbench.run/1",
            tier=self.tier,
            experiment=experiment,
            seed=seed,
            fingerprint=spec.fingerprint,
            spec=spec,
        )

    def tables_of_all(self) -> tuple[str, ...]:
        """Tables that the target `all` makes."""
        return tuple(name for name, table in self.tables.items() if table.in_all)

    def figures_of_all(self) -> tuple[str, ...]:
        """Figures, beside those of its tables, that the target `all` makes."""
        return tuple(name for name, figure in self.figures.items() if figure.in_all)

    def figure_experiments(self, figures: Iterable[str] | None = None) -> tuple[str, ...]:
        """Experiments that `figures` show (None: those of `all`), in order, but those whose dataset is left out."""
        chosen = self.figures_of_all() if figures is None else figures
        names = dict.fromkeys(e for figure in chosen for e in self.figures[figure].experiments)
        return tuple(name for name in names if self.experiments[name].dataset.left_out is None)

    def table_experiments(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """Experiments that `tables` name (None: those of `all`), in order of first use."""
        chosen = self.tables_of_all() if tables is None else tables
        return tuple(
            dict.fromkeys(name for table in chosen for name in self.tables[table].experiments)
        )

    def left_out(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Datasets of tables and figures (None: those of `all`) that are not configured, and why, in order of use."""
        chosen = self._of_all() if names is None else tuple(names)
        datasets = dict.fromkeys(dataset for name in chosen for dataset in self._datasets_of(name))
        reasons = {name: self.datasets[name].left_out for name in datasets}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _of_all(self) -> tuple[str, ...]:
        return (*self.tables_of_all(), *self.figures_of_all())

    def _experiments_of(self, name: str) -> tuple[str, ...]:
        """The experiments of a table or figure."""
        return (self.tables[name] if name in self.tables else self.figures[name]).experiments

    def _datasets_of(self, name: str) -> tuple[str, ...]:
        if name in self.tables:
            return self.table_datasets([name])
        return tuple(self.experiments[e].dataset.name for e in self._experiments_of(name))

    def planned_experiments(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """`table_experiments` without those whose dataset is left out."""
        names = self.table_experiments(tables)
        return tuple(name for name in names if self.experiments[name].dataset.left_out is None)

    def planned_datasets(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """`table_datasets` without those that are left out."""
        names = self.table_datasets(tables)
        return tuple(name for name in names if self.datasets[name].left_out is None)

    def left_out_sentences(self, names: Iterable[str] | None = None) -> list[str]:
        """One sentence for each dataset that is left out: why, and what of tables and figures is not made for it.

        `names` are keys under `tables` and `figures`; None: those of `all`. Raises ConfigError for any other name.
        """
        chosen = self._of_all() if names is None else tuple(names)
        known = (*self.tables, *self.figures)
        for name in chosen:
            if name not in known:
                raise ConfigError(f"{name}: is neither a table nor a figure{nearest(name, known)}")
        sentences = []
        for dataset, reason in self.left_out(chosen).items():
            experiments = dict.fromkeys(e for name in chosen for e in self._experiments_of(name))
            missing = [e for e in experiments if self.experiments[e].dataset.name == dataset]
            shown = [name for name in chosen if dataset in self._datasets_of(name)]
            number = f"{len(missing)} experiment{'s' if len(missing) != 1 else ''}"
            sentences.append(f"{dataset} is left out ({number} of {', '.join(shown)}): {reason}")
        return sentences

    def table_datasets(self, tables: Iterable[str] | None = None) -> tuple[str, ...]:
        """Datasets that experiments and real-images rows of `tables` (None: those of `all`) need, in order."""
        chosen = self.tables_of_all() if tables is None else tuple(tables)
        names = [row.real_images for table in chosen for row in self.tables[table].rows]
        names += [self.experiments[name].dataset.name for name in self.table_experiments(chosen)]
        return tuple(dict.fromkeys(name for name in names if name is not None))


SpecT = TypeVar("SpecT", DatasetSpec, ExperimentSpec, TableSpec, FigureSpec)


class _Loader(yaml.SafeLoader):
    """YAML with the numbers people write: `1e-8` is a number, as in YAML 1.2, and no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            # 8 and "8" are one key once the mapping is JSON.
            if str(key) in seen:
                raise ConfigError(
                    f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice"
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def _float_resolver() -> None:
    import re

    pattern = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$")
    _Loader.add_implicit_resolver("tag:yaml.org,2002:float", pattern, list("-+0123456789."))


_float_resolver()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file `path`; ConfigError when it is missing, unreadable or not a mapping."""
    try:
        document = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{path}{where}: is not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from None
    if not isinstance(document, dict):
        what = "is empty" if document is None else f"holds {type(document).__name__}"
        raise ConfigError(f"{path}: {what}, a mapping of sections is needed")
    return document


def _parsed(text: str) -> Any:
    """The YAML `text`; YAMLError or ConfigError for what is none or has no end: an alias inside of what it names."""
    try:
        parsed = yaml.load(text, Loader=_Loader)
        json.dumps(parsed, default=str)
    except RecursionError:
        raise ConfigError("its values nest too deep") from None
    except ValueError as error:
        if "Circular" not in str(error):
            raise
        raise ConfigError("an alias (*) stands inside of what it names") from None
    return parsed


def load_benchmark(
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> Benchmark:
    """The benchmark of the config file `path`, with `overrides` (nested mapping) laid over it first.

    `assignments` (`key.path=value`, see `parse_override`) are laid over that, one after the other.
    """
    raw = read_yaml(path)
    changes = _changes(raw, overrides or {}, assignments)
    return replace(resolve(merge(raw, changes)), changes=changes)


def load_dataset(path: Path, name: str, assignments: Sequence[str] = ()) -> DatasetSpec:
    """One dataset of the config file `path`, whether or not the experiments that use it fit it."""
    raw = read_yaml(path)
    document, overlay = _read_document(merge(raw, _changes(raw, {}, assignments)))
    if name not in document.datasets:
        raise ConfigError(f"datasets.{name}: no such dataset{nearest(name, document.datasets)}")
    over = overlay.model_dump(mode="json")["datasets"].get(name, {})
    return _dataset(name, merge(document.datasets[name], over))


def _changes(
    raw: Mapping[str, Any], overrides: Mapping[str, Any], assignments: Sequence[str]
) -> dict[str, Any]:
    """`overrides`, and the assignments laid over them."""
    changes = dict(overrides)
    for assignment in assignments:
        changes = merge(changes, parse_override(assignment, merge(dict(raw), changes)))
    return changes


def parse_override(text: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`a.b=value` (value in YAML) as the nested mapping `{a: {b: value}}`.

    Names of `known` (the configuration) may hold dots: `experiments.lr0.003.seeds` is taken apart by them. A path
    that is a JSON list of texts says by itself where its parts end.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text}: is not of the form key.path=value")
    try:
        parsed: Any = _parsed(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from None
    except ConfigError as error:
        raise ConfigError(f"--set {key}: {error}") from None
    parts: Any = _by_names(key.split("."), known or {})
    if key.startswith("["):
        try:
            parts = json.loads(key)
        except ValueError:
            parts = None
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise ConfigError(f"--set {text}: the path before = is not a JSON list of texts")
    for part in reversed(parts):
        parsed = {part: parsed}
    return dict(parsed)


def _by_names(parts: list[str], known: Mapping[str, Any]) -> list[str]:
    """The parts of a path between its dots, put together where that gives a name: the longest one that there is."""
    path: list[str] = []
    node: Any = known
    while parts:
        names = {str(name) for name in node} if isinstance(node, Mapping) else set()
        if len(path) == 3 and path[0] == "tiers" and isinstance(known.get(path[2]), Mapping):
            # A tier may change what it has not changed yet.
            names |= set(known[path[2]])
        size = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names), 1)
        path.append(".".join(parts[:size]))
        node = node.get(path[-1]) if isinstance(node, Mapping) else None
        parts = parts[size:]
    return path


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
    _known(f"tiers.{document.tier}.datasets", layers["datasets"], document.datasets)
    _known(f"tiers.{document.tier}.methods", layers["methods"], document.methods)
    _known(f"tiers.{document.tier}.experiments", layers["experiments"], document.experiments)
    _known(f"tiers.{document.tier}.tables", layers["tables"], document.tables)
    _known(f"tiers.{document.tier}.figures", layers["figures"], document.figures)
    datasets = {
        name: _dataset(name, merge(entry, layers["datasets"].get(name, {})))
        for name, entry in document.datasets.items()
    }
    experiments = {
        name: _experiment(name, document, layers, datasets) for name in document.experiments
    }
    published = _published(document)
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
