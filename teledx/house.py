"""The embedded house: every program of the network on loopback, from wheels alone, under one supervisor.

    postgres, seaweedfs -> gateway-region, gateway-partner, worker-express, worker-bulk -> dashboard

Secrets are made once and kept in `<state>/secrets.json`, readable by us alone.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import psycopg
from rich.console import Console

from cases.network import Network, load
from storage import network as network_rows
from storage.database import Database
from storage.migrations import Passwords, migrate
from storage.s3 import S3, S3Settings
from teledx import bootstrap
from teledx.embedded.ports import LOOPBACK, kept_ports
from teledx.embedded.postgres import Postgres, postgres
from teledx.embedded.seaweedfs import ADMIN_ACTIONS, Events, Identity, SeaweedFS, seaweedfs
from teledx.program import Program, answers_http
from teledx.settings import Settings
from teledx.supervisor import Event, Report, Supervisor, signals_interrupt, silent

DATABASE = "teledx"
READY_SECONDS = 120.0
# One run of each bulk lane at once: the store is on the same machine, and each byte that it copies for a slide is time
# that a stat case waits for it.
BULK_SETTINGS: Mapping[str, str] = MappingProxyType({"TELEDX_WORKER_THREADS": "1"})


@dataclass(frozen=True, kw_only=True)
class Door:
    """An address that people or programs use: its name, its URL, and what it is for."""

    name: str
    url: str
    what: str


@dataclass(frozen=True)
class Secrets:
    """What the house made up for itself: passwords of the database roles and keys of the store's identities."""

    values: Mapping[str, str]

    @classmethod
    def kept(cls, file: Path, names: tuple[str, ...]) -> Secrets:
        """Those of the last time and new ones for names that had none."""
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in names if name not in known]
        if missing:
            known |= {name: secrets.token_hex(20) for name in missing}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(json.dumps(known, indent=1))
        return cls(known)

    def __getitem__(self, name: str) -> str:
        return self.values[name]


class House:
    """The embedded deployment in `state`, on the network file's text (the sample's unless given)."""

    def __init__(
        self, state: Path, network: str | None = None, *, report: Callable[[Report], None] = silent
    ) -> None:
        state = state.absolute()  # the programs run in folders of their own
        self.state = state
        self.operator_file = state / "operator.env"
        self._insists = network is not None
        self.network_text = network or sample_network()
        self.network: Network = load(self.network_text)
        self.secrets = Secrets.kept(state / "secrets.json", tuple(_secret_names(self.network)))
        self.postgres: Postgres = postgres(state / "postgres")
        ports = kept_ports(state / "doors.ports", 3)
        self.urls = {
            name: f"http://{LOOPBACK}:{port}"
            for name, port in zip(("region", "partner", "dashboard"), ports, strict=True)
        }
        events = Events(
            url=f"{self.urls['region']}/internal/store-events",
            token=self.secrets["webhook"],
            buckets=("inbox",),
        )
        self.store: SeaweedFS = seaweedfs(state / "seaweedfs", self._identities(), events=events)
        self.supervisor = Supervisor(self._programs(), logs=state / "log", report=report)

    @property
    def doors(self) -> tuple[Door, ...]:
        return (
            Door(
                name="dashboard",
                url=self.urls["dashboard"],
                what="the pages for clinics, readers, managers, operators",
            ),
            Door(name="gateway", url=f"{self.urls['region']}/docs", what="the region's HTTP API"),
            Door(name="partner gateway", url=f"{self.urls['partner']}/docs", what="the readers' HTTP API"),
            Door(name="store", url=self.store.url, what="S3: clinics drop here"),
        )

    def identity(self, name: str) -> Identity:
        """An identity at the store, by name: `clinic-jiangshan`, `worker`, ..."""
        return next(i for i in self._identities() if i.name == name)

    def database(self, role: str) -> str:
        """The database's URL for `region` or `partner`."""
        user = f"teledx_{role}:{self.secrets[role]}"
        return f"postgresql://{user}@{LOOPBACK}:{self.postgres.port}/{DATABASE}"

    def environment(self, side: str, identity: str) -> dict[str, str]:
        """What a program of one side is told. A partner's side learns of no region's secret."""
        keys = self.identity(identity)
        told = {
            "TELEDX_DATABASE_URL": self.database(side),
            "TELEDX_S3_URL": self.store.url,
            "TELEDX_S3_ACCESS_KEY": keys.access_key,
            "TELEDX_S3_SECRET_KEY": keys.secret_key,
            "TELEDX_GATEWAY_URL": self.urls["region"],
            "TELEDX_PARTNER_GATEWAY_URL": self.urls["partner"],
            "TELEDX_SCRATCH": str(self.state.resolve() / "scratch"),
        }
        if side == "region":
            told |= {
                "TELEDX_KEYRING": str(self.state.resolve() / "keys"),
                "TELEDX_WEBHOOK_TOKEN": self.secrets["webhook"],
            }
        return told

    def _identities(self) -> list[Identity]:
        return [self._identity(name, actions) for name, actions in rights(self.network).items()]

    def _identity(self, name: str, actions: tuple[str, ...]) -> Identity:
        secret = self.secrets[f"s3 {name}"]
        return Identity(name=name, access_key=f"{name}-{secret[:6]}", secret_key=secret, actions=actions)

    def _programs(self) -> list[Program]:
        store = self.store.program
        first = (self.postgres.program, _settled(store, self._furnish, after=("postgres",)))
        after = (store.name,)
        return [
            *first,
            self._program("gateway-region", ("gateway", "--side", "region", *_at(self.urls["region"])), "gateway",
                          after=after, url=self.urls["region"]),
            self._program("gateway-partner", ("gateway", "--side", "partner", *_at(self.urls["partner"])),
                          "partner-gateway", side="partner", after=after, url=self.urls["partner"]),
            self._program("worker-express", ("worker", "--role", "express"), "worker", after=after),
            self._program("worker-bulk", ("worker", "--role", "bulk"), "worker", after=after, told=BULK_SETTINGS),
            self._dashboard(after=("gateway-region", "gateway-partner")),
        ]  # fmt: skip

    def _program(
        self, name: str, words: tuple[str, ...], identity: str, *, after: tuple[str, ...], side: str = "region",
        url: str | None = None, told: Mapping[str, str] = MappingProxyType({}),
    ) -> Program:  # fmt: skip
        ready = (lambda: answers_http(f"{url}/healthz")) if url else (lambda: True)
        return Program(
            name=name,
            argv=(sys.executable, "-m", "teledx", *words),
            env={**self.environment(side, identity), **told},
            after=after,
            ready=ready,
            stop_seconds=40,
        )

    def _dashboard(self, *, after: tuple[str, ...]) -> Program:
        """The dashboard holds no key at all: it is told the two gateways alone."""
        url = self.urls["dashboard"]
        return Program(
            name="dashboard",
            argv=(sys.executable, "-m", "teledx", "dashboard", *_at(url)),
            env={
                "TELEDX_GATEWAY_URL": self.urls["region"],
                "TELEDX_PARTNER_GATEWAY_URL": self.urls["partner"],
            },
            after=after,
            ready=lambda: answers_http(f"{url}/_stcore/health"),
        )

    def _furnish(self) -> None:
        """Database, roles, schema, buckets, keys and network: all may be repeated."""
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not known:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        passwords = Passwords(region=self.secrets["region"], partner=self.secrets["partner"])
        migrate(self.postgres.dsn(DATABASE), passwords)
        bootstrap.new_keyring(self.state / "keys")
        admin = self.identity("administrator")
        s3 = S3(S3Settings(url=self.store.url, access_key=admin.access_key, secret_key=admin.secret_key))
        for zone in zones(self.network):
            s3.ensure_bucket(zone)
        rows = Database(self.database("region"), pool_size=1)
        rows.open()
        with rows.transaction() as connection_:
            # what an operator applied since stands: the house's own text is for an empty house, or asked for by name
            applied = connection_.execute("SELECT count(*) AS n FROM network_version").fetchone()
            if self._insists or applied is None or not applied["n"]:
                network_rows.apply(connection_, self.network_text, "house")
                self._insists = False
        rows.close()


