//! Places in a text: the parser's lines and columns as characters and bytes.

use sqlparser::tokenizer::Location;

/// How many characters stand before each line of a text: what makes a location the number of a character.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    before: Vec<usize>,
    characters: usize,
}

impl Lines {
    /// Reads a text once.
    pub(crate) fn of(sql: &str) -> Self {
        let mut before = vec![0];
        let mut characters = 0;
        for c in sql.chars() {
            characters += 1;
            if c == '\n' {
                before.push(characters);
            }
        }
        Self { before, characters }
    }

    /// The number of the character at a location, from 1; one more than there are for the end. None for the line 0,
    /// which is how the parser says that it does not know.
    pub(crate) fn position(&self, location: Location) -> Option<usize> {
        let line = usize::try_from(location.line.checked_sub(1)?).ok()?;
        let before = self.before.get(line).copied().unwrap_or(self.characters);
        let column = usize::try_from(location.column.max(1)).ok()?;
        Some((before + column).min(self.characters + 1))
    }
}

/// A way through a text by its tokens' locations. It goes forward only, so all of it together is one walk.
pub(crate) struct Cursor<'a> {
    sql: &'a str,
    at: Location,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(sql: &'a str) -> Self {
        Self { sql, at: Location { line: 1, column: 1 }, offset: 0 }
    }

    /// The byte at which a location lies, or the text's end.
    pub(crate) fn forward(&mut self, to: Location) -> usize {
        let mut rest = self.sql[self.offset..].chars();
        while self.at < to {
            let Some(next) = rest.next() else { break };
            self.offset += next.len_utf8();
            if next == '\n' {
                self.at = Location { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_character_and_a_byte() {
        let text = "aü\n\nb";
        let lines = Lines::of(text);
        let mut cursor = Cursor::new(text);
        for (line, column, position, byte) in
            [(1, 1, 1, 0), (1, 2, 2, 1), (2, 1, 4, 4), (3, 1, 5, 5), (3, 2, 6, 6), (9, 1, 6, 6)]
        {
            let location = Location { line, column };
            assert_eq!(lines.position(location), Some(position), "{line}:{column}");
            assert_eq!(cursor.forward(location), byte, "{line}:{column}");
        }
        assert_eq!(lines.position(Location { line: 0, column: 0 }), None);
    }
}
