"""Names for resources that the program does not name: `NAME-` and seven hexadecimal digits.

The digits are drawn from the seed that the engine sends, so that the preview and the update of a plan get the same
names. The generator is that of Pulumi's SDK: Go's `math/rand/v2` ChaCha8, keyed with the seed's SHA-256.
"""

import hashlib
import secrets
import struct

SUFFIX_DIGITS = 7
_WORD = 0xFFFFFFFF
_QUARTER_ROUNDS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)


def autoname(name: str, seed: bytes, limit: int = 0) -> str:
    """Return `name` with a suffix drawn from `seed`, or at random if the seed is empty.

    The result has at most `limit` characters (0: any number); `name` is cut to fit.
    """
    if limit:
        name = name[: limit - SUFFIX_DIGITS - 1]
    if not seed:
        return f"{name}-{secrets.token_hex(4)[:SUFFIX_DIGITS]}"
    key = hashlib.sha256(seed).digest()
    # Go interleaves four blocks and hands out 64 bits at a time: the low words come from blocks 0 and 2.
    words = [word for pair in zip(_block(key, 0), _block(key, 2), strict=True) for word in pair]
    return f"{name}-" + "".join(f"{word % 16:x}" for word in words[:SUFFIX_DIGITS])


def _block(key: bytes, counter: int) -> list[int]:
    """Return the 16 words of one ChaCha8 block, as Go's generator defines it: only the key is added at the end."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter, 0, 0, 0]
    words = list(start)
    for _ in range(4):
        for a, b, c, d in _QUARTER_ROUNDS:
            for first, second, third, distance in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                words[first] = (words[first] + words[second]) & _WORD
                words[third] ^= words[first]
                words[third] = (words[third] << distance | words[third] >> (32 - distance)) & _WORD
    return [(word + start[index] if 4 <= index < 12 else word) & _WORD for index, word in enumerate(words)]