def sample_network() -> str:
    """The text of the sample network file: Yinzhou, Ningbo."""
    return (resources.files("teledx") / "sample_network.toml").read_text(encoding="utf-8")


def zones(network: Network) -> tuple[str, ...]:
    """Every bucket: the region's zones and one for each partner."""
    return (*bootstrap.REGION_ZONES, *(p.bucket for p in network.partners))


def rights(network: Network) -> dict[str, tuple[str, ...]]:
    """Who may do what at the store, by identity. A clinic reaches its own prefix of the inbox, a partner its bucket."""
    everything = ("Read", "Write", "List", "Tagging")
    region = tuple(f"{action}:{zone}" for zone in bootstrap.REGION_ZONES for action in everything)
    partners = tuple(f"{action}:{p.bucket}" for p in network.partners for action in everything)
    reading = tuple(f"{action}:{p.bucket}" for p in network.partners for action in ("Read", "List"))
    return {
        "administrator": ADMIN_ACTIONS,
        "worker": (*region, *partners),
        "gateway": (
            *(f"{action}:inbox" for action in everything),
            *(f"{action}:{zone}" for zone in ("identified", "reports") for action in ("Read", "List")),
        ),
        "partner-gateway": reading,
        **{p.bucket: (f"Read:{p.bucket}", f"List:{p.bucket}") for p in network.partners},
        **{
            f"clinic-{c.id}": tuple(f"{action}:inbox/{c.id}/*" for action in ("Read", "Write", "List"))
            for c in network.clinics
        },
    }


def _secret_names(network: Network) -> list[str]:
    return ["region", "partner", "webhook", *(f"s3 {name}" for name in rights(network))]


def _settled(program: Program, settle: Callable[[], None], *, after: tuple[str, ...]) -> Program:
    before = program.settle

    def both() -> None:
        before()
        settle()

    return replace(program, settle=both, after=(*program.after, *after))


def _at(url: str) -> tuple[str, ...]:
    host, _, port = url.removeprefix("http://").partition(":")
    return "--host", host, "--port", port


def run(settings: Settings, network: str | None = None) -> int:
    """Keep the house in `settings.state` running until Ctrl-C; says where its doors are."""
    console = Console(stderr=True)
    house = House(settings.state, network, report=lambda report: _tell(console, report))
    with signals_interrupt():
        try:
            with house.supervisor:
                house.supervisor.wait_ready(READY_SECONDS)
                write_operator_file(house)
                for door in house.doors:
                    console.print(f"{door.name:16} {door.url:40} {door.what}")
                console.print(
                    f"Operators: `set -a; . {house.operator_file}`, then `teledx token issue --account NAME`."
                )
                house.supervisor.wait()
        except KeyboardInterrupt:
            console.print("Stopped; nothing is left running.")
    return 0


def write_operator_file(house: House) -> None:
    """What an operator's shell on this machine needs for commands such as `teledx doctor`; readable by us alone."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in house.environment("region", "worker").items()]
    house.operator_file.touch(mode=0o600)
    house.operator_file.write_text("\n".join(lines) + "\n")


def _tell(console: Console, report: Report) -> None:
    if report.event in (Event.DIED, Event.FAILED, Event.KILLED):
        console.print(f"{report.program} {report.event} {report.detail}")
