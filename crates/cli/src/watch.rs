//! `deltaic watch`: a live result that updates in place, or lines where there is no terminal.

use std::{
    collections::VecDeque,
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use clap::Args;
use crossterm::{
    cursor, event, execute, queue,
    style::{Attribute, Print, SetAttribute},
    terminal,
};
use deltaic_protocol::{ErrorBody, Event, EventReader};
use serde_json::Value as Json;

use crate::{
    client::{Address, Client, LiveError, explain},
    live::{LiveResult, Outcome},
    table,
};

/// How often the terminal is looked at for a key.
const TICK: Duration = Duration::from_millis(100);

/// For how many ticks a changed row is marked.
const MARKED: usize = 15;

/// How long to wait before the next attempt to reach a server that went away.
const RETRY: Duration = Duration::from_secs(1);

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One SELECT.
    query: String,
    /// The values of $1, $2, … as a JSON array.
    #[arg(long, default_value = "[]", value_parser = parameters)]
    params: Parameters,
    #[command(flatten)]
    address: Address,
}

#[derive(Debug, Clone)]
struct Parameters(Vec<Json>);

fn parameters(text: &str) -> Result<Parameters, String> {
    serde_json::from_str(text).map(Parameters).map_err(|error| format!("not a JSON array: {error}"))
}

/// What the thread that reads the stream says.
enum News {
    Event(Event),
    Lost(String),
    Refused(ErrorBody),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (sender, news) = mpsc::channel();
    let client = Client::new(&arguments.address);
    let (sql, params) = (arguments.query.clone(), arguments.params.0.clone());
    thread::spawn(move || read(&client, &sql, &params, &sender));
    if io::stdout().is_terminal() { draw(&arguments.query, &news) } else { print(&arguments.query, &news) }
}

/// Reads the stream, and opens it anew where it breaks; the last id lets the server send only the difference.
fn read(client: &Client, sql: &str, params: &[Json], news: &mpsc::Sender<News>) {
    let mut last: Option<String> = None;
    loop {
        let said = match client.live(sql, params, last.as_deref()) {
            Ok(stream) => {
                let mut reader = EventReader::default();
                let mut open = true;
                for line in stream.lines().map_while(Result::ok) {
                    if let Some(event) = reader.line(&line) {
                        if event.id.is_some() {
                            last.clone_from(&event.id);
                        }
                        open &= news.send(News::Event(event)).is_ok();
                    }
                }
                open && news.send(News::Lost("the connection ended".into())).is_ok()
            }
            Err(LiveError::Unreachable(error)) => news.send(News::Lost(format!("{error:#}"))).is_ok(),
            Err(LiveError::Refused(error)) => {
                let _ = news.send(News::Refused(error));
                return;
            }
        };
        if !said {
            return;
        }
        thread::park_timeout(RETRY);
    }
}

/// Lines: the snapshot as a table, then a sign and the row for each change.
fn print(sql: &str, news: &Receiver<News>) -> anyhow::Result<ExitCode> {
    let mut live = LiveResult::default();
    let mut out = io::stdout().lock();
    let mut began = false;
    for said in news {
        let written = match said {
            News::Refused(error) => {
                eprintln!("{}", explain(sql, &error));
                return Ok(ExitCode::FAILURE);
            }
            News::Lost(why) if !began => anyhow::bail!(why),
            News::Lost(why) => {
                eprintln!("{why}; trying again");
                Ok(())
            }
            News::Event(event) => {
                began = true;
                match live.take(&event)? {
                    Outcome::Snapshot => {
                        let rows: Vec<Vec<Json>> = live.rows.iter().map(|row| row.row.clone()).collect();
                        let lines = table::lines(&live.columns, &rows);
                        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
                    }
                    Outcome::Changed(change) => change.changes.iter().try_for_each(|change| {
                        let sign = if change.weight > 0 { '+' } else { '-' };
                        let cells: Vec<String> = change.row.iter().map(table::cell).collect();
                        (0..change.weight.abs())
                            .try_for_each(|_| writeln!(out, "{sign} {}", cells.join(" │ ")))
                    }),
                    Outcome::Current => Ok(()),
                    Outcome::Error(error) => writeln!(out, "! {}", error.message),
                }
            }
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The terminal as it is while a table is drawn; it is given back as it was.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn draw(sql: &str, news: &Receiver<News>) -> anyhow::Result<ExitCode> {
    let mut live = LiveResult::default();
    let mut marks: VecDeque<(usize, Vec<Json>)> = VecDeque::new();
    let mut note = "connecting".to_owned();
    let screen = Screen::enter()?;
    let mut tick = 0;
    loop {
        let mut next = news.recv_timeout(TICK);
        let mut refused = None;
        while let Ok(said) = next {
            match said {
                News::Refused(error) => refused = Some(error),
                News::Lost(why) => note = format!("{why}; trying again"),
                News::Event(event) => {
                    note.clear();
                    match live.take(&event)? {
                        Outcome::Changed(change) => {
                            let came = change.changes.into_iter().filter(|change| change.weight > 0);
                            marks.extend(came.map(|change| (tick + MARKED, change.row)));
                        }
                        Outcome::Error(error) => note = error.message,
                        Outcome::Snapshot | Outcome::Current => {}
                    }
                }
            }
            next = news.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if let Some(error) = refused {
            drop(screen);
            eprintln!("{}", explain(sql, &error));
            return Ok(ExitCode::FAILURE);
        }
        tick += 1;
        while marks.front().is_some_and(|(until, _)| *until < tick) {
            marks.pop_front();
        }
        paint(sql, &live, &marks, &note)?;
        if ended()? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether a key says that it is enough.
fn ended() -> io::Result<bool> {
    use event::{Event, KeyCode, KeyModifiers};
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                || (control && matches!(key.code, KeyCode::Char('c' | 'd')))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn paint(sql: &str, live: &LiveResult, marks: &VecDeque<(usize, Vec<Json>)>, note: &str) -> io::Result<()> {
    let (width, height) = terminal::size()?;
    let (width, height) = (usize::from(width), usize::from(height));
    let cut = |text: &str| text.chars().take(width).collect::<String>();
    let shown = height.saturating_sub(5);
    let rows: Vec<Vec<Json>> = live.rows.iter().take(shown).map(|row| row.row.clone()).collect();
    let lines = table::lines(&live.columns, &rows);
    let mut out = io::stdout().lock();
    queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
    let mut write = |text: &str, attribute: Attribute| {
        queue!(
            out,
            SetAttribute(attribute),
            Print(cut(text)),
            SetAttribute(Attribute::Reset),
            terminal::Clear(terminal::ClearType::UntilNewLine),
            cursor::MoveToNextLine(1)
        )
    };
    write(&sql.split_whitespace().collect::<Vec<_>>().join(" "), Attribute::Dim)?;
    for (place, line) in lines.iter().enumerate() {
        let marked = place.checked_sub(2).and_then(|place| rows.get(place));
        let marked = marked.is_some_and(|row| marks.iter().any(|(_, mark)| mark == row));
        write(line, if marked { Attribute::Reverse } else { Attribute::Reset })?;
    }
    let more = live.rows.len() - rows.len();
    let count = if more > 0 {
        format!("{} rows, {more} not shown", live.rows.len())
    } else {
        format!("{} rows", live.rows.len())
    };
    let state =
        if note.is_empty() { format!("{count}, commit {}; q ends", live.lsn) } else { note.to_owned() };
    write(&state, Attribute::Dim)?;
    queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
    out.flush()
}
