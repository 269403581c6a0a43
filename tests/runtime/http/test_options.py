"""Which way the requests of each connection take, from variables, tables and what a host names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.errors import ConfigurationError
from runtime.config.settings import Settings, load_settings
from runtime.http.options import HttpOptions, Routes, read_proxy
from runtime.http.transport import Proxy, Route

PROXY = "CONNECTOR_PROXY"


def routes(known: Any = tuple, **environ: str) -> Routes:
    return Routes(Settings(environment=environ), known)


def test_the_last_named_counts_and_an_empty_value_is_none() -> None:
    found = routes(CONNECTOR_PROXY="http://all:1", CONNECTOR_PROXY__DEMO="http://demo:2", CONNECTOR_PROXY__DEMO__A="")
    proxies = [found.of(connection).proxy for connection in ("other", "demo", "demo:b", "demo:a", "")]
    assert proxies == [Proxy("all", 1), Proxy("demo", 2), Proxy("demo", 2), None, Proxy("all", 1)]


def test_each_connection_is_a_tenant_of_its_own() -> None:
    found = routes(CONNECTOR_HTTP2="1")
    assert found.of("demo:a") == Route(tenant="demo:a", http2=True, settings_of="demo:a")
    assert found.of("demo:a") != found.of("demo")
    assert found.of("demo:a") is found.of("demo:a")


def test_connector_toml_has_tables_which_yield_to_variables_and_to_the_host(tmp_path: Path) -> None:
    text = '[proxies]\n"*" = "http://all:1"\ndemo = ""\n[http2]\ndemo = true\n"demo:a" = "0"\n'
    (tmp_path / "connector.toml").write_text(text, "utf-8")
    settings = load_settings({"CONNECTOR_HTTP2__DEMO__A": "1", PROXY: "http://variable:2"}, tmp_path)
    found = Routes(settings, tuple)
    assert found.of("other").proxy == Proxy("variable", 2)
    assert found.of("demo").proxy is None
    assert [found.of(name).http2 for name in ("demo", "demo:a", "other")] == [True, True, False]
    options = HttpOptions(proxies={"demo": "http://host:3"}, http2={"*": True, "demo": False})
    found = Routes(options.applied_to(settings), tuple)
    assert [found.of(name).http2 for name in ("demo", "other")] == [False, True]
    assert found.of("demo").proxy == Proxy("host", 3)


def test_files_that_connector_toml_names_are_found_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "connector.toml").write_text('[cas]\ndemo = "ca.pem"\n"demo:a" = ""\n', "utf-8")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    found = Routes(load_settings({}, tmp_path), tuple)
    assert (found.of("demo").trust, found.of("demo:a").trust) == (str(tmp_path / "ca.pem"), "")


def test_a_variable_that_could_be_meant_for_two_connections_is_refused() -> None:
    found = routes(lambda: ["mistral.ai", "mistral-ai"], CONNECTOR_CA__X="", CONNECTOR_PROXY__MISTRAL_AI="http://a:1")
    with pytest.raises(ConfigurationError, match="CONNECTOR_PROXY__MISTRAL_AI could be meant for"):
        found.of("mistral-ai")


def test_user_and_password_of_a_proxy_are_decoded_and_never_shown() -> None:
    proxy = read_proxy("http://us%40er:p%3Aass@proxy.example:3128/", PROXY)
    assert proxy == Proxy("proxy.example", 3128, "Basic dXNAZXI6cDphc3M=")
    assert "dXNA" not in repr(proxy)
    assert read_proxy("http://[::1]:3128?names=proxy", PROXY) == Proxy("::1", 3128, looks_up=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://canary@proxy:1",
        "canary",
        "http://canary",
        "http://a:canary",
        "http://a:1/canary",
        "http://a:1?canary",
        "http://a:1#canary",
        "socks5://canary:1",
        "http://canary%0d%0aX:y@a:1",
        "http://[canary:1",
        "http://a:99999",
    ],
)
def test_what_is_not_the_url_of_a_proxy_is_refused_at_the_start_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CONNECTOR_PROXY__DEMO") as caught:
        routes(CONNECTOR_PROXY__DEMO=url)
    assert "canary" not in f"{caught.value} {caught.value.hint}"


def test_http2_is_on_or_off() -> None:
    with pytest.raises(ConfigurationError, match="CONNECTOR_HTTP2__DEMO is 1"):
        routes(CONNECTOR_HTTP2__DEMO="yes")
    with pytest.raises(ConfigurationError, match="http2 is a table"):
        load_settings({}, _toml("http2 = 1"))


def _toml(text: str) -> Path:
    import tempfile

    folder = Path(tempfile.mkdtemp())
    (folder / "connector.toml").write_text(text, "utf-8")
    return folder
