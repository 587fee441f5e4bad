SET check_function_bodies = off;
CREATE SCHEMA l402;
CREATE TYPE l402.held AS (
	hold_id bytea,
	request bytea,
	lease_until double precision
);
CREATE FUNCTION l402.confirm(the_payment bytea, confirmed_at double precision) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            UPDATE l402.payments p SET confirmed = true WHERE p.payment_hash = the_payment AND NOT p.confirmed;
            IF FOUND THEN
                PERFORM l402.note(the_payment, confirmed_at, 'confirmed');
            END IF;
        END $$;
CREATE FUNCTION l402.count(days bigint[], endpoints bytea[], whats text[], counts bigint[], msats bigint[]) RETURNS void
    LANGUAGE sql
    AS $$
            INSERT INTO l402.totals AS t (day, endpoint, what, count, msat)
            SELECT n.day, n.endpoint, n.what, sum(n.count), sum(n.msat)
            FROM unnest(days, endpoints, whats, counts, msats) AS n (day, endpoint, what, count, msat)
            GROUP BY n.day, n.endpoint, n.what
            ORDER BY n.day, n.endpoint, n.what COLLATE "C"
            ON CONFLICT (day, endpoint, what) DO UPDATE
            SET count = t.count + excluded.count, msat = t.msat + excluded.msat;
        $$;
CREATE FUNCTION l402.hold(the_payment bytea, the_token bytea, the_hold bytea, bought bigint, the_request bytea, the_endpoint bytea, price bigint, claimed_at double precision, leased_until double precision, remembered_until double precision, OUT outcome text, OUT uses_left bigint, OUT was_confirmed boolean, OUT kept bytea) RETURNS record
    LANGUAGE plpgsql
    AS $$
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
        END $$;
