"""How the tests check labkit's annotations: by beartype, where an int is a float (as the language has it)."""

from __future__ import annotations

import io
import typing

from beartype import BeartypeConf, FrozenDict, beartype

# beartype takes only files opened from disk for a BinaryIO; a BytesIO is one too.
check = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({typing.BinaryIO: io.IOBase})))
