"""Every check, in the order in which a person would look."""

from __future__ import annotations

from teledx.commands.checks import database, here, servers, store
from teledx.commands.checks.finding import Check, Examined, Finding
from teledx.settings import Settings

CHECKS: tuple[Check, ...] = (
    here.versions,
    here.native,
    here.scratch,
    database.reachable,
    database.role,
    database.schema,
    database.clock,
    database.network,
    database.duties,
    database.work,
    here.keyring,
    store.reachable,
    store.buckets,
    store.rights,
    servers.broker,
    servers.gateways,
    servers.token,
)


def all_of(settings: Settings, *, deep: bool) -> list[Finding]:
    """What each check finds with these settings; a check that finds nothing to look at says nothing."""
    examined = Examined(settings, deep)
    try:
        return [finding for check in CHECKS for finding in check(examined)]
    finally:
        examined.close()
