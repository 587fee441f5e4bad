-- The steps of the PostgreSQL ledger, for the tables that postgres_tables.sql makes.
--
-- Every function locks the payment's row before it writes anything else of that payment, and takes the time from its
-- caller: machines count by their own clocks, and the database's is not asked.

CREATE OR REPLACE FUNCTION l402.hold(
    the_payment bytea, the_token bytea, the_hold bytea, has_bought bigint, the_request bytea, the_endpoint bytea,
    price bigint, claimed_at float8, leased_until float8, remembered_until float8,
    most bigint, at_least bigint, once boolean, the_scheme text, the_backend text,
    OUT outcome text, OUT remaining bigint, OUT was_confirmed boolean, OUT units bigint, OUT kept bytea
) LANGUAGE plpgsql AS $function$
DECLARE
    payment l402.payments;
    granted record;
BEGIN
    was_confirmed := false;
    units := 0;
    IF EXISTS (SELECT FROM l402.revoked r WHERE r.token_id = the_token) THEN
        outcome := 'revoked';
        RETURN;
    END IF;
    LOOP
        INSERT INTO l402.payments (
            payment_hash, token_id, endpoint, msat, bought, forget_at, shown_at, paid, scheme, backend, holds
        )
        VALUES (
            the_payment, the_token, the_endpoint, price, has_bought, remembered_until, claimed_at, price > 0,
            the_scheme, the_backend, CASE
                WHEN has_bought >= at_least
                THEN ARRAY[(the_hold, the_request, leased_until, least(most, has_bought))::l402.held]
                ELSE '{}'
            END
        )
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            outcome := CASE WHEN has_bought < at_least THEN 'spent' ELSE 'held' END;
            units := CASE WHEN has_bought >= at_least THEN least(most, has_bought) ELSE 0 END;
            remaining := has_bought - units;
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
    IF payment.bought IS NULL THEN
        outcome := CASE WHEN payment.closed_with IS NULL THEN 'held' ELSE 'spent' END;
        RETURN;
    END IF;
    IF once THEN
        IF EXISTS (
            SELECT FROM unnest(payment.holds) h WHERE h.request = the_request AND h.lease_until > claimed_at
        ) THEN
            outcome := 'busy';
            RETURN;
        END IF;
        kept := l402.again(the_payment, the_request, claimed_at);
        IF kept IS NOT NULL THEN
            outcome := 'kept';
            RETURN;
        END IF;
    END IF;
    granted := l402.grant(payment.holds, l402.unsettled(payment), claimed_at, most, at_least, NULL);
    IF granted.units IS NOT NULL THEN
        PERFORM l402.note(the_payment, claimed_at, 'lapsed') FROM generate_series(1, granted.lapsed);
        UPDATE l402.payments p
        SET holds = granted.staying || (the_hold, the_request, leased_until, granted.units)::l402.held
        WHERE p.payment_hash = the_payment;
        outcome := 'held';
        units := granted.units;
        remaining := granted.remaining;
    ELSIF l402.unsettled(payment) >= at_least THEN
        outcome := 'busy';
    ELSE
        kept := l402.again(the_payment, the_request, claimed_at);
        outcome := CASE WHEN kept IS NULL THEN 'spent' ELSE 'kept' END;
    END IF;
END $function$;

-- What could be held, were nothing held now: nothing of a pass, and nothing of what is closed.
CREATE OR REPLACE FUNCTION l402.unsettled(payment l402.payments) RETURNS bigint LANGUAGE plpgsql AS $function$
BEGIN
    RETURN CASE WHEN payment.bought IS NULL OR payment.closed_with IS NOT NULL THEN 0
        ELSE payment.bought - payment.settled END;
END $function$;

CREATE OR REPLACE FUNCTION l402.running(holds l402.held[], now_at float8) RETURNS bigint
LANGUAGE plpgsql AS $function$
BEGIN
    RETURN coalesce((SELECT sum(h.units) FROM unnest(holds) h WHERE h.lease_until > now_at), 0);
END $function$;

-- How many of the unsettled units can be held, NULL where there are fewer than `at_least`; how many remain beside them;
-- and which holds stay, once the ended ones in the way have lapsed, the earliest first. The one called `mine` runs.
CREATE OR REPLACE FUNCTION l402.grant(
    holds l402.held[], unsettled bigint, now_at float8, most bigint, at_least bigint, mine bytea,
    OUT units bigint, OUT remaining bigint, OUT staying l402.held[], OUT lapsed bigint
) LANGUAGE plpgsql AS $function$
DECLARE
    missing bigint;
    ended l402.held;