CREATE FUNCTION l402.note(the_payment bytea, noted_at double precision, happened text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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
        END $$;
CREATE FUNCTION l402.prune(now_at double precision, most bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
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
        END $$;
CREATE FUNCTION l402.release(the_payment bytea, the_hold bytea, released_at double precision) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            UPDATE l402.payments p SET holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.hold_id <> the_hold)
            WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
            IF FOUND THEN
                PERFORM l402.note(the_payment, released_at, 'released');
            END IF;
        END $$;
CREATE FUNCTION l402.renew(the_payment bytea, the_hold bytea, leased_until double precision) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
        BEGIN
            UPDATE l402.payments p
            SET holds = ARRAY(
                SELECT CASE h.hold_id WHEN the_hold THEN (h.hold_id, h.request, leased_until)::l402.held ELSE h END
                FROM unnest(p.holds) h
            )
            WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
            RETURN FOUND;
        END $$;
CREATE FUNCTION l402.settle(the_payment bytea, the_hold bytea, settled_at double precision, the_answer bytea, replayed_until double precision) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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
        END $$;
CREATE TABLE l402.answers (
    payment_hash bytea NOT NULL,
    request bytea NOT NULL,
    replay_until double precision NOT NULL,
    answer bytea NOT NULL
);
CREATE TABLE l402.events (
    payment bigint NOT NULL,
    id bigint NOT NULL,
    at double precision NOT NULL,
    what text[] NOT NULL
);
ALTER TABLE l402.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME l402.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE l402.keys (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE l402.payments (
    payment_hash bytea NOT NULL,
    id bigint NOT NULL,
    token_id bytea NOT NULL,
    endpoint bytea NOT NULL,
    msat bigint NOT NULL,
    uses bigint,
    forget_at double precision NOT NULL,
    settled bigint DEFAULT 0 NOT NULL,
    confirmed boolean DEFAULT false NOT NULL,
    holds l402.held[] NOT NULL,
    noted bigint DEFAULT 0 NOT NULL,
    CONSTRAINT payments_uses_check CHECK ((uses > 0))
)
WITH (fillfactor='50');
ALTER TABLE l402.payments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME l402.payments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE l402.revoked (
    token_id bytea NOT NULL
);
CREATE TABLE l402.schema_version (
    version bigint NOT NULL
);
CREATE TABLE l402.to_trim (
    payment_hash bytea NOT NULL
);
CREATE TABLE l402.totals (
    day bigint NOT NULL,
    endpoint bytea NOT NULL,
    what text NOT NULL COLLATE pg_catalog."C",
    count bigint NOT NULL,
    msat bigint NOT NULL
);
INSERT INTO l402.answers (payment_hash, request, replay_until, answer) VALUES ('\x79f076abdd19a752db7267bfff2f9022161d120dea919fdaca2ffdfc24ca8c96', '\xcdc98fa2b38d695c4388783b4295b10e4cf33691c27b0bbc00055654d5324360', 4000000600, '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO l402.answers (payment_hash, request, replay_until, answer) VALUES ('\x4bb47f186df233e48b09d241ee4defb821add0c35ac8311469fe1522c6813dd5', '\xa2bcf5ad832f620480358203896fa5d6d7d43d588602da66605edeeb07c98c23', 4000000600, '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (1, 1, 3999910000, '{released}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (4, 2, 4000000000, '{lapsed}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (6, 3, 3999910000, '{paid,delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (11, 4, 4000000000, '{paid,delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (11, 5, 4000000000, '{delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (13, 6, 4000000000, '{paid,delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (14, 7, 4000000000, '{paid,delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (15, 8, 3999999300, '{paid,delivered}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (16, 9, 4000000000, '{paid}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (17, 10, 4000000000, '{confirmed}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (17, 11, 4000000000, '{released}');
INSERT INTO l402.events (payment, id, at, what) OVERRIDING SYSTEM VALUE VALUES (18, 12, 4000000000, '{paid,delivered}');
INSERT INTO l402.keys (name, value) VALUES ('secret', 'a key that the first version kept');
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x5d28a90f4498a81461efbaf6f628a19d9778390bb5c81a393dd936181cc3d826', 1, '\x7137fae9140bdb33317c25affd9cb9467a81f3f7770dc204fbee1ccfb46fcc4c', '\x474554202f6661696c6564', 21000, 1, 4000086400, 0, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\xc20dea4d876b5b8fb0a1814b43017030cea6d4ac30b2d9ae71b404d2faba49b5', 2, '\xfe4591d89c9c9c87ad55cf96de440600a85aad71b01524cbea23ee0e81b9004f', '\x474554202f68656c64', 21000, 1, 4000086400, 0, false, '{"(\"\\\\xbb7ec330c1a817469f0b4e511b48d0a7\",\"\\\\x37825a402a0e4612cdbe4e07f1f8d5f5d0e18ced9d95b1f533cc9089ea67d511\",4000000060)"}', 0);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x96b14e09c5b2c89610075ea5622d9ada743bb26af39e7ac1735d338501b5c883', 3, '\x1c8ec6d2d66ca253c7ad0c4a7e52367a5479e36e0ade0630ea83af415c15f23f', '\x474554202f6c6170736564', 21000, 1, 4000086400, 0, false, '{"(\"\\\\x8145fccaca23909555a30d1f1d9477ca\",\"\\\\x71d1db8333706b51135a924bdbc4bb9b792b2e04f43dd78b3c0ee728929f7ea9\",3999999960)"}', 0);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x0343ba7f6d63784231e94e9ce00815fd019f966d9848d089b9de9c9bb97d7234', 4, '\xd4a39294d41d71715079af73ba11debc9a99d55559fb3064ab3d41c7c2d3ca1d', '\x474554202f74616b656e', 21000, 1, 4000086400, 0, false, '{"(\"\\\\x6199079039e6be152c9798824834e6dc\",\"\\\\x4711a8dd24285508d78d84a5531d0cc66cedae5919087a515c5036137d8d90e3\",4000000060)"}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x6afb29fb49c6df24a81937804a0aa4fcdbe98d8646b4b3315834f14145a27bf8', 6, '\x4bf0b8cf2ba2211583baa8afe3f9dec78a539d0443137f5e7cfd66df48bcccb1', '\x474554202f62756e646c65', 21000, 3, 4000086400, 1, false, '{"(\"\\\\xaea53e4cf301ef8cca2353880d5c4155\",\"\\\\x2aad82a01347408eafe0745ca51cca6c2c1ad379a2dfd402eb6e835cb7b0f506\",4000000060)"}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\xd286713e5f905f73a128aa78ae11599e4cba8a4b9ad315c2e571375ee14c5c9e', 8, '\xa61669343fb4e65fb1dd9b1c60926590f99fe1a86f3b722f8936382c88c89852', '\x474554202f62756e646c65', 21000, 3, 4000086400, 0, false, '{"(\"\\\\x7d1d4721ebfa4d640b9824412a6e5988\",\"\\\\xa70850f715ec5e67ac35d7c2abbd47b79cba03a3da98ff3d3f502ce339a0dc05\",3999999960)","(\"\\\\x5c54841550e54e18d997384f8e309f4d\",\"\\\\xa70850f715ec5e67ac35d7c2abbd47b79cba03a3da98ff3d3f502ce339a0dc05\",3999999961)","(\"\\\\xcdfe3fa217f5d23c02802ed056f3f505\",\"\\\\xa70850f715ec5e67ac35d7c2abbd47b79cba03a3da98ff3d3f502ce339a0dc05\",3999999962)"}', 0);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x346629770ac1650c749d8c5c75b4fe980d72783efc5ea6f4418dd11d8baeb214', 11, '\x3480509b43bb48a6bd96d5b9b66b6f097706d64538c6444b0b4425f2a26eb031', '\x474554202f62756e646c65', 21000, 2, 4000086400, 2, false, '{}', 2);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x79f076abdd19a752db7267bfff2f9022161d120dea919fdaca2ffdfc24ca8c96', 13, '\x5140356db9ca997f492855f80cbe9df5a75c565a36685537a48b1bdbf9a7ccb1', '\x474554202f6b657074', 21000, 1, 4000086400, 1, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x2705d83fa7bc32e9d64fba9ace3e0be62e01af4cd2227ed00e538c8d944b75d6', 14, '\xdc8ce6e81835af5e5f94a236f0c4d3ad9e09608db36a04d14ed5faed5350ac81', '\x474554202f7370656e74', 21000, 1, 4000086400, 1, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x5fb6a47e368e12e5d8b19280796e6a3d146fe391ed2e967d5f95c55bfb0f9c2f', 15, '\xf1e415b157c3194f1d56ff138abf8268a7be9901788154f409017bd7c5f0b5d0', '\x474554202f6f766572', 21000, 1, 4000086400, 1, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\xd74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1', 16, '\x4cbb255231e56718ba24aaa808bb2eda71c3b3f7ffba740d7ab46bc1dda9a133', '\x474554202f70617373', 21000, NULL, 4000086400, 0, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x9599915bd8cd62b6b42e6c37b5b681a76991a7c5be1fde9971278ce65b99d550', 17, '\x3432d5f32a98e4cc6058e0a331c28bb84af85aff570649168507ccb7d2c08c2c', '\x474554202f636f6e6669726d6564', 21000, 1, 4000086400, 0, true, '{}', 2);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x4bb47f186df233e48b09d241ee4defb821add0c35ac8311469fe1522c6813dd5', 18, '\x8ad09b81d3719355b0fd18e92478b5e9e980ea815778594fd692a0f704dbf2bc', '\x474554202f7265766f6b6564', 21000, 1, 4000086400, 1, false, '{}', 1);
INSERT INTO l402.payments (payment_hash, id, token_id, endpoint, msat, uses, forget_at, settled, confirmed, holds, noted) OVERRIDING SYSTEM VALUE VALUES ('\x9687491adc90cf0cd2405d6202a663a3c89a5de86063c8b33a6b5902afbc32ff', 19, '\x41849e024d323c42a283bf03200012bcee04e29ef88339c68337bd1c63baf50b', '\x474554202f7265766f6b6564', 21000, 1, 4000086400, 0, false, '{"(\"\\\\xaa4413dc0837781a0a0f10654ce15c3d\",\"\\\\xe5da71c00cd46e4f72e36eb0d19aab5d44e784e45b3765fdb6f44af574a50cc2\",4000000060)"}', 0);
INSERT INTO l402.revoked (token_id) VALUES ('\x8ad09b81d3719355b0fd18e92478b5e9e980ea815778594fd692a0f704dbf2bc');
INSERT INTO l402.revoked (token_id) VALUES ('\x41849e024d323c42a283bf03200012bcee04e29ef88339c68337bd1c63baf50b');
INSERT INTO l402.schema_version (version) VALUES (1);
INSERT INTO l402.totals (day, endpoint, what, count, msat) VALUES (46295, '\x474554202f70617373', 'refused', 2, 0);
INSERT INTO l402.totals (day, endpoint, what, count, msat) VALUES (46296, '\x474554202f68656c64', 'offered', 7, 0);
SELECT pg_catalog.setval('l402.events_id_seq', 12, true);
SELECT pg_catalog.setval('l402.payments_id_seq', 19, true);
ALTER TABLE ONLY l402.answers
    ADD CONSTRAINT answers_pkey PRIMARY KEY (payment_hash);
ALTER TABLE ONLY l402.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (payment, id);
ALTER TABLE ONLY l402.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (name);
ALTER TABLE ONLY l402.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (payment_hash);
ALTER TABLE ONLY l402.revoked
    ADD CONSTRAINT revoked_pkey PRIMARY KEY (token_id);
ALTER TABLE ONLY l402.to_trim
    ADD CONSTRAINT to_trim_pkey PRIMARY KEY (payment_hash);
ALTER TABLE ONLY l402.totals
    ADD CONSTRAINT totals_pkey PRIMARY KEY (day, endpoint, what);
CREATE INDEX answers_replay_until ON l402.answers USING btree (replay_until);
CREATE INDEX payments_forget_at ON l402.payments USING btree (forget_at);
