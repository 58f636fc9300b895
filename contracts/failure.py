"""How things fail: a class a failure, its docstring what the client reads, its name the stable code.

A failure is declared on the operation where it can occur. It is turned into NATS headers and problem+json (RFC 9457)
in one place, and back into the same class on the asking side.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """What is wrong with one field."""

    pointer: Annotated[str, Field(description="JSON pointer into the request.", examples=["/items/0/quantity"])]
    detail: str


class Problem(BaseModel):
    """The body of every error (RFC 9457)."""

    type: str = "about:blank"
    title: Annotated[str, Field(description="What kind of error, the same for every occurrence.")]
    status: int
    detail: Annotated[str, Field(description="What happened this time.")]
    code: Annotated[str, Field(description="A stable slug to branch on.", examples=["out_of_stock"])]
    request_id: str = ""
    errors: list[FieldError] | None = None
    retry_after: Annotated[float | None, Field(description="Seconds to wait before trying again.")] = None


class Fail(Exception):  # noqa: N818 - a failure is an answer, not an accident
    """Something failed."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "fail"
    by_code: ClassVar[dict[str, type["Fail"]]] = {}

    def __init_subclass__(cls, *, status: HTTPStatus, code: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.status = status
        cls.code = code or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        known = Fail.by_code.setdefault(cls.code, cls)
        assert known.__qualname__ == cls.__qualname__, f"two failures are called {cls.code}"

    def __init__(
        self, detail: str | None = None, *, errors: Sequence[FieldError] = (), retry_after: float | None = None
    ) -> None:
        self.detail = detail or self.title()
        self.errors = tuple(errors)
        self.retry_after = retry_after
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        return cleandoc(cls.__doc__ or cls.code).partition("\n")[0].rstrip(".")

    def to_problem(self, request_id: str = "") -> Problem:
        return Problem(
            title=self.title(),
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
            errors=list(self.errors) or None,
            retry_after=self.retry_after,
        )

    def to_json(self, request_id: str = "") -> bytes:
        return self.to_problem(request_id).model_dump_json(exclude_none=True).encode()

    @staticmethod
    def from_json(body: bytes) -> "Fail":
        """The failure that another service answered with; one we do not know is that service's bug."""
        problem = Problem.model_validate_json(body)
        kind = Fail.by_code.get(problem.code, InternalError)
        return kind(problem.detail, errors=problem.errors or (), retry_after=problem.retry_after)


class MalformedRequest(Fail, status=HTTPStatus.BAD_REQUEST):
    """The request cannot be read."""


class InvalidCursor(Fail, status=HTTPStatus.BAD_REQUEST):
    """The cursor is not one that this list gave out."""


class InvalidIdempotencyKey(Fail, status=HTTPStatus.BAD_REQUEST):
    """An Idempotency-Key has 1 to 255 printable ASCII characters."""


class IdempotencyKeyRequired(Fail, status=HTTPStatus.BAD_REQUEST):
    """This request needs an Idempotency-Key header."""


class Unauthorized(Fail, status=HTTPStatus.UNAUTHORIZED):
    """Sign in first."""


class InvalidToken(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The access token is not valid, or no longer."""


class Forbidden(Fail, status=HTTPStatus.FORBIDDEN):
    """You may not do this."""


class ScopeMissing(Fail, status=HTTPStatus.FORBIDDEN):
    """This API key lacks the scope for this."""


class NotFound(Fail, status=HTTPStatus.NOT_FOUND):
    """There is no such thing, or it is not yours."""


class MethodNotAllowed(Fail, status=HTTPStatus.METHOD_NOT_ALLOWED):
    """This cannot be done with that method."""


class IdempotencyInProgress(Fail, status=HTTPStatus.CONFLICT):
    """The first request with this Idempotency-Key is still running."""


class PreconditionFailed(Fail, status=HTTPStatus.PRECONDITION_FAILED):
    """It has changed since you read it."""


class PayloadTooLarge(Fail, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    """The body is larger than this route takes."""


class UnsupportedMediaType(Fail, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
    """This route does not take that media type."""


class InvalidRequest(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """The request is not valid."""


class IdempotencyKeyReused(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This Idempotency-Key was used for another request."""


class TooManyRequests(Fail, status=HTTPStatus.TOO_MANY_REQUESTS):
    """Too many requests."""


class InternalError(Fail, status=HTTPStatus.INTERNAL_SERVER_ERROR):
    """Something went wrong on our side."""


class Unavailable(Fail, status=HTTPStatus.SERVICE_UNAVAILABLE):
    """A part of the shop does not answer just now."""


class Overloaded(Fail, status=HTTPStatus.SERVICE_UNAVAILABLE):
    """The shop has more to do than it can; try again shortly."""


class TimedOut(Fail, status=HTTPStatus.GATEWAY_TIMEOUT):
    """A part of the shop did not answer in time."""


COMMON_FAILURES: tuple[type[Fail], ...] = (InternalError, Unavailable, Overloaded, TimedOut)
"""What any ask may end in besides the failures its operation declares."""
