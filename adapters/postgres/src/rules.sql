-- The rules by which a batch changes the rows: those of `Rows` in deltaic-quota, step by step and under its names.
--
-- Invariant: a call is whole or nothing, and no two calls that name a key in common run at the same time. Locks are taken
-- in one order, the node and then its keys by their bytes, so that nodes wait for each other and never in a circle.
-- Everything else of a key, its accounts and leases, is read and written only under the key's lock, by statements that
-- begin after it was had and therefore see what the holder before has committed.
--
-- A batch names few rows of many, by their whole keys. The settings of `open` and `apply` say so to the planner, which may see
-- the tables when they are still empty: a plan is made once, and looks up row by row in the indexes.

-- One entry of a batch.
CREATE TYPE entry AS (
    place integer,
    -- The batch's. By it an entry has the whole key of its lease, and the lease is found by nothing less.
    node numeric,
    key bytea,
    "window" numeric,
    span numeric,
    is_set boolean,
    "limit" numeric,
    consumed numeric,
    refunded numeric,
    returned numeric,
    unbacked numeric,
    credited numeric,
    is_high boolean,
    claim numeric,
    is_close boolean,
    -- Which of its key's entries it is.
    turn integer
);

-- Units::MAX, Units::LEASE_MAX and WindowId::EVERY.
CREATE FUNCTION units_most() RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 9223372036854775807::numeric;
CREATE FUNCTION lease_most() RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 2305843009213693952::numeric;
CREATE FUNCTION every_window() RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 18446744073709551615::numeric;

-- What a call needs of its session, whatever that was made with: a pool may have given the call to another one. What is
-- answered was synced. And each statement sees what others committed before it: with the snapshot of the call's beginning,
-- from before its locks, more would be granted of a sliding limit than there is.
CREATE FUNCTION require_session() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING ERRCODE = 'QU007',
            MESSAGE = format('the ledger is called in a transaction that is %s: make it read committed',
                current_setting('transaction_isolation'));
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- What the windows before this one use up of a sliding limit.
CREATE FUNCTION used_before(key bytea, "window" numeric, span numeric) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT least(coalesce(sum(a.used + a.reserved), 0), units_most())
    FROM accounts a
    WHERE a.key = used_before.key
      AND a."window" >= greatest(used_before."window" - used_before.span, 0)
      AND a."window" < used_before."window"
$$;

-- Begins a node's next epoch. What the leases of the one before cover is spent.
CREATE FUNCTION open(node numeric) RETURNS TABLE (epoch numeric, burnt numeric, horizon numeric)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM require_session();
    -- The node's lock: from here on its dead epoch can neither take a lease nor settle one.
    INSERT INTO nodes AS n (node, epoch, seq, heard, horizon) VALUES (open.node, 1, 0, 0, 0)
    ON CONFLICT (node) DO UPDATE SET epoch = n.epoch + 1, seq = 0, heard = 0
    RETURNING n.epoch, n.horizon INTO open.epoch, open.horizon;
    PERFORM FROM keys k
    WHERE k.key IN (SELECT l.key FROM leases l WHERE l.node = open.node)
    ORDER BY k.key
    FOR UPDATE;
    -- A standing share is not spent by being held, and stays the node's: a life that is only thought dead may spend it up to the
    -- horizon, and nobody else may meanwhile. The new life does from there on.
    UPDATE leases l SET epoch = open.epoch, seq = 0, granted = l.covered, consumed = 0, refunded = 0, returned = 0,
        unbacked = 0, credited = 0, wanted = 0
    WHERE l.node = open.node AND l."window" = every_window();
    WITH ended AS (
        DELETE FROM leases l WHERE l.node = open.node AND l."window" <> every_window()
        RETURNING l.key, l."window", l.covered
    ), settled AS (
        UPDATE accounts a SET reserved = a.reserved - e.covered, used = a.used + e.covered
        FROM ended e WHERE a.key = e.key AND a."window" = e."window"
    )
    SELECT least(coalesce(sum(e.covered), 0), units_most()) INTO open.burnt FROM ended e;
    RETURN NEXT;
END $$;

