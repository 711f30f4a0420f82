-- What a person who looked at a marked picture decided about what stands in it: for this instance's bytes and these
-- findings, and for nothing else. A decision is never changed; a later one about the same findings counts in its place.

CREATE TABLE vault.pixel_decision (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id     text NOT NULL REFERENCES cases,
    instance    text NOT NULL,                 -- SHA-256 of the instance as the region holds it
    verdict     text NOT NULL CHECK (verdict IN ('leave', 'blank')),
    findings    jsonb NOT NULL,                -- cases.documents.Finding, as they were marked
    picture     text NOT NULL,                 -- SHA-256 of the picture that was looked at
    account     text NOT NULL,
    why         text NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX pixel_decision_of_case ON vault.pixel_decision (case_id, id);

GRANT SELECT, INSERT ON vault.pixel_decision TO teledx_region;
