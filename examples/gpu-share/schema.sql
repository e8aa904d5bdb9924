-- Whose GPUs there are, by the hour of a week; who asks for how many of them.
CREATE TABLE cluster (owner text, gpus text, hours integer CHECK (hours >= 0), PRIMARY KEY (owner, gpus));
CREATE TABLE job (team text, name text, hours integer CHECK (hours >= 0), PRIMARY KEY (team, name));

-- How an owner divides what it has, and what it has promised.
CREATE TABLE weight (owner text, team text, weight integer CHECK (weight >= 0), PRIMARY KEY (owner, team));
CREATE TABLE promise (owner text, gpus text, team text, hours integer CHECK (hours >= 0), PRIMARY KEY (owner, gpus, team));

-- The live view `gpu`: who has which hours by now, and why; the table `gpu.offers`: what was agreed upon.
CREATE ALLOCATION gpu
  CAPACITY (SELECT owner, gpus AS slot, hours AS quantity, 'gpu' AS kind, 'hours' AS unit FROM cluster)
  NEED (SELECT team AS owner, name AS slot, hours AS quantity, 'gpu' AS kind, 'hours' AS unit FROM job)
  RECOGNITION (SELECT owner AS "from", team AS "to", weight FROM weight)
  FLOORS (SELECT owner, gpus AS slot, team AS "to", hours AS quantity FROM promise)
  OFFERS WITHIN '10 minutes';
