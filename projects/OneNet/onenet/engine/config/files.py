"""Config files and overrides, with errors that name the file, the key and the remedy."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any

import yaml
from detectron2.config import CfgNode

from ...errors import ConfigError, nearest
from .expression import evaluate

# How the official RetinaNet configs spell their anchor sizes.
_EVAL_TAG = re.compile(r"""!!python/object/apply:eval \[(["'])(.*)\1\]""")
_SIMILAR = 0.6  # least similarity of two names that may be one misspelt, as difflib has it


def merge_file(cfg: CfgNode, filename: str) -> None:
    """Merge a YAML file, with the files that it names as its ``_BASE_``, into ``cfg``.

    No code in the file is run: of YAML's Python tags, only arithmetic in an ``eval`` is understood.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value does not fit.
    """
    loaded = _ConfigFile.load_yaml_with_base(filename)
    if loaded.get("VERSION", cfg.VERSION) != cfg.VERSION:
        raise ConfigError(
            f"{filename}: VERSION {loaded['VERSION']} is not supported, only {cfg.VERSION}."
        )
    _merge(cfg, flatten(loaded), f"{filename}: ")


def merge_list(cfg: CfgNode, opts: list[str]) -> None:
    """Merge ``[KEY, VALUE, KEY, VALUE, ...]`` of a command line into ``cfg``.

    Raises:
        ConfigError: the list does not consist of pairs, or a key or value does not fit.
    """
    flags = [opt for opt in opts[::2] if opt.startswith("-")]
    if flags:
        raise ConfigError(f'"{flags[0]}" must stand before the KEY VALUE pairs.')
    if len(opts) % 2:
        raise ConfigError(f'"{opts[-1]}" has no value: the command line ends with KEY VALUE pairs.')
    _merge(cfg, zip(opts[::2], opts[1::2], strict=True), "")


class _ConfigFile(CfgNode):
    """Reads one config file after the other, down to the last ``_BASE_``."""

    @classmethod
    def _open_cfg(cls, filename: str) -> io.StringIO:
        with super()._open_cfg(filename) as file:
            return io.StringIO(_EVAL_TAG.sub(lambda m: repr(evaluate(m[2])), file.read()))

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        try:
            loaded = super().load_yaml_with_base(filename, allow_unsafe=False)
        except FileNotFoundError:
            folder, name = os.path.split(filename)
            there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
            files = [file for file in there if file.endswith(".yaml")]
            hint = nearest(name, files) if files else ""
            raise ConfigError(f'config file "{filename}" does not exist.{hint}') from None
        except OSError as error:
            raise ConfigError(f'cannot read config file "{filename}": {error.strerror}.') from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise invalid_yaml(filename, "valid YAML", error) from None
        except AssertionError as error:  # a section here is a value in its _BASE_
            raise ConfigError(f"{filename}: {error}") from None
        except RecursionError:
            raise ConfigError(f"{filename}: the files named as _BASE_ go in a circle.") from None
        except TypeError:  # it looks for keys in what is not a mapping
            loaded = None
        if not isinstance(loaded, dict):
            raise ConfigError(f"{filename} does not hold config keys.")
        return loaded


def invalid_yaml(filename: str, wanted: str, error: Exception) -> ConfigError:
    """The error of a file that is not ``wanted``, with the line, if it is known, and the reason."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}," if mark else ""
    why = " ".join(str(getattr(error, "problem", None) or error).split())
    return ConfigError(f"{filename}{line} is not {wanted}: {why}.")


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of a config with their sections, as on a command line, and their values."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _merge(cfg: CfgNode, pairs: Iterable[tuple[str, Any]], source: str) -> None:
    for key, value in pairs:
        try:
            cfg.merge_from_list([key, value])
        except (AssertionError, KeyError, TypeError):
            raise ConfigError(
                f"{source}there is no config key {key}.{_similar(key, cfg)}"
            ) from None
        except ValueError:
            _merge_whole_number(cfg, key, value, source)


def _merge_whole_number(cfg: CfgNode, key: str, value: Any, source: str) -> None:
    """Second try for a value of another type than the key's: 1 is as good as 1.0."""
    node = cfg
    for name in key.split("."):
        node = node[name]
    try:
        if not isinstance(node, float) or isinstance(value, bool):
            raise ValueError
        cfg.merge_from_list([key, float(value)])
    except (TypeError, ValueError):
        section = isinstance(node, CfgNode)
        wanted = "a section of keys" if section else f"a {type(node).__name__} such as {node!r}"
        raise ConfigError(f"{source}{key} must be {wanted}, got {value!r}.") from None


def _similar(key: str, cfg: CfgNode) -> str:
    """What to say after an unknown key."""
    parent, _, name = key.rpartition(".")
    keys = [valid for valid, _ in flatten(cfg)]
    if parent in keys:
        return f" {parent} is a value, not a section."
    names = [valid.rpartition(".")[2] for valid in keys]
    similar = [valid for valid, other in zip(keys, names, strict=True) if _close(name, other)]
    if similar:
        return nearest(key, similar)
    siblings = [valid for valid in keys if valid.startswith(f"{parent}.")]
    return nearest(name, [valid.removeprefix(f"{parent}.") for valid in siblings] or cfg)


def _close(a: str, b: str) -> bool:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio() > _SIMILAR
