//! What the program says on its standard streams.
//!
//! Invariant: nothing panics when the other end of a pipe is gone. A command ends quietly then, as `head` expects
//! it; a server goes on, for others still speak to it.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes a line on standard output.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a line for whoever may be there: nothing depends on its being read.
pub(crate) fn tell(text: impl Display) {
    let _ = line(text);
}

/// Writes a line on standard error, where nobody has to read it either.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a command ended because nobody reads what it prints.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
