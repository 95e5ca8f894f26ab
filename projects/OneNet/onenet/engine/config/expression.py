"""Arithmetic in config files, worked out without ``eval``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ConfigError

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def evaluate(text: str) -> Any:
    """Evaluate numbers, strings, lists, arithmetic and list comprehensions; nothing else.

    Args:
        text: a Python expression, such as ``[[x, x * 2**0.5] for x in [32, 64]]``.

    Raises:
        ConfigError: it is no expression, or it holds anything else, such as a call.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, {})
    except (SyntaxError, TypeError, ArithmeticError) as error:
        raise ConfigError(f'cannot evaluate "{text}": {error}') from None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.List(elts=items):
            return [_value(item, names) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item, names) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.ListComp(
            elt=element,
            generators=[ast.comprehension(target=ast.Name(id=name), iter=items, ifs=[])],
        ):
            return [_value(element, {**names, name: item}) for item in _value(items, names)]
    raise ConfigError(f'"{ast.unparse(node)}" is more than arithmetic, which a config may not hold')
