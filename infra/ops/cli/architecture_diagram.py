"""Draws the architecture from the contracts as an SVG: one column for each service, one row for each kind of message.

A row starts at the caller or publisher (dot) and points to every service that answers the request or subscribes to the
event. The colours follow the reader's light or dark theme.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

from contracts.operation import EDGE
from contracts.registry import EVENTS, OPERATIONS, SERVICES, SUBSCRIPTIONS

MARGIN, COLUMN, BOX_WIDTH = 28, 176, 150
WIDTH = 2 * MARGIN + COLUMN * len(SERVICES)
EDGE_TOP, EDGE_HEIGHT = 28, 58
SERVICE_TOP, SERVICE_HEIGHT = 146, 66
ROWS_TOP, ROW_HEIGHT, HEADING_HEIGHT = 244, 34, 40
STORES: Mapping[str, str] = MappingProxyType({"cart": "MongoDB"})
DEFAULT_STORE = "PostgreSQL"

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif; }
.panel { fill: #ffffff; stroke: #d1d9e0; }
.service, .edge { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2; }
.edge { fill: #fff8e5; stroke: #bf8700; }
.name { fill: #1f2328; font-size: 17px; font-weight: 600; text-anchor: middle; }
.note { fill: #59636e; font-size: 12.5px; text-anchor: middle; }
.heading { fill: #1f2328; font-size: 14px; font-weight: 600; paint-order: stroke; stroke: #ffffff; stroke-width: 6px; }
.lifeline { stroke: #d1d9e0; stroke-width: 1; }
.label { font-size: 12px; text-anchor: middle; paint-order: stroke; stroke: #ffffff; stroke-width: 5px; }
.line { stroke-width: 1.7; }
.http.line { stroke: #9a6700; } .http.head { fill: #9a6700; } .http.label { fill: #7d4e00; }
.request.line { stroke: #0969da; } .request.head { fill: #0969da; } .request.label { fill: #0550ae; }
.event.line { stroke: #8250df; stroke-dasharray: 6 4; } .event.head { fill: #8250df; } .event.label { fill: #6639ba; }
@media (prefers-color-scheme: dark) {
  .panel { fill: #0d1117; stroke: #3d444d; }
  .service { fill: #151b23; stroke: #656c76; }
  .edge { fill: #272115; stroke: #9e6a03; }
  .name, .heading { fill: #f0f6fc; }
  .note { fill: #9198a1; }
  .lifeline { stroke: #2f353d; }
  .label, .heading { stroke: #0d1117; }
  .http.line { stroke: #d29922; } .http.head { fill: #d29922; } .http.label { fill: #e3b341; }
  .request.line { stroke: #4493f8; } .request.head { fill: #4493f8; } .request.label { fill: #79c0ff; }
  .event.line { stroke: #ab7df8; } .event.head { fill: #ab7df8; } .event.label { fill: #d2a8ff; }
}
"""


@dataclass(frozen=True, slots=True)
class MessageRow:
    """Messages with the same source and the same targets."""

    source: str
    targets: frozenset[str]
    label: str


