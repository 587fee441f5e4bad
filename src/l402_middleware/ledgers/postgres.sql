-- The PostgreSQL ledger's schema, made or brought up to date in one transaction. Run it as often as you like.
--
-- Every function locks the payment's row before it writes anything else of that payment, and takes the time from its
-- caller: machines count by their own clocks, and the database's is not asked. Endpoints are UTF-8 as bytea, because a
-- path may hold what text cannot (NUL, or a character that the database's encoding lacks), and so that they sort by
-- code point; read them with convert_from(endpoint, 'UTF8').
--
-- Nothing adds to a total while a payment is served, so concurrent payments never wait for each other: a total is what
-- `events` still hold, plus what `totals` took over from events that were pruned.

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

        CREATE FUNCTION l402.hold(
            the_payment bytea, the_token bytea, the_hold bytea, bought bigint, the_request bytea, the_endpoint bytea,
            price bigint, claimed_at float8, leased_until float8, remembered_until float8,
            OUT outcome text, OUT uses_left bigint, OUT was_confirmed boolean, OUT kept bytea
        ) LANGUAGE plpgsql AS $function$
        DECLARE
            mine l402.held := (the_hold, the_request, leased_until);
            payment l402.payments;
            running bigint;
        BEGIN
            IF EXISTS (SELECT FROM l402.revoked r WHERE r.token_id = the_token) THEN
                outcome := 'revoked';
                RETURN;
            END IF;
            LOOP
                INSERT INTO l402.payments (payment_hash, token_id, endpoint, msat, uses, forget_at, holds)
                VALUES (
                    the_payment, the_token, the_endpoint, price, bought, remembered_until,
                    CASE WHEN bought IS NULL THEN '{}' ELSE ARRAY[mine] END
                )
                ON CONFLICT DO NOTHING;
                IF FOUND THEN
                    IF bought IS NULL THEN
                        PERFORM l402.note(the_payment, claimed_at, 'paid');
                    END IF;
                    outcome := 'held';
                    uses_left := bought - 1;
                    was_confirmed := false;
                    RETURN;
                END IF;
                SELECT p.* INTO payment FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
                -- Otherwise it was pruned between the two statements, and is new after all.
                EXIT WHEN FOUND;
            END LOOP;
            IF payment.forget_at < remembered_until THEN
                UPDATE l402.payments p SET forget_at = remembered_until WHERE p.payment_hash = the_payment;
            END IF;
            was_confirmed := payment.confirmed;
            running := (SELECT count(*) FROM unnest(payment.holds) h WHERE h.lease_until > claimed_at);
            IF payment.uses IS NULL THEN
                outcome := 'held';
            ELSIF payment.settled + running < payment.uses THEN
                IF payment.settled + cardinality(payment.holds) >= payment.uses THEN
                    payment.holds := ARRAY(SELECT h FROM unnest(payment.holds) h ORDER BY h.lease_until OFFSET 1);
                    PERFORM l402.note(the_payment, claimed_at, 'lapsed');
                END IF;
                UPDATE l402.payments p SET holds = payment.holds || mine WHERE p.payment_hash = the_payment;
                outcome := 'held';
                uses_left := payment.uses - payment.settled - running - 1;
            ELSIF payment.settled < payment.uses THEN
                outcome := 'busy';
            ELSE
                SELECT a.answer INTO kept FROM l402.answers a
                WHERE a.payment_hash = the_payment AND a.request = the_request AND a.replay_until > claimed_at;
                outcome := 'spent';
                IF FOUND THEN
                    PERFORM l402.note(the_payment, claimed_at, 'replayed');
                    outcome := 'kept';
                END IF;
            END IF;
        END $function$;

        CREATE FUNCTION l402.note(the_payment bytea, noted_at float8, happened text) RETURNS void
        LANGUAGE plpgsql AS $function$
        DECLARE
            its_id bigint;
            so_far bigint;
        BEGIN
            UPDATE l402.payments p SET noted = p.noted + 1 WHERE p.payment_hash = the_payment
            RETURNING p.id, p.noted INTO its_id, so_far;
            INSERT INTO l402.events (payment, at, what) VALUES (its_id, noted_at, ARRAY[happened]);
            IF so_far >= 200 THEN
                INSERT INTO l402.to_trim (payment_hash) VALUES (the_payment) ON CONFLICT DO NOTHING;
            END IF;
        END $function$;

        CREATE FUNCTION l402.renew(the_payment bytea, the_hold bytea, leased_until float8) RETURNS boolean
        LANGUAGE plpgsql AS $function$
        BEGIN
            UPDATE l402.payments p
            SET holds = ARRAY(
                SELECT CASE h.hold_id WHEN the_hold THEN (h.hold_id, h.request, leased_until)::l402.held ELSE h END
                FROM unnest(p.holds) h
            )
            WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
            RETURN FOUND;
        END $function$;

        CREATE FUNCTION l402.settle(
            the_payment bytea, the_hold bytea, settled_at float8, the_answer bytea, replayed_until float8
        ) RETURNS boolean LANGUAGE plpgsql AS $function$
        DECLARE
            its_id bigint;
            deliveries bigint;
            held_for bytea;
        BEGIN
            IF the_answer IS NOT NULL THEN
                SELECT h.request INTO held_for FROM l402.payments p, unnest(p.holds) h
                WHERE p.payment_hash = the_payment AND h.hold_id = the_hold;
            END IF;
            UPDATE l402.payments p
            SET settled = p.settled + 1,
                holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.hold_id <> the_hold),
                noted = p.noted + 1
            WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h)
            RETURNING p.id, p.settled INTO its_id, deliveries;
            IF NOT FOUND THEN
                RETURN false;
            END IF;
            INSERT INTO l402.events (payment, at, what)
            VALUES (its_id, settled_at, CASE deliveries WHEN 1 THEN '{paid,delivered}' ELSE '{delivered}' END::text[]);
            IF the_answer IS NOT NULL THEN
                INSERT INTO l402.answers AS a (payment_hash, request, replay_until, answer)
                VALUES (the_payment, held_for, replayed_until, the_answer)
                ON CONFLICT (payment_hash) DO UPDATE
                SET request = excluded.request, replay_until = excluded.replay_until, answer = excluded.answer;
            END IF;
            RETURN true;
        END $function$;

        CREATE FUNCTION l402.release(the_payment bytea, the_hold bytea, released_at float8) RETURNS void
        LANGUAGE plpgsql AS $function$
        BEGIN
            UPDATE l402.payments p SET holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.hold_id <> the_hold)
            WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
            IF FOUND THEN
                PERFORM l402.note(the_payment, released_at, 'released');
            END IF;
        END $function$;

        CREATE FUNCTION l402.confirm(the_payment bytea, confirmed_at float8) RETURNS void
        LANGUAGE plpgsql AS $function$
        BEGIN
            UPDATE l402.payments p SET confirmed = true WHERE p.payment_hash = the_payment AND NOT p.confirmed;
            IF FOUND THEN
                PERFORM l402.note(the_payment, confirmed_at, 'confirmed');
            END IF;
        END $function$;

        -- Rows of `totals` are locked in the order of their key, by this and by `prune`, so the two never block each
        -- other for good.
        CREATE FUNCTION l402.count(days bigint[], endpoints bytea[], whats text[], counts bigint[], msats bigint[])
        RETURNS void LANGUAGE sql AS $function$
            INSERT INTO l402.totals AS t (day, endpoint, what, count, msat)
            SELECT n.day, n.endpoint, n.what, sum(n.count), sum(n.msat)
            FROM unnest(days, endpoints, whats, counts, msats) AS n (day, endpoint, what, count, msat)
            GROUP BY n.day, n.endpoint, n.what
            ORDER BY n.day, n.endpoint, n.what COLLATE "C"
            ON CONFLICT (day, endpoint, what) DO UPDATE
            SET count = t.count + excluded.count, msat = t.msat + excluded.msat;
        $function$;

        CREATE FUNCTION l402.prune(now_at float8, most bigint) RETURNS void LANGUAGE plpgsql AS $function$
        DECLARE
            over bytea[];
            due bytea[];
            due_ids bigint[];
            long bytea[];
            long_ids bigint[];
        BEGIN
            -- One at a time: a second one would only wait for the first one's totals.
            IF NOT pg_try_advisory_xact_lock(x'4c34303270'::bigint) THEN
                RETURN;
            END IF;
            -- Arrays, because from a table that it knows nothing of yet the planner expects more rows than there are,
            -- and would read all payments to join it.
            over := ARRAY(
                SELECT a.payment_hash FROM l402.answers a WHERE a.replay_until <= now_at
                ORDER BY a.replay_until LIMIT most FOR UPDATE SKIP LOCKED
            );
            -- A request that runs keeps its payment.
            due := ARRAY(
                SELECT p.payment_hash FROM l402.payments p
                WHERE p.forget_at <= now_at
                AND NOT EXISTS (SELECT FROM unnest(p.holds) h WHERE h.lease_until > now_at)
                ORDER BY p.forget_at LIMIT most FOR UPDATE SKIP LOCKED
            );
            long := ARRAY(
                SELECT p.payment_hash FROM l402.payments p
                WHERE p.payment_hash = ANY (ARRAY(SELECT t.payment_hash FROM l402.to_trim t LIMIT most))
                AND p.payment_hash <> ALL (due)
                FOR UPDATE SKIP LOCKED
            );
            IF over || due || long = '{}' THEN
                RETURN;
            END IF;
            DELETE FROM l402.answers a WHERE a.payment_hash = ANY (over || due);
            UPDATE l402.payments p SET noted = 100 WHERE p.payment_hash = ANY (long);
            due_ids := ARRAY(SELECT p.id FROM l402.payments p WHERE p.payment_hash = ANY (due));
            long_ids := ARRAY(SELECT p.id FROM l402.payments p WHERE p.payment_hash = ANY (long));
            DELETE FROM l402.to_trim t WHERE t.payment_hash = ANY (due || long);
            WITH forgotten AS (
                DELETE FROM l402.events e WHERE e.payment = ANY (due_ids)
                RETURNING e.payment, e.at, e.what
            ), trimmed AS (
                DELETE FROM l402.events e WHERE e.payment = ANY (long_ids) AND e.id <= (
                    SELECT n.id FROM l402.events n WHERE n.payment = e.payment ORDER BY n.id DESC OFFSET 100 LIMIT 1
                )
                RETURNING e.payment, e.at, e.what
            ), gone AS (
                SELECT floor(e.at / 86400)::bigint AS day, p.endpoint, w.what, p.msat
                FROM (SELECT * FROM forgotten UNION ALL SELECT * FROM trimmed) e
                JOIN (SELECT * FROM l402.payments WHERE payment_hash = ANY (due || long)) p ON p.id = e.payment
                CROSS JOIN unnest(e.what) AS w (what)
            )
            INSERT INTO l402.totals AS t (day, endpoint, what, count, msat)
            SELECT g.day, g.endpoint, g.what, count(*), coalesce(sum(g.msat) FILTER (WHERE g.what = 'paid'), 0)
            FROM gone g
            GROUP BY g.day, g.endpoint, g.what
            ORDER BY g.day, g.endpoint, g.what COLLATE "C"
            ON CONFLICT (day, endpoint, what) DO UPDATE
            SET count = t.count + excluded.count, msat = t.msat + excluded.msat;
            DELETE FROM l402.payments p WHERE p.payment_hash = ANY (due);
        END $function$;

        UPDATE l402.schema_version v SET version = 1;
    END IF;
END $migration$;
