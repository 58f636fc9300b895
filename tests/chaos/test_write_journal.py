"""What the load records of its writes."""

from typing import Any

from tests.chaos.write_journal import WriteJournal


def order(**lines: int) -> Any:
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
    return {"id": "1", "total": {"amount": 500}, "items": items}


def test_an_acknowledged_order_has_lines_and_total() -> None:
    journal = WriteJournal()
    options = journal.record_order_request("key", {"A": 2}, "sim_ok")
    assert not journal.acknowledged_counts["orders"]
    journal.record_placed(options, order(A=2))
    assert (options.id, options.total, journal.acknowledged_counts["orders"]) == ("1", 500, 1)
    assert not journal.wrong_responses


def test_a_response_with_other_lines_is_wrong() -> None:
    journal = WriteJournal()
    journal.record_placed(journal.record_order_request("key", {"A": 2}, "sim_ok"), order(A=1))
    assert journal.wrong_responses == ["order 1 was returned with {'A': 1} instead of {'A': 2}"]


def test_unknown_lines_are_taken_from_the_response() -> None:
    journal = WriteJournal()
    options = journal.record_order_request("key", None, "sim_ok")
    journal.record_placed(options, order(A=1))
    assert options.lines == {"A": 1}
    assert not journal.wrong_responses


def test_captured_payments_are_recorded() -> None:
    journal = WriteJournal()
    journal.record_payment({"id": "p", "order_id": "o", "status": "processing"})
    assert not journal.captured
    journal.record_payment({"id": "p", "order_id": "o", "status": "captured"})
    assert (journal.captured, journal.payments) == ({"p"}, {"p": "o"})
