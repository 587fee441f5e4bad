-- The PostgreSQL ledger's schema, made or brought up to date in one transaction. Run it as often as you like.
--
-- Every function locks the payment's row before anything else of that payment, and takes its time from its caller:
-- machines count by their own clocks, and the database's is not asked. Endpoints are UTF-8 as bytea, because a path
-- may hold what text can not (NUL, or a character that the database's encoding lacks), and so that they sort by code
-- point; read them with convert_from(endpoint, 'UTF8').
--
-- Nothing adds to a total while a payment is served, so concurrent payments never wait for each other: a total is what
-- `events` still hold, plus what `totals` took over from events that were pruned.

DO $migration$
DECLARE
    version bigint;
BEGIN
    -- Workers start together; the first one makes the schema and the others find it made.
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
        CREATE TABLE l402.payments (
            payment_hash bytea PRIMARY KEY,
            token_id bytea NOT NULL,
            endpoint bytea NOT NULL,
            msat bigint NOT NULL,
            uses bigint,
            forget_at float8 NOT NULL,
            settled bigint NOT NULL DEFAULT 0,
            confirmed boolean NOT NULL DEFAULT false,
            noted bigint NOT NULL DEFAULT 0
        );
        CREATE INDEX payments_forget_at ON l402.payments (forget_at);
        CREATE INDEX payments_to_trim ON l402.payments (payment_hash) WHERE noted >= 200;
        CREATE TABLE l402.holds (
            payment_hash bytea,
            hold_id bytea,
            request bytea NOT NULL,
            lease_until float8 NOT NULL,
            PRIMARY KEY (payment_hash, hold_id)
        );
        CREATE TABLE l402.answers (
            payment_hash bytea PRIMARY KEY,
            request bytea NOT NULL,
            replay_until float8 NOT NULL,
            answer bytea NOT NULL
        );
        CREATE INDEX answers_replay_until ON l402.answers (replay_until);
        CREATE TABLE l402.events (
            payment_hash bytea,
            id bigint GENERATED ALWAYS AS IDENTITY,
            at float8 NOT NULL,
            what text NOT NULL,
            PRIMARY KEY (payment_hash, id)
        );
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
            payment l402.payments;
            held bigint := 0;
            running bigint := 0;
        BEGIN
            IF EXISTS (SELECT FROM l402.revoked r WHERE r.token_id = the_token) THEN
                outcome := 'revoked';
                RETURN;
            END IF;
            LOOP
                INSERT INTO l402.payments AS p (payment_hash, token_id, endpoint, msat, uses, forget_at, noted)
                VALUES (the_payment, the_token, the_endpoint, price, bought, remembered_until, (bought IS NULL)::int)
                ON CONFLICT DO NOTHING
                RETURNING p.* INTO payment;
                IF FOUND THEN
                    IF bought IS NULL THEN
                        INSERT INTO l402.events (payment_hash, at, what) VALUES (the_payment, claimed_at, 'paid');
                    END IF;
                    EXIT;
                END IF;
                SELECT p.* INTO payment FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
                IF FOUND THEN
                    IF payment.forget_at < remembered_until THEN
                        UPDATE l402.payments p SET forget_at = remembered_until WHERE p.payment_hash = the_payment;
                    END IF;
                    SELECT count(*), count(*) FILTER (WHERE h.lease_until > claimed_at) INTO held, running
                    FROM l402.holds h WHERE h.payment_hash = the_payment;
                    EXIT;
                END IF;
                -- Pruned between the two statements: it is new after all.
            END LOOP;
            was_confirmed := payment.confirmed;
            IF payment.uses IS NULL THEN
                outcome := 'held';
            ELSIF payment.settled + running < payment.uses THEN
                IF payment.settled + held >= payment.uses THEN
                    DELETE FROM l402.holds h WHERE h.payment_hash = the_payment AND h.hold_id = (
                        SELECT first.hold_id FROM l402.holds first
                        WHERE first.payment_hash = the_payment ORDER BY first.lease_until LIMIT 1
                    );
                    PERFORM l402.note(the_payment, claimed_at, 'lapsed');
                END IF;
                INSERT INTO l402.holds (payment_hash, hold_id, request, lease_until)
                VALUES (the_payment, the_hold, the_request, leased_until);
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
        BEGIN
            UPDATE l402.payments p SET noted = p.noted + 1 WHERE p.payment_hash = the_payment;
            INSERT INTO l402.events (payment_hash, at, what) VALUES (the_payment, noted_at, happened);
        END $function$;

        CREATE FUNCTION l402.settle(
            the_payment bytea, the_hold bytea, settled_at float8, the_answer bytea, replayed_until float8
        ) RETURNS boolean LANGUAGE plpgsql AS $function$
        DECLARE
            earlier bigint;
            held_for bytea;
        BEGIN
            SELECT p.settled INTO earlier FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
            DELETE FROM l402.holds h WHERE h.payment_hash = the_payment AND h.hold_id = the_hold
            RETURNING h.request INTO held_for;
            IF NOT FOUND THEN
                RETURN false;
            END IF;
            UPDATE l402.payments p
            SET settled = p.settled + 1, noted = p.noted + 1 + (earlier = 0)::int
            WHERE p.payment_hash = the_payment;
            IF earlier = 0 THEN
                INSERT INTO l402.events (payment_hash, at, what)
                VALUES (the_payment, settled_at, 'paid'), (the_payment, settled_at, 'delivered');
            ELSE
                INSERT INTO l402.events (payment_hash, at, what) VALUES (the_payment, settled_at, 'delivered');
            END IF;
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
            PERFORM FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
            DELETE FROM l402.holds h WHERE h.payment_hash = the_payment AND h.hold_id = the_hold;
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
            due bytea[];
            long bytea[];
        BEGIN
            -- One at a time: a second one would only wait for the first one's totals.
            IF NOT pg_try_advisory_xact_lock(x'4c34303270'::bigint) THEN
                RETURN;
            END IF;
            DELETE FROM l402.answers a WHERE a.payment_hash IN (
                SELECT o.payment_hash FROM l402.answers o WHERE o.replay_until <= now_at
                ORDER BY o.replay_until LIMIT most FOR UPDATE SKIP LOCKED
            );
            due := ARRAY(
                SELECT p.payment_hash FROM l402.payments p WHERE p.forget_at <= now_at
                ORDER BY p.forget_at LIMIT most FOR UPDATE SKIP LOCKED
            );
            long := ARRAY(
                SELECT p.payment_hash FROM l402.payments p WHERE p.noted >= 200 AND p.payment_hash <> ALL (due)
                LIMIT most FOR UPDATE SKIP LOCKED
            );
            -- Looked at only now that no request can take or renew a hold: a running one keeps its payment.
            PERFORM FROM l402.holds h WHERE h.payment_hash = ANY (due) FOR UPDATE;
            due := ARRAY(
                SELECT d FROM unnest(due) AS d WHERE NOT EXISTS (
                    SELECT FROM l402.holds h WHERE h.payment_hash = d AND h.lease_until > now_at
                )
            );
            IF due = '{}' AND long = '{}' THEN
                RETURN;
            END IF;
            UPDATE l402.payments p SET noted = 100 WHERE p.payment_hash = ANY (long);
            DELETE FROM l402.holds h WHERE h.payment_hash = ANY (due);
            DELETE FROM l402.answers a WHERE a.payment_hash = ANY (due);
            WITH forgotten AS (
                DELETE FROM l402.events e WHERE e.payment_hash = ANY (due)
                RETURNING e.payment_hash, e.at, e.what
            ), trimmed AS (
                DELETE FROM l402.events e WHERE e.payment_hash = ANY (long) AND e.id <= (
                    SELECT n.id FROM l402.events n WHERE n.payment_hash = e.payment_hash
                    ORDER BY n.id DESC OFFSET 100 LIMIT 1
                )
                RETURNING e.payment_hash, e.at, e.what
            ), gone AS (
                SELECT floor(e.at / 86400)::bigint AS day, p.endpoint, e.what, p.msat
                FROM (SELECT * FROM forgotten UNION ALL SELECT * FROM trimmed) e
                JOIN l402.payments p USING (payment_hash)
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
