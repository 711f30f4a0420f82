-- What is told of de-identified DICOM instances before their objects are opened: QIDO-RS and WADO-RS (PS3.18).
-- Written by deidentify; `partner` says whose bucket the objects are in, and is set by deliver and taken back by the
-- withdrawal. Texts are compared by bytes ("C"), which row-level security lets an index do.

CREATE TABLE dicom_study (
    case_id           text NOT NULL REFERENCES cases,
    study_uid         text COLLATE "C" NOT NULL,
    partner           text,                      -- NULL until it is delivered, and once it is withdrawn
    number            bigint GENERATED ALWAYS AS IDENTITY, -- the order in which studies came
    study_date        text COLLATE "C" NOT NULL DEFAULT '', -- as the files say it: moved by the patient's whole days
    study_time        text COLLATE "C" NOT NULL DEFAULT '',
    accession_number  text COLLATE "C" NOT NULL DEFAULT '',
    study_id          text COLLATE "C" NOT NULL DEFAULT '',
    patient_id        text COLLATE "C" NOT NULL DEFAULT '',
    patient_name      text COLLATE "C" NOT NULL DEFAULT '', -- in small letters, as are the next two
    patient_words     text COLLATE "C" NOT NULL DEFAULT '', -- each word after a blank, without accents
    referring_name    text COLLATE "C" NOT NULL DEFAULT '',
    referring_words   text COLLATE "C" NOT NULL DEFAULT '',
    patient_sex       text COLLATE "C" NOT NULL DEFAULT '',
    birth_date        text COLLATE "C" NOT NULL DEFAULT '',
    description       text COLLATE "C" NOT NULL DEFAULT '',
    modalities        text[] NOT NULL DEFAULT '{}',
    attributes        jsonb NOT NULL,            -- DICOM JSON (PS3.18 Annex F) of this level
    PRIMARY KEY (case_id, study_uid)
);
CREATE INDEX dicom_study_newest ON dicom_study (partner, number DESC);
CREATE INDEX dicom_study_by_uid ON dicom_study (study_uid, partner);
CREATE INDEX dicom_study_by_date ON dicom_study (partner, study_date);
CREATE INDEX dicom_study_by_patient ON dicom_study (partner, patient_id);
CREATE INDEX dicom_study_by_name ON dicom_study (partner, patient_name);
CREATE INDEX dicom_study_by_accession ON dicom_study (partner, accession_number);

CREATE TABLE dicom_series (
    case_id           text NOT NULL REFERENCES cases,
    study_uid         text COLLATE "C" NOT NULL,
    series_uid        text COLLATE "C" NOT NULL,
    partner           text,
    number            bigint GENERATED ALWAYS AS IDENTITY,
    modality          text COLLATE "C" NOT NULL DEFAULT '',
    series_number     text COLLATE "C" NOT NULL DEFAULT '',
    description       text COLLATE "C" NOT NULL DEFAULT '',
    body_part         text COLLATE "C" NOT NULL DEFAULT '',
    performed_date    text COLLATE "C" NOT NULL DEFAULT '',
    performed_time    text COLLATE "C" NOT NULL DEFAULT '',
    instances         integer NOT NULL,          -- that came with this case
    attributes        jsonb NOT NULL,
    PRIMARY KEY (case_id, study_uid, series_uid)
);
CREATE INDEX dicom_series_of_study ON dicom_series (study_uid, series_uid, partner);
CREATE INDEX dicom_series_by_uid ON dicom_series (series_uid, partner);
CREATE INDEX dicom_series_newest ON dicom_series (partner, number DESC);

CREATE TABLE dicom_instance (
    case_id           text NOT NULL REFERENCES cases,
    study_uid         text COLLATE "C" NOT NULL,
    series_uid        text COLLATE "C" NOT NULL,
    sop_uid           text COLLATE "C" NOT NULL,
    partner           text,
    number            bigint GENERATED ALWAYS AS IDENTITY,
    name              text NOT NULL,             -- below the delivery's folder
    key               text,                      -- in the partner's bucket
    size              bigint NOT NULL,
    sop_class         text COLLATE "C" NOT NULL,
    transfer_syntax   text COLLATE "C" NOT NULL,
    instance_number   text COLLATE "C" NOT NULL DEFAULT '',
    attributes        jsonb NOT NULL,
    metadata          bytea NOT NULL,            -- the whole data set as DICOM JSON, deflated by zlib
    bulk              jsonb NOT NULL,            -- path -> [offset, length, width of big-endian words]
    pixels            jsonb,                     -- cases.indexed.PixelPlaces, without its spans
    spans             bytea,                     -- one cases.indexed.SPAN a frame
    PRIMARY KEY (case_id, sop_uid)
);
-- Deflated already, and a frame's span is cut out of the middle: neither is compressed by the database.
ALTER TABLE dicom_instance ALTER COLUMN metadata SET STORAGE EXTERNAL, ALTER COLUMN spans SET STORAGE EXTERNAL;
CREATE INDEX dicom_instance_of_study ON dicom_instance (study_uid, series_uid, sop_uid, partner);
CREATE INDEX dicom_instance_by_uid ON dicom_instance (sop_uid, partner);
CREATE INDEX dicom_instance_newest ON dicom_instance (partner, number DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON dicom_study, dicom_series, dicom_instance TO teledx_region;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO teledx_region;
GRANT SELECT ON dicom_study, dicom_series, dicom_instance TO teledx_partner;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['dicom_study', 'dicom_series', 'dicom_instance'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY region ON %I TO teledx_region USING (true) WITH CHECK (true)', t);
        EXECUTE format('CREATE POLICY partner ON %I FOR SELECT TO teledx_partner USING (partner = tenant())', t);
    END LOOP;
END $$;
