// Queries to begin with, about the flights if they are there.

const FLIGHTS = [
  {
    title: "The latest departures",
    sql: `SELECT f.id, a.name AS airline, f.flight, f.origin, f.dest, f.dep_time, f.dep_delay
FROM flights f JOIN airlines a ON a.carrier = f.carrier
WHERE f.status = 'departed'
ORDER BY f.time_hour DESC, f.dep_time DESC
LIMIT 15`,
  },
  {
    title: "Airlines by average delay",
    sql: `SELECT a.name AS airline, count(*) AS flights, round(avg(f.dep_delay), 1) AS delay, max(f.dep_delay) AS worst
FROM flights f JOIN airlines a ON a.carrier = f.carrier
WHERE f.dep_delay IS NOT NULL
GROUP BY a.name
ORDER BY delay DESC`,
  },
  {
    title: "What each airport is doing",
    sql: `SELECT origin, status, count(*) AS flights
FROM flights
GROUP BY origin, status
ORDER BY origin, status`,
  },
  {
    title: "In the air, by destination",
    sql: `SELECT f.dest, p.name AS airport, count(*) AS planes
FROM flights f LEFT JOIN airports p ON p.faa = f.dest
WHERE f.status = 'departed'
GROUP BY f.dest, p.name
ORDER BY planes DESC, f.dest
LIMIT 20`,
  },
  {
    title: "Late into the wind",
    sql: `SELECT f.id, f.origin, f.dest, f.dep_delay, w.wind_speed, w.visib
FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
WHERE f.dep_delay > 60
ORDER BY f.dep_delay DESC
LIMIT 20`,
  },
];

const EMPTY = [
  {
    title: "A first table",
    sql: `CREATE TABLE notes (id integer PRIMARY KEY, body text NOT NULL, done boolean DEFAULT false);
INSERT INTO notes (id, body) VALUES (1, 'watch this'), (2, 'change it in another window')`,
  },
  { title: "Live: what is not done yet", sql: "SELECT id, body FROM notes WHERE NOT done ORDER BY id" },
];

export function examplesFor(tables) {
  return tables.some((table) => table.name === "flights") ? FLIGHTS : EMPTY;
}
