"""No test talks to the network, none draws on a screen, none reads a user's configuration or library."""

import os
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "Agg"
OWN_CONFIGURATION = tempfile.TemporaryDirectory()  # empty, gone with the session
os.environ["XDG_CONFIG_HOME"] = OWN_CONFIGURATION.name
os.environ["XDG_DATA_HOME"] = OWN_CONFIGURATION.name

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse every socket that leaves this machine."""
    connect = socket.socket.connect

    def loopback_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise OSError(f"tests may not talk to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback_only)


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture
def real_data():
    """The folder of real raw data beside the checkout; the test is skipped where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA.name} beside the checkout")
    return REAL_DATA


OPENED = []


def record_opens(event, arguments):
    if event == "open" and OPENED:
        OPENED.append(arguments)


sys.addaudithook(record_opens)  # there is no way to take one out: it sleeps while OPENED is empty


@pytest.fixture
def opens():
    """What this process opens from here on: path, mode, flags."""
    OPENED.append(("begin", "", 0))
    yield OPENED
    OPENED.clear()
