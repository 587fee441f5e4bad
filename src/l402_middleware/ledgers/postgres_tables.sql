-- The PostgreSQL ledger's schema, made or brought up to date in one transaction, together with
-- postgres_steps.sql and postgres_record.sql. Run them as often as you like.
--
-- Endpoints are UTF-8 as bytea, because a path may hold what text cannot (NUL, or a character that the database's
-- encoding lacks), and so that they sort by code point; read them with convert_from(endpoint, 'UTF8').
--
-- Nothing adds to a total while a payment is served, so concurrent payments never wait for each other: a total is what
-- `payments` and `events` still hold, plus what `totals` took over from those that were pruned.

DO $migration$
DECLARE
    version bigint;
BEGIN
    -- Workers start together; the first one makes the schema and the others, after a while, find it made.
    PERFORM set_config('lock_timeout', '0', true);
    PERFORM pg_advisory_xact_lock(x'4c343032'::bigint);
    IF to_regnamespace('l402') IS NULL THEN
        CREATE SCHEMA l402;
    END IF;
    IF to_regclass('l402.schema_version') IS NULL THEN
        CREATE TABLE l402.schema_version (version bigint NOT NULL);
        INSERT INTO l402.schema_version VALUES (0);
    END IF;
    SELECT v.version INTO STRICT version FROM l402.schema_version v;

    IF version < 1 THEN
        CREATE TYPE l402.held AS (hold_id bytea, request bytea, lease_until float8);
        -- Half of each page is left for the rows' next versions: neither a hold nor its end then touches an index.
        CREATE TABLE l402.payments (
            payment_hash bytea PRIMARY KEY,
            id bigint GENERATED ALWAYS AS IDENTITY,
            token_id bytea NOT NULL,
            endpoint bytea NOT NULL,
            msat bigint NOT NULL,
            uses bigint CHECK (uses > 0),
            forget_at float8 NOT NULL,
            settled bigint NOT NULL DEFAULT 0,
            confirmed boolean NOT NULL DEFAULT false,
            holds l402.held[] NOT NULL,
            noted bigint NOT NULL DEFAULT 0
        ) WITH (fillfactor = 50);
        CREATE INDEX payments_forget_at ON l402.payments (forget_at);
        CREATE TABLE l402.answers (
            payment_hash bytea PRIMARY KEY,
            request bytea NOT NULL,
            replay_until float8 NOT NULL,
            answer bytea NOT NULL
        );
        CREATE INDEX answers_replay_until ON l402.answers (replay_until);
        -- What happened at one moment is one row. The key is not a hash, so that rows of one time are neighbours.
        CREATE TABLE l402.events (
            payment bigint,
            id bigint GENERATED ALWAYS AS IDENTITY,
            at float8 NOT NULL,
            what text[] NOT NULL,
            PRIMARY KEY (payment, id)
        );
        -- Payments with more events than a history tells. Whoever makes requests fail can repeat them without end.
        CREATE TABLE l402.to_trim (payment_hash bytea PRIMARY KEY);
        CREATE TABLE l402.totals (
            day bigint,
            endpoint bytea,
            what text COLLATE "C",
            count bigint NOT NULL,
            msat bigint NOT NULL,
            PRIMARY KEY (day, endpoint, what)
        );
        CREATE TABLE l402.revoked (token_id bytea PRIMARY KEY);
        CREATE TABLE l402.keys (name text PRIMARY KEY, value text NOT NULL);
    END IF;

    -- Units in place of uses: a bundle's request holds one, a balance's as many as it may need.
    IF version < 2 THEN
        ALTER TYPE l402.held ADD ATTRIBUTE units bigint;
        ALTER TABLE l402.payments RENAME uses TO bought;
        -- A payment is paid when it is first shown: its row is that event. In older rows, `events` say it.
        ALTER TABLE l402.payments
            ADD shown_at float8,
            ADD paid boolean NOT NULL DEFAULT false,
            ADD scheme text NOT NULL DEFAULT 'l402',
            ADD backend text NOT NULL DEFAULT '',
            ADD closed_with bigint,
            ADD credited_to bytea;
        ALTER TABLE l402.answers DROP CONSTRAINT answers_pkey, ADD PRIMARY KEY (payment_hash, request);
    END IF;

    IF version = 1 THEN
        UPDATE l402.payments p
        SET holds = ARRAY(SELECT (h.hold_id, h.request, h.lease_until, 1)::l402.held FROM unnest(p.holds) h)
        WHERE p.holds <> '{}';
        UPDATE l402.payments p SET shown_at = coalesce(
            (SELECT e.at FROM l402.events e WHERE e.payment = p.id ORDER BY e.id LIMIT 1), extract(epoch FROM now())
        );
        -- They were counted at their first delivery; passes at once.
        WITH uncounted AS (
            UPDATE l402.payments p SET noted = p.noted + 1 WHERE p.bought IS NOT NULL AND p.settled = 0 RETURNING p.id
        )
        INSERT INTO l402.events (payment, at, what) SELECT u.id, extract(epoch FROM now()), '{paid}' FROM uncounted u;

        -- Workers of the first version go on with the connections they have: these are the steps that they ask for.
        CREATE OR REPLACE FUNCTION l402.hold(
            the_payment bytea, the_token bytea, the_hold bytea, bought bigint, the_request bytea, the_endpoint bytea,
            price bigint, claimed_at float8, leased_until float8, remembered_until float8,
            OUT outcome text, OUT uses_left bigint, OUT was_confirmed boolean, OUT kept bytea
        ) LANGUAGE plpgsql AS $function$
        BEGIN
            SELECT n.outcome, n.remaining, n.was_confirmed, n.kept INTO outcome, uses_left, was_confirmed, kept
            FROM l402.hold(
                the_payment, the_token, the_hold, bought, the_request, the_endpoint, price, claimed_at, leased_until,
                remembered_until, 1, 1, false, 'l402', ''
            ) n;
        END $function$;
        CREATE OR REPLACE FUNCTION l402.settle(
            the_payment bytea, the_hold bytea, settled_at float8, the_answer bytea, replayed_until float8
        ) RETURNS boolean LANGUAGE plpgsql AS $function$
        BEGIN
            RETURN l402.settle(the_payment, the_hold, 1, settled_at, the_answer, replayed_until);
        END $function$;
    END IF;

    IF version < 2 THEN
        ALTER TABLE l402.payments ALTER shown_at SET NOT NULL;
        UPDATE l402.schema_version v SET version = 2;
    END IF;
END $migration$;
