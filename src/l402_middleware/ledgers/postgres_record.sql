-- What the PostgreSQL ledger notes of payments, counts and forgets, in the tables that postgres_tables.sql makes.

CREATE OR REPLACE FUNCTION l402.note(the_payment bytea, noted_at float8, happened text) RETURNS void
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

-- Rows of `totals` are locked in the order of their key, by this and by `prune`, so the two never block each
-- other for good.
CREATE OR REPLACE FUNCTION l402.count(days bigint[], endpoints bytea[], whats text[], counts bigint[], msats bigint[])
RETURNS void LANGUAGE sql AS $function$
    INSERT INTO l402.totals AS t (day, endpoint, what, count, msat)
    SELECT n.day, n.endpoint, n.what, sum(n.count), sum(n.msat)
    FROM unnest(days, endpoints, whats, counts, msats) AS n (day, endpoint, what, count, msat)
    GROUP BY n.day, n.endpoint, n.what
    ORDER BY n.day, n.endpoint, n.what COLLATE "C"
    ON CONFLICT (day, endpoint, what) DO UPDATE
    SET count = t.count + excluded.count, msat = t.msat + excluded.msat;
$function$;

CREATE OR REPLACE FUNCTION l402.prune(now_at float8, most bigint) RETURNS void LANGUAGE plpgsql AS $function$
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
    DELETE FROM l402.answers a WHERE a.payment_hash = ANY (over) AND a.replay_until <= now_at;
    DELETE FROM l402.answers a WHERE a.payment_hash = ANY (due);
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
        UNION ALL
        SELECT floor(p.shown_at / 86400)::bigint, p.endpoint, 'paid', p.msat
        FROM l402.payments p
        WHERE p.payment_hash = ANY (due) AND p.paid
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
