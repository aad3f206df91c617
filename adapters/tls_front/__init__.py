"""TLS in front of an HTTP server that cannot say whose client certificate it saw. No HTTP semantics, no rights."""

from adapters.tls_front.front import Front, Limits
from adapters.tls_front.head import HeadRefused, rewrite

__all__ = ["Front", "HeadRefused", "Limits", "rewrite"]
