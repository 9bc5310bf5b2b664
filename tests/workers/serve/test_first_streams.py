import pytest

from pipeline.errors import UsageError
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from workers.access.sources import check_source
from workers.contract.stream_store import StreamStore
from workers.serve.first_streams import add_given, given_sources
from workers.settings.schema import AccessSettings, ServiceSettings


@pytest.fixture
def client():
    with EmbeddedRedis() as server:
        yield connect(server.url)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "lobby.mp4"
    path.touch()
    return path


def given(*texts: str):
    return given_sources(texts, AccessSettings())[0]


def test_a_file_that_is_given_is_allowed_and_its_neighbours_are_not(clip):
    _, access = given_sources([str(clip)], AccessSettings())

    assert check_source(str(clip), access).location == str(clip)
    with pytest.raises(UsageError, match="none of the folders allowed"):
        check_source(str(clip.with_name("other.mp4")), access)


@pytest.mark.parametrize("text", ["", "*.png", "1.png"])
def test_images_that_are_given_are_allowed_and_read_once(tmp_path, text):
    (tmp_path / "1.png").touch()

    given, access = given_sources([str(tmp_path / text)], AccessSettings())

    assert check_source(given[0].text, access).location == given[0].text
    assert not given[0].looped
    with pytest.raises(UsageError, match="none of the folders allowed"):
        check_source(str(tmp_path.parent / "*.png"), access)


def test_a_private_host_that_is_given_is_allowed_and_its_neighbours_are_not():
    _, access = given_sources(["rtsp://192.168.1.20/stream"], AccessSettings())

    assert check_source("rtsp://192.168.1.20/other", access).kind == "rtsp"
    with pytest.raises(UsageError, match="private address"):
        check_source("rtsp://192.168.1.21/stream", access)


def test_a_relative_path_is_kept_in_full(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)

    assert [one.text for one in given("lobby.mp4")] == [str(clip)]


def test_a_file_that_is_not_there_is_reported():
    with pytest.raises(UsageError, match=r"there is no file none\.mp4"):
        given("none.mp4")


def test_a_scheme_that_is_not_allowed_is_refused_here_too():
    with pytest.raises(UsageError, match="schemes allowed here"):
        given_sources(["camera:0"], AccessSettings(allow_schemes=["https"]))


def add(client, *texts: str, say=lambda _: None, **settings):
    return list(add_given(client, given(*texts), ServiceSettings(model="m", **settings), say))


def test_a_clip_is_played_as_a_camera_would_come_and_a_camera_as_it_is(client):
    clip, camera = add(client, "sample:bikes", "camera:0")

    spec = StreamStore(client).get(clip)
    assert (spec.loop, spec.realtime, spec.policy, spec.model) == (True, True, "drop-oldest", "m")
    # The model takes what suits it.
    assert spec.tokenizer is None
    spec = StreamStore(client).get(camera)
    assert (spec.loop, spec.realtime, spec.policy) == (False, False, None)


def test_a_source_given_twice_is_two_streams(client):
    assert add(client, "sample:bikes", "sample:bikes") == ["bikes", "bikes-2"]


def test_a_stream_of_an_earlier_run_goes_on_under_its_name(client):
    add(client, "sample:bikes")
    store = StreamStore(client)
    store.change("bikes", {"paused": True})

    assert add(client, "sample:bikes", "sample:bunny") == ["bikes", "bunny"]
    assert not store.get("bikes").paused
    assert store.get("bikes").revision == 2
    assert len(store.all()) == 2


def test_sources_that_redis_has_no_room_for_are_told_in_a_line_each_and_the_others_run(client):
    client.config_set("maxmemory", "30000000")
    said: list[str] = []

    assert add(client, "sample:bikes", "sample:bunny", "sample:carphone", say=said.append) == [
        "bikes",
        "bunny",
    ]
    (line,) = said
    assert line.startswith("no stream of sample:carphone: Redis has no room for another stream: 2 are there")
    assert "27 MB of its maxmemory of 30 MB" in line
    assert set(StreamStore(client).all()) == {"bikes", "bunny"}
    # What is there already goes on.
    assert add(client, "sample:carphone", "sample:bunny") == ["bunny"]
