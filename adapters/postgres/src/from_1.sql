-- What makes a ledger of format 1 one of format 2, before the rules are loaded anew.

ALTER TABLE nodes ADD COLUMN heard word NOT NULL DEFAULT 0;
ALTER TABLE nodes ALTER COLUMN heard DROP DEFAULT;
ALTER TABLE leases ADD COLUMN wanted units NOT NULL DEFAULT 0;
ALTER TABLE leases ALTER COLUMN wanted DROP DEFAULT;
CREATE INDEX leases_that_want ON leases (key, "window") WHERE wanted > 0;

-- Aggregates: each is named, and its values are bytes that its writers know how to combine.

CREATE TABLE aggregate_nodes (
    name bytea NOT NULL CHECK (octet_length(name) <= 1024),
    node word NOT NULL,
    epoch word NOT NULL,
    -- The last batch of the epoch. All there is to know a repeat by.
    seq word NOT NULL,
    PRIMARY KEY (name, node)
) WITH (fillfactor = 50);

CREATE TABLE aggregates (
    name bytea NOT NULL,
    key bytea NOT NULL CHECK (octet_length(key) <= 1024),
    -- None only while its first batch is being written.
    value bytea CHECK (octet_length(value) <= 1048576),
    PRIMARY KEY (name, key)
) WITH (fillfactor = 50);

DROP FUNCTION apply, settle_and_extend, refuse_broken_counts, open, used_before, require_session;
DROP FUNCTION every_window, lease_most, units_most;
DROP TYPE entry;
