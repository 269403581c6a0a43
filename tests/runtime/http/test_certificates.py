"""Files with certificates: what is accepted, and what their refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from connector.errors import ConfigurationError
from runtime.http.certificates import check_authorities, check_certificate


def test_what_is_accepted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("a@example.com").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    check_authorities(str(tmp_path / "ca.pem"), "CONNECTOR_CA")
    check_certificate(str(tmp_path / "client.pem"), "CONNECTOR_CERT")


def test_a_certificate_without_its_key_is_refused_with_the_name_of_its_setting(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    with pytest.raises(
        ConfigurationError, match="CONNECTOR_CERT__DEMO: .*expected a PEM file with a certificate chain"
    ):
        check_certificate(str(tmp_path / "ca.pem"), "CONNECTOR_CERT__DEMO")


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec

    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(b"opens nothing")
    )
    chain = trustme.CA().issue_cert("a@example.com").cert_chain_pems[0].bytes()
    (tmp_path / "client.pem").write_bytes(chain + locked)
    with pytest.raises(ConfigurationError, match="without a password"):
        check_certificate(str(tmp_path / "client.pem"), "CONNECTOR_CERT")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CONNECTOR_CA: .*none.pem cannot be read: no such file"):
        check_authorities(str(tmp_path / "none.pem"), "CONNECTOR_CA")
