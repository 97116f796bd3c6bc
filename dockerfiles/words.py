"""Variables in the words of a Dockerfile, as BuildKit expands them.

Source: "Environment replacement" in Docker's Dockerfile reference, and BuildKit's `frontend/dockerfile/shell`.
"""

from collections.abc import Mapping

from dockerfiles.cut import InvalidCut, replaced, without_prefix, without_suffix

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""White space by Go's `unicode.IsSpace`. Python counts some control characters, too."""

DEPTH = 100
"""How deep `${A:-${B:-…}}` may go. BuildKit has no limit, Python's stack has one."""

LENGTH = 1 << 20
"""The most characters that the variables of a word may stand for, since a few lines can double a text many times."""


class InvalidWord(ValueError):
    """BuildKit would refuse a word. The text says why.

    A quote or a brace lacks its end, or `${NAME:?}` lacks a value.
    """


class TooDeep(InvalidWord):
    """Variables are nested deeper than `DEPTH`."""


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A word with its quotes removed and its variables replaced.

    Args:
        word: as it stands in the Dockerfile.
        variables: the known variables. Others are empty.
        escape: the Dockerfile's escape character.

    Raises:
        InvalidWord: BuildKit would refuse the word.
    """
    return _Reader(word, escape, variables).read()


def split(line: str, *, keep_quotes: bool, keep_escapes: bool) -> list[str]:
    """The words of a line, whose variables are left as they are.

    Args:
        line: the text.
        keep_quotes: whether quotes stay in the words.
        keep_escapes: whether the escape character, a backslash here, stays in the words.

    Raises:
        InvalidWord: BuildKit would refuse the line.
    """
    reader = _Reader(line, "\\", None, keep_quotes=keep_quotes, keep_escapes=keep_escapes)
    reader.read()
    return reader.words


class _Reader:
    """Reads from left to right: the text as a whole, and the words in it."""

    def __init__(
        self,
        text: str,
        escape: str,
        variables: Mapping[str, str] | None,
        *,
        keep_quotes: bool = False,
        keep_escapes: bool = False,
    ) -> None:
        """Begin with a text. Without `variables`, they are left as they are."""
        self._text = text.removeprefix("\ufeff")
        self._at = 0
        self._escape = escape
        self._variables = variables
        self._keep_quotes = keep_quotes
        self._keep_escapes = keep_escapes
        self._depth = 0
        self._length = 0
        self.words: list[str] = []
        self._word: list[str] = []
        """The word that is being read, in pieces: adding to a long text would copy it."""

    def read(self) -> str:
        """The whole text."""
        text: list[str] = []
        while self._at < len(self._text):
            piece, literal = self._piece()
            text.append(piece)
            if literal:
                self._word.append(piece)
                continue
            for character in piece:
                if character not in SPACES:
                    self._word.append(character)
                else:
                    self._end_word()
        self._end_word()
        return "".join(text)

    def _end_word(self) -> None:
        if word := "".join(self._word):
            self.words.append(word)
        self._word.clear()

    def _read_up_to(self, end: str, *, keep_escapes: bool = False) -> str:
        """The text ahead of the character `end`, which is passed over."""
        # BuildKit has one buffer for the word, which a text in braces clears.
        self._word.clear()
        before, self._keep_escapes = self._keep_escapes, keep_escapes
        text: list[str] = []
        while self._at < len(self._text):
            if self._peek() == end:
                self._at += 1
                self._keep_escapes = before
                return "".join(text)
            text.append(self._piece()[0])
        raise InvalidWord(f"a {end} is missing")

    def _piece(self) -> tuple[str, bool]:
        """What the next characters stand for, and whether white space in it belongs to the word."""
        character = self._next()
        if character == "'":
            return self._single_quoted(), True
        if character == '"':
            return self._double_quoted(), True
        if character == "$":
            return self._variable(), False
        if character == self._escape:
            return (character if self._keep_escapes else "") + self._next(), True
        return character, False

    def _next(self) -> str:
        """The next character, which is passed over; empty at the end."""
        character = self._peek()
        self._at += 1
        return character

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _quote(self, character: str) -> str:
        return character if self._keep_quotes else ""

    def _single_quoted(self) -> str:
        """Nothing is replaced in single quotes."""
        start = self._at
        end = self._text.find("'", start)
        if end < 0:
            raise InvalidWord("a ' is missing")
        self._at = end + 1
        return self._quote("'") + self._text[start:end] + self._quote("'")

    def _double_quoted(self) -> str:
        text = [self._quote('"')]
        while self._at < len(self._text):
            character = self._next()
            if character == '"':
                return "".join([*text, self._quote('"')])
            if character == "$":
                text.append(self._variable())
            elif character == self._escape:
                text.append(character if self._keep_escapes else "")
                if self._peek() in {'"', "$", self._escape}:
                    character = self._next()
                text.append(character)
            else:
                text.append(character)
        raise InvalidWord('a " is missing')

    def _variable(self) -> str:
        if self._peek() != "{":
            name = self._name()
            if not name or self._variables is None:
                return f"${name}"
            return self._value(name) or ""
        self._at += 1
        if self._peek() in {"", "{", "}", ":"}:
            raise InvalidWord("${ needs the name of a variable")
        self._depth += 1
        if self._depth > DEPTH:
            raise TooDeep(f"variables are nested more than {DEPTH} deep")
        name = self._name()
        operator = self._next()
        if operator == "}":
            text = f"${{{name}}}" if self._variables is None else self._value(name) or ""
        elif operator == "/":
            text = self._replaced(name)
        else:
            text = self._by_operator(name, operator)
        self._depth -= 1
        return text

    def _by_operator(self, name: str, operator: str) -> str:
        """What `${NAME:-other}` and its kin stand for, read from behind the operator's first character."""
        empty_counts = operator != ":"
        written = operator
        if operator == ":":
            operator = self._next()
            written += operator
            if operator in {"#", "%"}:
                operator = ""
        elif operator not in {"-", "+", "?", "#", "%"}:
            operator = ""
        if not operator:
            raise InvalidWord(f"${{{name}{written} is no expression")
        other = self._read_up_to("}", keep_escapes=operator in {"#", "%"})
        if self._variables is None:
            return f"${{{name}{written}{other}}}"
        value = self._value(name)
        is_set = value is not None and (empty_counts or value != "")
        if operator == "-":
            return value or "" if is_set else other
        if operator == "+":
            return other if is_set else ""
        if operator == "?":
            if not is_set:
                raise InvalidWord(f"the variable {name} has no value")
            return value or ""
        if operator in {"#", "%"}:
            longest = other.startswith(operator)
            cut = without_prefix if operator == "#" else without_suffix
            try:
                return cut(value or "", other[1:] if longest else other, longest=longest)
            except InvalidCut as error:
                raise InvalidWord(f"${{{name}{written}: {error}") from None
        raise InvalidWord(f"${{{name}{written} is no expression")

    def _replaced(self, name: str) -> str:
        """What `${NAME/pattern/replacement}` stands for, and `${NAME//pattern/replacement}`."""
        everywhere = self._peek() == "/"
        if everywhere:
            self._at += 1
        pattern = self._read_up_to("/", keep_escapes=True)
        replacement = self._read_up_to("}", keep_escapes=True)
        if self._variables is None:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return replaced(self._value(name) or "", pattern, replacement, everywhere=everywhere)
        except InvalidCut as error:
            raise InvalidWord(f"${{{name}/: {error}") from None

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name) if self._variables is not None else None
        self._length += len(value or "")
        if self._length > LENGTH:
            raise InvalidWord(f"its variables have more than {LENGTH} characters")
        return value

    def _name(self) -> str:
        """The longest name from here; like a shell's, `$1` and `$$` have names, too."""
        start = self._at
        if self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif self._peek() in set("@*#?-$!"):
            self._at += 1
        else:
            while (character := self._peek()) == "_" or character.isalpha() or character.isdecimal():
                self._at += 1
        return self._text[start : self._at]
