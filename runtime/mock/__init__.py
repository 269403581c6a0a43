"""A provider made from definitions: `MockProvider` is an ASGI application, `serve` puts it on a port."""

from runtime.mock.provider import MockProvider, serve

__all__ = ["MockProvider", "serve"]
