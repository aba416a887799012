"""The language of ``--where``: conditions on images in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, cast

from shoal_client.errors import InvalidExpression
from shoal_client.filters import conditions
from shoal_client.filters.conditions import Misread, Word
from shoal_client.filters.image_filter import ImageFilter

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

#: More than a person writes; it keeps what is built from an expression small.
MAX_LENGTH = 10_000
#: The API takes 16 filters within one another; some conditions are two or three.
MAX_DEPTH = 12
#: The API takes 1000 filters in all; the plain options of a command are a few.
MAX_CONDITIONS = 900
#: Characters of an expression shown around a mistake.
_SHOWN = 36

#: The grammar's terminals in words.
_TERMINALS = {
    "NAME": "a word",
    "STRING": "a text in quotes",
    "OPERATOR": "a comparison (=, !=, <, <=, >, >=)",
    "_AND": "and",
    "_OR": "or",
    "_NOT": "not",
    "_IN": "in",
    "_HAS": "has",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "$END": "the end",
}


def where(expression: str) -> ImageFilter:
    """The filter that an expression means.

        where('camera = "Canon EOS 40D" and (iso >= 800 or tag = night) and not cluster = 3')

    Comparisons: ``tag``, ``camera``, ``make``, ``lens``, ``format`` with ``=``, ``!=`` and ``in (..., ...)``;
    ``cluster``, ``theme``, ``place``, ``moment`` likewise, with ids; ``iso``, ``f_number``, ``exposure``,
    ``focal_length``, ``width``, ``height``, ``bytes``, ``altitude``, ``orientation``, ``frames`` and the times
    ``captured`` and ``ingested`` with ``<``, ``<=``, ``>``, ``>=`` as well. ``captured in 2019-05`` is within that
    month, and ``captured > 2019-05`` after it. ``attr.KEY`` compares an attribute: 5 is found as a number and as a
    text, "5" as a text only. ``has attr.KEY``, ``has location``, ``unclustered``, ``near(LAT, LON, 2km)``,
    ``box(SOUTH, WEST, NORTH, EAST)`` and ``polygon(LAT LON, LAT LON, LAT LON)`` stand alone. What has blanks in it
    stands in quotes.

    Raises:
        InvalidExpression: it is none; says where and what can stand there.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if len(expression) > MAX_LENGTH:
        raise InvalidExpression(
            f"the expression has {len(expression)} characters; at most {MAX_LENGTH} are read", "", 0
        )
    try:
        chosen = _meaning(_parser().parse(expression), 0)
    except Misread as error:
        raise _mistake(expression, error.position, str(error)) from None
    except UnexpectedCharacters as error:
        position = error.pos_in_stream or 0
        character = expression[position]
        problem = (
            f"a text that begins with {character} does not end"
            if character in "\"'"
            else f"{character!r} means nothing"
        )
        raise _mistake(expression, position, problem) from None
    except UnexpectedToken as error:
        token = error.token
        ended = token.type == "$END"
        position = len(expression.rstrip()) if ended else token.start_pos or 0
        found = "the expression ends" if ended else f"{str(token)!r} cannot stand here"
        raise _mistake(
            expression, position, f"{found}; expected: {_expected(error.accepts or error.expected)}"
        ) from None
    if (count := _count(chosen)) > MAX_CONDITIONS:
        raise InvalidExpression(
            f"the expression has {count} conditions; at most {MAX_CONDITIONS} are taken: ask for a range, or in parts",
            "",
            0,
        )
    return chosen


@cache
def _parser() -> Lark:
    from lark import Lark

    grammar = resources.files(__package__).joinpath("where.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr")


def _meaning(node: Tree[Token], depth: int) -> ImageFilter:
    """What a part of the expression means; its rules are those of the grammar.

    Raises:
        Misread: nothing.
    """
    from lark import Tree

    trees = [child for child in node.children if isinstance(child, Tree)]
    if depth > MAX_DEPTH:
        first = next(node.scan_values(lambda _: True))
        raise Misread(
            f"the expression is nested more than {MAX_DEPTH} deep; say it with fewer 'not's and parentheses",
            first.start_pos or 0,
        )
    match node.data:
        case "any":
            return ImageFilter(any_of=[_meaning(each, depth + 1) for each in trees])
        case "all":
            return ImageFilter(all_of=[_meaning(each, depth + 1) for each in trees])
        case "no":
            return ~_meaning(trees[0], depth + 1)
    name, *rest = [_word(child) for child in node.children if not isinstance(child, Tree)]
    words = [_words(tree) for tree in trees]
    values = [each[0] for each in words if each]
    match node.data:
        case "compared":
            return conditions.compared(name, rest[0].text, values[0])
        case "within":
            return conditions.compared(name, "=", values[0])
        case "not_within":
            return conditions.compared(name, "!=", values[0])
        case "listed":
            return conditions.listed(name, values)
        case "not_listed":
            return ~conditions.listed(name, values)
        case "area":
            return conditions.area(name, words)
        case "present":
            return conditions.present(name)
    return conditions.flag(name)


def _count(chosen: ImageFilter) -> int:
    """Filters of all levels together."""
    return 1 + sum(map(_count, (*chosen.all_of, *chosen.any_of, *chosen.none_of)))


def _words(tree: Tree[Token]) -> list[Word]:
    """The words of a value or a point; a unit belongs to the word before it."""
    words: list[Word] = []
    for token in cast("list[Token]", tree.children):
        if token.type == "UNIT":
            words[-1] = replace(words[-1], text=f"{words[-1].text} {token}")
        else:
            words.append(_word(token))
    return words


def _word(token: Token) -> Word:
    text = str(token)
    quoted = token.type == "STRING"
    if quoted:
        text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return Word(text, quoted, token.start_pos or 0)


def _expected(terminals: Iterable[str]) -> str:
    known = [words for terminal, words in _TERMINALS.items() if terminal in terminals]
    return f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else "".join(known)


def _mistake(expression: str, position: int, problem: str) -> InvalidExpression:
    """Shows the place in one line, of which the far ends are left out."""
    visible = "".join(each if each.isprintable() else " " for each in expression)
    first = max(0, position - _SHOWN)
    before = f"{'...' if first else ''}{visible[first:position]}"
    after = visible[position : position + _SHOWN]
    more = "..." if position + _SHOWN < len(visible) else ""
    return InvalidExpression(f"character {position + 1}: {problem}", f"{before}{after}{more}", len(before))
