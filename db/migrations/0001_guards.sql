-- Partitions of the event table by the millisecond in the id: its first ten digits (RFC 9562 §5.7).
CREATE FUNCTION countersign_time_digits(at timestamptz) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  rest bigint := floor(extract(epoch FROM at) * 1000);
  digits text := '';
BEGIN
  FOR place IN 1..10 LOOP
    digits := substr('0123456789abcdefghjkmnpqrstvwxyz', (rest % 32)::int + 1, 1) || digits;
    rest := rest / 32;
  END LOOP;
  RETURN digits;
END $$;
--> statement-breakpoint
-- An event is never changed, not even by the owner of the table.
CREATE FUNCTION countersign_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the % table is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
-- Makes the monthly partitions from last month to a year ahead. The service may call it, and nothing else.
CREATE FUNCTION countersign_ensure_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  -- In UTC and without a zone: months added to an instant would be months of the session's own calendar.
  month timestamp;
  first timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
  made integer := 0;
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('countersign partitions'));
  FOR month IN SELECT generate_series(first - interval '1 month', first + interval '12 months', interval '1 month')
  LOOP
    partition := 'event_' || to_char(month, 'YYYY_MM');
    IF to_regclass(quote_ident(partition)) IS NULL THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF event FOR VALUES FROM (%L) TO (%L)', partition,
        'evt_' || countersign_time_digits(month AT TIME ZONE 'UTC'),
        'evt_' || countersign_time_digits((month + interval '1 month') AT TIME ZONE 'UTC'));
      -- Triggers for rows come with the parent; those for TRUNCATE do not.
      EXECUTE format('CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON %I
        FOR EACH STATEMENT EXECUTE FUNCTION countersign_append_only()', partition);
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END $$;
--> statement-breakpoint
SELECT countersign_ensure_partitions();
--> statement-breakpoint
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON event
  FOR EACH ROW EXECUTE FUNCTION countersign_append_only();
--> statement-breakpoint
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION countersign_append_only();
--> statement-breakpoint
CREATE TRIGGER log_entry_append_only BEFORE UPDATE OR DELETE ON log_entry
  FOR EACH ROW EXECUTE FUNCTION countersign_append_only();
--> statement-breakpoint
CREATE TRIGGER log_entry_no_truncate BEFORE TRUNCATE ON log_entry
  FOR EACH STATEMENT EXECUTE FUNCTION countersign_append_only();
