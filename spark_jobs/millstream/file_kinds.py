"""What a file is by its first bytes, which may be another thing than its ending says."""

from __future__ import annotations

import codecs

HEAD_BYTES = 4096
_SIGNATURES = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file (Excel workbooks are such)"),
    (b"PK\x05\x06", "an empty zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file"),
    (b"\xd0\xcf\x11\xe0", "a file of an old Office program"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (codecs.BOM_UTF16_LE, "text in UTF-16"),
    (codecs.BOM_UTF16_BE, "text in UTF-16"),
)
# The patterns of the standard "MIME Sniffing" (WHATWG), sections 6.1, 6.2 and 6.4, without fonts and icons.
_MEDIA = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
# What these bytes begin is one of many kinds, of which a name tells more.
_CONTAINERS = ((b"PK\x03\x04", "application/zip"), (b"\xd0\xcf\x11\xe0", "application/x-ole-storage"))
_RIFF = {b"WEBPVP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/avi"}
_MARKUP = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<?xml", "XML"))


def recognised(head: bytes) -> str | None:
    """What the first `HEAD_BYTES` of a file show it to be; None for text in UTF-8, and for the unknown."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    # Of UTF-16 without a mark, every other byte of most alphabets' first line is zero.
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 2 > len(head) // 2 and min(even, odd) * 8 < max(even, odd):
        return "text in UTF-16"
    return None


def recognised_markup(head: bytes) -> str | None:
    """The same of XML and HTML, which are text: a page of a proxy or a login, often."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((name for signature, name in _MARKUP if text.startswith(signature)), None)


def media_type(head: bytes, named: str | None) -> str | None:
    """The media type that a file's first bytes show, or else `named`, which its name says; None: unknown."""
    for signature, shown in _MEDIA:
        if head.startswith(signature):
            return shown
    if head.startswith(b"RIFF"):
        return next((shown for form, shown in _RIFF.items() if head.startswith(form, 8)), named)
    for signature, shown in _CONTAINERS:
        if head.startswith(signature):
            return named or shown
    return "text/html" if (recognised_markup(head) or "").startswith("an HTML") else named


def kind_of(head: bytes) -> str:
    """What a file is that should have been packed: as above, or 'plain text', or 'of an unknown kind'."""
    if known := recognised(head) or recognised_markup(head):
        return known
    # A character at the end may be cut.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    return "plain text" if "\ufffd" not in text and "\x00" not in text else "of an unknown kind"
