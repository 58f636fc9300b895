"""Failures: each class is one way to fail, with a stable code, a status and a title that the client sees.

An operation declares the failures it can end in. One place turns a failure into NATS headers and problem+json
(RFC 9457), and the calling side turns them back into the same class. A class may be renamed; its `code` is part of the
published language and stays.
"""

from collections.abc import Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.size_limits import MAX_FIELD_ERRORS

MAX_DETAIL_LENGTH = 2_000
MAX_POINTER_LENGTH = 200
"""A pointer can name any key that the client has sent."""


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    pointer: Annotated[str, Field(description="JSON pointer into the request.", examples=["/items/0/quantity"])]
    detail: Annotated[str, Field(description="What is wrong with the field.", examples=["Input should be 1 or more"])]

    def shortened(self) -> "FieldError":
        """Returns the error with a pointer and a detail of bounded length."""
        if len(self.pointer) <= MAX_POINTER_LENGTH and len(self.detail) <= MAX_DETAIL_LENGTH:
            return self
        return FieldError(pointer=self.pointer[:MAX_POINTER_LENGTH], detail=self.detail[:MAX_DETAIL_LENGTH])


class Problem(BaseModel):
    """The body of every error response (RFC 9457)."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: Annotated[str, Field(description="Always `about:blank`; `code` tells errors apart.")] = "about:blank"
    title: Annotated[str, Field(description="The kind of error, the same for every occurrence.")]
    status: Annotated[int, Field(description="The HTTP status.", examples=[409])]
    detail: Annotated[str, Field(description="What happened this time, for people to read.")]
    code: Annotated[str, Field(description="A stable code for programs to branch on.", examples=["out_of_stock"])]
    reason: Annotated[
        str | None, Field(description="Tells causes of one code apart, where it has several.", examples=["expired"])
    ] = None
    request_id: Annotated[str, Field(description="Names the request in logs; quote it when you ask for help.")] = ""
    errors: Annotated[list[FieldError] | None, Field(description="The fields that are not valid, if any.")] = None
    retry_after: Annotated[float | None, Field(description="Seconds to wait before trying again.")] = None
    oldest: Annotated[
        str | None, Field(description="The cursor at which a list continues, if the one sent is gone.")
    ] = None


class Fail(Exception):  # noqa: N818 - a failure is a reply, not an accident
    """The base class of failures. The first line of a subclass's docstring is its title."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "fail"
    by_code: ClassVar[dict[str, type["Fail"]]] = {}

    def __init_subclass__(cls, *, status: HTTPStatus, code: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.status, cls.code = status, code
        known = Fail.by_code.setdefault(code, cls)
        assert known.__qualname__ == cls.__qualname__, f"two failures have the code {code}"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        unlisted_errors: int = 0,
        retry_after: float | None = None,
        reason: str | None = None,
        oldest: str | None = None,
    ) -> None:
        """`detail` says what happened this time and defaults to the title; `retry_after` is in seconds.

        `unlisted_errors` counts those that are left out of `errors`. `reason` tells causes of one code apart. `oldest`
        is the cursor that replaces one that is gone.
        """
        self.detail = (detail or self.title())[:MAX_DETAIL_LENGTH]
        self.errors = tuple(errors)
        self._unlisted_errors = unlisted_errors
        self.is_from_service = False
        self.retry_after = retry_after
        self.reason = reason
        self.oldest = oldest
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        """Returns the kind of failure in one sentence, without a full stop."""
        return cleandoc(cls.__doc__ or cls.code).partition("\n")[0].rstrip(".")

    def to_problem(self, request_id: str = "") -> Problem:
        """Returns the body of the error response."""
        return Problem(
            title=self.title(),
            status=self.status,
            detail=self.detail,
            code=self.code,
            reason=self.reason,
            request_id=request_id,
            errors=list(self.errors if self.is_from_service else _capped(self.errors, self._unlisted_errors)) or None,
            retry_after=self.retry_after,
            oldest=self.oldest,
        )

    def to_json(self, request_id: str = "") -> bytes:
        """Returns the body of the error response as JSON."""
        return self.to_problem(request_id).model_dump_json(exclude_none=True).encode()

    @staticmethod
    def from_json(body: bytes) -> "Fail":
        """Returns the failure that a service replied with. An unknown code is a bug: it becomes an InternalError."""
        problem = Problem.model_validate_json(body)
        kind = Fail.by_code.get(problem.code, InternalError)
        fail = kind(
            problem.detail,
            errors=problem.errors or (),
            retry_after=problem.retry_after,
            reason=problem.reason,
            oldest=problem.oldest,
        )
        fail.is_from_service = True  # the service has capped its errors
        return fail


