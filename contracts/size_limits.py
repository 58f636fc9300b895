"""The sizes of messages, in bytes unless stated otherwise. Lists are cut at them, bodies over them are refused."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A message on NATS with its headers: `max_payload` of the server. One byte more, and NATS closes the connection."""

MAX_REPLY_BYTES = 1024 * 1024
"""The body of a reply."""

MAX_PAGE_BYTES = MAX_REPLY_BYTES - 64 * 1024
"""The items of one page of a list. What is left holds the cursor and the facets of a search."""

MAX_EVENT_BYTES = 1024 * 1024
"""The body of an event. A dead letter and a redelivery, which carry it as text, then fit into a message too."""

MAX_DOCUMENT_BYTES = 512 * 1024
"""The JSON of one product. It is one item of a page."""

MAX_SNAPSHOT_BYTES = 8 * 1024
"""What an order or a cart copies of a variant: name and options. A hundred of them fit into a reply and an event."""

MAX_JSON_DEPTH = 32
"""Arrays and objects inside one another in a request body."""

MAX_JSON_KEYS = 20_000
"""Keys of all objects in a request body; it may have as many arrays and objects."""

MAX_FIELD_ERRORS = 100
"""Field errors that a problem lists; the next entry counts the others."""
