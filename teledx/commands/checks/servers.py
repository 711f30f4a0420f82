"""The broker and the gateways."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from cases.errors import TeledxError
from cases.stages import LANES
from queues.broker import queue_of
from teledx.client import Gateway, client
from teledx.commands.checks.finding import Examined, Finding, right, skipped, warning, wrong

# setting, what it is called
GATEWAYS = (("gateway_url", "gateway"), ("partner_gateway_url", "partner gateway"))
ANSWER_SECONDS = 5


def broker(examined: Examined) -> Iterator[Finding]:
    """Each RabbitMQ lets us in and has the queues of the lanes."""
    urls = examined.settings.broker_urls.split()
    if not urls:
        yield skipped("broker", "TELEDX_BROKER_URLS is not set: each worker relays to itself")
    for url in urls:
        yield _broker(url)


def gateways(examined: Examined) -> Iterator[Finding]:
    """Each gateway is ready: it reaches its database and its store. One that was not set by hand may be absent."""
    for name, what in GATEWAYS:
        url = getattr(examined.settings, name)
        finding = _ready(what, url, f"TELEDX_{name.upper()}")
        by_hand = name in examined.settings.model_fields_set
        absent = finding.standing == "wrong" and "does not answer" in finding.said
        yield (
            skipped(what, f"{finding.said}; TELEDX_{name.upper()} is not set")
            if absent and not by_hand
            else finding
        )


def token(examined: Examined) -> Iterator[Finding]:
    """The token of the command line, if there is one, signs somebody in."""
    given = examined.settings.token.get_secret_value()
    if not given:
        yield skipped("token", "TELEDX_TOKEN is not set; commands for people need it or --token-file")
        return
    for name, _ in GATEWAYS:
        try:
            with Gateway(getattr(examined.settings, name), given) as gateway:
                me = gateway.get("/api/me")
        except TeledxError:
            continue
        yield right("token", f"{me['account']}, {me['role']} of {me['organisation']['id']}")
        return
    yield wrong(
        "token", "neither gateway knows it", "Ask an operator for a new one: teledx token issue --account ID"
    )


def _broker(url: str) -> Finding:
    host = urlsplit(url).hostname or "?"
    what = f"broker {host}"
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it would log is what we are about to say
    try:
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = (
            ANSWER_SECONDS
        )
        parameters.connection_attempts = 1
        connection = pika.BlockingConnection(parameters)
    except (AMQPError, AMQPConnectorException, OSError, ValueError) as error:
        said = f"does not let us in ({type(error).__name__})"
        return wrong(what, said, "Check TELEDX_BROKER_URLS, the server, and the account's rights.")
    try:
        absent = [lane for lane in LANES if not _has_queue(connection, queue_of(lane))]
    finally:
        connection.close()
    if absent:
        return warning(what, f"no queue yet for {', '.join(absent)}", "Workers declare them at their start.")
    return right(what, f"{len(LANES)} queues")


def _has_queue(connection: pika.BlockingConnection, name: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(name, passive=True)
    except ChannelClosedByBroker:
        return False
    channel.close()
    return True


def _ready(what: str, url: str, name: str) -> Finding:
    try:
        with client(url) as http:
            answer = http.get("/readyz", timeout=ANSWER_SECONDS)
            said = answer.json()
    except (httpx.HTTPError, TeledxError) as error:
        return wrong(what, f"{url} does not answer ({type(error).__name__})", f"Start it, or correct {name}.")
    except ValueError:
        return wrong(what, f"{url} is no gateway of ours", f"Correct {name}.")
    away = [f"{part}: {state}" for part, state in said.items() if part != "status" and state != "ready"]
    if answer.status_code != httpx.codes.OK:
        return wrong(
            what, f"{url} is not ready ({'; '.join(away)})", "Run `teledx doctor` with its environment."
        )
    return right(what, f"{url} is ready")
