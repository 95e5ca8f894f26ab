"""Experiments in YAML files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from onenet.engine.config.files import flatten, invalid_yaml
from onenet.errors import ConfigError, choose, nearest

from .claims import Claim
from .columns import METRICS
from .experiment import Arm, Experiment, Section, grid

KEYS = ("title", "config_file", "opts", "seeds", "baseline", "arms", "grid", "sections")
SECTION_KEYS = ("title", "text", "arms", "claims")
CLAIM_KEYS = ("text", "arm", "metric", "below", "above")
CONFIG_FILE = "config_file"  # in an arm, beside its config keys


def read_experiment(
    filename: str,
    *,
    seeds: Sequence[int] | None = None,
    opts: Mapping[str, str] | None = None,
) -> Experiment:
    """Read an experiment file; paths in it are relative to it.

    Args:
        filename: YAML with the ``KEYS``, see docs/ablation-lab.md.
        seeds: instead of those of the file.
        opts: config keys over those of the file.

    Raises:
        ConfigError: the file cannot be read, has an unknown key or no arms.
    """
    tree = _load(filename)
    try:
        return _experiment(tree, Path(filename), seeds, opts or {})
    except ConfigError as error:
        raise ConfigError(f"{filename}: {error}") from None


def seeds_of(value: Any) -> tuple[int, ...]:
    """Seeds 1 to N of a number N, or those of a list.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return tuple(range(1, value + 1))
    if isinstance(value, list) and value and all(type(x) is int and x >= 0 for x in value):
        return tuple(value)
    raise ConfigError(
        f"seeds must be a positive number of seeds or a list of them that are not negative, got "
        f"{value!r}."
    )


def _experiment(
    tree: Mapping[str, Any],
    file: Path,
    seeds: Sequence[int] | None,
    opts: Mapping[str, str],
) -> Experiment:
    _check_keys(tree, KEYS, "")
    base = tree.get(CONFIG_FILE)
    common = {**_as_opts(_mapping(tree, "opts")), **opts}
    named = _mapping(tree, "arms").items()
    arms = [_arm(str(label), own, base, file, common) for label, own in named]
    values = {key: _texts(some, f"grid: {key}") for key, some in _mapping(tree, "grid").items()}
    if "grid" in tree and not values:
        raise ConfigError("the grid is empty: name config keys with lists of values.")
    if values:
        arms += grid(_path(base, file, "grid"), values, common)
    return Experiment(
        title=str(tree.get("title", file.stem)),
        arms=tuple(arms),
        seeds=tuple(seeds or seeds_of(tree.get("seeds", 1))),
        baseline=str(tree.get("baseline", arms[0].label if arms else "")),
        sections=tuple(_section(one) for one in tree.get("sections") or ()),
    )


def _arm(label: str, own: Any, base: str | None, file: Path, common: Mapping[str, str]) -> Arm:
    if not isinstance(own or {}, dict):
        raise ConfigError(f'arm "{label}" must hold config keys, got {own!r}.')
    own = dict(own or {})
    config_file = _path(own.pop(CONFIG_FILE, base), file, f'arm "{label}"')
    return Arm(label, config_file, {**common, **_as_opts(own)})


def _path(config_file: Any, file: Path, where: str) -> str:
    if not config_file:
        raise ConfigError(f"{where}: no {CONFIG_FILE}, neither here nor at the top of the file.")
    if not isinstance(config_file, str):
        raise ConfigError(f"{where}: {CONFIG_FILE} must name a file, got {config_file!r}.")
    return os.path.relpath(file.parent / config_file)


def _section(tree: Any) -> Section:
    where = f'section "{tree.get("title", "")}": ' if isinstance(tree, dict) else "section: "
    _check_keys(tree, SECTION_KEYS, where)
    return Section(
        title=str(tree.get("title", "")),
        text=str(tree.get("text", "")).strip(),
        arms=tuple(_texts(tree.get("arms"), f"{where}arms")),
        claims=tuple(_claim(one, where) for one in tree.get("claims") or ()),
    )


def _claim(tree: Any, where: str) -> Claim:
    where = f"{where}claim: "
    _check_keys(tree, CLAIM_KEYS, where)
    bounds = [side for side in ("below", "above") if side in tree]
    missing = [key for key in ("text", "arm", "metric") if key not in tree]
    if missing or len(bounds) != 1:
        raise ConfigError(f"{where}needs text, arm, metric, and either below or above.")
    (side,) = bounds
    bound = tree[side]
    return Claim(
        text=str(tree["text"]),
        arm=str(tree["arm"]),
        metric=choose(f"{where}metric", tree["metric"], [metric.name for metric in METRICS]),
        side=side,
        bound=float(bound) if isinstance(bound, int | float) else str(bound),
    )


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"{key} must be a mapping, got {value!r}.")
    return value


def _texts(values: Any, where: str) -> list[str]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} must be a list that is not empty, got {values!r}.")
    return [str(value) for value in values]


def _as_opts(keys: Mapping[str, Any]) -> dict[str, str]:
    """Config keys, flat or in sections as in a config file, as on a command line."""
    return {key: str(value) for key, value in flatten(keys)}


def _check_keys(tree: Any, valid: Sequence[str], where: str) -> None:
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}expected the keys {', '.join(valid)}, got {tree!r}.")
    for key in tree:
        if key not in valid:
            raise ConfigError(f'{where}unknown key "{key}".{nearest(key, valid)}')


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice, of which YAML would silently keep the last."""


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.MarkedYAMLError(
                problem=f'the key "{key}" occurs twice', problem_mark=node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def _load(filename: str) -> dict[str, Any]:
    try:
        with open(filename, encoding="utf-8") as file:
            tree = yaml.load(file, _UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f'cannot read experiment file "{filename}": {error.strerror}.') from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise invalid_yaml(filename, "a valid experiment", error) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{filename} holds no experiment: expected the keys {', '.join(KEYS)}.")
    return tree
