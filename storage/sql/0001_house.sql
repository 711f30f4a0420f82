-- The whole house in tables. Singular names, except `cases` and `drops`, whose singulars SQL keeps for itself.
-- Schema `public` holds no patient identity and is what both sides share, a partner seeing its own rows alone.
-- Schema `vault` holds identity and is the region's alone.

CREATE SCHEMA vault;

CREATE TABLE network_version (
    version     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      text NOT NULL,                 -- of what it says, whatever its layout
    document    text NOT NULL,                 -- network.toml as applied
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by  text NOT NULL
);

CREATE TABLE access_token (
    digest      bytea PRIMARY KEY,             -- SHA-256 of the token; the token itself is shown once and never kept
    account     text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX access_token_account ON access_token (account);

CREATE TABLE cases (
    id              text PRIMARY KEY,          -- random, speakable: 'K7QX-3M9D'
    clinic          text NOT NULL,             -- requesting organisation
    scanning_site   text NOT NULL,             -- laboratory that scanned; the clinic itself if it did
    service         text NOT NULL,
    family          text NOT NULL,             -- 'dicom' or 'slides'
    priority        text NOT NULL,             -- 'stat', 'urgent', 'routine'
    purpose         text NOT NULL,
    state           text NOT NULL,             -- cases.states.CASE
    held_from       text,                      -- where a case set aside came from, and returns to
    held_stage      text,                      -- the stage that set it aside, and is replayed
    version         integer NOT NULL,          -- counts transitions; a stage run is for one version
    partner         text,                      -- set by route
    due_at          timestamptz,               -- end of the service level, as receive and then route expect it
    reason_code     text,                      -- cases.reasons.REASONS, while set aside or rejected
    reason_detail   text,
    brief           jsonb,                     -- cases.documents.Brief, set by deidentify
    pseudonym       text,
    network_version bigint NOT NULL REFERENCES network_version,
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cases_by_clinic ON cases (clinic, received_at DESC);
CREATE INDEX cases_by_partner ON cases (partner, state);
CREATE INDEX cases_open ON cases (state, due_at) WHERE state NOT IN ('acknowledged', 'rejected', 'cancelled');
CREATE INDEX cases_by_pseudonym ON cases (clinic, pseudonym);

-- The one table that carries all work. subject: a case, or for `receive` the id that the drop's case will have.
CREATE TABLE stage_run (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id       text NOT NULL,
    stage         text NOT NULL,               -- cases.stages.STAGES
    case_version  integer NOT NULL,
    lane          text NOT NULL,               -- cases.stages.LANES
    clinic        text NOT NULL,
    partner       text,                        -- for deliver: whose line it needs
    priority      smallint NOT NULL,           -- cases.stages.PRIORITIES
    not_before    timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at  timestamptz,                 -- a wake-up was sent
    published_by  text,                        -- the relay that sent it
    owner         text,                        -- the worker that runs it
    heartbeat_at  timestamptz,                 -- the lease runs from here
    attempt       smallint NOT NULL DEFAULT 0, -- counted before it runs
    lost          smallint NOT NULL DEFAULT 0, -- attempts that ended without an outcome
    progress      jsonb NOT NULL DEFAULT '[]', -- the parts of long work that are behind us
    outcome       text,                        -- done, quarantined, rejected, asked, failed, stale
    error         text,                        -- what went wrong last; never patient data
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at    timestamptz,
    ended_at      timestamptz,
    UNIQUE (case_id, stage, case_version)
);
CREATE INDEX stage_run_waiting ON stage_run (lane, priority, clinic, id) WHERE outcome IS NULL AND published_at IS NULL;
CREATE INDEX stage_run_in_flight ON stage_run (lane, clinic) WHERE outcome IS NULL AND published_at IS NOT NULL;
CREATE INDEX stage_run_failed ON stage_run (ended_at) WHERE outcome = 'failed';

-- What happened to a case: append-only. A leg of the turnaround is the sum of its visits over these rows.
CREATE TABLE milestone (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id       text NOT NULL,
    name          text NOT NULL,               -- cases.milestones
    state         text NOT NULL,               -- the case's state from then on
    case_version  integer NOT NULL,
    happened_at   timestamptz NOT NULL,
    clock         text NOT NULL,               -- by whose clock: 'database', 'clinic', 'partner'
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor         text NOT NULL,               -- a stage's name, or an account
    note          text NOT NULL DEFAULT ''     -- never patient data
);
CREATE INDEX milestone_of_case ON milestone (case_id, id);
CREATE INDEX milestone_by_time ON milestone (recorded_at);

-- Every object that we wrote or are about to: the row comes first, a stage's commit claims it.
CREATE TABLE object (
    zone        text NOT NULL,
    key         text NOT NULL,
    case_id     text NOT NULL,
    run_id      bigint,
    size        bigint,
    sha256      text,
    media_type  text,
    intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at  timestamptz,
    PRIMARY KEY (zone, key)
);
CREATE INDEX object_of_case ON object (case_id);
CREATE INDEX object_unclaimed ON object (intended_at) WHERE claimed_at IS NULL;

CREATE TABLE station_use (
    case_id           text NOT NULL REFERENCES cases,
    clinic            text NOT NULL,           -- the scanning site
    station           text NOT NULL,
    modality          text NOT NULL,
    first_acquired_at timestamp,               -- the station's own clock, without a zone
    last_acquired_at  timestamp,
    images            integer NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (case_id, station, modality)
);

CREATE TABLE route_decision (
    case_id       text NOT NULL REFERENCES cases,
    case_version  integer NOT NULL,
    partner       text NOT NULL,
    document      jsonb NOT NULL,              -- cases.documents.Routed
    decided_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (case_id, case_version)
);

-- A partner whose line is down: its own deliveries wait, at most two probe it.
CREATE TABLE partner_circuit (
    partner     text PRIMARY KEY,
    failures    integer NOT NULL DEFAULT 0,
    open_until  timestamptz,
    last_error  text
);

CREATE TABLE partner_object (
    case_id     text NOT NULL REFERENCES cases,
    partner     text NOT NULL,
    key         text NOT NULL,
    role        text NOT NULL,                 -- 'file' or 'preview'
    size        bigint NOT NULL,
    sha256      text NOT NULL,
    media_type  text NOT NULL,
    PRIMARY KEY (case_id, partner, key)
);

-- One reading by one reader, in UPS states (PS3.4 CC). There is no way back from IN PROGRESS: a successor is made.
CREATE TABLE work_item (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    case_id       text NOT NULL REFERENCES cases,
    partner       text NOT NULL,
    purpose       text NOT NULL,               -- primary, secondary, adjudication
    subspecialty  text NOT NULL DEFAULT '',
    state         text NOT NULL,
    reader        text,                        -- account that claimed it
    claimed_at    timestamptz,
    lease_until   timestamptz,
    draft         jsonb,                       -- cases.documents.ReportBody as typed so far
    successor_of  uuid REFERENCES work_item,
    ended_because text,                        -- completed, released, declined, lease_expired, cancelled
    why           text NOT NULL DEFAULT '',    -- the reader's words on a release or a decline
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at      timestamptz
);
CREATE INDEX work_item_of_case ON work_item (case_id);
CREATE INDEX work_item_waiting ON work_item (partner, state) WHERE state IN ('SCHEDULED', 'IN PROGRESS');

CREATE TABLE report (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    case_id     text NOT NULL REFERENCES cases,
    partner     text NOT NULL,
    status      text NOT NULL,                 -- cases.states.REPORT
    version     integer NOT NULL
);
-- One report stands for a case; a partner's preliminary one is cancelled when it declines.
CREATE UNIQUE INDEX report_of_case ON report (case_id) WHERE status <> 'cancelled';

-- Each version is kept, none is overwritten.
CREATE TABLE report_version (
    report_id     uuid NOT NULL REFERENCES report,
    version       integer NOT NULL,
    partner       text NOT NULL,
    status        text NOT NULL,
    body          jsonb NOT NULL,              -- cases.documents.ReportBody
    body_sha256   text NOT NULL,
    why           text NOT NULL DEFAULT '',
    signed_by     text NOT NULL,
    signed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    network_version bigint NOT NULL REFERENCES network_version, -- in force then: who the signer was
    work_item_id  uuid REFERENCES work_item,
    PRIMARY KEY (report_id, version)
);

CREATE TABLE audit_log (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    account       text NOT NULL,
    organisation  text NOT NULL,
    action        text NOT NULL,               -- cases.access
    case_id       text,
    note          text NOT NULL DEFAULT ''
);

CREATE INDEX audit_log_of_case ON audit_log (case_id, id);
CREATE INDEX audit_log_of_account ON audit_log (account, id);
CREATE INDEX audit_log_of_list ON audit_log USING gin (string_to_array(note, ' ')); -- a list names its cases there

-- ---------------------------------------------------------------- the vault

-- A clinic's prefix and file names may carry identity, so drops are in the vault.
CREATE TABLE vault.drops (
    id            text PRIMARY KEY,            -- the id that its case will have
    clinic        text NOT NULL,
    prefix        text NOT NULL,               -- '<clinic>/<drop>/' in the inbox
    order_etag    text NOT NULL DEFAULT '',    -- of order.json, '' until it arrives; another one makes another drop
    order_at      timestamptz,                 -- when order.json was written: dropping again makes another drop
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(), -- when its newest file arrived
    state         text NOT NULL,               -- cases.states.DROP
    released_by   text,                        -- who said that a quarantined drop may become a case
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at  timestamptz,
    ended_at      timestamptz,
    case_id       text,                        -- its case, or the earlier case that the same drop already made
    reason_code   text,
    reason_detail text,
    problems      jsonb NOT NULL DEFAULT '[]', -- sentences for the clinic
    missing       jsonb NOT NULL DEFAULT '[]',
    receipt       jsonb,
    cleared_at    timestamptz,                 -- its files left the inbox
    UNIQUE NULLS NOT DISTINCT (prefix, order_etag, order_at)
);
CREATE INDEX drops_arriving ON vault.drops (clinic) WHERE state = 'arriving';
CREATE INDEX drops_quarantined ON vault.drops (ended_at) WHERE state = 'quarantined';

-- Where the store told of something new, until somebody has looked. Losing a hint costs seconds: the inbox is listed too.
CREATE UNLOGGED TABLE vault.hint (
    prefix        text PRIMARY KEY,            -- of a drop
    clinic        text NOT NULL
);
CREATE INDEX hint_of_clinic ON vault.hint (clinic);

CREATE TABLE vault.case_order (
    case_id          text PRIMARY KEY REFERENCES cases,
    clinic           text NOT NULL,
    accession_number text NOT NULL,
    patient_id       text NOT NULL,
    patient_name     text NOT NULL,
    content_sha256   text NOT NULL,            -- of the order as written: the same drop twice is the same case
    order_document   jsonb NOT NULL            -- cases.order.Order
);
CREATE INDEX case_order_accession ON vault.case_order (clinic, accession_number);
CREATE INDEX case_order_content ON vault.case_order (clinic, content_sha256);

CREATE TABLE vault.document (
    case_id       text NOT NULL,
    stage         text NOT NULL,
    case_version  integer NOT NULL,
    body          jsonb NOT NULL,              -- cases.documents, one class a stage
    PRIMARY KEY (case_id, stage, case_version)
);

-- A pseudonym belongs to (issuing clinic, patient ID). A new key serves new patients only.
CREATE TABLE vault.patient (
    clinic      text NOT NULL,
    patient_id  text NOT NULL,
    pseudonym   text NOT NULL UNIQUE,
    shift_days  integer NOT NULL,
    key_id      text NOT NULL,
    known_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (clinic, patient_id)
);

CREATE TABLE vault.label_answer (
    case_id     text NOT NULL REFERENCES cases,
    number      integer NOT NULL,              -- of the slide in the order
    confirmed   boolean NOT NULL,
    account     text NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (case_id, number)
);

-- What a person wrote about a case. Free text of those who know the patient may name the patient.
CREATE TABLE vault.remark (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id     text NOT NULL,                 -- of a case or a drop
    account     text NOT NULL,
    action      text NOT NULL,                 -- cases.access
    words       text NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX remark_of_case ON vault.remark (case_id);

-- A drop that comes through the gateway: its order until order.json is written, and its multipart uploads.
CREATE TABLE vault.upload (
    drop_id         text PRIMARY KEY REFERENCES vault.drops,
    account         text NOT NULL,
    order_document  jsonb NOT NULL,            -- as posted
    files           jsonb NOT NULL,            -- {name: {size, part_size, upload_id}}; '' is a plain PUT
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at    timestamptz
);

-- ---------------------------------------------------------------- who may do what

GRANT USAGE ON SCHEMA public, vault TO teledx_region;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, vault TO teledx_region;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, vault TO teledx_region;
REVOKE UPDATE, DELETE ON milestone, audit_log, report_version FROM teledx_region;

GRANT USAGE ON SCHEMA public TO teledx_partner;
GRANT SELECT ON network_version, access_token, cases, work_item, report, report_version, partner_object, milestone
    TO teledx_partner;
GRANT UPDATE (state, version, changed_at) ON cases TO teledx_partner;
GRANT INSERT, UPDATE ON work_item, report TO teledx_partner;
GRANT INSERT ON report_version, milestone, stage_run, audit_log TO teledx_partner;
GRANT SELECT (case_id, stage, case_version) ON stage_run TO teledx_partner; -- writing a run twice is writing it once
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO teledx_partner;

-- The second lock: a partner's role sees the rows of the tenant named in the transaction, and no others.
CREATE FUNCTION tenant() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('teledx.tenant', true) $$;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['cases', 'work_item', 'report', 'report_version', 'partner_object', 'milestone', 'stage_run',
                            'audit_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY region ON %I TO teledx_region USING (true) WITH CHECK (true)', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['cases', 'work_item', 'report', 'report_version', 'partner_object'] LOOP
        EXECUTE format('CREATE POLICY partner ON %I TO teledx_partner USING (partner = tenant()) WITH CHECK (partner = tenant())', t);
    END LOOP;
END $$;
CREATE POLICY partner ON milestone TO teledx_partner
    USING (EXISTS (SELECT FROM cases c WHERE c.id = case_id))
    WITH CHECK (EXISTS (SELECT FROM cases c WHERE c.id = case_id));
CREATE POLICY partner ON stage_run FOR INSERT TO teledx_partner
    WITH CHECK (stage IN ('route', 'return') AND EXISTS (SELECT FROM cases c WHERE c.id = case_id));
CREATE POLICY partner_twice ON stage_run FOR SELECT TO teledx_partner
    USING (EXISTS (SELECT FROM cases c WHERE c.id = case_id));
CREATE POLICY partner ON audit_log FOR INSERT TO teledx_partner WITH CHECK (organisation = tenant());
