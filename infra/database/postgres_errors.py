"""Which errors of PostgreSQL pass: those of an unavailable server, and those of concurrent transactions."""

import asyncpg

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of a message
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,  # too many connections, no memory, or a full disk
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresSystemError,  # its disk does not respond
    OSError,
    TimeoutError,
)
"""The server is unavailable for now; the statement itself may be sound."""

CONTENTION_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Concurrent transactions were in the way; the same statement may succeed when it is tried again."""
