"""The names that inputs use: allowed uses and the attributes of a subject."""

from typing import Final

from plugins.protocol.inputs import Field

KEY_USAGES: Final = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
"""The key usages among `allowedUses` (RFC 5280, 4.2.1.3), and their names in `cryptography`."""

EXTENDED_KEY_USAGES: Final = {
    "any_extended": "2.5.29.37.0",
    "server_auth": "1.3.6.1.5.5.7.3.1",
    "client_auth": "1.3.6.1.5.5.7.3.2",
    "code_signing": "1.3.6.1.5.5.7.3.3",
    "email_protection": "1.3.6.1.5.5.7.3.4",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp_signing": "1.3.6.1.5.5.7.3.9",
}
"""The extended key usages among `allowedUses` (RFC 5280, 4.2.1.12), and their object identifiers."""

TEXTS: Final = Field(list, items=Field())
"""A list of texts."""

SUBJECT: Final = {
    "country": Field(),
    "organization": Field(),
    "organizationalUnit": Field(),
    "locality": Field(),
    "province": Field(),
    "streetAddresses": TEXTS,
    "postalCode": Field(),
    "commonName": Field(),
    "serialNumber": Field(),
    "emailAddress": Field(),
}
"""The attributes of a `subject`, in the order of Go's pkix.Name."""
