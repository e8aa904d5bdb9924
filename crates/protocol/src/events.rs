//! Server-sent events: [`event_text`] writes one, [`EventReader`] reads a stream of them.
//!
//! Invariant: JSON has no line breaks of its own, so that an event's JSON is one `data` line.

/// The text of an event. `json` must be one line.
pub fn event_text(name: &str, id: Option<&str>, json: &str) -> String {
    match id {
        Some(id) => format!("event: {name}\nid: {id}\ndata: {json}\n\n"),
        None => format!("event: {name}\ndata: {json}\n\n"),
    }
}

/// An event as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name: `snapshot`, `change`, `current` or `error`.
    pub name: String,
    /// Its id, to be given back as `Last-Event-ID`.
    pub id: Option<String>,
    /// Its data lines.
    pub data: String,
}

/// Puts events together from lines.
#[derive(Debug, Default)]
pub struct EventReader {
    event: Event,
}

impl EventReader {
    /// Takes a line without its end; gives the event that an empty line ends.
    ///
    /// ```
    /// let mut reader = deltaic_protocol::EventReader::default();
    /// assert_eq!(reader.line("event: change"), None);
    /// assert_eq!(reader.line("data: {}"), None);
    /// assert_eq!(reader.line("").unwrap().name, "change");
    /// ```
    pub fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment (no name before the colon) keeps the connection alive; other fields are not ours.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-z]{1,9}", id in proptest::option::of("[0-9a-f-]{1,40}"), text in ".*") {
            let json = serde_json::Value::from(text).to_string();
            let mut reader = EventReader::default();
            prop_assert_eq!(reader.line(": still here"), None);
            let written = event_text(&name, id.as_deref(), &json);
            let mut events: Vec<Event> = written.lines().filter_map(|line| reader.line(line)).collect();
            prop_assert_eq!(events.pop(), Some(Event { name, id, data: json }));
            prop_assert!(events.is_empty());
        }

        #[test]
        fn no_line_panics(lines in proptest::collection::vec(".*", 0..9)) {
            let mut reader = EventReader::default();
            for line in lines {
                let _ = reader.line(&line);
            }
        }
    }
}
