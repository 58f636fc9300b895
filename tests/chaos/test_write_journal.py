"""What the load notes of its writes."""

from typing import Any

from tests.chaos.write_journal import WriteJournal


def order(**lines: int) -> Any:
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
    return {"id": "1", "total": {"amount": 500}, "items": items}


def test_an_order_is_acknowledged_with_its_lines_and_total() -> None:
    journal = WriteJournal()
    wanted = journal.record_order_request("key", {"A": 2}, "sim_ok")
    assert not journal.acknowledged_counts["orders"]
    journal.record_placed(wanted, order(A=2))
    assert (wanted.id, wanted.total, journal.acknowledged_counts["orders"]) == ("1", 500, 1)
    assert not journal.wrong_responses


def test_an_answer_with_other_lines_is_wrong() -> None:
    journal = WriteJournal()
    journal.record_placed(journal.record_order_request("key", {"A": 2}, "sim_ok"), order(A=1))
    assert journal.wrong_responses == ["order 1 was answered with {'A': 1} instead of {'A': 2}"]


def test_lines_that_nobody_was_sure_of_are_the_answer_s() -> None:
    journal = WriteJournal()
    wanted = journal.record_order_request("key", None, "sim_ok")
    journal.record_placed(wanted, order(A=1))
    assert wanted.lines == {"A": 1}
    assert not journal.wrong_responses


def test_a_payment_told_as_captured_is_remembered_as_that() -> None:
    journal = WriteJournal()
    journal.record_payment({"id": "p", "order_id": "o", "status": "processing"})
    assert not journal.captured
    journal.record_payment({"id": "p", "order_id": "o", "status": "captured"})
    assert (journal.captured, journal.payments) == ({"p"}, {"p": "o"})
