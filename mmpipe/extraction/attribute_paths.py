"""XPath expressions that ask for tags and attributes, evaluated in Python with memory: same elements, less time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, product
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from lxml.etree import XPath, _Element

_NAMESPACES = {"re": "http://exslt.org/regular-expressions"}

#: Whether an element matches, by the values of its attributes (None: it lacks one) and what each pair stands for.
_Test = Callable[..., object]

#: Verdicts that one step remembers: a page has some two hundred classes, and pages of a site share them.
_MOST_VERDICTS = 20_000


class UnknownPath(ValueError):
    """An expression asks for more than tags, attributes and single positions."""


@dataclass(slots=True)
class AttributePath:
    """A compiled expression: called like `lxml.etree.XPath`, it returns the same elements.

    libxml2 calls back into Python for every regular expression of every element; here an element's verdict is known
    from the values of its attributes, most of which were seen before.
    """

    expression: XPath
    steps: list[Step]

    def __call__(self, tree: _Element) -> list[_Element]:
        """Return the matching descendants of an element, itself left out, in document order."""
        found = [elements for step in self.steps if (elements := step.find(tree))]
        if len(found) > 1:
            together = set().union(*found)
            return [element for element in tree.iterdescendants("*") if element in together]
        return found[0] if found else []

    def __str__(self) -> str:
        return str(self.expression)


@dataclass(slots=True)
class Step:
    """One `.//*[...]`.

    Attributes:
        tags: tags of the descendants asked; empty: any.
        names: attributes that decide.
        pairs: pairs of them, by place in `names`, as in `@id|@class`: the one that comes first in the source stands for
            both, since a node-set's string is its first node's (XPath 1.0, section 4.2).
        test: whether an element with these values matches; None: each of the tags does.
        rest: predicates that ask for more, for those that passed the test.
        only: `first` for the first match alone, `first of parent` for that of each parent.
    """

    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    test: _Test | None = None
    rest: XPath | None = None
    only: str = ""
    _verdicts: dict[tuple[str | None, ...], bool | None] = field(default_factory=dict, repr=False)

    def find(self, tree: _Element) -> list[_Element]:
        """Return the matching descendants of an element."""
        found = self._find(tree)
        if self.rest is not None:
            found = filter(self.rest, found)
        if self.only == "first of parent":
            firsts: dict[_Element | None, _Element] = {}
            for element in found:
                firsts.setdefault(element.getparent(), element)
            return list(firsts.values())
        return list(islice(found, 1) if self.only else found)

    def _find(self, tree: _Element) -> Iterator[_Element]:
        elements = tree.iterdescendants(*self.tags or "*")
        if self.test is None:
            yield from elements
            return
        verdicts, names = self._verdicts, self.names
        if len(verdicts) > _MOST_VERDICTS:
            verdicts.clear()
        for element in elements:
            key = tuple(map(element.get, names))
            verdict = verdicts.get(key)
            if verdict is None:
                if key not in verdicts:
                    verdict = verdicts[key] = self._judge(key)
                if verdict is None:
                    order = [*element.keys(), *names]
                    verdict = self._test(key, [min(pair, key=lambda at: order.index(names[at])) for pair in self.pairs])
            if verdict:
                yield element

    def _judge(self, key: tuple[str | None, ...]) -> bool | None:
        """Return the verdict on an element's values, None where it depends on the order of its attributes."""
        orders = [pair if None not in (key[pair[0]], key[pair[1]]) else pair[:1] for pair in self.pairs]
        verdicts = {self._test(key, firsts) for firsts in product(*orders)}
        return verdicts.pop() if len(verdicts) == 1 else None

    def _test(self, key: tuple[str | None, ...], firsts: Sequence[int]) -> bool:
        assert self.test is not None
        if not firsts:
            return bool(self.test(*key))
        seconds = [pair[pair[0] == first] for pair, first in zip(self.pairs, firsts, strict=True)]
        return bool(
            self.test(*key, *(key[b] if key[a] is None else key[a] for a, b in zip(firsts, seconds, strict=True)))
        )


def compile_path(expression: XPath) -> AttributePath:
    """Return an expression as one that is evaluated with memory.

    Args:
        expression: of the form `.//a`, `.//*[...]`, either with `[1]` behind it or behind brackets around it, or a
            union of such.

    Raises:
        UnknownPath: it has another form, or its first predicates ask for more than tags and attributes.
    """
    return AttributePath(expression, _Reader(expression.path).read_union())


_TOKEN = re.compile(r"\s*('[^']*'|\"[^\"]*\"|\.//|self::|re:test|[A-Za-z_][\w.-]*|[0-9]+|[@()\[\],=|*])")


