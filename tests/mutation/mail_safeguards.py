"""The safeguards of mails: no name or address changes who reads a mail or what it says, and no stranger is flooded."""

from tests.mutation.safeguard import Safeguard

_HEADERS = "tests/services/notification/test_sent_headers.py"
_THROTTLE = "tests/services/notification/test_recipient_throttle.py"

MAIL_SAFEGUARDS = (
    Safeguard(
        "mail headers: a name is sent as it is",
        "services/notification/mail/message.py",
        'address_header("To", to_name_line(recipient.name), to_mail_address(recipient.email))',
        'f"To: {to_name_line(recipient.name)} <{to_mail_address(recipient.email)}>"',
        (f"{_HEADERS}::test_any_name_leaves_one_recipient_and_the_body_as_it_is",),
    ),
    Safeguard(
        "mail headers: an encoded word in a name or a subject is sent as it is",
        "services/notification/mail/header_text.py",
        "and _ENCODED_WORD_START not in text ",
        "",
        (f"{_HEADERS}::test_any_subject_is_read_as_it_was_written",),
    ),
    Safeguard(
        "mail addresses: a domain beyond ASCII is sent as it is",
        "services/notification/mail/message.py",
        "return to_ascii_domain_email(cleaned)",
        "return cleaned if to_ascii_domain_email(cleaned) else email",
        (f"{_HEADERS}::test_addresses_arrive_at_a_mail_server",),
    ),
    Safeguard(
        "mail addresses: requests are not held to the sender's rule",
        "contracts/model.py",
        "if problem := find_email_problem(cleaned):",
        "if (problem := find_email_problem(cleaned)) and not email:",
        ("tests/contracts/test_email_addresses.py::test_addresses_that_cannot_be_mailed_are_refused",),
    ),
    Safeguard(
        "mail addresses: a guest's name beyond ASCII is accepted without SMTPUTF8",
        "services/order/domain/orders.py",
        "if has_unicode_name(request.email) and not smtp_utf8:",
        "if has_unicode_name(request.email) and smtp_utf8:",
        ("tests/services/order/test_domain.py::test_a_guest_is_identified_by_email_and_has_no_own_cart",),
    ),
    Safeguard(
        "mail addresses: an account's name beyond ASCII is accepted without SMTPUTF8",
        "services/user/domain/emails.py",
        "has_unicode_name(email) and not smtp_utf8:",
        "has_unicode_name(email) and smtp_utf8:",
        ("tests/services/user/test_domain.py::test_name_beyond_ascii_needs_a_mail_server_with_smtputf8",),
    ),
    Safeguard(
        "names in mails: a link is sent",
        "services/notification/mail/recipients.py",
        "is_withheld = looks_like_link(name)",
        "is_withheld = looks_like_link(name) and not name",
        (f"{_THROTTLE}::test_a_name_with_a_link_is_not_mailed",),
    ),
    Safeguard(
        "unconfirmed addresses: mails are not limited",
        "services/notification/store/mails_to_unconfirmed_addresses.py",
        "WHERE (of_hour < $4 AND of_day < $5)",
        "WHERE (of_hour < $4 OR of_day < $5 OR true)",
        (f"{_THROTTLE}::test_mails_to_an_unconfirmed_address_are_limited",),
    ),
    Safeguard(
        "unconfirmed addresses: processes count at the same time",
        "services/notification/store/mails_to_unconfirmed_addresses.py",
        "    await lock_texts(connection, recipients, AdvisoryLockSeed.UNCONFIRMED_RECIPIENT)\n",
        "",
        (f"{_THROTTLE}::test_two_processes_share_the_count",),
    ),
    Safeguard(
        "unconfirmed addresses: the mails of a batch do not count for one another",
        "services/notification/domain/mails_to_unconfirmed_addresses.py",
        "        seen[mail.recipient] += 1\n",
        "",
        (f"{_THROTTLE}::test_mails_to_an_unconfirmed_address_are_limited",),
    ),
    Safeguard(
        "unconfirmed addresses: a guest's address counts as confirmed",
        "services/notification/mail/recipients.py",
        "return _recipient(guest.email, guest.name, guest.name)",
        "return _recipient(guest.email, guest.name, guest.name, is_confirmed=True)",
        (f"{_THROTTLE}::test_only_an_account_confirms_an_address",),
    ),
    Safeguard(
        "unconfirmed addresses: an order that was mailed loses its other mails",
        "services/notification/store/mails_to_unconfirmed_addresses.py",
        "(delivery.status = 'sent' OR counted.delivery_id IS NOT NULL)",
        "(delivery.status = 'sent' AND counted.delivery_id IS NOT NULL AND false)",
        (f"{_THROTTLE}::test_an_order_that_was_mailed_gets_all_its_mails",),
    ),
    Safeguard(
        "unconfirmed addresses: counts outlive an erasure",
        "services/notification/store/deliveries.py",
        "(user_id = $1 OR order_id = ANY($2::uuid[]))\n)\nUPDATE",
        "(user_id = $1 OR order_id = ANY($2::uuid[])) AND false\n)\nUPDATE",
        (f"{_THROTTLE}::test_counts_end_with_the_erasure_and_after_a_day",),
    ),
    Safeguard(
        "unconfirmed addresses: further mails about an order use up the limit",
        "services/notification/store/mails_to_unconfirmed_addresses.py",
        " AND NOT is_known",
        "",
        (f"{_THROTTLE}::test_a_guest_gets_every_mail_about_several_orders",),
    ),
    Safeguard(
        "mail addresses: guests' orders are found by a form that two mailboxes share",
        "contracts/email_addresses.py",
        "return sorted({lower, with_ascii_domain(lower)})",
        "return sorted({lower, email.casefold()})",
        ("tests/contracts/test_email_addresses.py::test_orders_of_another_mailbox_are_not_ones_own",),
    ),
    Safeguard(
        "names in mails: initials before a name are taken for a link",
        "services/notification/domain/names.py",
        '_ABBREVIATION.sub(" ", text)',
        "text",
        ("tests/services/notification/test_names.py::test_a_name_is_no_link",),
    ),
    Safeguard(
        "spans: sending a mail has none",
        "services/notification/workers/mail_sender.py",
        'trace.child_span("send mail", SpanKind.CLIENT, _span_attributes(delivery))',
        "trace.activate(trace.current())",
        ("tests/e2e/test_trace.py::test_a_purchase_is_one_trace_from_the_edge_to_the_mails",),
    ),
    Safeguard(
        "spans: a process waits long for a collector that is away",
        "infra/foundation/telemetry.py",
        ", timeout=EXPORT_TIMEOUT_SECONDS",
        "",
        ("tests/infra/foundation/test_telemetry.py::test_a_process_stops_soon_without_a_collector",),
    ),
)
