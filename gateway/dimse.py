"""C-STORE and C-ECHO (PS3.4 Annexes A and B): a clinic's modalities send instances into its inbox.

The AE title that is called says whose instances these are (`ae_title` of an organisation in the network file). What is
done with them is what every door for modalities does: `gateway.arriving`.
"""

from __future__ import annotations

import secrets
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.transport import ThreadedAssociationServer

from cases.errors import Transient
from gateway.arriving import OUT_OF_RESOURCES, NotKept, keep
from gateway.parts import Parts

log = structlog.get_logger()

VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 A.4
SUCCESS, NOT_AUTHORISED = 0x0000, 0x0124
# Senders at once; each is two threads.
ASSOCIATIONS = 25
PDU_MAX = 1 << 17
HANDSHAKE_SECONDS = 30.0


class _Unhurried(ssl.SSLContext):
    """Shakes hands when the first bytes are read, in the association's own thread: who connects and says nothing must
    not keep the others from the door."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **told: Any) -> ssl.SSLSocket:
        sock.settimeout(HANDSHAKE_SECONDS)
        return super().wrap_socket(sock, *arguments, **told | {"do_handshake_on_connect": False})


@dataclass(frozen=True, kw_only=True)
class Tls:
    """A certificate with its key; with `client_ca`, whoever calls must show one of that authority."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError (`ssl.SSLError` is one) for files that are not what they should be."""
        made = _Unhurried(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            made.load_verify_locations(self.client_ca)
            made.verify_mode = ssl.CERT_REQUIRED
        return made


def serve(parts: Parts, *, host: str, port: int, tls: Tls | None = None) -> ThreadedAssociationServer:
    """The server, running in threads of its own; `server_address` says where, `shutdown` ends it.

    Instances on their way in are files of Python's temporary folder. Raises OSError if the port is taken.
    """
    _config.STORE_RECV_CHUNKED_DATASET = True  # an instance is never whole in memory
    ae = AE(ae_title=secrets.token_hex(8))  # one that nobody calls
    ae.require_called_aet = True
    ae.maximum_associations = ASSOCIATIONS
    ae.maximum_pdu_size = PDU_MAX
    ae.add_supported_context(VERIFICATION)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), AllTransferSyntaxes)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_REQUESTED, _requested, [parts]),
        (evt.EVT_C_STORE, _store, [parts]),
        (evt.EVT_C_ECHO, lambda _event: SUCCESS),
    ]
    started = ae.start_server(
        (host, port), block=False, ssl_context=tls.context() if tls else None, evt_handlers=handlers
    )
    assert started is not None, "a server that does not block is given"
    return started


def _requested(event: evt.Event, parts: Parts) -> None:
    """Answer by the title that was called if it is a clinic's. Otherwise, and while that cannot be told, nobody's title
    stays, which refuses the association (PS3.8 Table 9-21: called AE title not recognised)."""
    accepted = False
    try:
        if _clinic(event, parts) is not None:
            event.assoc.acceptor.ae_title = _called(event)
            accepted = True
    except Transient:
        log.warning("network_away")
    log.info("association", accepted=accepted)


def _clinic(event: evt.Event, parts: Parts) -> str | None:
    """The clinic that was called; None if there is none."""
    called = _called(event)
    _, network = parts.network.current()
    return next((clinic.id for clinic in network.clinics if called and clinic.ae_title == called), None)


def _called(event: evt.Event) -> str:
    asked = event.assoc.requestor.primitive
    return asked.called_ae_title.strip() if asked is not None else ""


def _store(event: evt.Event, parts: Parts) -> int:
    """Success when the instance is durable; else a status of PS3.4 Table B.2-1, C211H for a defect of ours."""
    try:
        clinic = _clinic(event, parts)
        if clinic is None:
            return NOT_AUTHORISED
        status = _kept(parts, clinic, event.dataset_path)
    except Transient:
        status = OUT_OF_RESOURCES
    log.info("instance", door="C-STORE", status=f"{status:04X}")
    return status


def _kept(parts: Parts, clinic: str, path: Path) -> int:
    if path.stat().st_size > parts.instance_max:
        return OUT_OF_RESOURCES
    try:
        with path.open("rb") as file:
            keep(parts, clinic, file)
    except NotKept as why:
        return why.status
    return SUCCESS