def _capped(errors: Sequence[FieldError], unlisted: int) -> tuple[FieldError, ...]:
    """Returns the errors, shortened, so that a problem is never much larger than the request that it is about."""
    listed = tuple(error.shortened() for error in errors[:MAX_FIELD_ERRORS])
    more = len(errors) - len(listed) + unlisted
    return (*listed, FieldError(pointer="", detail=f"and {more} more")) if more else listed


class MalformedRequest(Fail, status=HTTPStatus.BAD_REQUEST, code="malformed"):
    """The request cannot be read."""


class InvalidCursor(Fail, status=HTTPStatus.BAD_REQUEST, code="bad_cursor"):
    """The cursor is not one that this list returned."""


class InvalidIdempotencyKey(Fail, status=HTTPStatus.BAD_REQUEST, code="invalid_idempotency_key"):
    """An Idempotency-Key must have 1 to 255 printable ASCII characters."""


class IdempotencyKeyTooShort(Fail, status=HTTPStatus.BAD_REQUEST, code="idempotency_key_too_short"):
    """Without signing in, an Idempotency-Key needs 128 random bits: a UUID, or 22 random letters and digits."""


class IdempotencyKeyRequired(Fail, status=HTTPStatus.BAD_REQUEST, code="idempotency_key_required"):
    """This request needs an Idempotency-Key header."""


class Unauthorized(Fail, status=HTTPStatus.UNAUTHORIZED, code="unauthorized"):
    """Sign in to do this."""


class InvalidToken(Fail, status=HTTPStatus.UNAUTHORIZED, code="invalid_token"):
    """The access token or API key is invalid or has expired."""


class Forbidden(Fail, status=HTTPStatus.FORBIDDEN, code="forbidden"):
    """You are not allowed to do this."""


class ScopeMissing(Fail, status=HTTPStatus.FORBIDDEN, code="scope_missing"):
    """This API key does not have the scope that this needs."""


class NotFound(Fail, status=HTTPStatus.NOT_FOUND, code="not_found"):
    """This does not exist, or it is not yours."""


class MethodNotAllowed(Fail, status=HTTPStatus.METHOD_NOT_ALLOWED, code="method_not_allowed"):
    """This path does not accept that method."""


class IdempotencyInProgress(Fail, status=HTTPStatus.CONFLICT, code="idempotency_in_progress"):
    """The first request with this Idempotency-Key is still running."""


class PreconditionFailed(Fail, status=HTTPStatus.PRECONDITION_FAILED, code="precondition_failed"):
    """This has changed since you read it."""


class PayloadTooLarge(Fail, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code="payload_too_large"):
    """The request body is too large."""


class UnsupportedMediaType(Fail, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code="unsupported_media_type"):
    """This path does not accept that media type."""


class InvalidRequest(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="invalid"):
    """The request is not valid."""


class IdempotencyKeyReused(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="idempotency_key_reused"):
    """This Idempotency-Key was used for a different request."""


class TooManyRequests(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_requests"):
    """Too many requests."""


class InternalError(Fail, status=HTTPStatus.INTERNAL_SERVER_ERROR, code="internal_error"):
    """Something went wrong on our side."""


class ReplyTooLarge(Fail, status=HTTPStatus.INTERNAL_SERVER_ERROR, code="reply_too_large"):
    """The response would be too large; request less at once."""


class Unavailable(Fail, status=HTTPStatus.SERVICE_UNAVAILABLE, code="unavailable"):
    """A part of the shop is not available right now."""


class Overloaded(Fail, status=HTTPStatus.SERVICE_UNAVAILABLE, code="overloaded"):
    """The shop is overloaded; try again shortly."""


class TimedOut(Fail, status=HTTPStatus.GATEWAY_TIMEOUT, code="timed_out"):
    """A part of the shop did not respond in time."""


COMMON_FAILURES: tuple[type[Fail], ...] = (InternalError, ReplyTooLarge, Unavailable, Overloaded, TimedOut)
"""What any request can end in, besides the failures that its operation declares."""
