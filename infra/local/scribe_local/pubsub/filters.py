"""Which messages a subscription wants: https://cloud.google.com/pubsub/docs/subscription-message-filter"""

import re
from collections.abc import Callable, Mapping

from scribe_local.pubsub.refusal import invalid

MAX_FILTER = 256
Filter = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(!=|[=:.,()])|(-(?=\s*attributes)|[A-Za-z0-9_-]+))')


def parse(text: str) -> Filter:
    """A filter of a message's attributes; raises `Refusal`."""
    if len(text.encode()) > MAX_FILTER:
        raise invalid(f"The filter is longer than {MAX_FILTER} bytes.")
    parser = _Parser(text)
    found = parser.either()
    parser.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if not match:
                raise self._wrong()
            self._tokens.append(match[1] or match[2] or match[3])
            place = match.end()

    def either(self) -> Filter:
        """One condition, or several joined by AND or by OR, but not by both without parentheses."""
        terms, word = [self._negated()], ""
        while self._peek() in {"AND", "OR"}:
            joint = self._next()
            if word and joint != word:
                raise self._wrong()
            word = joint
            terms.append(self._negated())
        if len(terms) == 1:
            return terms[0]
        joined = any if word == "OR" else all
        return lambda attributes: joined(term(attributes) for term in terms)

    def end(self) -> None:
        if self._tokens:
            raise self._wrong()

    def _negated(self) -> Filter:
        if self._peek() in {"NOT", "-"}:
            self._next()
            inner = self._negated()
            return lambda attributes: not inner(attributes)
        return self._single()

    def _single(self) -> Filter:
        word = self._next()
        if word == "(":
            inner = self.either()
            self._expect(")")
            return inner
        if word == "hasPrefix":
            self._expect("(")
            key = self._attribute()
            self._expect(",")
            prefix = self._string()
            self._expect(")")
            return lambda attributes: key in attributes and attributes[key].startswith(prefix)
        if word != "attributes":
            raise self._wrong()
        return self._comparison()

    def _comparison(self) -> Filter:
        if self._peek() == ":":
            self._next()
            name = self._key()
            return lambda attributes: name in attributes
        self._expect(".")
        key, operator = self._key(), self._next()
        if operator not in {"=", "!="}:
            raise self._wrong()
        value = self._string()
        if operator == "=":
            return lambda attributes: key in attributes and attributes[key] == value
        return lambda attributes: key not in attributes or attributes[key] != value

    def _attribute(self) -> str:
        self._expect("attributes")
        self._expect(".")
        return self._key()

    def _key(self) -> str:
        token = self._next()
        return _unquoted(token) if token.startswith('"') else token

    def _string(self) -> str:
        token = self._next()
        if not token.startswith('"'):
            raise self._wrong()
        return _unquoted(token)

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise self._wrong()

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _next(self) -> str:
        if not self._tokens:
            raise self._wrong()
        return self._tokens.pop(0)

    def _wrong(self) -> Exception:
        return invalid(f"Invalid filter: {self._text}")


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1])
