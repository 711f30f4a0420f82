"""The secret files of the composition, made once and kept: one folder, one file for each secret, none of it in git.

Each program is given the files of its own side and role, and no others (`docker-compose.yml`). Making them again keeps
those that are there and adds what a changed network needs: a new clinic's keys, a new partner's bucket. Files are
rewritten in place, because a running container sees the file that it was started with.

The folder lets nobody but its owner in. The files within are readable by all, because Compose hands them to containers
as they are and the accounts in those are not ours.
"""

import argparse
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from cases.network import Network, load
from teledx.embedded.seaweedfs import Identity, identities_document
from teledx.house import rights

DATABASE = "postgres:5432/teledx"
BROKER = "rabbitmq:5672"
EVENTS = "http://gateway-region:8080/internal/store-events"

NOTIFICATION = """\
# The filer tells the region's gateway of new objects in the inbox.
[notification.webhook]
enabled = true
endpoint = "{endpoint}"
bearer_token = "{token}"
event_types = ["create", "update"]
path_prefixes = ["/buckets/inbox/"]
"""

RABBITMQ = """\
# The one account, made at the broker's first start.
default_user = teledx
default_pass = {password}
default_vhost = /
loopback_users = none
vm_memory_high_watermark.absolute = 400MiB
disk_free_limit.absolute = 256MiB
"""


@dataclass
class SecretFolder:
    """A folder of secret files. `values` holds what was made up; everything else is derived from it."""

    folder: Path
    values: dict[str, str] = field(default_factory=dict)

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        made = self.folder / "made.json"
        if made.exists():
            self.values = json.loads(made.read_text("utf-8"))

    def value(self, name: str) -> str:
        """The secret of that name, made up at its first use: 40 hex digits, safe in a URL and in TOML."""
        return self.values.setdefault(name, secrets.token_hex(20))

    def close(self) -> None:
        """Remember what was made up, for the owner's eyes alone."""
        self.write("made.json", json.dumps(self.values, indent=1, sort_keys=True), mode=0o600)

    def write(self, name: str, content: str, *, mode: int = 0o444) -> None:
        """Write in place, so that a file mounted into a container changes there as well."""
        file = self.folder / name
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)


def make(
    folder: Path, network: Network, *, rotate: Collection[str] = (), retire: Collection[str] = ()
) -> None:
    """Make what is missing of the composition's secrets for this network, and write every file.

    `rotate` gives these identities at the store new keys beside the old ones, which `retire` ends. LookupError: the
    network makes no such identity.
    """
    kept = SecretFolder(folder)
    kept.open()
    wanted = rights(network)
    unknown = sorted({*rotate, *retire} - set(wanted))
    if unknown:
        raise LookupError(f"no identity {', '.join(unknown)}; there are {', '.join(wanted)}")
    for name in retire:
        kept.values.pop(f"old s3 {name}", None)
    for name in rotate:
        kept.values[f"old s3 {name}"] = kept.value(f"s3 {name}")
        del kept.values[f"s3 {name}"]
    identities = [_identity(kept, name, actions) for name, actions in wanted.items()]
    old = [
        _identity(kept, name, actions, old=True)
        for name, actions in wanted.items()
        if f"old s3 {name}" in kept.values
    ]
    for name, content in contents(kept, identities, old).items():
        kept.write(name, content)
    for identity in identities:
        keys = {"access_key": identity.access_key, "secret_key": identity.secret_key}
        kept.write(f"identities/{identity.name}.json", json.dumps(keys, indent=1) + "\n", mode=0o600)
    kept.close()


def contents(kept: SecretFolder, identities: list[Identity], old: list[Identity]) -> Mapping[str, str]:
    """Every secret that docker-compose.yml names, by file name."""
    by_name = {identity.name: identity for identity in identities}
    password = {role: kept.value(f"password of {role}") for role in ("owner", "region", "partner", "broker")}
    webhook = kept.value("webhook")
    return {
        "postgres_password": password["owner"],
        "owner_database_url": f"postgresql://teledx:{password['owner']}@{DATABASE}",
        "region_password": password["region"],
        "region_database_url": f"postgresql://teledx_region:{password['region']}@{DATABASE}",
        "partner_password": password["partner"],
        "partner_database_url": f"postgresql://teledx_partner:{password['partner']}@{DATABASE}",
        "broker_urls": f"amqp://teledx:{password['broker']}@{BROKER}/%2F",
        "rabbitmq_conf": RABBITMQ.format(password=password["broker"]),
        "webhook_token": webhook,
        "region_metrics_token": kept.value("metrics of the region"),
        "partner_metrics_token": kept.value("metrics of the partners"),
        "store_notification": NOTIFICATION.format(endpoint=EVENTS, token=webhook),
        "store_identities": identities_document([*identities, *old]),
        **{
            f"{file}_s3_{part}_key": getattr(by_name[name], f"{part}_key")
            for file, name in PROGRAMS_AT_THE_STORE.items()
            for part in ("access", "secret")
        },
    }


# A secret's first word -> the identity at the store that it is for.
PROGRAMS_AT_THE_STORE = {
    "administrator": "administrator",
    "gateway": "gateway",
    "worker": "worker",
    "partner_gateway": "partner-gateway",
}


def _identity(kept: SecretFolder, name: str, actions: tuple[str, ...], *, old: bool = False) -> Identity:
    secret = kept.value(f"{'old ' if old else ''}s3 {name}")
    return Identity(name=name, access_key=f"{name}-{secret[:6]}", secret_key=secret[6:], actions=actions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="compose-secrets", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", type=Path, help="the network file; without: the sample's")
    parser.add_argument(
        "--rotate", nargs="+", default=[], metavar="IDENTITY", help="new keys beside the old ones"
    )
    parser.add_argument("--retire", nargs="+", default=[], metavar="IDENTITY", help="end the old keys")
    told = parser.parse_args()
    sample = resources.files("teledx") / "sample_network.toml"
    network = load((told.network or sample).read_text(encoding="utf-8"))
    make(told.folder, network, rotate=told.rotate, retire=told.retire)


if __name__ == "__main__":
    main()
