"""What Bokeh says of a browser that left while it was being answered, and of other errors."""

from __future__ import annotations

import asyncio
import logging

import pytest
from bokeh.server.connection import ServerConnection
from bokeh.server.views.ws import WSHandler

from dasktune.dashboard.quiet import LOGGER, be_quiet


class Receiver:
    """Takes any fragment for a message."""

    async def consume(self, fragment):
        """Give it back."""
        return fragment


class Handler:
    """Asks for the session of the connection, as Bokeh's does; or fails in another way."""

    async def handle(self, message, connection):
        """Take a message."""
        assert message != "nonsense"
        return connection.session


@pytest.fixture
def left():
    """Give Bokeh's own handler of a browser that has left."""
    logger = logging.getLogger(LOGGER)
    before = list(logger.filters)
    socket = object.__new__(WSHandler)
    socket.receiver, socket.handler = Receiver(), Handler()
    socket.connection = object.__new__(ServerConnection)
    socket.connection._session = None
    socket.close = lambda *words: None
    yield socket
    logger.filters[:] = before


def test_a_browser_that_left_while_it_loaded_is_no_error(left, caplog):
    """Bokeh says it twice, and with the filter not at all."""
    logging.getLogger(LOGGER).filters.clear()
    asyncio.run(left.on_message("patch"))
    assert len(caplog.records) == 2
    be_quiet()
    be_quiet()
    caplog.clear()
    asyncio.run(left.on_message("patch"))
    assert caplog.records == []


def test_other_errors_of_the_page_are_told(left, caplog):
    """Another assertion, and an internal error by itself."""
    be_quiet()
    asyncio.run(left.on_message("nonsense"))
    left._internal_error("of another kind")
    assert len(caplog.records) == 3
