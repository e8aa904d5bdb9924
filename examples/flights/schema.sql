-- One week of departures from New York's three airports, with airlines, airports, planes and hourly weather.
-- Columns are in the order of the CSV files. `README.md` says where the rows come from.

CREATE TABLE IF NOT EXISTS airlines (
  carrier text PRIMARY KEY,
  name text NOT NULL
);

CREATE TABLE IF NOT EXISTS airports (
  faa text PRIMARY KEY,
  name text NOT NULL,
  lat double precision,
  lon double precision,
  alt integer,
  tz integer,
  dst text,
  tzone text
);

CREATE TABLE IF NOT EXISTS planes (
  tailnum text PRIMARY KEY,
  year integer,
  type text,
  manufacturer text,
  model text,
  engines integer,
  seats integer,
  speed integer,
  engine text
);

CREATE TABLE IF NOT EXISTS weather (
  origin text,
  year integer,
  month integer,
  day integer,
  hour integer,
  temp double precision,
  dewp double precision,
  humid double precision,
  wind_dir integer,
  wind_speed double precision,
  wind_gust double precision,
  precip double precision,
  pressure double precision,
  visib double precision,
  time_hour timestamptz,
  PRIMARY KEY (origin, time_hour)
);

-- Only `carrier` is a foreign key: some destinations and tail numbers are not in the source's other tables.
CREATE TABLE IF NOT EXISTS flights (
  id integer PRIMARY KEY,
  year integer NOT NULL,
  month integer NOT NULL,
  day integer NOT NULL,
  dep_time integer,
  sched_dep_time integer,
  dep_delay integer,
  arr_time integer,
  sched_arr_time integer,
  arr_delay integer,
  carrier text NOT NULL REFERENCES airlines (carrier),
  flight integer,
  tailnum text,
  origin text NOT NULL,
  dest text NOT NULL,
  air_time integer,
  distance integer,
  hour integer,
  minute integer,
  time_hour timestamptz NOT NULL,
  -- Not in the CSV file: whoever replays the week sets it.
  status text NOT NULL DEFAULT 'scheduled' CHECK (status IN ('scheduled', 'departed', 'arrived', 'cancelled'))
);

CREATE INDEX IF NOT EXISTS flights_dest ON flights (dest);
CREATE INDEX IF NOT EXISTS flights_carrier ON flights (carrier);
CREATE INDEX IF NOT EXISTS flights_tailnum ON flights (tailnum);
