"""JSON lines by the block are what they are by the line, however strange they are."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.contract import Contract
from millstream.formats import json_blocks, json_shapes, json_values
from millstream.formats.readers import jsonl
from millstream.formats.record import Columns, Delivered, Layouts, Record, UnreadableError, of_records
from tests.support.decoding import each

THINGS = Contract.from_dict(
    {
        "dataset": "things",
        "source": {"kind": "files", "connection": "drop", "format": "jsonl", "path": "things.jsonl"},
        "load": "full",
        "primary_key": ["id"],
        "drift": {"removed": "evolve"},
        "columns": [
            {"name": "id", "type": "bigint"},
            {"name": "name", "aliases": ["title"], "nullable": False},
            {"name": "price", "type": "decimal(12,2)"},
            {"name": "lines", "type": "array<struct<sku:string,count:int>>"},
        ],
    },
    origin="test",
)
# Each as it stands in a line.
NUMBERS = [
    "0", "-0", "-1", "1.10", "1e2", "1E+2", "-0.0", "-0e0", "01", "1.", ".5", "+1", "0x1", "1_0", "1e",
    "12" * 20, "9" * 4400, "1.5e400",
]  # fmt: skip
WORDS = ["true", "false", "null", "NaN", "Infinity", "-Infinity", "True", "nul", "nulll", "", "1 2", "null "]
TEXTS = [
    '""', '"a"', '"null"', '"1.10"', '"two words"', '"{}"', '"[1, 2]"', '": "', '"a, b"', '"Zoë"', '"漢字"',
    '"\U0001f600"', '"\x7f"', '"\u2028"', r'"\n"', r'"\""', r'"\\"', r'"\\\""', r'"\u00e9"',
    r'"\ud83d\ude00"', r'"\ud800"', r'"\x"', '"\t"', '"\x00"', '"\x0b"', '"\r"', '"open', 'open"', '"a" "b"',
    '"a""b"', "'a'",
]  # fmt: skip
NESTED = [
    "[]", "{}", "[ ]", "[1,2]", "[1, 2]", "[1, -0]", "[1.10, null]", '["a", "b"]', '["a","b"]', '[["a"], []]',
    '{"a": 1}', '{"a":1}', '{"a": 1, "a": 2}', '{"a": {"b": "c"}}', '{"ä": "x"}', '{"a": "ä"}',
    '{"a": "\x7f"}',
    '[{"sku": "s1", "count": 1}]', '[{"sku":"s1","count":1}]', '[{"sku": "s1", "count": -0}]',
    '[{"sku": "s1", "count": 1}, {"sku": null, "count": 2}]', r'{"a": "\u00e9"}', '{"a": 1,}', "[1", "[NaN]",
    '[{"count": 1, "sku": "s1"}]', "[" * 250 + "]" * 250, "[" * 5000, '{"a": [1, {"b": [true, "x"]}, 2]}',
]  # fmt: skip
ESCAPES = [
    b"n", b"/", b"u00e9", b"u00E9", b"u0000", b"u00", b"u00g0", b"u 0e9", b"ud800", b"uDBFF", b"udfff",
    b"ud7ff", b"ud83d\\ude00", b"ue000", b"ufeff", b"x41", b"U0041", b"N", b"\\", b"\\n", b'"', b'\\"',
    b"\\\\", b'\\\\"',
]  # fmt: skip
NAMES = ["id", "name", "title", "price", "lines", "more", "ID", "ä", "", r"na\u006de", r"\ud800", "a b"]
values = st.one_of(*(st.sampled_from(some) for some in (NUMBERS, WORDS, TEXTS, NESTED)))
plain = st.one_of(
    st.integers(-3, 10**6).map(str),
    st.text(max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
strange = st.sampled_from(
    ["", " ", "\r", "\t \r", "\x0c", "null", "1", '"a"', "[]", "{}", "{", "}", "\ufeff{}", '{"id": 1}}',
     "\x00", '"', '{"id"}']
)  # fmt: skip


@st.composite
def shapes(draw: st.DrawFn) -> list[str]:
    """Lines of one shape, more or less: the same names, and values that are now and then strange."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5))
    if draw(st.booleans()):
        names = ["id", "name", *names]
    colon, comma = draw(st.sampled_from([(": ", ", "), (":", ","), (" :\t", " , "), (":  ", ",")]))
    end = draw(st.sampled_from(["}", "}", "}\r", " } "]))
    usual = [draw(st.sampled_from([*NUMBERS, *WORDS, *TEXTS, *NESTED])) for _ in names]
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        own = [draw(st.one_of(st.just(value), values, plain)) for value in usual]
        fields = comma.join(f'"{name}"{colon}{value}' for name, value in zip(names, own, strict=True))
        lines.append(f"{{{fields}{end}")
    return lines


