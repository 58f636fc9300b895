"""The HTTP edge: maps routes onto requests over NATS and renders the responses."""

from infra.foundation.fast_imports import pause_gc_of_program

pause_gc_of_program()
