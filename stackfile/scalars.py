"""What an unquoted value in YAML is read as, by the rules of Pulumi's YAML library (go-yaml 3).

They are those of YAML 1.2 with a part of YAML 1.1: octal numbers such as 0022, underscores, and dates.
"""

import re

SAFE_DIGITS = 15
"""Significant digits that a number keeps on its way through JSON, where it is a 64-bit float."""

_BITS = 64
"""Bits of the integers that Pulumi reads."""

NULLS = frozenset(("", "~", "null", "Null", "NULL"))
TRUE = frozenset(("true", "True", "TRUE"))
FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
"""Numbers to the base 60 in YAML 1.1, which some tools read; go-yaml does not."""

Scalar = str | int | float | bool | None


def read(text: str) -> Scalar:
    """The value that Pulumi reads. A date is its text, and so are numbers that are not finite."""
    if text in NULLS:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    number = text.replace("_", "") if text[:1] in "+-.0123456789" else ""
    if whole := _INTEGER.fullmatch(number):
        digits, base = next(
            (whole[name], base)
            for name, base in (("hex", 16), ("bin", 2), ("oct", 8), ("dec", 10))
            if whole[name]
        )
        # Python refuses to read numbers of thousands of digits.
        value = int(digits, base) if len(digits.lstrip("0")) <= _BITS else 1 << _BITS
        if -(1 << (_BITS - 1)) <= (value := -value if whole["sign"] == "-" else value) < 1 << _BITS:
            return value
    # A number of more bits is read as a float, if it can be one, and a float that is too large as a text.
    if number and _FLOAT.fullmatch(number) and abs(float(number)) != float("inf"):
        return float(number)
    return text


def misread(text: str) -> str:
    """What the text becomes if it is not what a person reads, in words; empty for text that stays as it is."""
    if _DATE.fullmatch(text):
        return "a date"
    if _SEXAGESIMAL.fullmatch(text) and text.count(":") < 3:
        return "a number to the base 60 by some tools"
    number = text.replace("_", "")
    if _NOT_FINITE.fullmatch(number) or (_FLOAT.fullmatch(number) and abs(float(number)) == float("inf")):
        return "a number that is not finite"
    value = read(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if isinstance(value, int) and len(re.sub(r"\D", "", text).lstrip("0")) > SAFE_DIGITS:
        return f"a number, of which only the first {SAFE_DIGITS} digits are kept"
    if isinstance(value, float) and value == int(value) and abs(value) > 10**SAFE_DIGITS and text.isdecimal():
        return f"a number, of which only the first {SAFE_DIGITS} digits are kept"
    shown = canonical(value)
    return "" if shown == text else shown


def canonical(value: float) -> str:
    """A number as it arrives: without zeros that mean nothing, and without an exponent where possible."""
    whole = abs(value) < 10 ** (SAFE_DIGITS + 1) and int(value) == value
    return str(int(value) if whole else value)
