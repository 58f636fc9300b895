"""Cursors of paginated lists."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.failure import InvalidCursor
from infra.foundation.ids import new_id
from infra.foundation.pagination import decode_cursor, decode_id_cursor, encode_cursor, paginate, take_fitting


@given(st.text(), st.integers(-(2**53), 2**53), st.uuids())
def test_cursor_round_trip(word: str, number: int, some_id: UUID) -> None:
    assert decode_cursor(encode_cursor(word, number, some_id), str, int, UUID) == (word, number, some_id)


def test_datetime_in_cursor() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert decode_cursor(encode_cursor(moment), datetime.fromisoformat) == (moment,)


@pytest.mark.parametrize("cursor", ["", "x", "bm9wZQ", "W10", "WyJ4Il0", "WzEsMl0", "eyJhIjoxfQ", "_" * 1000])
def test_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, UUID)


class Item(BaseModel):
    """An item of a list."""

    id: UUID
    text: str


@given(st.lists(st.integers(0, 3000), max_size=30), st.integers(1, 12), st.integers(100, 5000))
def test_pages_cut_by_bytes_have_every_item_once(lengths: list[int], limit: int, max_bytes: int) -> None:
    """Each page fits, or holds one item; following `next` reads the whole list."""
    items = [Item(id=new_id(), text="ä" * length) for length in lengths]
    found: list[Item] = []
    after: UUID | None = None
    while True:
        start = next((index + 1 for index, item in enumerate(items) if item.id == after), 0)
        page, next_cursor = paginate(items[start : start + limit + 1], limit, max_bytes)
        size = sum(len(item.model_dump_json().encode()) for item in page)
        assert len(page) <= limit
        assert size <= max_bytes or len(page) == 1
        found += page
        if next_cursor is None:
            break
        assert page
        after = decode_id_cursor(next_cursor)
    assert found == items


def test_items_are_measured_in_bytes() -> None:
    items = [Item(id=new_id(), text="€" * 100) for _ in range(5)]
    size = len(items[0].model_dump_json().encode()) + 1
    assert take_fitting(items, 5, 3 * size) == items[:3]
    assert take_fitting(items, 5, 3 * size - 1) == items[:2]
    assert take_fitting(items, 2, 3 * size) == items[:2]
    assert take_fitting(items, 5, 1) == items[:1]
    assert take_fitting([], 5, 1) == []
