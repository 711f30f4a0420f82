-- Studies that come instance by instance through the modality's doors (STOW-RS, C-STORE), until their order makes drops
-- of them. UIDs and accession numbers of a clinic identify, so all of it is in the vault.

CREATE TABLE vault.arrival (
    prefix            text PRIMARY KEY,        -- '<clinic>/<random>/' in the inbox: of the drop that it becomes
    clinic            text NOT NULL,
    study_uid         text COLLATE "C" NOT NULL,
    accession_number  text NOT NULL DEFAULT '',-- as its instances say it
    first_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at           timestamptz NOT NULL DEFAULT clock_timestamp(), -- when something of it came last
    order_document    jsonb                    -- the whole order.json, once closed; what comes then opens another arrival
);
CREATE UNIQUE INDEX arrival_open ON vault.arrival (clinic, study_uid) WHERE order_document IS NULL;

-- A row precedes each write into the store, and says when the object was durable there.
CREATE TABLE vault.arrived_instance (
    prefix      text NOT NULL,                 -- of its arrival, which it may outlive
    name        text NOT NULL,                 -- below the prefix: made of the digest
    sop_uid     text COLLATE "C" NOT NULL,
    size        bigint NOT NULL,
    sha256      text NOT NULL,
    intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stored_at   timestamptz,                   -- NULL until then, and again once other bytes came for the same UID
    PRIMARY KEY (prefix, name)
);
CREATE INDEX arrived_instance_by_uid ON vault.arrived_instance (prefix, sop_uid);
CREATE INDEX arrived_instance_unstored ON vault.arrived_instance (intended_at) WHERE stored_at IS NULL;

-- Orders that wait for their study, by its UID or, where that is '', by the accession number.
CREATE TABLE vault.arrival_order (
    clinic            text NOT NULL,
    study_uid         text COLLATE "C" NOT NULL DEFAULT '',
    accession_number  text NOT NULL,
    account           text NOT NULL,
    order_document    jsonb NOT NULL,          -- cases.order.StudyOrder, as posted
    kept_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (clinic, study_uid, accession_number)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON vault.arrival, vault.arrived_instance, vault.arrival_order TO teledx_region;
