"""SeaweedFS for tests, with an administrator and whatever further identities a test wants to know."""

import os
import signal
from pathlib import Path

from minio import Minio
from minio.error import S3Error

from teledx.embedded.seaweedfs import Identity, administrator, seaweedfs, write_identities
from teledx.leash import Leash
from tests.servers.server import Server, until


class ObjectStore(Server):
    """A private store. `endpoint` is HOST:PORT, `url` the same with http, `access_key` and `secret_key` the
    administrator's."""

    def __init__(self, folder: Path, leash: Leash) -> None:
        self.administrator = administrator()
        self._identities = [self.administrator]
        self.seaweedfs = seaweedfs(folder / "seaweedfs", self._identities)
        super().__init__(self.seaweedfs.program, folder, leash)
        self.endpoint = self.seaweedfs.endpoint
        self.url = self.seaweedfs.url
        self.region = self.seaweedfs.region
        self.access_key = self.administrator.access_key
        self.secret_key = self.administrator.secret_key

    def client(self, identity: Identity | None = None) -> Minio:
        """The S3 SDK signed in as `identity`, the administrator unless given."""
        who = identity or self.administrator
        return Minio(
            self.endpoint,
            access_key=who.access_key,
            secret_key=who.secret_key,
            secure=False,
            region=self.region,
        )

    def add(self, *identities: Identity) -> None:
        """Make identities known; returns when the running server lets the last of them in."""
        self._identities.extend(identities)
        write_identities(self.seaweedfs.identities_file, self._identities)
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: self._knows(identities[-1]), what="the new identity")

    def _knows(self, identity: Identity) -> bool:
        try:
            self.client(identity).bucket_exists("a-bucket-that-nobody-made")
        except S3Error as error:
            return error.code != "InvalidAccessKeyId"
        return True
