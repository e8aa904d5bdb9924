//! `deltaic demo`: an engine with a week of real flights that depart and arrive before one's eyes.
//!
//! The data are in the program. Loading and replaying go through the same SQL as everybody's; a transaction is
//! what happens to a few flights at one time.
#![expect(clippy::disallowed_methods, reason = "the replay is paced by the wall clock")]

use std::{
    io::IsTerminal,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use deltaic_server::{Config, DemoClock, EngineHandle, Server, SqlFailure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::{
    import,
    output::{complain, tell},
    replay::{Event, RESET, Replay},
};

const SCHEMA: &str = include_str!("../../../examples/flights/schema.sql");
const AIRLINES: &str = include_str!("../../../examples/flights/airlines.csv");
const AIRPORTS: &str = include_str!("../../../examples/flights/airports.csv");
const PLANES: &str = include_str!("../../../examples/flights/planes.csv");
const WEATHER: &str = include_str!("../../../examples/flights/weather.csv");
const FLIGHTS: &str = include_str!("../../../examples/flights/flights.csv");

/// What the airports may spend on telling passengers that their flights are late, in messages.
const BUDGET: &str = "CREATE BUDGET IF NOT EXISTS texts (KEY airport text, LIMIT 300 PER '1 minute' BUCKET 60, \
    LIMIT 100000 PER '1 day')";

/// Loading goes on where it broke off.
const ROWS: import::Rows<'_> = import::Rows { null: "", skip_existing: true, documents: &[] };

/// How often the replay looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// Starts the demo and serves it until Ctrl-C.
pub(crate) fn run(listen: SocketAddr, data: Option<PathBuf>, speed: u64) -> Result<()> {
    // Named first, so that it goes last.
    let temporary = data.is_none().then(|| tempfile::Builder::new().prefix("deltaic-demo-").tempdir());
    let temporary = temporary.transpose().context("no temporary directory; name one with --data")?;
    let data = data.or_else(|| Some(temporary.as_ref()?.path().to_owned()));
    let data = data.expect("invariant: one of the two is there");
    let clock = Arc::new(DemoClock::new(speed as f64));
    let server = Server::start(Config { demo: Some(Arc::clone(&clock)), ..Config::new(&data, listen) })?;
    server.stop_on_signals({
        let clock = Arc::clone(&clock);
        move || {
            clock.stop();
            tell("\nfinishing what was begun; Ctrl-C again ends at once");
        }
    })?;
    let engine = server.engine();
    let replay = Replay::read(FLIGHTS).context("the flights in the program")?;
    let loaded = load(&engine, &replay, &clock);
    if loaded.is_err() {
        server.stop();
    }
    let player = (loaded.is_ok() && !clock.is_stopped()).then(|| {
        welcome(&server, speed);
        let clock = Arc::clone(&clock);
        std::thread::spawn(move || match play(&engine, &replay, &clock) {
            // An engine that shuts down refuses; anything else is told, and the server goes on.
            Err(error) if !clock.is_stopped() => {
                complain(format_args!("the replay ended: {error:#}; the next demo begins anew"));
            }
            _ => {}
        })
    });
    let ended = server.wait();
    clock.stop();
    if let Some(player) = player {
        player.join().map_err(|_| anyhow::anyhow!("the replay ended by a bug: its message is above"))?;
    }
    ended?;
    loaded
}

fn welcome(server: &Server, speed: u64) {
    let address = server.address();
    tell(format_args!(
        "
  the console is at  http://{address}/
  a live query:      deltaic watch \"SELECT status, count(*) FROM flights GROUP BY status\" \\
                       --url http://{address}

  {speed} simulated seconds pass in a second; Ctrl-C ends it
"
    ));
}

/// Puts the week's schedule into a directory that has none yet; gives up, content, when the clock is stopped.
fn load(engine: &EngineHandle, replay: &Replay, clock: &DemoClock) -> Result<()> {
    if engine.status()?.tables.iter().any(|table| table.name == "flights") {
        engine.execute(RESET, Vec::new())?;
    } else {
        engine.execute(SCHEMA, Vec::new())?;
    }
    engine.execute(BUDGET, Vec::new())?;
    let files = [
        ("airlines", AIRLINES),
        ("airports", AIRPORTS),
        ("planes", PLANES),
        ("weather", WEATHER),
        ("flights", replay.schedule.as_str()),
    ];
    let total: usize = files.iter().map(|(_, text)| text.len()).sum();
    let on_terminal = std::io::stderr().is_terminal();
    let bar = if on_terminal { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("  {msg:10} {bar:40} {percent}%")?);
    let mut before = 0;
    for (table, text) in files {
        bar.set_message(table);
        let mut send = |sql: &str, rows: Vec<Json>| {
            if clock.is_stopped() {
                bail!("stopped");
            }
            Ok(engine.execute(sql, rows).map(|_| ()).map_err(|SqlFailure(error)| error))
        };
        let progress = |place| bar.set_position(before + place);
        let count = match import::load(&mut send, text.as_bytes(), table, ROWS, &progress) {
            Err(_) if clock.is_stopped() => break,
            loaded => loaded?,
        };
        before += text.len() as u64;
        if !on_terminal {
            tell(format_args!("loaded {count} rows into {table}"));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Lets the week happen, again and again, until the clock is stopped.
fn play(engine: &EngineHandle, replay: &Replay, clock: &DemoClock) -> Result<()> {
    let mut simulated = 0.0;
    let mut next = 0;
    let mut last = Instant::now();
    while !clock.is_stopped() {
        clock.pause(TICK);
        let now = Instant::now();
        simulated += now.duration_since(last).as_secs_f64() * clock.status().speed;
        last = now;
        let due = replay.events[next..].iter().take_while(|event| event.at as f64 <= simulated).count();
        for group in replay.events[next..next + due].chunk_by(|a, b| a.at == b.at) {
            apply(engine, group)?;
        }
        next += due;
        clock.set_time(deltaic_types::datetime::timestamp_to_iso(
            (replay.start + simulated as i64) * 1_000_000,
        ));
        if next == replay.events.len() {
            engine.execute(RESET, Vec::new())?;
            (next, simulated) = (0, 0.0);
        }
    }
    Ok(())
}

/// What happens at one time is one transaction.
fn apply(engine: &EngineHandle, events: &[Event]) -> Result<()> {
    let statements: Vec<String> = events.iter().map(Event::statement).collect();
    engine.execute(&statements.join("; "), Vec::new())?;
    for airport in events.iter().filter_map(Event::is_told_at) {
        let told = engine.execute("SELECT consume('texts', $1, 1)", vec![airport.into()]);
        match told {
            // Whoever is not told because the budget is used up is the budget's doing.
            Err(SqlFailure(error)) if error.code != "53400" => return Err(SqlFailure(error).into()),
            _ => {}
        }
    }
    Ok(())
}
