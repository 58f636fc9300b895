"""The local stack: real servers, the six services, the edges and Nginx, run and watched by one process."""

from infra.stack.error import StackError
from infra.stack.options import SERVERS, Options
from infra.stack.stack import Stack

__all__ = ["SERVERS", "Options", "Stack", "StackError"]
