-- What makes a ledger of format 1 one of format 2, before the rules are loaded anew.

ALTER TABLE nodes ADD COLUMN heard word NOT NULL DEFAULT 0;
ALTER TABLE nodes ALTER COLUMN heard DROP DEFAULT;
ALTER TABLE leases ADD COLUMN wanted units NOT NULL DEFAULT 0;
ALTER TABLE leases ALTER COLUMN wanted DROP DEFAULT;
CREATE INDEX leases_that_want ON leases (key, "window") WHERE wanted > 0;

DROP FUNCTION apply, settle_and_extend, refuse_broken_counts, open, used_before, require_session;
DROP FUNCTION every_window, lease_most, units_most;
DROP TYPE entry;
