"""The broker's keys: from the environment or the OS keyring, shown nowhere; and where they may be sent."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from core.errors import CredentialsError

NAMES = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
SERVICE = "quantor-mtfuzz"
PAPER, LIVE, DATA = "https://paper-api.alpaca.markets", "https://api.alpaca.markets", "https://data.alpaca.markets"


class Secret:
    """A text that neither repr, str, vars nor pickle shows."""

    __slots__ = ("_reveal",)

    def __init__(self, text: str) -> None:
        self._reveal = lambda: text

    def reveal(self) -> str:
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise CredentialsError("a secret is not written anywhere")


class Keys(NamedTuple):
    key: Secret
    secret: Secret

    @property
    def texts(self) -> tuple[str, str]:
        return self.key.reveal(), self.secret.reveal()


def keys_at_hand() -> Keys:
    """Both keys from the environment, else from the OS keyring; a CredentialsError that says how to give them."""
    found = [os.environ.get(name, "").strip() for name in NAMES]
    if not all(found):
        found = [text or stored(name) for text, name in zip(found, NAMES, strict=True)]
    if not all(found):
        missing = " and ".join(name for text, name in zip(found, NAMES, strict=True) if not text)
        raise CredentialsError(
            f"{missing} not set; export them, or store them with `keyring set {SERVICE} NAME`. Paper keys are made at "
            "app.alpaca.markets. They are read from nowhere else"
        )
    if any(any(c.isspace() or not c.isprintable() for c in text) for text in found):
        raise CredentialsError("a key holds spaces or control characters; copy it again")
    return Keys(Secret(found[0]), Secret(found[1]))


def stored(name: str) -> str:
    """A key from the OS keyring; '' without the optional package or an entry."""
    try:
        import keyring
    except ModuleNotFoundError:
        return ""
    try:
        return keyring.get_password(SERVICE, name) or ""
    except keyring.errors.KeyringError:
        return ""


class Endpoint(NamedTuple):
    """Where requests go: one address for trading and one for market data, as they are used."""

    trading: str
    data: str
    rehearsal: bool

    @property
    def paper(self) -> bool:
        return self.rehearsal or self.trading == PAPER


def endpoint_of(url: str | None, live_money: bool = False) -> Endpoint:
    """Paper by default; `url` may name a rehearsal on this machine and nothing else (CredentialsError)."""
    if url is None:
        return Endpoint(LIVE, DATA, False) if live_money else Endpoint(PAPER, DATA, False)
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1") and port and plain and not live_money:
        return Endpoint(url, url, True)
    raise CredentialsError(f"{url!r} is no address that keys are sent to; only a rehearsal at http://127.0.0.1:PORT is")


def check_keys(keys: Keys, endpoint: Endpoint, allow_real: bool = False) -> None:
    """Refuse to hand a real account's keys to a rehearsal."""
    if endpoint.rehearsal and not allow_real and keys.key.reveal()[:2] in ("PK", "AK"):
        raise CredentialsError("these look like an account's own keys; a rehearsal needs none (it makes its own)")
