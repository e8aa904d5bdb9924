-- What somebody has to give, what somebody needs, and how much somebody thinks of another.
CREATE TABLE offer (who text, kind text, n integer CHECK (n >= 0), PRIMARY KEY (who, kind));
CREATE TABLE need (who text, kind text, n integer CHECK (n >= 0), PRIMARY KEY (who, kind));
CREATE TABLE recognition (who text, whom text, points integer CHECK (points >= 0), PRIMARY KEY (who, whom));

CREATE ALLOCATION commons
  CAPACITY (SELECT who AS owner, kind AS slot, n AS quantity, kind FROM offer)
  NEED (SELECT who AS owner, kind AS slot, n AS quantity, kind FROM need)
  RECOGNITION (SELECT who AS "from", whom AS "to", points AS weight FROM recognition);
