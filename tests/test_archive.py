"""The ephemeris of a planet: what a real TAP service on loopback answers, and what the cache keeps of it."""

import json
import math
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from potpyri_like.errors import ArchiveError
from potpyri_like.sky import archive
from potpyri_like.sky.archive import COLUMNS, ENVIRONMENT, Ephemeris, cache_folder, planet_ephemeris

UNITS = ("", "day", "day", "day", "day", "hour", "hour", "", "")
WASP_12 = ("WASP-12 b", 1.0914195, 3e-7, 2458640.0, 1e-4, 3.0, None, 0.117, 0.3)
GOOD = Ephemeris(
    name="WASP-12 b",
    tc=2458640.0,
    tc_error=1e-4,
    period=1.0914195,
    period_error=3e-7,
    t14=0.125,
    k=0.117,
    b=0.3,
    source="NASA Exoplanet Archive, table pscomppars",
)


def cell(value):
    return "<TD/>" if value is None else f"<TD>{value}</TD>"


def votable(*rows, columns=COLUMNS):
    """An answer as the archive's TAP service gives it: VOTable 1.4, TABLEDATA."""
    kinds = ['datatype="char" arraysize="*"', *['datatype="double"'] * (len(COLUMNS) - 1)]
    fields = "".join(
        f'<FIELD name="{name}" {kind} unit="{unit}"/>'
        for name, kind, unit in zip(COLUMNS, kinds, UNITS, strict=True)
        if name in columns
    )
    lines = "".join(f"<TR>{''.join(map(cell, row))}</TR>" for row in rows)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}<DATA><TABLEDATA>{lines}</TABLEDATA></DATA></TABLE>
</RESOURCE></VOTABLE>"""


ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="ERROR">ORA-00904: invalid identifier</INFO></RESOURCE></VOTABLE>"""
HTML = "<!DOCTYPE html><html><body><p>We are down for maintenance.<br></body></html>"


class Service:
    """What the server answers, and what it was asked."""

    def __init__(self, body, status, promised):
        self.body, self.status, self.promised = body.encode(), status, promised
        self.queries, self.paths, self.url, self.over = [], [], "", threading.Event()


def handler_of(service):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            service.queries += parse_qs(asked).get("QUERY", [])
            service.paths.append(self.path)
            if service.status is None:
                service.over.wait(10)
                return
            self.send_response(service.status)
            self.send_header("Content-Type", "application/x-votable+xml")
            self.send_header("Content-Length", str(len(service.body) + service.promised))
            self.end_headers()
            self.wfile.write(service.body)

        do_GET = do_POST

        def log_message(self, *args):
            """Keep silent."""

    return Handler