-- The first entry that cannot be applied, if there is one: everything is looked at before anything is changed.
CREATE FUNCTION refuse_broken_counts(batch entry[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT f.place INTO broken
    FROM (
        SELECT e.place, row_number() OVER (PARTITION BY e.key, e."window" ORDER BY e.place) AS turn
        FROM unnest(batch) e
    ) f
    WHERE f.turn > 1
    ORDER BY f.place
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'QU008', DETAIL = broken.place::text,
            MESSAGE = format('entry %s of the batch: its account was named before', broken.place);
    END IF;
    SELECT f.place, f.fault INTO broken
    FROM (
        SELECT e.place,
            CASE
                WHEN e."limit" > units_most() THEN 'QU006'
                WHEN e.consumed < l.consumed OR e.refunded < l.refunded
                    OR e.returned < l.returned OR e.credited < l.credited THEN 'QU005'
                WHEN e.consumed < e.refunded
                    OR e.consumed - e.refunded + e.returned > coalesce(l.granted, 0) THEN 'QU004'
            END AS fault
        FROM unnest(batch) e
        LEFT JOIN leases l ON l.key = e.key AND l."window" = e."window" AND l.node = e.node
    ) f
    WHERE f.fault IS NOT NULL
    ORDER BY f.place
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = broken.fault,
            DETAIL = broken.place::text,
            MESSAGE = format('entry %s of the batch: %s', broken.place, CASE broken.fault
                WHEN 'QU006' THEN 'its limit is more than a ledger holds'
                WHEN 'QU005' THEN 'a cumulative amount went down'
                ELSE 'more is settled and returned than was granted' END);
    END IF;
END $$;

-- Applies entries of different keys, which therefore know nothing of each other.
CREATE FUNCTION settle_and_extend(entries entry[], this_epoch numeric, this_seq numeric, alive nodes[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE keys k SET target = said.target
    FROM (
        SELECT k.key, least(units_most(),
            CASE WHEN e.is_set THEN e."limit" ELSE k.target END
                + greatest(e.credited - coalesce(l.credited, 0), 0)) AS target
        FROM unnest(entries) e
        JOIN keys k ON k.key = e.key
        LEFT JOIN leases l ON l.key = e.key AND l."window" = e."window" AND l.node = e.node
        WHERE e.is_set OR e.credited > 0
    ) said
    WHERE k.key = said.key AND k.target <> said.target;

    -- A window that is granted from for the first time: those go that count against nothing any more and that no lease
    -- is open for.
    WITH begun AS (
        UPDATE keys k SET newest = e."window"
        FROM unnest(entries) e
        WHERE e."window" > 0 AND e."window" <> every_window() AND NOT e.is_high AND e.claim > 0
          AND k.key = e.key AND k.newest < e."window"
        RETURNING e.key, e."window" - e.span AS counts_from
    )
    DELETE FROM accounts a USING begun b
    WHERE a.key = b.key AND a."window" < b.counts_from AND a.reserved = 0
      AND NOT EXISTS (SELECT FROM leases l WHERE l.key = a.key AND l."window" = a."window");

    -- Each step is made once and then read: inlined, the last would compute the first some hundred times.
    WITH known AS MATERIALIZED (
        SELECT e.*, k.target, k.newest,
            coalesce(a.used, 0) AS used,
            coalesce(a.reserved, 0) AS reserved,
            coalesce(a.overrun, 0) AS overrun,
            coalesce(a.high, 0) AS high,
            a.holder_node, a.holder_epoch,
            coalesce(l.granted, 0) AS granted,
            coalesce(l.consumed - l.refunded, 0) AS net_before,
            coalesce(l.covered, 0) AS covered_before,
            coalesce(l.unbacked, 0) AS unbacked_before,
            greatest(e.consumed - e.refunded, 0) AS net,
            CASE WHEN e."window" = every_window() OR e.span = 0 THEN 0
                ELSE used_before(e.key, e."window", e.span) END AS before,
            -- A bucket is free that nobody holds, that this node holds, or whose holder's epoch is over.
            e.is_high AND (a.holder_node IS NULL OR a.holder_node = e.node OR NOT EXISTS (
                SELECT FROM unnest(alive) n WHERE n.node = a.holder_node AND n.epoch = a.holder_epoch
            )) AS takes
        FROM unnest(entries) e
        JOIN keys k ON k.key = e.key
        LEFT JOIN accounts a ON a.key = e.key AND a."window" = e."window"
        LEFT JOIN leases l ON l.key = e.key AND l."window" = e."window" AND l.node = e.node
    ), settled AS MATERIALIZED (
        -- What was spent moves from reserved to used, what came home leaves reserved.
        SELECT s.*,
            s.used + s.net - s.net_before AS settled_used,
            s.reserved + greatest(s.granted - s.returned - s.net, 0) - s.covered_before AS settled_reserved,
            greatest(s.unbacked - s.unbacked_before, 0) AS more,
            greatest(s.unbacked_before - s.unbacked, 0) AS less
        FROM known s
    ), measured AS MATERIALIZED (
        SELECT s.*,
            greatest(s.target - s.settled_used - s.settled_reserved, 0) AS room
        FROM settled s
    ), entered AS MATERIALIZED (
        -- What was spent without cover is entered where there is room; the rest is what went over.
        SELECT s.*,
            least(s.settled_used + least(s.more, s.room), units_most()) AS entered_used,
            least(s.overrun + greatest(s.more - s.room, 0), units_most()) AS entered_overrun
        FROM measured s
    ), forgiven AS MATERIALIZED (
        -- A refund takes from what went over first.
        SELECT s.*,
            s.entered_overrun - least(s.entered_overrun, s.less) AS new_overrun,
            greatest(s.entered_used - greatest(s.less - s.entered_overrun, 0), 0) AS new_used
        FROM entered s
    ), extended AS MATERIALIZED (
        SELECT s.*,
            CASE
                WHEN s.is_high THEN 0
                WHEN s."window" <> every_window() AND s."window" < s.newest THEN 0
                ELSE least(
                    s.claim,
                    greatest(s.target - s.new_used - s.settled_reserved - s.before, 0),
                    greatest(lease_most() - s.settled_reserved, 0))
            END AS claimed,
            -- What others hold could come home. A standing share is not spent but by time: nothing of it could.
            CASE
                WHEN s.is_high OR s."window" = every_window() OR s."window" < s.newest THEN 0
                ELSE s.settled_reserved - greatest(s.granted - s.returned - s.net, 0)
            END AS elsewhere
        FROM forgiven s
    ), closed AS MATERIALIZED (
        -- A lease that ends is spent by what it still covers.
        SELECT s.*,
            CASE WHEN s.is_close THEN greatest(s.granted + s.claimed - s.returned - s.net, 0) ELSE 0 END AS spent
        FROM extended s
    ), accounted AS (
        INSERT INTO accounts AS a
            (key, "window", "limit", used, reserved, overrun, high, holder_node, holder_epoch)
        SELECT c.key, c."window",
            greatest(c.target, c.new_used + c.settled_reserved + c.claimed),
            c.new_used + c.spent,
            c.settled_reserved + c.claimed - c.spent,
            c.new_overrun,
            CASE WHEN c.takes THEN greatest(c.high, c.claim) ELSE c.high END,
            CASE WHEN c.is_close AND (c.takes OR c.holder_node = c.node) THEN NULL
                WHEN c.takes THEN c.node ELSE c.holder_node END,
            CASE WHEN c.is_close AND (c.takes OR c.holder_node = c.node) THEN NULL
                WHEN c.takes THEN this_epoch ELSE c.holder_epoch END
        FROM closed c
        ON CONFLICT (key, "window") DO UPDATE SET
            "limit" = excluded."limit", used = excluded.used, reserved = excluded.reserved,
            overrun = excluded.overrun, high = excluded.high,
            holder_node = excluded.holder_node, holder_epoch = excluded.holder_epoch
    ), ended AS (
        DELETE FROM leases l USING closed c
        WHERE c.is_close AND l.key = c.key AND l."window" = c."window" AND l.node = c.node
    )
    INSERT INTO leases AS l
        (key, "window", node, epoch, seq, granted, consumed, refunded, returned, unbacked, credited, wanted)
    SELECT c.key, c."window", c.node, this_epoch, this_seq,
        c.granted + c.claimed, c.consumed, c.refunded, c.returned, c.unbacked, c.credited,
        greatest(least(c.claim - c.claimed, c.elsewhere), 0)
    FROM closed c
    WHERE NOT c.is_close
    ON CONFLICT (key, "window", node) DO UPDATE SET
        epoch = excluded.epoch, seq = excluded.seq, granted = excluded.granted,
        consumed = excluded.consumed, refunded = excluded.refunded, returned = excluded.returned,
        unbacked = excluded.unbacked, credited = excluded.credited, wanted = excluded.wanted;
END $$;

-- Ends the wants of accounts where what is left is enough for all, or nobody holds what could come home.
CREATE FUNCTION meet(batch entry[]) RETURNS void LANGUAGE sql AS $$
    UPDATE leases l SET wanted = 0
    FROM (
        SELECT e.key, e."window", e.span, k.target, a.used, a.reserved, sum(w.wanted) AS wanted
        FROM unnest(batch) e
        JOIN leases w ON w.key = e.key AND w."window" = e."window" AND w.wanted > 0
        JOIN accounts a ON a.key = e.key AND a."window" = e."window"
        JOIN keys k ON k.key = e.key
        GROUP BY e.key, e."window", e.span, k.target, a.used, a.reserved
    ) s
    WHERE l.key = s.key AND l."window" = s."window" AND l.wanted > 0
      AND (s.reserved = 0 OR s.wanted <= s.target - s.used - s.reserved
          - CASE WHEN s.span = 0 THEN 0 ELSE used_before(s.key, s."window", s.span) END)
$$;

-- The nodes that hold leases and were last heard of before a moment.
CREATE FUNCTION silent(before numeric) RETURNS TABLE (node numeric, epoch numeric, seq numeric)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT n.node::numeric, n.epoch::numeric, n.seq::numeric FROM nodes n
    WHERE n.heard < silent.before AND EXISTS (SELECT FROM leases l WHERE l.node = n.node)
    ORDER BY n.node
$$;

-- Settles and extends: one batch, whose entries are one array for each of their fields. One row for each entry, in order;
-- then one for each account that the node holds units of and that others want, at most so many more than the batch names.
--
-- Refusals have SQLSTATEs of the class QU, and in the detail the number that the caller does not know: the node's epoch,
-- the batch that is expected, or the entry's place from 1.
CREATE FUNCTION apply(
    node numeric, epoch numeric, seq numeric, now numeric, horizon numeric,
    keys bytea[], windows numeric[], spans numeric[], sets boolean[], limits numeric[],
    consumed numeric[], refunded numeric[], returned numeric[], unbacked numeric[], credited numeric[],
    highs boolean[], claims numeric[], closes boolean[]
) RETURNS TABLE (
    granted numeric, target numeric, "limit" numeric, used numeric, reserved numeric, overrun numeric,
    before numeric, high numeric, newest numeric, held_by numeric, recalled numeric,
    key bytea, "window" numeric
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
    stands nodes;
    batch entry[];
    sizes integer[];
    size integer;
    done integer := 0;
    alive nodes[];
BEGIN
    PERFORM require_session();
    -- The node's lock: the same batch, sent again while it is still being applied, waits here and is then a repeat.
    SELECT n.* INTO stands FROM nodes n WHERE n.node = apply.node FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'QU001',
            MESSAGE = format('node %s is not known: open an epoch first', apply.node);
    ELSIF apply.epoch <> stands.epoch THEN
        RAISE EXCEPTION USING ERRCODE = 'QU002', DETAIL = stands.epoch::text,
            MESSAGE = format('epoch %s is over, the node is in epoch %s', apply.epoch, stands.epoch);
    ELSIF apply.seq > stands.seq + 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'QU003', DETAIL = (stands.seq + 1)::text,
            MESSAGE = format('batch %s came before batch %s', apply.seq, stands.seq + 1);
    END IF;

    batch := ARRAY(
        SELECT ROW(e.place, apply.node, e.key, e."window", e.span, e.is_set, e."limit", e.consumed, e.refunded, e.returned,
            e.unbacked, e.credited, e.is_high, e.claim, e.is_close, e.turn)::entry
        FROM (
            SELECT e.*, row_number() OVER (PARTITION BY e.key ORDER BY e.place) AS turn
            FROM unnest(apply.keys, apply.windows, apply.spans, apply.sets, apply.limits, apply.consumed,
                    apply.refunded, apply.returned, apply.unbacked, apply.credited, apply.highs, apply.claims,
                    apply.closes)
                WITH ORDINALITY AS e (key, "window", span, is_set, "limit", consumed, refunded, returned,
                    unbacked, credited, is_high, claim, is_close, place)
        ) e
        ORDER BY e.turn, e.place
    );

    IF apply.seq = stands.seq + 1 THEN
        -- Keys are never removed. So who waits here for a new one has locked none yet that was there before, and there is
        -- one order for both: first the new ones, then all.
        INSERT INTO keys (key, target, newest)
        SELECT DISTINCT ON (e.key) e.key, least(e."limit", units_most()), 0
        FROM unnest(batch) e
        WHERE NOT EXISTS (SELECT FROM keys k WHERE k.key = e.key)
        ORDER BY e.key, e.place
        ON CONFLICT DO NOTHING;
        PERFORM FROM keys k WHERE k.key = ANY (apply.keys) ORDER BY k.key FOR UPDATE;

        PERFORM refuse_broken_counts(batch);

        -- Whose epoch is which is looked at once: other nodes open epochs meanwhile.
        IF true = ANY (apply.highs) THEN
            alive := ARRAY(
                SELECT n FROM nodes n
                WHERE n.node IN (SELECT a.holder_node FROM accounts a WHERE a.key = ANY (apply.keys))
            );
        END IF;
        -- The windows of a key are applied one after the other, all keys at once.
        sizes := ARRAY(SELECT count(*) FROM unnest(batch) e GROUP BY e.turn ORDER BY e.turn);
        FOREACH size IN ARRAY sizes LOOP
            PERFORM settle_and_extend(batch[done + 1 : done + size], apply.epoch, apply.seq, alive);
            done := done + size;
        END LOOP;
        PERFORM meet(batch);
        UPDATE nodes n SET seq = apply.seq, heard = apply.now, horizon = apply.horizon WHERE n.node = apply.node;

        IF EXISTS (
            SELECT FROM unnest(batch) e
            JOIN accounts a ON a.key = e.key AND a."window" = e."window"
            WHERE a.reserved <> (
                SELECT coalesce(sum(l.covered), 0) FROM leases l WHERE l.key = a.key AND l."window" = a."window"
            )
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'QU000',
                MESSAGE = 'invariant: reserved is what leases cover; the tables were written by somebody else';
        END IF;
    END IF;

    RETURN QUERY
    SELECT coalesce(l.granted, 0)::numeric, coalesce(k.target, 0)::numeric,
        greatest(a."limit", k.target, 0)::numeric, coalesce(a.used, 0)::numeric,
        coalesce(a.reserved, 0)::numeric, coalesce(a.overrun, 0)::numeric,
        CASE WHEN e."window" = every_window() OR e.span = 0 THEN 0
            ELSE used_before(e.key, e."window", e.span) END,
        coalesce(a.high, 0)::numeric, coalesce(k.newest, 0)::numeric,
        CASE WHEN a.holder_node <> apply.node THEN a.holder_node::numeric END,
        (SELECT least(coalesce(sum(w.wanted), 0), units_most()) FROM leases w
            WHERE w.key = e.key AND w."window" = e."window" AND w.wanted > 0 AND w.node <> apply.node),
        NULL::bytea, NULL::numeric
    FROM unnest(batch) e
    LEFT JOIN keys k ON k.key = e.key
    LEFT JOIN accounts a ON a.key = e.key AND a."window" = e."window"
    LEFT JOIN leases l ON l.key = e.key AND l."window" = e."window" AND l.node = e.node
    ORDER BY e.place;

    RETURN QUERY
    SELECT 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric,
        NULL::numeric, least(sum(w.wanted), units_most()), w.key, w."window"::numeric
    FROM leases w
    JOIN leases l ON l.key = w.key AND l."window" = w."window" AND l.node = apply.node AND l.covered > 0
    WHERE w.wanted > 0 AND w.node <> apply.node
    GROUP BY w.key, w."window"
    ORDER BY w.key, w."window"
    LIMIT 1024 + cardinality(apply.keys);
END $$;