def encoded(line: str) -> bytes:
    return line.encode("utf-8", "surrogatepass")


hostile = st.tuples(
    st.lists(st.one_of(shapes(), strange.map(lambda line: [line])), max_size=5),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.integers(1, 400),
    st.sampled_from([b"", b"", b"", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"]),
)


def content_of(lines: list[list[str]], order: Any, ended: bool, marks: bytes) -> bytes:
    every = [encoded(line).replace(b"\n", b"") for some in lines for line in some]
    order.shuffle(every)
    if marks and every:
        place = order.randrange(len(every))
        at = order.randrange(len(every[place]) + 1)
        every[place] = every[place][:at] + marks + every[place][at:]
    return b"\n".join(every) + (b"\n" if ended and every else b"")


def outcome(work: Any) -> Any:
    try:
        return work()
    except UnreadableError as error:
        return str(error)


def by_the_line(content: bytes) -> Delivered:
    """The names, as they were before there were blocks."""
    parsed = jsonl._lines_parsed(io.BytesIO(content))
    names = of_records(THINGS, (value for value, _ in parsed))
    if not names.names:
        jsonl.has_records(io.BytesIO(content), THINGS)
    return names


def compare(content: bytes, block_bytes: int, fewest: int = 1) -> None:
    """`fewest`: lines of a shape that are cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_blocks, "FEWEST_LINES", fewest)
        _compare(content, block_bytes)


def _compare(content: bytes, block_bytes: int) -> None:
    want = outcome(lambda: list(jsonl.records(io.BytesIO(content), THINGS)))
    assert outcome(lambda: each(jsonl.rows(io.BytesIO(content), THINGS, None, block_bytes))) == want
    if not isinstance(want, str):
        assert outcome(lambda: jsonl.delivered(io.BytesIO(content), THINGS)) == outcome(
            lambda: by_the_line(content)
        )


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_lines_by_the_block_are_those_by_the_line(sample: tuple[Any, ...]) -> None:
    lines, order, ended, block_bytes, marks = sample
    compare(content_of(lines, order, ended, marks), block_bytes)


@pytest.mark.thorough
@settings(max_examples=20_000, deadline=None)
@given(hostile)
def test_very_many_lines_by_the_block_are_those_by_the_line(sample: tuple[Any, ...]) -> None:
    lines, order, ended, block_bytes, marks = sample
    compare(content_of(lines, order, ended, marks), block_bytes)


@pytest.mark.parametrize("value", [*NUMBERS, *WORDS, *TEXTS, *NESTED])
@pytest.mark.parametrize("like", ["1", '"a"', "null", "[1, 2]", '{"a": "b"}'])
def test_one_value_among_others_of_its_kind(value: str, like: str) -> None:
    ordinary = f'{{"id": 1, "name": {like}, "price": "1.10"}}'
    other = f'{{"id": 1, "name": {value}, "price": "1.10"}}'
    compare(encoded("\n".join([ordinary, other, ordinary, other, ordinary])), 1 << 20)


@pytest.mark.parametrize(
    ("ordinary", "other"),
    [
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "a"}}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "a"} x'),
        (b'{"name": "a", "id": 1}', b'{"name": "a", "id": 1} '),
        (b'{"name": "a", "id": 1}', b'{"name": "a", "id": 1}}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "a\xff"}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "\xed\xa0\x80"}'),
        *((b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "x\\%by"}' % escape) for escape in ESCAPES),
        (b'{"id": 1, "n\\u0061me": "a"}', b'{"id": 1, "n\\u0061me": "\\u0061"}'),
        (b'{"id": 1, "name": "\\u0061"}', b'{"id": 1, "n\\u0061me": "\\u0061"}'),
        (b'{"id": 1, "name": "a", "\\ud800": 1}', b'{"id": 1, "name": "a", "\\ud800": 2}'),
        (b'{"id": 1, "name": {"a": "b"}}', b'{"id": 1, "name": {"a": "\\u0062"}}'),
        (b'{"id": 1, "name": {"a": "b"}}', b'{"id": 1, "name": {"\\u0061": "b"}}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "name": "a"\\n}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, \\u0020"name": "a"}'),
        (b'{"id": 1, "name": "a"}', b'{"id": , "name": "a"}'),
        (b'{"id": 1, "name": "a"}', b'{"id": "name": "a"}'),
        (b'{"id": 1, "name": ["a", 1, "b"]}', b'{"id": 1, "name": ["a", "b"]}'),
        (b'{"id": 1, "name": ["a", 1, "b"]}', b'{"id": 1, "name": ["a", , "b"]}'),
        (b'{"id": 1, "name": "a"}', '{"id": 1, "name": "a"}'.encode("utf-16")),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "id": "a"}'),
        (b'{"id": 1, "name": "a"}', b'{"id": 1, "ID": "a"}'),
    ],
)
def test_a_line_that_is_nearly_like_the_others(ordinary: bytes, other: bytes) -> None:
    other = other.replace(b"\n", b"")
    for lines in ([ordinary, other, ordinary], [other, ordinary, other], [ordinary, ordinary, other]):
        compare(b"\n".join(lines), 1 << 20)
        compare(b"\r\n".join([*lines, b""]), 1 << 20)


def test_ordinary_lines_are_not_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "json_record", None)
    lines = [
        {
            "id": number,
            "name": ["Zoë", None, "b"][number % 3],
            "more": number / 8,
            "lines": [{"sku": "s", "count": number}] * (number % 4),
        }
        for number in range(1000)
    ]
    for separators in ((", ", ": "), (",", ":")):
        content = "\n".join(json.dumps(line, separators=separators) for line in lines)
        blocks = list(jsonl.rows(io.BytesIO(content.encode()), THINGS))
        assert all(isinstance(block, Columns) for block in blocks)
        ids = [record.values[0] for record in each(iter(blocks)) if record and record.values]
        assert ids == [str(line["id"]) for line in lines]


@pytest.mark.parametrize("numbers", [json_shapes.MOST_VALUES - 2, json_shapes.MOST_VALUES - 1, 15_000])
def test_a_long_list_of_numbers(numbers: int) -> None:
    line = json.dumps({"id": 0, "name": "a", "lines": list(range(numbers))}).encode()
    compare(b"\n".join([line, line]), 1 << 20)


LENGTHS: dict[str, Callable[[int], list[Any]]] = {
    "strings": lambda number: ["ab"] * (5 + number * 7 % 196),
    "numbers": lambda number: [[0.5, number]] * (5 + number * 7 % 101),
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_lists_of_any_length_are_parsed_after_a_look_at_few(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bytes] = []
    cuts: list[json_shapes.Shape] = []

    def shape_of(line: bytes, layout_of: Layouts) -> json_shapes.Shape | None:
        looks.append(line)
        return json_shapes.shape_of(line, layout_of)

    def cut_by(block: json_blocks.Block, shape: json_shapes.Shape, lines: json_blocks.Places) -> Any:
        cuts.append(shape)
        return original(block, shape, lines)

    original = json_blocks.cut_by
    monkeypatch.setattr(json_blocks, "shape_of", shape_of)
    monkeypatch.setattr(json_blocks, "cut_by", cut_by)
    lines = [{"id": number, "name": "a", "lines": LENGTHS[kind](number)} for number in range(1500)]
    content = "\n".join(map(json.dumps, lines)).encode()
    compare(content, 1 << 19, json_blocks.FEWEST_LINES)
    # By `rows` and by `delivered`.
    assert len(looks) <= 2 * len(lines) // 50
    assert cuts == []


def test_shapes_are_learned_behind_lines_of_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = [json.dumps({"id": 1, "name": "x", "lines": [0] * (number % 200)}) for number in range(1000)]
    alike = [json.dumps({"id": number, "name": "x", "lines": [0]}) for number in range(20_000)]
    parsed = 0

    def json_record(*arguments: Any) -> Record:
        nonlocal parsed
        parsed += 1
        return json_values.json_record(*arguments)

    monkeypatch.setattr(jsonl, "json_record", json_record)
    content = "\n".join([*mixed, *alike]).encode()
    rows = each(jsonl.rows(io.BytesIO(content), THINGS, None, 1 << 15))
    assert [record.values[0] for record in rows if record and record.values] == [
        *["1"] * len(mixed),
        *(str(number) for number in range(len(alike))),
    ]
    assert parsed < len(mixed) + len(alike) // 2
