//! Standard error: logs, diagnostics, and on a terminal a block of progress that is redrawn below them.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anstream::AutoStream;

/// Standard error, shared by everything that writes there.
#[derive(Clone)]
pub(crate) struct Screen {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Lines of the block that is on the terminal now.
    drawn: usize,
    block: Vec<String>,
    terminal: bool,
}

impl Screen {
    /// Opens standard error.
    pub(super) fn new() -> Self {
        let terminal = io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { state: Arc::new(Mutex::new(State { drawn: 0, block: Vec::new(), terminal })) }
    }

    /// Returns whether a block can be redrawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.guard().terminal
    }

    /// Writes text above the block.
    pub(crate) fn write(&self, text: &str) {
        let mut state = self.guard();
        let mut out = AutoStream::auto(io::stderr()).lock();
        let _ = state.erase();
        let _ = out.write_all(text.as_bytes());
        let _ = state.draw(&mut out);
    }

    /// Writes a line above the block.
    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Replaces the block; does nothing where there is no terminal.
    pub(crate) fn block(&self, lines: Vec<String>) {
        let mut state = self.guard();
        if !state.terminal {
            return;
        }
        let mut out = AutoStream::auto(io::stderr()).lock();
        let _ = state.erase();
        state.block = lines;
        let _ = state.draw(&mut out);
    }

    /// Takes the block away.
    pub(crate) fn clear(&self) {
        self.block(Vec::new());
    }

    fn guard(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the block off the terminal. Cursor movements go past the colour filter: without colour
    /// the block still has to be redrawn.
    fn erase(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            write!(io::stderr(), "\x1b[{}A\r\x1b[J", self.drawn)?;
            self.drawn = 0;
        }
        Ok(())
    }

    fn draw(&mut self, out: &mut impl Write) -> io::Result<()> {
        for line in &self.block {
            writeln!(out, "{line}")?;
        }
        self.drawn = self.block.len();
        out.flush()
    }
}

/// A writer for the log: whole lines, above the block.
#[derive(Clone)]
pub(super) struct LogWriter(pub(super) Screen);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
