"""What the programs have in common on their command lines."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable


def program_parser(description: str) -> ArgumentParser:
    """A parser whose help begins with the lines of ``description`` as they are."""
    return ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)


def add_opts(parser: ArgumentParser, nargs: str = REMAINDER) -> None:
    """Add ``opts``, the keys and values that override the config, behind all other arguments."""
    parser.add_argument("opts", nargs=nargs, metavar="KEY VALUE", help="override the config")


def at_least(least: int) -> Callable[[str], int]:
    """The type of whole numbers from ``least`` on, for ``ArgumentParser.add_argument``."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise ArgumentTypeError(f"{text} is below {least}")
        return value

    return whole_number


def add_assignment_inputs(parser: ArgumentParser) -> None:
    """Add what a program that looks at label assignment is told: images, rules and weights."""
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--input", nargs="+", required=True, help="a registered dataset, or images and folders"
    )
    parser.add_argument("--annotations", metavar="FILE", help="COCO json of these images")
    parser.add_argument(
        "--assigners",
        nargs="+",
        metavar="NAME[:KEY=VALUE,...]",
        help="keys are those below MODEL.OneNet, default: the assigner of the config",
    )
    parser.add_argument("--weights", metavar="FILE", help="of a trained model, default: untrained")
