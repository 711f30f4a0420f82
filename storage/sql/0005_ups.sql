-- Work items as Unified Procedure Steps (PS3.4 Annex CC) for partners with reading software of their own.

ALTER TABLE work_item
    ADD COLUMN transaction_uid text,       -- of a claim through UPS; known to who claimed and told to nobody
    ADD COLUMN progress jsonb,             -- what its performer tells: {"percent", "words", "reason"}
    ADD COLUMN cancel_requested jsonb;     -- the last request: {"by", "reason", "at"}

-- Who is told of what. work_item_id NULL: the partner's whole worklist; a row of a work item goes before it.
CREATE TABLE ups_subscription (
    partner       text NOT NULL,
    aetitle       text NOT NULL,           -- of the partner's own choice
    work_item_id  uuid REFERENCES work_item,
    receives      boolean NOT NULL,        -- false: this work item not, though the worklist
    suspended_at  timestamptz,             -- of the worklist: what came after it is not subscribed to
    UNIQUE NULLS NOT DISTINCT (partner, aetitle, work_item_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ups_subscription TO teledx_region, teledx_partner;
ALTER TABLE ups_subscription ENABLE ROW LEVEL SECURITY;
CREATE POLICY region ON ups_subscription TO teledx_region USING (true) WITH CHECK (true);
CREATE POLICY partner ON ups_subscription TO teledx_partner USING (partner = tenant()) WITH CHECK (partner = tenant());

-- Whatever moves a work item, at a page, through UPS or by a timer, is told on the channel 'work_items': which one, and
-- what kind of event (PS3.4 Table CC.2.4-1). Nothing else is in it; who listens looks the rest up as its own tenant.
CREATE FUNCTION work_item_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind integer;
BEGIN
    IF TG_OP = 'INSERT' OR NEW.state IS DISTINCT FROM OLD.state THEN kind := 1;
    ELSIF NEW.cancel_requested IS DISTINCT FROM OLD.cancel_requested THEN kind := 2;
    ELSIF NEW.progress IS DISTINCT FROM OLD.progress THEN kind := 3;
    ELSE RETURN NULL;
    END IF;
    PERFORM pg_notify('work_items', json_build_object(
        'partner', NEW.partner, 'work_item', NEW.id, 'event', kind, 'state', NEW.state)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER work_item_told AFTER INSERT OR UPDATE ON work_item FOR EACH ROW EXECUTE FUNCTION work_item_told();