BEGIN
    SELECT
        unsettled - coalesce(sum(h.units) FILTER (WHERE h.lease_until > now_at OR h.hold_id = mine), 0),
        coalesce(sum(h.units), 0) - unsettled
    INTO remaining, missing
    FROM unnest(holds) h;
    IF least(most, remaining) < at_least THEN
        RETURN;
    END IF;
    units := least(most, remaining);
    remaining := remaining - units;
    missing := missing + units;
    staying := holds;
    lapsed := 0;
    IF missing <= 0 THEN
        RETURN;
    END IF;
    FOR ended IN
        SELECT h.* FROM unnest(holds) h
        WHERE h.lease_until <= now_at AND h.hold_id IS DISTINCT FROM mine
        ORDER BY h.lease_until
    LOOP
        EXIT WHEN missing <= 0;
        staying := ARRAY(SELECT h FROM unnest(staying) h WHERE h.hold_id <> ended.hold_id);
        lapsed := lapsed + 1;
        missing := missing - ended.units;
    END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION l402.again(the_payment bytea, the_request bytea, asked_at float8) RETURNS bytea
LANGUAGE plpgsql AS $function$
DECLARE
    kept bytea;
BEGIN
    SELECT a.answer INTO kept FROM l402.answers a
    WHERE a.payment_hash = the_payment AND a.request = the_request AND a.replay_until > asked_at;
    IF FOUND THEN
        PERFORM l402.note(the_payment, asked_at, 'replayed');
    END IF;
    RETURN kept;
END $function$;

CREATE OR REPLACE FUNCTION l402.extend(
    the_payment bytea, the_hold bytea, more bigint, at_least bigint, extended_at float8, leased_until float8
) RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    payment l402.payments;
    granted record;
BEGIN
    SELECT p.* INTO payment FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
    IF NOT FOUND OR the_hold NOT IN (SELECT h.hold_id FROM unnest(payment.holds) h) THEN
        RETURN 0;
    END IF;
    granted := l402.grant(payment.holds, l402.unsettled(payment), extended_at, more, at_least, the_hold);
    PERFORM l402.note(the_payment, extended_at, 'lapsed') FROM generate_series(1, granted.lapsed);
    UPDATE l402.payments p
    SET holds = ARRAY(
        SELECT CASE h.hold_id
            WHEN the_hold
            THEN (h.hold_id, h.request, leased_until, h.units + coalesce(granted.units, 0))::l402.held
            ELSE h
        END
        FROM unnest(coalesce(granted.staying, payment.holds)) h
    )
    WHERE p.payment_hash = the_payment;
    RETURN coalesce(granted.units, 0);
END $function$;

-- Holds whose lease has ended lapse: what they have is given away with the rest, so they must not settle it too.
CREATE OR REPLACE FUNCTION l402.shut(payment l402.payments, shut_at float8, with_left bigint) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM l402.note(payment.payment_hash, shut_at, 'lapsed')
    FROM unnest(payment.holds) h WHERE h.lease_until <= shut_at;
    UPDATE l402.payments p
    SET closed_with = with_left, holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.lease_until > shut_at)
    WHERE p.payment_hash = payment.payment_hash;
    PERFORM l402.note(payment.payment_hash, shut_at, 'closed');
END $function$;

CREATE OR REPLACE FUNCTION l402.close_payment(the_payment bytea, closed_at float8) RETURNS bigint
LANGUAGE plpgsql AS $function$
DECLARE
    payment l402.payments;
BEGIN
    SELECT p.* INTO payment FROM l402.payments p WHERE p.payment_hash = the_payment FOR UPDATE;
    IF FOUND AND payment.closed_with IS NULL THEN
        payment.closed_with := l402.unsettled(payment) - l402.running(payment.holds, closed_at);
        PERFORM l402.shut(payment, closed_at, payment.closed_with);
    END IF;
    RETURN payment.closed_with;
END $function$;

CREATE OR REPLACE FUNCTION l402.credit(
    the_payment bytea, by_payment bytea, by_token bytea, has_bought bigint, by_endpoint bytea, price bigint,
    credited_at float8, remembered_until float8, by_scheme text, by_backend text,
    OUT outcome text, OUT remaining bigint
) LANGUAGE plpgsql AS $function$
DECLARE
    payment l402.payments;
    other l402.payments;
