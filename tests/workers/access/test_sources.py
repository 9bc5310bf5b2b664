import socket
import threading

import pytest

import workers.access.addresses
from pipeline.errors import UsageError
from workers.access.sources import check_source
from workers.settings.schema import AccessSettings


def access(**given) -> AccessSettings:
    return AccessSettings(**given)


def names(monkeypatch, **addresses) -> None:
    """A name server of our own."""

    def look_up(host, *_args, **_kwargs):
        if host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in addresses[host]]

    monkeypatch.setattr(workers.access.addresses.socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.1", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.20", "private"),
        ("[fd12::1]", "private"),
        ("169.254.7.7", "link-local"),
        ("[fe80::1]", "link-local"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("100.64.0.1", "reserved"),
        ("[fec0::1]", "reserved"),
        ("192.0.0.9", "reserved"),
        ("192.88.99.1", "reserved"),
        ("[3fff::1]", "reserved"),
        ("169.254.169.254", "cloud metadata"),
        ("[fd00:ec2::254]", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
    ],
)
def test_an_address_that_is_not_public_is_refused_with_its_kind(host, kind):
    with pytest.raises(UsageError, match=rf"may not be read: its address \S+ is an? {kind} address"):
        check_source(f"rtsp://{host}:554/stream", access())


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",  # 169.254.169.254
        "[2002:7f00:1::]",  # 6to4
        "[64:ff9b::7f00:1]",  # NAT64
        "\uff11\uff12\uff17.0.0.1",  # wide digits
    ],
)
def test_an_address_is_refused_however_it_is_written(host):
    with pytest.raises(UsageError, match="may not be read"):
        check_source(f"http://{host}/video.mp4", access())


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
def test_a_public_address_may_be_read(host):
    assert check_source(f"https://{host}/live.m3u8", access()).kind == "http"


@pytest.mark.parametrize("name", ["metadata.google.internal", "METADATA.google.internal.", "instance-data"])
def test_a_metadata_service_is_refused_by_its_name_without_a_lookup(name):
    with pytest.raises(UsageError, match="is a cloud metadata service"):
        check_source(f"http://{name}/latest", access())


def test_a_name_is_refused_when_one_of_its_addresses_is_private(monkeypatch):
    names(monkeypatch, camera=["8.8.8.8", "10.0.0.7"])

    with pytest.raises(UsageError, match=r"its address 10\.0\.0\.7 is a private address"):
        check_source("rtsp://camera/stream", access())


def test_a_name_without_an_address_is_reported(monkeypatch):
    names(monkeypatch)

    with pytest.raises(UsageError, match=r"cannot find the host of rtsp://\*\*\*@camera/stream"):
        check_source("rtsp://user:secret@camera/stream", access())


def test_a_name_server_that_does_not_answer_holds_nobody_up(monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(workers.access.addresses, "_RESOLVE_S", 0.05)
    monkeypatch.setattr(workers.access.addresses.socket, "getaddrinfo", lambda *_a, **_k: answer.wait(60))

    with pytest.raises(UsageError, match="cannot look up the host of rtsp://camera/stream: no answer within"):
        check_source("rtsp://camera/stream", access())
    answer.set()


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("192.168.1.20", "192.168.1.0/24"),
        ("192.168.1.20", "192.168.1.20"),
        ("[::ffff:192.168.1.20]", "192.168.1.0/24"),
        ("[fd12::1]", "fd12::/64"),
        ("[fd12::1]", "[fd12::1]"),
        ("localhost", "LOCALHOST"),
        ("127.0.0.1", "*"),
        ("169.254.169.254", "169.254.169.254"),
    ],
)
def test_a_host_that_is_allowed_may_be_read(host, entry):
    assert check_source(f"rtsp://{host}/stream", access(allow_hosts=[entry])).kind == "rtsp"


def test_a_name_that_is_allowed_is_not_looked_up(monkeypatch):
    names(monkeypatch)

    assert check_source("rtsp://camera/stream", access(allow_hosts=["camera"])).kind == "rtsp"


def test_the_refusal_names_an_option_that_would_allow_it():
    with pytest.raises(UsageError) as refused:
        check_source("rtsp://192.168.1.20/stream", access(allow_hosts=["192.168.2.0/24"]))

    entry = str(refused.value).rpartition("--allow-host ")[2]
    assert check_source("rtsp://192.168.1.20/stream", access(allow_hosts=[entry])).kind == "rtsp"


@pytest.mark.parametrize(
    "text", ["rtsp://bob:hunter2@10.0.0.1/s?token=t0psecret", "rtsp://bob:12/hunter2@10.0.0.1/s"]
)
def test_a_refusal_quotes_no_credentials(text):
    with pytest.raises(UsageError) as refused:
        check_source(text, access())

    assert not {"bob", "hunter2", "t0psecret"} & set(
        str(refused.value).replace(":", " ").replace("/", " ").split()
    )
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["rtsp://8.8.8.8/s", "sample:bikes", "camera:0", "/videos/a.mp4"])
def test_a_scheme_that_is_not_allowed_is_refused(text, tmp_path):
    with pytest.raises(UsageError, match=r"schemes allowed here \(https\).*access\.allow_schemes"):
        check_source(text, access(allow_schemes=["https"], allow_folders=[tmp_path]))


def test_samples_and_cameras_may_be_read_where_their_schemes_are_allowed():
    assert check_source("sample:bikes", access()).kind == "sample"
    assert check_source("camera:0", access()).kind == "camera"


def test_no_file_may_be_read_unless_a_folder_is_allowed(tmp_path):
    with pytest.raises(UsageError, match=rf"start the service with --allow-folder {tmp_path}$"):
        check_source(str(tmp_path / "clip.mp4"), access())


def test_a_file_in_an_allowed_folder_may_be_read(tmp_path):
    (tmp_path / "deep").mkdir()
    clip = tmp_path / "deep" / "clip.mp4"

    assert check_source(str(clip), access(allow_folders=[tmp_path])).location == str(clip)


def test_a_folder_whose_name_only_begins_alike_is_not_allowed(tmp_path):
    with pytest.raises(UsageError, match="none of the folders allowed here"):
        check_source(f"{tmp_path}-secret/clip.mp4", access(allow_folders=[tmp_path]))


@pytest.mark.parametrize("text", ["{}/../etc/passwd", "{}/in/../clip.mp4", "clip.mp4", "./clip.mp4"])
def test_a_path_that_is_not_full_and_plain_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match=r"give its full path, without \.\."):
        check_source(text.format(tmp_path), access(allow_folders=[tmp_path]))


def test_a_link_is_judged_by_where_it_leads(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "out.mp4").symlink_to(outside / "clip.mp4")
    (outside / "in.mp4").symlink_to(inside / "clip.mp4")
    allowed = access(allow_folders=[inside])

    with pytest.raises(UsageError, match="none of the folders"):
        check_source(str(inside / "out.mp4"), allowed)
    assert check_source(str(outside / "in.mp4"), allowed).location == str(inside / "clip.mp4")


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(UsageError, match="may not be read"):
        check_source(str(tmp_path / "loop" / "clip.mp4"), access())


def test_an_allowed_folder_may_itself_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    checked = check_source(str(tmp_path / "link" / "clip.mp4"), access(allow_folders=[tmp_path / "link"]))

    assert checked.location == str(tmp_path / "real" / "clip.mp4")
