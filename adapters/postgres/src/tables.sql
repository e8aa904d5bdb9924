-- What a ledger stores. Loaded once into a schema of its own, which is first in the search path then.
--
-- Invariant: used + reserved <= "limit" in every account, whoever writes it; a lease covers no less than nothing.

-- A number of the ledger is an unsigned word of 64 bits. bigint has no room for the upper half, where the window of a
-- standing share is, and would order it before all others.
CREATE DOMAIN word AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 18446744073709551615);
-- What a limit may be, and therefore whatever is in use or granted.
CREATE DOMAIN units AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 9223372036854775807);

CREATE TABLE format (
    version integer NOT NULL,
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);

-- Pages are half full at first: a row that is changed in place needs no new entry in an index.

CREATE TABLE nodes (
    node word PRIMARY KEY,
    epoch word NOT NULL,
    -- The last batch of the epoch. All there is to know a repeat by.
    seq word NOT NULL,
    -- The time of that batch, by the node's clock.
    heard word NOT NULL,
    -- Standing shares are spent only in windows that begin before this.
    horizon word NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE keys (
    key bytea PRIMARY KEY CHECK (octet_length(key) <= 1024),
    -- What the limit is to be.
    target units NOT NULL,
    -- The latest window that was granted from.
    newest word NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE accounts (
    key bytea NOT NULL REFERENCES keys,
    "window" word NOT NULL,
    "limit" units NOT NULL,
    used units NOT NULL,
    reserved units NOT NULL,
    -- Spent without a lease beyond what the limit had room for.
    overrun units NOT NULL,
    -- The high-water mark of a bucket, and who holds it.
    high word NOT NULL,
    holder_node word,
    holder_epoch word,
    PRIMARY KEY (key, "window"),
    CONSTRAINT within_limit CHECK (used + reserved <= "limit"),
    CONSTRAINT whole_holder CHECK ((holder_node IS NULL) = (holder_epoch IS NULL))
) WITH (fillfactor = 50);

CREATE TABLE leases (
    key bytea NOT NULL,
    "window" word NOT NULL,
    node word NOT NULL REFERENCES nodes,
    epoch word NOT NULL,
    seq word NOT NULL,
    granted units NOT NULL,
    consumed word NOT NULL,
    refunded word NOT NULL,
    returned units NOT NULL,
    unbacked word NOT NULL,
    credited word NOT NULL,
    -- Claimed and not to be had, while other nodes held as much.
    wanted units NOT NULL,
    -- What is reserved for it in its account.
    covered numeric NOT NULL GENERATED ALWAYS AS (granted - returned - (consumed - refunded)) STORED,
    PRIMARY KEY (key, "window", node),
    FOREIGN KEY (key, "window") REFERENCES accounts,
    CONSTRAINT refunded_was_consumed CHECK (refunded <= consumed),
    CONSTRAINT within_grant CHECK (covered >= 0)
) WITH (fillfactor = 50);

CREATE INDEX leases_of_node ON leases (node, key, "window");
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
