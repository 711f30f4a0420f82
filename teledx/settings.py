"""What a process is told from outside: environment variables `TELEDX_*`, or files of these names in a secrets folder.

Read once by the command line, frozen, and passed in. `docs/operations.md` lists them; a test holds the two together.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from teledx.errors import NotConfigured


class Settings(BaseSettings):
    """One process's settings. Secrets print as stars."""

    model_config = SettingsConfigDict(env_prefix="TELEDX_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL as this process's role: teledx_region or teledx_partner"
    )
    owner_database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL as the owner; for `teledx migrate` alone"
    )
    region_password: SecretStr | None = Field(
        None, description="password that `migrate` gives the role teledx_region"
    )
    partner_password: SecretStr | None = Field(
        None, description="password that `migrate` gives the role teledx_partner"
    )
    s3_url: str = Field("", description="object store, as this process reaches it")
    s3_public_url: str = Field(
        "", description="object store, as clinics and partners reach it; signed into their links"
    )
    s3_access_key: SecretStr = Field(SecretStr(""), description="this process's identity at the store")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="this process's secret at the store")
    s3_bucket_prefix: str = Field("", description="put before every bucket's name")
    broker_urls: str = Field(
        "", description="RabbitMQ, several separated by spaces; empty: the in-process broker"
    )
    broker_quorum: bool = Field(False, description="quorum queues, where RabbitMQ has three nodes")
    keyring: Path | None = Field(None, description="folder of the region's de-identification keys")
    webhook_token: SecretStr = Field(
        SecretStr(""), description="bearer token of the store's new-object events"
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="bearer token that /metrics asks for; empty: it is open"
    )
    scratch: Path = Field(Path("/var/tmp/teledx"), description="folder for files in flight")  # noqa: S108
    worker_threads: int = Field(
        2, ge=1, le=64, description="stages of one lane that a worker process runs at once"
    )
    slide_converters: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        {},
        description="programs that convert slides of formats that are refused, as JSON: format to absolute path and "
        "arguments, `{source}` and `{target}` among them",
    )
    converter_minutes: float = Field(
        25, gt=0, le=45, description="how long a converter may take for one slide"
    )
    converter_memory_gb: int = Field(8, ge=1, description="memory that each process of a converter may have")
    converter_disk_gb: int = Field(64, ge=1, description="what a converter may write for one slide")
    relay_window: int = Field(8, ge=1, le=1000, description="runs in flight in one lane")
    heartbeat_seconds: float = Field(10, gt=0, description="how often a worker renews its leases")
    lease_seconds: float = Field(60, gt=0, description="how long a silent worker keeps a run")
    arrival_minutes: float = Field(
        30, gt=0, description="how long a drop may wait for files that its order names"
    )
    study_quiet_seconds: float = Field(
        30, gt=0, description="how long nothing new of an ordered study must come before it is a drop"
    )
    reading_lease_minutes: float = Field(30, gt=0, description="how long a silent reader keeps a work item")
    viewing_key: SecretStr = Field(
        SecretStr(""),
        description="signs grants to look at slides, one for all of the partners' gateways, of 32 characters or more;"
        " unset: each makes its own",
    )
    dimse_certificate: Path | None = Field(
        None, description="certificate with which `teledx dimse` speaks TLS; unset: it speaks none"
    )
    dimse_key: Path | None = Field(None, description="its key")
    dimse_client_ca: Path | None = Field(
        None, description="authority whose certificate a modality must show; unset: none is asked for"
    )
    slide_memory_mb: int = Field(
        256, ge=16, description="memory in which a partners' gateway keeps what is looked at of slides"
    )
    inbox_poll_seconds: float = Field(10, gt=0, description="how often the inbox is listed")
    gateway_url: str = Field(
        "http://127.0.0.1:8080", description="the region's gateway, for commands and the dashboard"
    )
    partner_gateway_url: str = Field("http://127.0.0.1:8081", description="the partners' gateway, likewise")
    gateway_public_url: str = Field(
        "", description="the region's gateway as browsers reach it, for links; empty: as above"
    )
    partner_gateway_public_url: str = Field("", description="the partners' gateway, likewise")
    token: SecretStr = Field(SecretStr(""), description="access token of whoever uses the command line")
    state: Path = Field(Path("var"), description="folder of the embedded servers and their logs")
    log_format: Literal["json", "text"] = Field("json", description="json for machines, text for a terminal")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )

    @field_validator("viewing_key")
    @classmethod
    def _none_or_long(cls, key: SecretStr) -> SecretStr:
        """Readers hold what it signed, so that a short one could be guessed."""
        if 0 < len(key.get_secret_value()) < 32:
            raise ValueError("has 32 characters or more")
        return key

    @field_validator("slide_converters", mode="before")
    @classmethod
    def _as_json(cls, told: object) -> object:
        return json.loads(told or "{}") if isinstance(told, str) else told

    @field_validator("slide_converters")
    @classmethod
    def _make_sense(cls, told: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if told:
            from imaging.slides.convert import converters

            converters(told)
        return told

    def needed(self, *names: str) -> None:
        """Raise `NotConfigured` naming every one of these settings that is empty."""
        absent = [name for name in names if not _told(getattr(self, name))]
        if absent:
            raise NotConfigured([f"TELEDX_{name.upper()}" for name in absent])


def read(secrets_folder: str = "/run/secrets") -> Settings:
    """The settings of this process: the environment, then files such as `/run/secrets/teledx_database_url`."""
    folder = os.environ.get("TELEDX_SECRETS", secrets_folder)
    return Settings(_secrets_dir=folder if Path(folder).is_dir() else None)


def _told(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