@contextmanager
def serving(body="", *, status=200, promised=0):
    """A TAP service on loopback; `status` None never answers, `promised` bytes never come."""
    service = Service(body, status, promised)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}/TAP"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def closed_port():
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def same(one, other):
    """Whether two ephemerides agree, NaN with NaN."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in Ephemeris.__dataclass_fields__]
    return all(a == b or (a != a and b != b) for a, b in pairs)


# -- good answers --------------------------------------------------------------------------------------------


def test_the_row_of_the_archive_becomes_an_ephemeris(tmp_path):
    with serving(votable(WASP_12)) as service:
        found = planet_ephemeris("wasp-12  B", cache=tmp_path, online=True, url=service.url)
    assert same(found, GOOD)
    assert service.paths == ["/TAP/sync"]
    assert service.queries[0].endswith("from pscomppars where lower(pl_name)='wasp-12 b'")


def test_an_empty_cell_is_not_known(tmp_path):
    row = ("HAT-P-0 b", 2.5, None, 2450000.5, None, None, None, None, None)
    with serving(votable(row)) as service:
        found = planet_ephemeris("HAT-P-0 b", cache=tmp_path, online=True, url=service.url)
    assert (found.tc, found.period) == (2450000.5, 2.5)
    unknown = (found.tc_error, found.period_error, found.t14, found.t14_error, found.k, found.b)
    assert all(math.isnan(value) for value in unknown)
    assert math.isnan(found.near(2450010.0)[1])


def test_an_answer_is_asked_for_once(tmp_path):
    with serving(votable(WASP_12)) as service:
        planet_ephemeris("WASP-12 b", cache=tmp_path, online=True, url=service.url)
        planet_ephemeris("wasp-12 B", cache=tmp_path, online=True, url=service.url)
    assert len(service.queries) == 1
    again = planet_ephemeris(" WASP-12  b ", cache=tmp_path, url=service.url)  # from the cache
    assert same(again, GOOD)


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    with serving(votable(WASP_12)) as service:
        planet_ephemeris("WASP-12 b", online=True, url=service.url)
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["wasp-12_b.json"]
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "potpyri_like"


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "{",
        "[]",
        '"WASP-12 b"',
        '{"name": "WASP-12 b"}',
        "\udcff",
        json.dumps({**vars(GOOD), "tc": None, "t14_error": None}),
        json.dumps({**vars(GOOD), "period": "a day", "t14_error": None}),
        json.dumps({**vars(GOOD), "name": "WASP-13 b", "t14_error": None}),
    ],
)
def test_a_spoilt_cache_is_asked_for_again(tmp_path, spoilt):
    kept = tmp_path / "wasp-12_b.json"
    kept.write_bytes(spoilt.encode(errors="surrogateescape"))
    with serving(votable(WASP_12)) as service:
        assert same(planet_ephemeris("WASP-12 b", cache=tmp_path, online=True, url=service.url), GOOD)
    assert len(service.queries) == 1
    assert same(planet_ephemeris("WASP-12 b", cache=tmp_path, online=True, url=service.url), GOOD)


def test_a_cache_that_cannot_be_written_takes_no_answer_away(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with serving(votable(WASP_12)) as service:
        assert same(
            planet_ephemeris("WASP-12 b", cache=tmp_path / "file", online=True, url=service.url), GOOD
        )


def test_an_apostrophe_is_part_of_the_name(tmp_path):
    row = ("Barnard's b", *WASP_12[1:])
    with serving(votable(row)) as service:
        assert (
            planet_ephemeris("Barnard's b", cache=tmp_path, online=True, url=service.url).name
            == "Barnard's b"
        )
    assert service.queries[0].endswith("lower(pl_name)='barnard''s b'")


# -- others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"body": votable()}, "has no planet named 'WASP-12 b'"),
        ({"body": votable(("WASP-12 b", None, *WASP_12[2:]))}, "no period or no mid-transit of 'WASP-12 b'"),
        ({"body": votable(("WASP-12 b", 0.0, *WASP_12[2:]))}, "no period or no mid-transit of 'WASP-12 b'"),
        ({"body": ERROR}, "ORA-00904: invalid identifier"),
        ({"body": "down", "status": 500}, "did not answer about 'WASP-12 b'"),
        ({"body": "gone", "status": 404}, "did not answer about 'WASP-12 b'"),
        ({"body": "busy", "status": 503}, "did not answer about 'WASP-12 b'"),
        ({"body": HTML}, "did not answer about 'WASP-12 b'"),
        ({"body": ""}, "did not answer about 'WASP-12 b'"),
        ({"body": votable(WASP_12)[:-60]}, "did not answer about 'WASP-12 b'"),
        ({"body": votable(WASP_12)[:400], "promised": 1000}, "did not answer about 'WASP-12 b'"),
        ({"body": votable(WASP_12[:1], columns=COLUMNS[:1])}, "did not answer about 'WASP-12 b'"),
        ({"body": votable(WASP_12).replace("1.0914195", "one")}, "no period or no mid-transit"),
    ],
    ids=[
        "unknown planet",
        "without period",
        "period of 0",
        "error",
        "500",
        "404",
        "503",
        "a page",
        "nothing",
        "cut short",
        "connection lost",
        "other columns",
        "no number",
    ],
)
def test_an_answer_that_is_none_is_told_and_not_kept(tmp_path, answer, words):
    with serving(**answer) as service, pytest.raises(ArchiveError) as error:
        planet_ephemeris("WASP-12 b", cache=tmp_path, online=True, url=service.url)
    assert words in str(error.value)
    assert "--ephemeris 'TC PERIOD'" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_archive_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "TIMEOUT", 0.2)
    with serving(status=None) as service, pytest.raises(ArchiveError, match="did not answer"):
        planet_ephemeris("WASP-12 b", cache=tmp_path, online=True, url=service.url)
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_error_says_what_to_give(tmp_path):
    with pytest.raises(ArchiveError, match="try again with a network, or give --ephemeris"):
        planet_ephemeris(
            "WASP-12 b", cache=tmp_path, online=True, url=f"http://127.0.0.1:{closed_port()}/TAP"
        )
    assert not list(tmp_path.iterdir())


# -- mid-transits --------------------------------------------------------------------------------------------


def test_the_nearest_transit_is_named_with_its_number_and_error():
    planet = Ephemeris("", tc=2450000.0, period=2.0, tc_error=0.003, period_error=1e-5)
    tc, error, epoch = planet.near(2450801.1)
    assert (tc, epoch) == (2450802.0, 401)
    assert error == pytest.approx(math.hypot(0.003, 401e-5))
    assert planet.near(2449998.9)[::2] == (2449998.0, -1)


def test_an_error_known_in_part_is_that_part():
    assert Ephemeris("", tc=0.0, period=2.0, period_error=1e-3).near(20.0)[1] == pytest.approx(0.01)
    assert Ephemeris("", tc=0.0, period=2.0, tc_error=1e-3).near(20.0)[1] == pytest.approx(1e-3)


def test_nothing_is_asked_while_the_network_is_off_and_the_sentence_says_how_to_turn_it_on(tmp_path):
    with serving(votable(WASP_12)) as service:
        with pytest.raises(ArchiveError, match=r"network is off: add --online .* --ephemeris"):
            planet_ephemeris("WASP-12 b", cache=tmp_path, url=service.url)
        assert not service.queries
