"""A certificate authority for one test run: a server on this machine, and clients with certificates of their own."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM files."""

    path: Path
    key_path: Path

    @property
    def pem(self) -> str:
        return self.path.read_text()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over its DER, in hex, as openssl and RFC 8705 compute it."""
        return sha256(ssl.PEM_cert_to_DER_cert(self.pem)).hexdigest()


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self.certificate = self._write("authority", self._key, self._key, is_authority=True)
        self.server = self.issue("server")

    def issue(self, name: str) -> Certificate:
        """A certificate for `name`, good for 127.0.0.1, with a key of its own."""
        return self._write(name, ec.generate_private_key(ec.SECP256R1()), self._key, is_authority=False)

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, is_authority: bool
    ) -> Certificate:
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            # Python 3.13 and later trust no authority that does not say what its key is for.
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=is_authority,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    crl_sign=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(signer, SHA256())
        )
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.path.write_bytes(built.public_bytes(Encoding.PEM))
        made.key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def context(self, client: Certificate | None) -> ssl.SSLContext:
        """What a client needs that trusts this authority and shows that certificate, or none."""
        context = ssl.create_default_context(cafile=str(self.certificate.path))
        if client is not None:
            context.load_cert_chain(client.path, client.key_path)
        return context


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
