"""What is compared: arms, each a config, and the seeds that each is trained with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onenet.errors import ConfigError, nearest

from .claims import Claim

_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'"
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.+=,-]+")
# The plan sets these for each run.
RESERVED = {"SEED": "--seeds", "OUTPUT_DIR": "--output"}


@dataclass(frozen=True)
class Arm:
    """One of the configs that are compared.

    Attributes:
        label: what it is called in the report.
        config_file: a YAML file.
        opts: config key -> value as on a command line, over the file.
    """

    label: str
    config_file: str
    opts: Mapping[str, str]

    @property
    def folder(self) -> str:
        """Its label as the name of a folder."""
        return _NOT_IN_FILE_NAMES.sub("_", self.label).strip("_.") or "_"


@dataclass(frozen=True)
class Section:
    """Arms that belong beside each other, and what is claimed of them."""

    title: str
    text: str
    arms: tuple[str, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Experiment:
    """What shall be trained and compared.

    Attributes:
        title: of the report.
        arms: at least one, with labels of their own.
        seeds: at least one.
        baseline: label of the arm that the others are compared with.
        sections: of the report; may be empty.

    Raises:
        ConfigError: on creation, where these do not fit each other.
    """

    title: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    baseline: str
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        if not self.arms:
            raise ConfigError("the experiment has no arms: name at least one under arms or grid.")
        if not self.seeds:
            raise ConfigError("the experiment has no seeds: give a number of seeds, such as 3.")
        labels = [arm.label for arm in self.arms]
        _check_distinct(labels, "label")
        _check_distinct([arm.folder for arm in self.arms], "folder")
        _check_distinct(self.seeds, "seed")
        for arm in self.arms:
            for key in RESERVED.keys() & arm.opts.keys():
                raise ConfigError(f'arm "{arm.label}": {key} is set by {RESERVED[key]}.')
        _check_label("baseline", self.baseline, labels)
        for section in self.sections:
            for label in [*section.arms, *(x for claim in section.claims for x in claim.arms)]:
                _check_label(f'section "{section.title}"', label, labels)


@dataclass(frozen=True)
class Run:
    """One training of an arm."""

    arm: Arm
    seed: int
    output_dir: Path

    @property
    def name(self) -> str:
        return f"{self.arm.label}, seed {self.seed}"

    @property
    def opts(self) -> list[str]:
        """``[KEY, VALUE, KEY, VALUE, ...]`` of its command line."""
        opts = {**self.arm.opts, "SEED": str(self.seed), "OUTPUT_DIR": str(self.output_dir)}
        return list(itertools.chain.from_iterable(opts.items()))


def plan(experiment: Experiment, output: Path) -> list[Run]:
    """All runs, in the order in which a first comparison is ready soonest: seed after seed."""
    return [
        Run(arm, seed, output / arm.folder / f"seed{seed}")
        for seed in experiment.seeds
        for arm in experiment.arms
    ]


def parse_vary(text: str) -> tuple[str, list[str]]:
    """Read ``KEY=V1,V2,...``; commas inside brackets or quotes do not separate.

    Raises:
        ConfigError: there is no key, or no value.
    """
    key, equals, values = text.partition("=")
    if not key or not equals:
        raise ConfigError(f'--vary "{text}": expected KEY=V1,V2,...')
    found = _split(values)
    if not all(found):
        raise ConfigError(f'--vary "{text}": {key} has an empty value; expected KEY=V1,V2,...')
    return key, found


def grid(
    config_file: str,
    values: Mapping[str, Sequence[str]],
    opts: Mapping[str, str] | None = None,
    *,
    together: bool = False,
) -> list[Arm]:
    """An arm for every combination of the values of some keys.

    Args:
        config_file: of all arms.
        values: config key -> its values.
        opts: further keys of all arms.
        together: not every combination, but the first values of all keys, the second ones, ...

    Raises:
        ConfigError: a key has no values, or with ``together`` not as many as the others.
    """
    for key, some in values.items():
        if not some:
            raise ConfigError(f"{key} has no values: the grid is empty.")
        if not together:
            _check_distinct(some, f"value of {key}")
    lengths = {key: len(some) for key, some in values.items()}
    if together and len(set(lengths.values())) > 1:
        raise ConfigError(f"keys that vary together need as many values each, got {lengths}.")
    combine = zip if together else itertools.product
    names = _short_names(values)
    return [
        Arm(
            ", ".join(f"{names[key]}={value}" for key, value in zip(values, chosen, strict=True)),
            config_file,
            {**(opts or {}), **dict(zip(values, chosen, strict=True))},
        )
        for chosen in combine(*values.values())
    ]


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last two parts of each key, or all of it where that is not enough to tell them apart."""
    short = {key: ".".join(key.split(".")[-2:]) for key in keys}
    names = list(short.values())
    return {key: name if names.count(name) == 1 else key for key, name in short.items()}


def _split(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for char in text:
        if char in _QUOTES and quote in ("", char):
            quote = "" if quote else char
        if not quote:
            depth += (char in _OPENING) - (char in _CLOSING)
        if char == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _check_distinct(values: Sequence, what: str) -> None:
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f'{what} "{value}" occurs twice; each needs one of its own.')


def _check_label(where: str, label: str, labels: Sequence[str]) -> None:
    if label not in labels:
        raise ConfigError(f'{where}: there is no arm "{label}".{nearest(label, labels)}')
