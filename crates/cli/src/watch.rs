//! `deltaic watch`: a query's result in the terminal, kept up to date.
//!
//! On a terminal it is a table that is drawn over itself with each change and marks the rows that came with it; a
//! lost connection is taken up again where it broke off. Elsewhere the snapshot and each change are lines of JSON,
//! for other programs to read, and the end of the stream is the end.

use std::{
    borrow::Cow,
    io::{BufRead, IsTerminal, Write},
    sync::mpsc::{self, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use crossterm::{cursor, event, queue, terminal};
use deltaic_protocol::{ErrorBody, Event, EventReader};
use serde_json::Value as Json;

use crate::{
    client::{Client, show_error},
    output,
    watched::Watched,
};

/// How long to wait before a lost connection is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What happens while a result is watched.
enum Happening {
    Event(Event),
    /// The stream broke off: what it said last.
    Lost(String),
    /// The server refuses the query.
    Refused(ErrorBody),
    Resized,
}

/// What is watched under one word: all of a table or a live view.
fn query_of(text: &str) -> Cow<'_, str> {
    let word = text.trim();
    let is_name = word.starts_with('"') && word.ends_with('"') && word.matches('"').count() == 2
        || !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_name { Cow::Owned(format!("SELECT * FROM {word}")) } else { Cow::Borrowed(text) }
}

/// Shows a query's result until the server ends it.
pub(crate) fn run(query: &str, params: &[String], url: &str) -> Result<()> {
    let query = &*query_of(query);
    let params: Result<Vec<Json>, _> = params.iter().map(|text| serde_json::from_str(text)).collect();
    let params = Json::Array(params.context("a parameter is JSON: 7, \"text\", null")?);
    let client = Client::new(url);
    let lines = match client.live(query, &params, None)? {
        Ok(lines) => lines,
        Err(error) => bail!("{}", show_error(&error, query)),
    };
    if !std::io::stdout().is_terminal() {
        return print(lines);
    }
    let (happenings, happened) = mpsc::channel();
    watch_size(happenings.clone());
    let text = query.to_owned();
    thread::spawn(move || follow(lines, &client, &text, &params, &happenings));
    let mut screen = Screen { query, note: String::new(), watched: None };
    clear()?;
    for happening in happened {
        match happening {
            Happening::Event(event) => screen.take(&event)?,
            Happening::Lost(why) => screen.note = format!(", connection lost ({why}): trying again"),
            Happening::Refused(error) => bail!("{}", show_error(&error, query)),
            Happening::Resized => clear()?,
        }
        screen.draw()?;
    }
    Ok(())
}

/// Events as lines for other programs.
fn print(lines: impl BufRead) -> Result<()> {
    let mut reader = EventReader::default();
    for line in lines.lines() {
        if let Some(event) = reader.line(&line.context("the server ended the stream")?) {
            output::line(format_args!("{} {}", event.name, event.data))?;
        }
    }
    bail!("the server ended the stream")
}

/// Reads events, and connects again when they end, with the id of the last one.
#[expect(clippy::disallowed_methods, reason = "a server that is away is not asked again at once")]
fn follow(first: impl BufRead, client: &Client, query: &str, params: &Json, to: &Sender<Happening>) {
    let mut last_id = None;
    let mut why = read(first, to, &mut last_id);
    loop {
        if to.send(Happening::Lost(why)).is_err() {
            return;
        }
        thread::sleep(RETRY);
        why = match client.live(query, params, last_id.as_deref()) {
            Ok(Ok(lines)) => read(lines, to, &mut last_id),
            Ok(Err(error)) if error.http_status() < 500 => {
                let _ = to.send(Happening::Refused(error));
                return;
            }
            Ok(Err(error)) => error.message,
            Err(error) => error.root_cause().to_string(),
        };
    }
}

/// Reads events to the end of the stream; says why it ended.
fn read(lines: impl BufRead, to: &Sender<Happening>, last_id: &mut Option<String>) -> String {
    let mut reader = EventReader::default();
    for line in lines.lines() {
        match line {
            Ok(line) => {
                let Some(event) = reader.line(&line) else { continue };
                if event.id.is_some() {
                    last_id.clone_from(&event.id);
                }
                let _ = to.send(Happening::Event(event));
            }
            Err(error) => return error.to_string(),
        }
    }
    "the server closed it".to_owned()
}

/// Says when the terminal has another size, where it can be known.
fn watch_size(to: Sender<Happening>) {
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if matches!(event, event::Event::Resize(..)) && to.send(Happening::Resized).is_err() {
                return;
            }
        }
    });
}

fn clear() -> Result<()> {
    Ok(queue!(std::io::stdout(), terminal::Clear(terminal::ClearType::All))?)
}

/// What is on the terminal.
struct Screen<'a> {
    query: &'a str,
    note: String,
    watched: Option<Watched>,
}

impl Screen<'_> {
    fn take(&mut self, event: &Event) -> Result<()> {
        self.note.clear();
        match event.name.as_str() {
            "snapshot" => self.watched = Some(Watched::new(serde_json::from_str(&event.data)?)),
            "change" => {
                if let Some(watched) = &mut self.watched {
                    watched.apply(&serde_json::from_str(&event.data)?);
                }
            }
            "error" => {
                let error: ErrorBody = serde_json::from_str(&event.data)?;
                if event.id.is_none() {
                    bail!("{}", show_error(&error, self.query));
                }
                self.note = format!(" — not up to date: {}", error.message);
            }
            _ => {}
        }
        Ok(())
    }

    fn draw(&self) -> Result<()> {
        // A terminal that does not know its size says that it has none.
        let size = terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 0);
        let (width, height) = size.unwrap_or((80, 24));
        // The last place is left free: a full line would wrap.
        let size = (usize::from(width).saturating_sub(1), usize::from(height));
        let lines = match &self.watched {
            Some(watched) => watched.frame(self.query, &self.note, size),
            None => vec![self.note.clone()],
        };
        let mut out = std::io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0))?;
        for line in lines {
            write!(out, "{line}")?;
            // What the line before left stays neither beside nor below.
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
            writeln!(out)?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::query_of;

    #[test]
    fn one_word_is_a_name() {
        for (text, query) in [
            ("score", "SELECT * FROM score"),
            (" \"Odd name\" ", "SELECT * FROM \"Odd name\""),
            ("SELECT 1", "SELECT 1"),
            ("\"a\" \"b\"", "\"a\" \"b\""),
            ("", ""),
        ] {
            assert_eq!(query_of(text), query);
        }
    }
}