BEGIN
    outcome := 'revoked';
    IF EXISTS (SELECT FROM l402.revoked r WHERE r.token_id = by_token) THEN
        RETURN;
    END IF;
    -- Locked in one order, so that two top-ups never block each other for good.
    PERFORM FROM l402.payments p WHERE p.payment_hash IN (the_payment, by_payment) ORDER BY p.payment_hash FOR UPDATE;
    SELECT p.* INTO payment FROM l402.payments p WHERE p.payment_hash = the_payment;
    SELECT p.* INTO other FROM l402.payments p WHERE p.payment_hash = by_payment;
    remaining := l402.unsettled(payment) - l402.running(payment.holds, credited_at);
    IF payment.payment_hash IS NOT NULL AND other.credited_to = the_payment THEN
        outcome := 'credited';
        RETURN;
    END IF;
    IF payment.bought IS NULL OR payment.closed_with IS NOT NULL THEN
        outcome := 'closed';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM l402.revoked r WHERE r.token_id = payment.token_id) THEN
        RETURN;
    END IF;
    IF other.payment_hash IS NULL THEN
        INSERT INTO l402.payments (
            payment_hash, token_id, endpoint, msat, bought, forget_at, shown_at, paid, scheme, backend, holds
        )
        VALUES (
            by_payment, by_token, by_endpoint, price, has_bought, remembered_until, credited_at, price > 0, by_scheme,
            by_backend, '{}'
        )
        ON CONFLICT DO NOTHING;
        SELECT p.* INTO other FROM l402.payments p WHERE p.payment_hash = by_payment FOR UPDATE;
    ELSE
        UPDATE l402.payments p SET forget_at = greatest(p.forget_at, remembered_until)
        WHERE p.payment_hash = by_payment;
    END IF;
    IF by_payment = the_payment OR other.bought IS NULL OR other.settled > 0 OR other.closed_with IS NOT NULL THEN
        outcome := 'spent';
    ELSIF l402.running(other.holds, credited_at) > 0 THEN
        outcome := 'busy';
    ELSE
        PERFORM l402.shut(other, credited_at, 0);
        UPDATE l402.payments p SET credited_to = the_payment WHERE p.payment_hash = by_payment;
        UPDATE l402.payments p
        SET bought = p.bought + other.bought, forget_at = greatest(p.forget_at, remembered_until)
        WHERE p.payment_hash = the_payment;
        PERFORM l402.note(the_payment, credited_at, 'topped-up');
        outcome := 'credited';
        remaining := remaining + other.bought;
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION l402.renew(the_payment bytea, the_hold bytea, leased_until float8) RETURNS boolean
LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE l402.payments p
    SET holds = ARRAY(
        SELECT CASE h.hold_id
            WHEN the_hold THEN (h.hold_id, h.request, leased_until, h.units)::l402.held
            ELSE h
        END
        FROM unnest(p.holds) h
    )
    WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
    RETURN FOUND;
END $function$;

CREATE OR REPLACE FUNCTION l402.settle(
    the_payment bytea, the_hold bytea, used bigint, settled_at float8, the_answer bytea, replayed_until float8
) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    its_id bigint;
    held_for bytea;
BEGIN
    IF the_answer IS NOT NULL THEN
        SELECT h.request INTO held_for FROM l402.payments p, unnest(p.holds) h
        WHERE p.payment_hash = the_payment AND h.hold_id = the_hold;
    END IF;
    UPDATE l402.payments p
    SET settled = p.settled + used,
        holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.hold_id <> the_hold),
        noted = p.noted + 1
    WHERE p.payment_hash = the_payment
    AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h WHERE used BETWEEN 0 AND h.units)
    RETURNING p.id INTO its_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO l402.events (payment, at, what) VALUES (its_id, settled_at, '{delivered}');
    IF the_answer IS NOT NULL THEN
        INSERT INTO l402.answers AS a (payment_hash, request, replay_until, answer)
        VALUES (the_payment, held_for, replayed_until, the_answer)
        ON CONFLICT (payment_hash, request) DO UPDATE
        SET replay_until = excluded.replay_until, answer = excluded.answer;
    END IF;
    RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION l402.release(the_payment bytea, the_hold bytea, released_at float8) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE l402.payments p SET holds = ARRAY(SELECT h FROM unnest(p.holds) h WHERE h.hold_id <> the_hold)
    WHERE p.payment_hash = the_payment AND the_hold IN (SELECT h.hold_id FROM unnest(p.holds) h);
    IF FOUND THEN
        PERFORM l402.note(the_payment, released_at, 'released');
    END IF;
END $function$;

CREATE OR REPLACE FUNCTION l402.confirm(the_payment bytea, confirmed_at float8) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE l402.payments p SET confirmed = true WHERE p.payment_hash = the_payment AND NOT p.confirmed;
    IF FOUND THEN
        PERFORM l402.note(the_payment, confirmed_at, 'confirmed');
    END IF;
END $function$;
