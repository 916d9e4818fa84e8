// What the PostgreSQL issuer has the server do: blocks that never change, their values beside them as settings.

/**
 * Refuses by the target's own clock once the lease's time to be issued has passed, so that a call that was
 * held up on the way can never make a login nobody waits for; asked again at the end, because making the role may
 * have waited for the reaper. Repeating it replaces the password. A role of the same name that is not ours is
 * refused, not taken over. No lock is taken that a login of this target could take too.
 */
export const CREATE_LOGIN = `
DO $$
DECLARE
  login text := current_setting('countersign.role');
  mark text := current_setting('countersign.mark');
  attempt int := current_setting('countersign.attempt')::int;
  said text;
  grantee text;
BEGIN
  IF clock_timestamp() > current_setting('countersign.issue_by')::timestamptz THEN
    RAISE EXCEPTION 'too late to issue' USING ERRCODE = 'CS001';
  END IF;
  IF to_regrole(quote_ident(login)) IS NULL THEN
    -- From version 16 on, dropping what a role owns takes more than having created it.
    IF current_setting('server_version_num')::int >= 160000 THEN
      PERFORM set_config('createrole_self_grant', 'set, inherit', true);
    END IF;
    EXECUTE format('CREATE ROLE %I NOLOGIN', login);
  ELSE
    said := coalesce(shobj_description(to_regrole(quote_ident(login)), 'pg_authid'), '');
    IF NOT starts_with(said, mark) THEN
      RAISE EXCEPTION 'a role of this name is not ours' USING ERRCODE = 'CS002';
    END IF;
    IF substr(said, length(mark) + 1)::int > attempt THEN
      RAISE EXCEPTION 'a later attempt was here' USING ERRCODE = 'CS003';
    END IF;
  END IF;
  EXECUTE format('COMMENT ON ROLE %I IS %L', login, mark || attempt);
  FOR grantee IN SELECT jsonb_array_elements_text(current_setting('countersign.groups')::jsonb) LOOP
    -- What it has it uses as itself: as its group it could make what nobody finds when it is gone.
    IF current_setting('server_version_num')::int >= 160000 THEN
      EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET FALSE', grantee, login);
    ELSE
      EXECUTE format('GRANT %I TO %I', grantee, login);
    END IF;
  END LOOP;
  EXECUTE format('ALTER ROLE %I LOGIN INHERIT PASSWORD %L VALID UNTIL %L CONNECTION LIMIT %s', login,
    current_setting('countersign.verifier'), current_setting('countersign.valid_until'),
    current_setting('countersign.connections')::int);
  IF clock_timestamp() > current_setting('countersign.issue_by')::timestamptz THEN
    RAISE EXCEPTION 'too late to issue' USING ERRCODE = 'CS001';
  END IF;
END $$`;

/**
 * Moves the end of a login that is there, and never back: of two that cross, the later end stays. One that was closed
 * stays closed, for only its time is touched.
 */
export const EXTEND_LOGIN = `
DO $$
DECLARE
  login text := current_setting('countersign.role');
  mark text := current_setting('countersign.mark');
  said text;
  till timestamptz := current_setting('countersign.valid_until')::timestamptz;
BEGIN
  IF clock_timestamp() > current_setting('countersign.issue_by')::timestamptz THEN
    RAISE EXCEPTION 'too late to renew' USING ERRCODE = 'CS001';
  END IF;
  IF to_regrole(quote_ident(login)) IS NULL THEN
    RAISE EXCEPTION 'there is no such login' USING ERRCODE = 'CS004';
  END IF;
  said := coalesce(shobj_description(to_regrole(quote_ident(login)), 'pg_authid'), '');
  IF NOT starts_with(said, mark) THEN
    RAISE EXCEPTION 'a role of this name is not ours' USING ERRCODE = 'CS002';
  END IF;
  IF substr(said, length(mark) + 1)::int > current_setting('countersign.attempt')::int THEN
    RAISE EXCEPTION 'a later attempt was here' USING ERRCODE = 'CS003';
  END IF;
  IF till > (SELECT coalesce(rolvaliduntil, '-infinity') FROM pg_roles WHERE rolname = login) THEN
    EXECUTE format('ALTER ROLE %I VALID UNTIL %L', login, till);
  END IF;
  IF clock_timestamp() > current_setting('countersign.issue_by')::timestamptz THEN
    RAISE EXCEPTION 'too late to renew' USING ERRCODE = 'CS001';
  END IF;
END $$`;

