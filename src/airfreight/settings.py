"""Every setting, once: name, default, meaning. Read from `AIRFREIGHT_<NAME>`;
docs/settings.md is generated from here.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from airfreight.domain.addresses import Network, read_networks

_YEAR_SECONDS = 366 * 86_400
_ENDLESS = 2**63 - 1
_BOOLS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


_T = TypeVar("_T")


def _setting(default: _T, words: str, *, secret: bool = False) -> _T:
    return field(default=default, metadata={"words": words, "secret": secret})


class SettingError(ValueError):
    """A setting that cannot be read; the message names the variable and what would be right."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set. Durations are in seconds, sizes in bytes."""

    data: Path = _setting(Path("data"), "Folder for the SQLite database, the blobs and the server's secret key.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on.")
    workers: int = _setting(1, "Server processes that share the port.")
    database_url: str = _setting(
        "", "`postgresql://user:password@host/name`; empty means SQLite in the data folder.", secret=True
    )
    public_url: str = _setting(
        "", "Base of the URLs given to devices, such as `https://ota.example.com`; empty means the request's own Host."
    )
    trusted_proxies: str = _setting(
        "",
        "Networks of the reverse proxies in front of this server, `127.0.0.1/32, 10.1.0.0/16`; empty: none. From these "
        "`X-Forwarded-Proto`, `-Host` and `-Port` are believed, and who they say has shown a certificate (DDI).",
    )
    admin_email: str = _setting("", "Email of the first user, made at the first start.")
    admin_password: str = _setting(
        "", "Password of the first user; empty means a random one, printed once.", secret=True
    )
    client_id: str = _setting("", "Id of the first API client, made at the first start.")
    client_secret: str = _setting(
        "", "Secret of the first API client; empty means a random one, printed once.", secret=True
    )
    secret_key: str = _setting(
        "",
        "Key under which tokens are hashed (32 characters or more); empty means one made in the data folder.",
        secret=True,
    )
    token_seconds: int = _setting(86_400, "How long an operator's access and refresh tokens live.")
    poll_seconds: int = _setting(300, "How often an idle device is asked to poll; spread by a quarter either way.")
    retry_seconds: int = _setting(60, "Pause before a failed delivery is offered again; doubles with each try.")
    deadline_seconds: int = _setting(
        86_400, "How long a device may be silent in the middle of an attempt before the attempt counts as failed."
    )
    in_flight: str = _setting(
        "finish",
        "What a newer rollout does to an update that a device has begun: "
        "`finish` lets it end, `cancel` asks the device to cancel it.",
    )
    requests_per_minute: int = _setting(
        10_000, "Operator requests an organization may make in a minute; each server process counts its share."
    )
    latest_per_minute: int = _setting(
        60,
        "How often an address may ask for the latest version of a device in a minute (Device OTA, no token needed); "
        "each server process counts its share. Behind a proxy all devices have the proxy's address.",
    )
    online_seconds: int = _setting(900, "A device heard from within this time is shown as online.")
    max_upload_bytes: int = _setting(2 * 1024**3, "Largest artifact accepted by `PUT /api/v1/artifacts`.")
    max_stream_bytes: int = _setting(
        0,
        "Largest file that may come as a stream of the Campaigns API or as an upload that can be resumed; 0: as long "
        "as there is room.",
    )
    upload_hours: int = _setting(24, "How long the server keeps an unfinished upload, from its last bytes on.")
    max_form_bytes: int = _setting(10 * 1024**2, "Largest file accepted by the multipart `POST /api/upload`.")
    max_body_bytes: int = _setting(2 * 1024**2, "Largest JSON body accepted anywhere.")
    chunk_seconds: int = _setting(30, "How long the server waits for the next bytes of a body.")
    min_free_bytes: int = _setting(256 * 1024**2, "Uploads are refused when the disk would have less than this left.")
    newcomers_limit: int = _setting(
        100_000,
        "How many devices an organization may have before its gateway token, or a proxy's word, makes no new ones any "
        "more (DDI); operators may make more.",
    )
    history_limit: int = _setting(200, "History rows kept per delivery; later notes are counted but not kept.")
    accel_prefix: str = _setting(
        "", "nginx's internal location of the blob folder; when set, downloads leave by `X-Accel-Redirect`."
    )
    resume_seconds: int = _setting(
        60, "How long a device that cannot report may take to go on with a download that broke off."
    )
    download_seconds: int = _setting(86_400, "How long the URL of a file with a token in it can be used.")
    mqtt_url: str = _setting(
        "",
        "Broker for devices that listen over MQTT, `mqtts://user:password@host:8883` or `mqtt://...`; empty: none.",
        secret=True,
    )
    mqtt_ca_file: str = _setting("", "Certificate authority of the broker; empty means those of the system.")
    mqtt_prefix: str = _setting("airfreight", "First level of all topics at the broker.")
    mqtt_password_file: str = _setting(
        "", "mosquitto's password file, which the server writes when devices come and go; empty: it does not."
    )
    mqtt_pid_file: str = _setting("", "mosquitto's pid file: it is told (SIGHUP) when its password file has changed.")
    push_per_second: int = _setting(200, "How many devices at the broker are offered an update in a second.")
    webhook_allow: str = _setting(
        "",
        "Networks that webhooks may reach although they are not public, `10.1.0.0/16, fd12::/32`; empty: none. "
        "Whoever may edit webhooks can then make this server send requests there.",
    )
    webhook_tries: int = _setting(8, "How often a webhook's message is tried before it is put aside as dead.")
    webhook_log_days: int = _setting(30, "How long messages to webhooks are kept, whatever became of them.")
    webhook_senders: int = _setting(8, "Webhooks that a server process sends to at the same time.")
    log_level: str = _setting("info", "debug, info, warning or error.")

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """`webhook_allow`, read."""
        return read_networks(self.webhook_allow)

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """`trusted_proxies`, read."""
        return read_networks(self.trusted_proxies)

    @property
    def stream_limit(self) -> int:
        """`max_stream_bytes` as a number that is always one."""
        return self.max_stream_bytes or _ENDLESS

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database."""
        if not self.database_url:
            return f"sqlite:///{(self.data / 'airfreight.db').absolute()}"
        scheme, separator, rest = self.database_url.partition("://")
        if scheme in {"postgresql", "postgres", "postgresql+psycopg"} and separator:
            return f"postgresql+psycopg://{rest}"
        raise SettingError("AIRFREIGHT_DATABASE_URL must begin with postgresql:// (or be empty for SQLite).")


def load(environ: Mapping[str, str] | None = None, **given: object) -> Settings:
    """Settings from the environment, with `given` (not None) taking precedence. Raises SettingError."""
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for item in fields(Settings):
        name = variable(item.name)
        if given.get(item.name) is not None:
            values[item.name] = given[item.name]
        elif name in environ:
            values[item.name] = _read(name, environ[name], item.default)
    settings = Settings(**values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"AIRFREIGHT_{name.upper()}"


def _read(name: str, text: str, default: object) -> object:
    if isinstance(default, Path):
        return Path(text)
    if isinstance(default, int):
        if not text.strip().isascii() or not text.strip().isdigit():
            raise SettingError(f"{name} must be a whole number.")
        return int(text)
    return text


def _check(settings: Settings) -> None:
    if not 0 <= settings.port <= 65_535:
        raise SettingError("AIRFREIGHT_PORT must be 0 to 65535.")
    if not 1 <= settings.workers <= 64:
        raise SettingError("AIRFREIGHT_WORKERS must be 1 to 64.")
    for name in (
        "poll_seconds",
        "deadline_seconds",
        "token_seconds",
        "online_seconds",
        "chunk_seconds",
        "upload_hours",
        "history_limit",
        "requests_per_minute",
        "latest_per_minute",
        "download_seconds",
        "resume_seconds",
        "push_per_second",
        "webhook_tries",
        "webhook_log_days",
        "webhook_senders",
    ):
        if getattr(settings, name) < 1:
            raise SettingError(f"{variable(name)} must be at least 1.")
    if settings.download_seconds > _YEAR_SECONDS:
        raise SettingError("AIRFREIGHT_DOWNLOAD_SECONDS must be at most a year.")
    if settings.upload_hours > _YEAR_SECONDS // 3600:
        raise SettingError("AIRFREIGHT_UPLOAD_HOURS must be at most a year.")
    if settings.secret_key and len(settings.secret_key) < 32:
        raise SettingError("AIRFREIGHT_SECRET_KEY must have 32 characters or more.")
    if settings.public_url and not settings.public_url.startswith(("http://", "https://")):
        raise SettingError("AIRFREIGHT_PUBLIC_URL must begin with http:// or https://.")
    if settings.in_flight not in {"finish", "cancel"}:
        raise SettingError("AIRFREIGHT_IN_FLIGHT must be finish or cancel.")
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise SettingError("AIRFREIGHT_LOG_LEVEL must be debug, info, warning or error.")
    _check_broker(settings)
    _check_webhooks(settings)
    try:
        _ = settings.proxy_networks
    except ValueError:
        raise SettingError("AIRFREIGHT_TRUSTED_PROXIES must be networks such as 127.0.0.1/32, fd12::/32.") from None


def _check_webhooks(settings: Settings) -> None:
    try:
        _ = settings.webhook_networks
    except ValueError:
        raise SettingError("AIRFREIGHT_WEBHOOK_ALLOW must be networks such as 10.1.0.0/16, fd12::/32.") from None
    if settings.webhook_senders > 100:
        raise SettingError("AIRFREIGHT_WEBHOOK_SENDERS must be at most 100.")


def _check_broker(settings: Settings) -> None:
    if len(settings.public_url) > 128:
        raise SettingError("AIRFREIGHT_PUBLIC_URL must have at most 128 characters: devices have small buffers.")
    if settings.mqtt_url and not settings.mqtt_url.startswith(("mqtt://", "mqtts://")):
        raise SettingError("AIRFREIGHT_MQTT_URL must begin with mqtt:// or mqtts://.")
    if settings.mqtt_url and not settings.public_url:
        raise SettingError("AIRFREIGHT_PUBLIC_URL is needed with AIRFREIGHT_MQTT_URL: devices are sent whole URLs.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", settings.mqtt_prefix):
        raise SettingError("AIRFREIGHT_MQTT_PREFIX must have 1 to 32 letters, digits, _ or -.")
