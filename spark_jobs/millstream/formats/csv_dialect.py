"""How a CSV file is written: what a contract may say of it, and its bytes as UTF-8."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable
from typing import IO, Any, Self

from pydantic import Field, field_validator, model_validator

from millstream.errors import printable
from millstream.formats import format as of_format
from millstream.formats.record import UnreadableError

UTF_8 = ("utf-8", "ascii", "utf-8-sig")
# Their bytes below 128 may be parts of characters, so that one which cannot be read spoils what follows.
_WIDE = ("utf-16", "utf-32")


class Options(of_format.Options):
    """Of a CSV file."""

    delimiter: str = Field(default=",", description="what parts two fields: one ASCII character")
    quote: str | None = Field(
        default='"', description="what encloses a field, doubled inside it; null: nothing does"
    )
    escape: str | None = Field(default=None, description="what makes the next character an ordinary one")
    encoding: str = Field(default="utf-8", description="Python's name of it, for example `cp1252`")
    header: bool | tuple[str, ...] = Field(
        default=True,
        description="whether a line names the columns; false: they are the contract's, in its order; or the "
        "names of a file that has no such line",
    )
    skip_lines: int = Field(default=0, ge=0, description="lines before the header, or the first row")
    comment: str | None = Field(default=None, description="what a line begins with that is no row")
    trailing_delimiter: bool = Field(default=False, description="whether each line ends with a delimiter")

    @field_validator("delimiter", "quote", "escape", "comment")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n\x00"):
            raise ValueError(f"expected one ASCII character that ends no line, found {value!r}")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
            "a".encode(name)
        except (LookupError, UnicodeError):
            raise ValueError(f"no encoding of text: {value!r}") from None
        return name

    @model_validator(mode="after")
    def _differ(self) -> Self:
        given = [one for one in (self.delimiter, self.quote, self.escape, self.comment) if one is not None]
        if len(set(given)) < len(given):
            raise ValueError("delimiter, quote, escape and comment must differ from each other")
        if isinstance(self.header, tuple) and not self.header:
            raise ValueError("header: names no column; write false for a file without a header")
        return self

    @property
    def is_utf_8(self) -> bool:
        return self.encoding in UTF_8

    @property
    def encoding_name(self) -> str:
        return "UTF-8" if self.is_utf_8 else self.encoding

    def reader(self, lines: Iterable[str]) -> Any:
        """Python's reader of such lines."""
        return csv.reader(lines, strict=True, **self._of_python())

    def writer(self, stream: Any) -> Any:
        return csv.writer(stream, lineterminator="", **self._of_python())

    def _of_python(self) -> dict[str, Any]:
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "escapechar": self.escape,
            "quoting": csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
        }

    def as_utf_8(self, stream: IO[bytes]) -> Any:
        """The stream's bytes in UTF-8; one that stands for nothing in its encoding stays as it is."""
        return stream if self.is_utf_8 else _InUtf8(stream, self.encoding)


class _InUtf8:
    """Text of another encoding; only to be read from its beginning to its end."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        errors = "strict" if encoding.startswith(_WIDE) else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def read(self, size: int) -> bytes:
        """About `size` bytes; none at the end. Raises UnreadableError where the text of UTF-16 is none."""
        while True:
            chunk = self._stream.read(size)
            try:
                text = self._decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                raise UnreadableError(f"is not text in {self._encoding}: {printable(str(error))}") from error
            if text or not chunk:
                return text.encode("utf-8", "surrogateescape")
