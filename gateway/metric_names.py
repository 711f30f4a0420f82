"""Every metric that a gateway shows, in one table. Labels: route templates, states, lanes: never a patient's data."""

from __future__ import annotations

# --- requests, on both sides
REQUESTS = "teledx_requests_total"  # method, route, status
REQUEST_SECONDS = "teledx_request_seconds"  # route

# --- the house, on the region's side alone; read from the rows at each scrape
READABLE = (
    "teledx_house_readable"  # 1 if the rows below could be read at this scrape, 0 while the database is away
)
BACKLOG = "teledx_backlog_runs"  # lane, standing (waiting: not before its time; running: a worker has it)
BACKLOG_AGE = "teledx_backlog_oldest_seconds"  # lane; age of the oldest run that has no outcome
CASES = "teledx_cases"  # state; every case that is not at an end
OVERDUE = "teledx_cases_overdue"  # open cases past the end of their service level
CIRCUIT_OPEN = "teledx_partner_circuit_open"  # partner; 1 while its line is down
QUARANTINED = "teledx_quarantined"  # kind (case, drop); what waits for a person
FAILED_RUNS = "teledx_failed_runs"  # runs that ended in a defect and were not replayed
WORKLIST = "teledx_worklist_items"  # partner, state; open work items

# name | help
HELP: dict[str, str] = {
    REQUESTS: "Requests answered, by method, route template and status.",
    REQUEST_SECONDS: "Time to answer a request, by route template.",
    READABLE: "Whether the state of the house could be read.",
    BACKLOG: "Stage runs without an outcome, by lane and standing.",
    BACKLOG_AGE: "Age of the oldest stage run without an outcome, by lane.",
    CASES: "Cases that are not at an end, by state.",
    OVERDUE: "Open cases past the end of their service level.",
    CIRCUIT_OPEN: "Whether a partner's line is down.",
    QUARANTINED: "Cases and drops that a person must look at.",
    FAILED_RUNS: "Stage runs that ended in a defect.",
    WORKLIST: "Open work items, by partner and state.",
}
