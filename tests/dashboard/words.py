"""A `Here` without a gateway, for what the pages only say."""

from __future__ import annotations

from dashboard.client import Gateway
from dashboard.here import Here
from dashboard.texts import Language


def here_in(language: Language) -> Here:
    network = {"time_zone": "Asia/Shanghai", "clinics": [], "partners": [], "services": []}
    gateway = Gateway("http://127.0.0.1:9", "token")
    gateway.close()
    return Here(
        gateway=gateway, me={}, network=network, language=language, public={"region": "http://127.0.0.1:9"}
    )
