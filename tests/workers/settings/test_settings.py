import os

import pytest

from pipeline.errors import UsageError
from workers.settings.loading import load_settings, print_settings, settings_of
from workers.settings.schema import ServiceSettings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("VWT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path):
    def write(text: str, name: str = "vwt.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_without_anything_the_defaults_hold():
    assert load_settings(None, {}) == ServiceSettings()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(config, monkeypatch):
    path = config('port = 1\nhost = "file"\nmodel = "file"\n[ingest]\nlease_s = 2\npoll_s = 0.1\n')
    monkeypatch.setenv("VWT_PORT", "2")
    monkeypatch.setenv("VWT_HOST", "environment")
    monkeypatch.setenv("VWT_INGEST__LEASE_S", "3")

    settings = load_settings(path, {"port": 4})

    assert (settings.port, settings.host, settings.model) == (4, "environment", "file")
    assert (settings.ingest.lease_s, settings.ingest.poll_s) == (3, 0.1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vwt.toml", '[access]\nallow_hosts = ["camera"]\n'),
        ("vwt.yaml", "access:\n  allow_hosts: [camera]\n"),
        ("vwt.yml", "access: {allow_hosts: camera}\n"),
        ("vwt.json", '{"access": {"allow_hosts": ["camera"]}}'),
    ],
)
def test_a_file_may_be_toml_yaml_or_json(config, name, text):
    assert load_settings(config(text, name), {}).access.allow_hosts == ["camera"]


def test_a_meter_that_is_not_in_the_registry_is_refused_with_those_that_are(config):
    assert load_settings(config('[inference]\nmeter = "rapl"\n'), {}).inference.meter == "rapl"
    with pytest.raises(UsageError, match=r"no meter 'sundial': choose one of auto, nvml, rapl, .*none"):
        load_settings(config('[inference]\nmeter = "sundial"\n'), {})


def test_an_empty_file_changes_nothing(config):
    assert load_settings(config("", "vwt.yaml"), {}) == ServiceSettings()


@pytest.mark.parametrize("value", ["a, 10.0.0.0/8", '["a", "10.0.0.0/8"]'])
def test_a_list_in_the_environment_has_commas_or_is_json(monkeypatch, value):
    monkeypatch.setenv("VWT_ACCESS__ALLOW_HOSTS", value)

    assert load_settings(None, {}).access.allow_hosts == ["a", "10.0.0.0/8"]


def test_what_is_printed_is_read_again_as_the_same(config):
    settings = load_settings(None, {"port": 9, "access": {"allow_folders": ["/videos"]}})

    assert load_settings(config(print_settings(settings), "printed.yaml"), {}) == settings


def test_a_redis_password_is_not_printed():
    text = print_settings(load_settings(None, {"redis": "rediss://user:hunter2@host:6379/0"}))

    assert "hunter2" not in text
    assert "redis: rediss://***@host:6379/0" in text


def test_paths_are_full_because_replicas_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = load_settings(
        None,
        {
            "data_folder": "data",
            "access": {"token_file": "tokens", "allow_folders": ["clips"]},
            "inference": {
                "weights": {
                    "a": "a.safetensors",
                    "b": "random",
                    "hf-hub:own/gate": "published",
                    "c": "hf-hub:o/n",
                },
                "names": {"a": "a.txt"},
                "labels": {"c": "c.safetensors"},
            },
        },
    )

    assert settings.data_folder == tmp_path / "data"
    assert settings.access.token_file == tmp_path / "tokens"
    assert settings.access.allow_folders == [tmp_path / "clips"]
    assert settings.inference.weights == {
        "a": str(tmp_path / "a.safetensors"),
        "b": "random",
        "hf-hub:own/gate": "published",
        "c": "hf-hub:o/n",
    }
    assert settings.inference.names == {"a": tmp_path / "a.txt"}
    assert settings.inference.labels == {"c": tmp_path / "c.safetensors"}


def test_settings_survive_the_way_to_a_replica_whatever_its_environment(monkeypatch):
    settings = load_settings(None, {"port": 9, "redis": "unix:///socket", "access": {"token_file": "/t"}})
    monkeypatch.setenv("VWT_PORT", "1")

    assert ServiceSettings(**settings.model_dump(mode="json")) == settings


def test_of_an_applications_args_the_environment_gives_what_they_leave_out(monkeypatch):
    monkeypatch.setenv("VWT_REDIS", "redis://host")
    monkeypatch.setenv("VWT_INGEST__LEASE_S", "3")

    settings = settings_of({"ingest": {"lease_s": 9}})

    assert (settings.redis, settings.ingest.lease_s) == ("redis://host", 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 70000", r"the setting port cannot be '70000' \(from \S+vwt.toml\): it must be less than"),
        ("prot = 1", r"there is no setting prot \(from \S+vwt.toml\); did you mean port\?"),
        ("[ingest]\nlease = 1", r"there is no setting ingest.lease .*; did you mean ingest.lease_s\?"),
        ("[ingest]\nzzz = 1", r"there is no setting ingest.zzz \(from \S+vwt.toml\)$"),
        ("ingest = 1", r"the setting ingest cannot be '1' .*: it must hold settings by name"),
        ('decoder = 1\n[ingest]\ndecoder = "gpu"', r"\(and 1 more\)$"),
        ('[access]\nallow_schemes = ["ftp"]', r"access.allow_schemes.0 cannot be 'ftp' .*'rtsp'"),
        ('[access]\nallow_hosts = ["10.0.0.0/99"]', "access.allow_hosts.0 cannot be '10.0.0.0/99'"),
        ("host = 0.0.0.0", r"cannot read the settings \S+vwt.toml: .*line 1"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_says_what_and_where(config, text, message):
    with pytest.raises(UsageError, match=message) as wrong:
        load_settings(config(text), {})
    assert "\n" not in str(wrong.value)


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("VWT_PORT", "tcp://10.0.0.1:8000")

    with pytest.raises(UsageError, match=r"port cannot be 'tcp://10.0.0.1:8000' \(from VWT_PORT\)"):
        load_settings(None, {})


def test_a_mistake_inside_json_of_the_environment_names_its_variable(monkeypatch):
    monkeypatch.setenv("VWT_INGEST", '{"lease_s": -1}')

    with pytest.raises(UsageError, match=r"ingest.lease_s cannot be '-1' \(from VWT_INGEST\)"):
        load_settings(None, {})


def test_a_mistake_on_the_command_line_says_so(config, monkeypatch):
    monkeypatch.setenv("VWT_PORT", "1")

    with pytest.raises(UsageError, match=r"port cannot be '-1' \(from the command line\)"):
        load_settings(config("port = 2"), {"port": -1})


@pytest.mark.parametrize("name", ["vwt.yaml", "vwt.json", "vwt.toml"])
def test_a_file_that_cannot_be_read_quotes_no_password(config, name):
    with pytest.raises(UsageError, match="cannot read the settings") as wrong:
        load_settings(config('redis: [redis://user:hunter2@host"', name), {})
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(("name", "why"), [("vwt.ini", "give a .toml, .yaml"), ("none.toml", "No such file")])
def test_a_file_of_another_kind_or_none_is_reported(tmp_path, name, why):
    with pytest.raises(UsageError, match=why):
        load_settings(tmp_path / name, {})


def test_a_file_that_is_a_list_is_reported(config):
    with pytest.raises(UsageError, match="it must hold settings by name"):
        load_settings(config("- a\n", "vwt.yaml"), {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "1: 2\n"),
        ("a.yaml", "inference: {2026-11-26: x}\n"),
        ("a.yaml", "? [a]\n: b\n"),
        ("a.json", "[" * 100_000),
        ("a.yaml", "[" * 5_000),
        ("a.yaml", "access: &a {b: *a}\n"),
    ],
)
def test_an_odd_file_is_one_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match="cannot read the settings"):
        load_settings(path, {})


def test_a_kwh_has_a_price_only_where_one_is_given(config):
    assert load_settings(None, {}).gateway.price_per_kwh is None
    priced = load_settings(config('[gateway]\nprice_per_kwh = 0.3\ncurrency = "EUR"\n'), {}).gateway
    assert (priced.price_per_kwh, priced.currency) == (0.3, "EUR")


@pytest.mark.parametrize("text", ["price_per_kwh = -1", "price_per_kwh = inf", 'currency = "euro"'])
def test_a_price_that_cannot_be_right_is_refused(config, text):
    with pytest.raises(UsageError, match=text.split()[0]):
        load_settings(config(f"[gateway]\n{text}\n"), {})
