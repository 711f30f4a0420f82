"""A gateway's HTTP server: no access log of its own (`gateway.boundary` writes one without addresses)."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI


def server(app: FastAPI, *, host: str, port: int, behind_proxy: bool = False) -> uvicorn.Server:
    """The server, not yet running: `run()` serves until SIGTERM or SIGINT and lets running requests end.

    `behind_proxy`: believe X-Forwarded-* of a proxy on loopback, which ends TLS.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=behind_proxy,
        timeout_graceful_shutdown=10,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=1 << 16,
    )
    return uvicorn.Server(config)