def draw_architecture() -> str:
    """Returns the SVG."""
    requests, events = request_rows(), event_rows()
    height = ROWS_TOP + 2 * HEADING_HEIGHT + ROW_HEIGHT * (len(requests) + len(events)) + MARGIN
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="Services of Souk, the requests between them and the events they subscribe to">'
    )
    parts = [
        opening,
        f"<style>{STYLE}</style>",
        f'<rect class="panel" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14"/>',
        *_lifelines(height - MARGIN),
        *_edge(),
        *_services(),
        *_section(ROWS_TOP, "Requests between services (NATS request-reply)", "request", requests),
        *_section(
            ROWS_TOP + HEADING_HEIGHT + ROW_HEIGHT * len(requests),
            "Events (NATS JetStream, at least once)",
            "event",
            events,
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def request_rows() -> list[MessageRow]:
    """Returns the requests between services, grouped by caller and targets."""
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for operation in OPERATIONS:
        for caller in operation.callers:
            if caller in SERVICES:
                targets[caller, operation.name].add(operation.service)
    return _group(targets)


def event_rows() -> list[MessageRow]:
    """Returns the events that a service subscribes to, grouped by publisher and subscribers."""
    targets: dict[tuple[str, str], set[str]] = {
        (event.service, event.name): {service for service, events in SUBSCRIPTIONS.items() if event in events}
        for event in EVENTS
    }
    return _group({key: found for key, found in targets.items() if found})


def _group(targets: Mapping[tuple[str, str], Iterable[str]]) -> list[MessageRow]:
    names: dict[tuple[str, frozenset[str]], list[str]] = defaultdict(list)
    for (source, name), found in targets.items():
        names[source, frozenset(found)].append(name)
    rows = [MessageRow(source, found, ", ".join(labels)) for (source, found), labels in names.items()]
    return sorted(rows, key=lambda row: (SERVICES.index(row.source), len(row.targets), row.label))


def _centre(service: str) -> float:
    return MARGIN + COLUMN * (SERVICES.index(service) + 0.5)


def _lifelines(bottom: float) -> Iterator[str]:
    for service in SERVICES:
        x = _centre(service)
        yield f'<line class="lifeline" x1="{x}" y1="{SERVICE_TOP + SERVICE_HEIGHT}" x2="{x}" y2="{bottom}"/>'


def _edge() -> Iterator[str]:
    left, width = MARGIN + (COLUMN - BOX_WIDTH) / 2, WIDTH - 2 * MARGIN - (COLUMN - BOX_WIDTH)
    yield f'<rect class="edge" x="{left}" y="{EDGE_TOP}" width="{width}" height="{EDGE_HEIGHT}" rx="8"/>'
    yield _text("name", WIDTH / 2, EDGE_TOP + 25, "Nginx and edge")
    yield _text("note", WIDTH / 2, EDGE_TOP + 44, "clients send HTTP; each route becomes one request on NATS")
    for service in SERVICES:
        x, count = _centre(service), sum(one.service == service and EDGE in one.callers for one in OPERATIONS)
        yield f'<line class="http line" x1="{x}" y1="{EDGE_TOP + EDGE_HEIGHT}" x2="{x}" y2="{SERVICE_TOP - 8}"/>'
        yield _arrow_head("http", x, SERVICE_TOP, 0, 1)
        yield _text("http label", x, (EDGE_TOP + EDGE_HEIGHT + SERVICE_TOP) / 2 + 2, f"{count} requests")


def _services() -> Iterator[str]:
    for service in SERVICES:
        x = _centre(service)
        yield (
            f'<rect class="service" x="{x - BOX_WIDTH / 2}" y="{SERVICE_TOP}" width="{BOX_WIDTH}" '
            f'height="{SERVICE_HEIGHT}" rx="8"/>'
        )
        yield _text("name", x, SERVICE_TOP + 29, service)
        yield _text("note", x, SERVICE_TOP + 50, STORES.get(service, DEFAULT_STORE))


def _section(top: float, title: str, kind: str, rows: list[MessageRow]) -> Iterator[str]:
    yield f'<text class="heading" x="{MARGIN}" y="{top + 16}">{escape(title)}</text>'
    for number, row in enumerate(rows):
        yield from _row(top + HEADING_HEIGHT + ROW_HEIGHT * number + 12, kind, row)


def _row(y: float, kind: str, row: MessageRow) -> Iterator[str]:
    source = _centre(row.source)
    ends = [_centre(target) for target in row.targets]
    left, right = min(source, *ends), max(source, *ends)
    yield f'<line class="{kind} line" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>'
    yield f'<circle class="{kind} head" cx="{source}" cy="{y}" r="4.5"/>'
    for x in sorted(ends):
        yield _arrow_head(kind, x, y, 1 if x > source else -1, 0)
    nearest = min(ends, key=lambda x: abs(x - source))
    middle = (source + nearest) / 2 if len(ends) == 1 else (left + right) / 2
    yield _text(f"{kind} label", middle, y - 7, row.label)


def _arrow_head(kind: str, x: float, y: float, dx: int, dy: int) -> str:
    """Draws a triangle with its tip at (x, y) that points along (dx, dy)."""
    back_x, back_y = x - 9 * dx, y - 9 * dy
    points = f"{x},{y} {back_x - 5 * dy},{back_y - 5 * dx} {back_x + 5 * dy},{back_y + 5 * dx}"
    return f'<polygon class="{kind} head" points="{points}"/>'


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