/**
 * Where there is no such role, its name is taken and given back: that waits for whoever is just making it, which a
 * look at the catalog would not see, and cannot be held up by anybody who may not make roles.
 */
export const CLOSE_LOGIN = `
DO $$
DECLARE
  login text;
  mark text := current_setting('countersign.mark');
BEGIN
FOR login IN SELECT jsonb_array_elements_text(current_setting('countersign.roles')::jsonb) LOOP
  IF to_regrole(quote_ident(login)) IS NULL THEN
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', login);
      EXECUTE format('DROP ROLE %I', login);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
  END IF;
  IF to_regrole(quote_ident(login)) IS NOT NULL THEN
    -- It stays visible as a revocation that fails: somebody has to look who took our mark away, or our name.
    IF NOT starts_with(coalesce(shobj_description(to_regrole(quote_ident(login)), 'pg_authid'), ''), mark) THEN
      RAISE EXCEPTION 'a role of this name is not ours' USING ERRCODE = 'CS002';
    END IF;
    EXECUTE format('ALTER ROLE %I NOLOGIN', login);
  END IF;
END LOOP;
END $$`;

/**
 * What a login made in this database is kept, under a role that may do nothing: code it left behind must never run with
 * the rights of the issuer. What it was granted here goes.
 */
export const DISOWN_LOGIN = `
DO $$
DECLARE
  login text := current_setting('countersign.role');
  estate text := 'countersign_estate_' || left(encode(sha256(convert_to(current_setting('countersign.mark'), 'UTF8')), 'hex'), 12);
  is_old boolean := current_setting('server_version_num')::int < 160000;
BEGIN
  IF to_regrole(quote_ident(login)) IS NOT NULL THEN
    -- Before version 16 whoever made a role may give itself what the role has, and from then on has it.
    IF is_old THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', login);
    END IF;
    IF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
               AND refobjid = to_regrole(quote_ident(login)) AND deptype = 'o') THEN
      IF to_regrole(quote_ident(estate)) IS NULL THEN
        IF NOT is_old THEN
          PERFORM set_config('createrole_self_grant', 'set, inherit', true);
        END IF;
        EXECUTE format('CREATE ROLE %I NOLOGIN', estate);
      END IF;
      IF is_old THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', estate);
      END IF;
      -- Whoever takes something over must be allowed to make such things where it stands; gone with the login.
      EXECUTE format('GRANT %I TO %I', login, estate);
      EXECUTE format('REASSIGN OWNED BY %I TO %I', login, estate);
    END IF;
    EXECUTE format('DROP OWNED BY %I', login);
  END IF;
END $$`;

/** Acts as the login from here on; its name is of letters, digits and underscores, as we make them. */
export const BECOME_LOGIN = `
DO $$
BEGIN
  IF current_setting('server_version_num')::int < 160000 THEN
    GRANT login_to_become TO CURRENT_USER;
  END IF;
END $$;
SET ROLE login_to_become`;

/** Takes the login away, once it owns nothing in any database. */
export const DROP_LOGIN = `
DO $$
DECLARE
  login text := current_setting('countersign.role');
BEGIN
  IF to_regrole(quote_ident(login)) IS NOT NULL THEN
    EXECUTE format('DROP ROLE %I', login);
  END IF;
END $$`;

/** The blocks above, as they appear in the target's log: the issuer doing what a lease says it does. */
export const ISSUER_STATEMENTS: ReadonlySet<string> = new Set(
  [CREATE_LOGIN, EXTEND_LOGIN, CLOSE_LOGIN, DISOWN_LOGIN, DROP_LOGIN].map((block) => block.trim()),
);
