"""The components of the suite can be taken away and come back with what they held; each is alone on loopback."""

import io
import subprocess
import time

import pika
import psycopg
import pytest
from minio.error import S3Error

from storage.migrations import available
from teledx.embedded.seaweedfs import Identity
from tests.servers.object_store import ObjectStore
from tests.servers.postgres import PostgresServer, TestDatabase
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.server import until
from tests.shell.processes import mentioning


def listening_addresses(marks: dict[int, str]) -> set[str]:
    """Local addresses (without port) that these processes listen on."""
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        line.split()[3].rpartition(":")[0] for line in lines if any(f"pid={pid}," in line for pid in marks)
    }


def test_a_fresh_database_is_on_the_newest_schema_and_empty(each_database: TestDatabase) -> None:
    with psycopg.connect(each_database.owner_url) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM schema_version ORDER BY name")]
        assert names == list(available())
        assert connection.execute("SELECT count(*) FROM cases").fetchone() == (0,)


@pytest.mark.parametrize("side", ["region", "partner"])
def test_each_side_signs_in_as_a_role_that_row_level_security_binds(
    side: str, database: TestDatabase
) -> None:
    with psycopg.connect(getattr(database, f"{side}_url")) as connection:
        row = connection.execute(
            "SELECT current_user::text, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (f"teledx_{side}", False, False)


def test_what_one_test_writes_no_other_sees(postgres: PostgresServer) -> None:
    first, second = postgres.new_database(), postgres.new_database()
    with psycopg.connect(first.owner_url) as connection:
        connection.execute("CREATE TABLE mine ()")
    with psycopg.connect(second.owner_url) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    for database in (first, second):
        postgres.drop(database)


@pytest.mark.faults
def test_postgres_keeps_what_was_committed_before_a_kill(
    each_postgres: PostgresServer, each_database: TestDatabase
) -> None:
    with psycopg.connect(each_database.owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    each_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(each_database.owner_url)
    each_postgres.start()
    with psycopg.connect(each_database.owner_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


@pytest.mark.faults
@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_a_test_leaves_stopped_is_running_for_the_next(
    turn: str, postgres: PostgresServer, object_store: ObjectStore
) -> None:
    assert postgres.running()
    assert object_store.running()
    postgres.kill()
    object_store.stop()


@pytest.mark.faults
def test_the_store_keeps_what_it_confirmed_before_a_kill(object_store: ObjectStore) -> None:
    client = object_store.client()
    client.make_bucket("kept")
    client.put_object("kept", "a/b", io.BytesIO(b"content"), 7)
    object_store.kill()
    object_store.start()
    with client.get_object("kept", "a/b") as response:
        assert response.read() == b"content"


def test_an_identity_reaches_its_own_prefix_alone(object_store: ObjectStore) -> None:
    object_store.client().make_bucket("drops")
    clinic = Identity(
        name="clinic-1",
        access_key="clinic-1-key",
        secret_key="clinic-1-secret",
        actions=("Write:drops/clinic-1/*", "Read:drops/clinic-1/*"),
    )
    object_store.add(clinic)
    client = object_store.client(clinic)
    client.put_object("drops", "clinic-1/file", io.BytesIO(b"1"), 1)
    for key in ("clinic-2/file", "file"):
        with pytest.raises(S3Error, match="Access Denied"):
            client.put_object("drops", key, io.BytesIO(b"1"), 1)


def test_nobody_gets_in_without_keys(object_store: ObjectStore) -> None:
    object_store.client().make_bucket("private")
    stranger = Identity(name="nobody", access_key="unknown-key", secret_key="unknown-secret", actions=())
    with pytest.raises(S3Error, match="does not exist"):
        object_store.client(stranger).list_buckets()


# The broker writes of a new queue to disk a moment after it has answered; ours are declared when a worker starts.
QUEUE_AGE_SECONDS = 3


@pytest.mark.faults
def test_the_broker_keeps_a_confirmed_durable_message_over_a_kill(rabbitmq: RabbitMQ) -> None:
    with pika.BlockingConnection(rabbitmq.parameters()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        time.sleep(QUEUE_AGE_SECONDS)
        channel.basic_publish("", "kept", b"wake up", pika.BasicProperties(delivery_mode=2), mandatory=True)
    rabbitmq.kill()
    rabbitmq.start()
    with pika.BlockingConnection(rabbitmq.parameters()) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"wake up"


@pytest.mark.faults
def test_a_killed_broker_leaves_no_process(rabbitmq: RabbitMQ) -> None:
    mark = str(rabbitmq.home)
    assert len(mentioning(mark)) >= 2
    rabbitmq.kill()
    # its helpers end when they see that it is gone
    until(lambda: mentioning(mark) == {}, what="the end of every process of the broker")
    rabbitmq.start()


def test_every_component_listens_on_loopback_alone(
    postgres: PostgresServer, object_store: ObjectStore, rabbitmq: RabbitMQ, component_required
) -> None:
    component_required("iproute2")
    for server in (postgres, object_store, rabbitmq):
        processes = mentioning(str(server.log.parent))
        assert processes, server.program.name
        assert listening_addresses(processes) <= {"127.0.0.1", "[::1]"}, server.program.name


@pytest.mark.browser
def test_a_page_renders_in_the_browser(browser_page) -> None:
    browser_page.set_content("<h1>远程诊断</h1><script>document.title = 1 + 1</script>")
    assert browser_page.title() == "2"
    assert browser_page.inner_text("h1") == "远程诊断"
