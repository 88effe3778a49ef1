"""How the tests check labkit's annotations: by beartype, where an int is a float (as the language has it)."""

from __future__ import annotations

import io
import typing
from collections.abc import Callable

from beartype import BeartypeConf, FrozenDict, beartype

# beartype takes only files opened from disk for a BinaryIO; a BytesIO is one too.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({typing.BinaryIO: io.IOBase})))


def check(function: Callable) -> Callable:
    """The function with its annotations checked at each call; one inside of another function is left as it is.

    Such a one is made anew at each call of the other, and its check would be compiled anew each time: half of the time
    that all tests take.
    """
    return function if "<locals>" in getattr(function, "__qualname__", "") else _check(function)