class _Reader:
    """Reads the part of XPath 1.0 that an AttributePath can be."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.tokens: list[str] = []
        self.ends: list[int] = [0]
        text = path.rstrip()
        while self.ends[-1] < len(text):
            match = _TOKEN.match(text, self.ends[-1])
            if match is None:
                self.give_up(text[self.ends[-1] :])
            self.tokens.append(match[1])
            self.ends.append(match.end())
        self.at = 0
        self.names: list[str] = []
        self.pairs: list[tuple[int, int]] = []
        self.searches: list[Callable[[str], object]] = []

    def give_up(self, part: str) -> NoReturn:
        raise UnknownPath(f"no attribute path can say {part.strip()!r}: {self.path}")

    def peek(self, *tokens: str) -> bool:
        return self.tokens[self.at : self.at + len(tokens)] == list(tokens)

    def take(self, *tokens: str) -> bool:
        """Step over these tokens if they come next."""
        is_next = self.peek(*tokens)
        self.at += len(tokens) * is_next
        return is_next

    def next(self) -> str:
        if self.at == len(self.tokens):
            self.give_up("its end")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, token: str) -> None:
        if not self.take(token):
            self.give_up(f"{self.path[self.ends[self.at] :]} for {token}")

    def read_union(self) -> list[Step]:
        steps = [self.read_step()]
        while self.take("|"):
            steps.append(self.read_step())
        if self.at < len(self.tokens):
            self.give_up(self.path[self.ends[self.at] :])
        return steps

    def read_step(self) -> Step:
        self.names, self.pairs, self.searches = [], [], []
        is_bracketed = self.take("(")
        self.expect(".//")
        name = self.next()
        tags = self.take_tags() if name == "*" else (name,)
        only, rest = "", ""
        tests: list[str] = []
        while self.peek("[") and not only:
            start = self.at
            if self.take("[", "1", "]"):
                only = "first of parent"
                continue
            try:
                self.expect("[")
                tests.append(self.read_or())
                self.expect("]")
            except UnknownPath:
                # what asks for more than attributes is left to libxml2, and comes last
                if not tests:
                    raise
                self.at = self.find_end(start)
                rest += self.path[self.ends[start] : self.ends[self.at]]
        if is_bracketed:
            for token in (")", "[", "1", "]"):
                self.expect(token)
            only = "first"
        return Step(tags, tuple(self.names), tuple(self.pairs), self.compile(tests), _compile_rest(rest), only)

    def compile(self, tests: list[str]) -> _Test | None:
        """Return a function of the values of `names` and `pairs`; written out, it runs five times as fast as nested."""
        if not tests:
            return None
        values = [f"v{at}" for at in range(len(self.names))] + [f"p{at}" for at in range(len(self.pairs))]
        source = f"lambda {', '.join(values)}: {' and '.join(tests)}"
        searches = {f"search{at}": search for at, search in enumerate(self.searches)}
        test: _Test = eval(source, searches)  # noqa: S307  made above of names, marks and quoted literals
        return test

    def find_end(self, start: int) -> int:
        depth = 0
        for at in range(start, len(self.tokens)):
            depth += {"[": 1, "]": -1}.get(self.tokens[at], 0)
            if not depth:
                return at + 1
        return self.give_up("[")

    def take_tags(self) -> tuple[str, ...]:
        """Step over a predicate that is nothing but `self::a or self::b`."""
        start = self.at
        tags: list[str] = []
        while self.take("[" if not tags else "or", "self::"):
            tags.append(self.next())
        if tags and self.take("]"):
            return tuple(tags)
        self.at = start
        return ()

    def read_or(self) -> str:
        """Return Python source for a disjunction, as the methods below for their parts."""
        tests = [self.read_and()]
        while self.take("or"):
            tests.append(self.read_and())
        return f"({' or '.join(tests)})"

    def read_and(self) -> str:
        tests = [self.read_term()]
        while self.take("and"):
            tests.append(self.read_term())
        return f"({' and '.join(tests)})"

    def read_term(self) -> str:
        is_not = self.take("not")
        if self.take("("):
            test = self.read_or()
            self.expect(")")
            return f"(not {test})" if is_not else test
        return self.read_comparison() if self.peek("@") else self.read_function()

    def read_comparison(self) -> str:
        value = self.read_attribute()
        return f"{value} == {self.read_literal()!r}" if self.take("=") else f"{value} is not None"

    def read_function(self) -> str:
        name = self.next()
        if name not in ("re:test", "contains", "starts-with"):
            self.give_up(name)
        self.expect("(")
        string = self.read_string()
        self.expect(",")
        literal = self.read_literal()
        flags = self.read_literal() if name == "re:test" and self.take(",") else ""
        self.expect(")")
        if name == "contains":
            return f"{literal!r} in {string}"
        if name == "starts-with":
            return f"{string}.startswith({literal!r})"
        if flags not in ("", "i"):
            self.give_up(f"the flags {flags}")
        self.searches.append(lru_cache(_MOST_VERDICTS)(re.compile(literal, re.IGNORECASE if flags else 0).search))
        return f"search{len(self.searches) - 1}({string})"

    def read_string(self) -> str:
        if self.take("translate", "("):
            source = self.read_string()
            self.expect(",")
            old = self.read_literal()
            self.expect(",")
            new = self.read_literal()
            self.expect(")")
            if len(old) != len(new) or len(set(old)) < len(old):
                self.give_up("this translate")
            return f"{source}.translate({str.maketrans(old, new)!r})"
        value = self.read_attribute()
        if self.take("|"):
            pair = (int(value[1:]), int(self.read_attribute()[1:]))
            if pair not in self.pairs:
                self.pairs.append(pair)
            value = f"p{self.pairs.index(pair)}"
        return f"({value} or '')"

    def read_attribute(self) -> str:
        self.expect("@")
        name = self.next()
        if name not in self.names:
            self.names.append(name)
        return f"v{self.names.index(name)}"

    def read_literal(self) -> str:
        token = self.next()
        if token[0] not in "\"'":
            self.give_up(token)
        return token[1:-1]


def _compile_rest(predicates: str) -> XPath | None:
    from lxml.etree import XPath

    return XPath(f"boolean(self::*{predicates})", namespaces=_NAMESPACES) if predicates else None
