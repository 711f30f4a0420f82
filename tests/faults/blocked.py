"""`python -m tests.faults.blocked worker`: a worker whose `route` never returns, and may take two seconds."""

import threading
from dataclasses import replace

from cases.stages import STAGES
from storage.transition import Done
from teledx.cli import main
from workers import stage
from workers.parts import Tools, Work


def never(work: Work, tools: Tools) -> Done:
    """Blocks where no signal and no time limit of Python reaches it."""
    threading.Event().wait()
    raise AssertionError("nobody sets the event")


if __name__ == "__main__":
    vars(stage).update(
        STAGES=STAGES | {"route": replace(STAGES["route"], time_limit=2)},
        FUNCTIONS={**stage.FUNCTIONS, "route": never},
    )
    main()
