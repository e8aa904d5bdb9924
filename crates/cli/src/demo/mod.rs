//! `deltaic demo`: an engine with a week of flights, replayed, and the console.

mod flights;
mod load;
mod replay;

use std::{fs, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, thread};

use anyhow::{Context, anyhow};
use clap::Args;
use deltaic_server::{Config, DemoClock, EngineHandle, Server};

use crate::serve::LISTEN;

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = LISTEN)]
    listen: SocketAddr,
    /// Keep the data in this directory; without it they are gone at the end.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Simulated seconds a second; 0 pauses.
    #[arg(long, default_value_t = 600.0)]
    speed: f64,
}

/// A directory for one run.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (data, temporary) = match &arguments.data {
        Some(data) => (data.clone(), None),
        None => {
            let path = std::env::temp_dir().join(format!("deltaic-demo-{}", std::process::id()));
            (path.clone(), Some(Temporary(path)))
        }
    };
    let clock = Arc::new(DemoClock::new(arguments.speed));
    let config = Config { demo: Some(Arc::clone(&clock)), ..Config::new(&data, arguments.listen) };
    let server = Server::start(config)?;
    let for_signal = Arc::clone(&clock);
    server.stop_on_signals(move || {
        eprintln!("stopping; once more to stop at once");
        for_signal.stop();
    });
    let (engine, stopper) = (server.engine(), server.stopper());
    let (address, for_replay) = (server.address(), Arc::clone(&clock));
    let traffic = thread::Builder::new().name("replay".into()).spawn(move || {
        let outcome = traffic(&engine, &for_replay, address);
        // Without traffic there is no demo; a replay that was told to end changes nothing here.
        stopper.stop();
        outcome
    })?;
    let served = server.wait();
    clock.stop();
    let replayed = traffic.join().map_err(|_| anyhow!("the replay ended by a bug: its message is above"))?;
    drop(temporary);
    served?;
    replayed.context("the replay ended")?;
    Ok(ExitCode::SUCCESS)
}

fn traffic(engine: &EngineHandle, clock: &DemoClock, address: SocketAddr) -> anyhow::Result<()> {
    let flights = flights::read()?;
    if !load::load(engine, clock)? {
        return Ok(());
    }
    let mut out = std::io::stdout();
    // Nobody may be reading.
    let _ =
        writeln!(out, "\nconsole: http://{address}/\n\nCtrl-C stops the demo.").and_then(|()| out.flush());
    let outcome = replay::replay(engine, clock, &flights);
    // A server that is told to end refuses the last transaction, which is no failure.
    if clock.is_stopped() { Ok(()) } else { outcome }
}
