//! What a command works with: settings, output, the runtime, signals.

use std::{
    future::Future,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use sitewright_cluster::{Cluster, Connection};
use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
    report,
};
use sitewright_source::{Mirror, Settings};
use tokio::runtime::Runtime;

use super::{
    exit::{Exit, Failure},
    global::{ColorWhen, Global},
    interrupt::{Interrupt, Stage},
    logging,
    screen::Screen,
    traces::Traces,
};
use crate::output::{
    Detail, Glyphs, Look,
    look::{self, UNLIMITED},
};

/// What a command works with.
pub(crate) struct Context {
    /// Options that every command takes.
    pub(crate) global: Global,
    /// Standard error.
    pub(crate) screen: Screen,
    /// Signals.
    pub(crate) interrupt: Interrupt,
    runtime: Runtime,
    /// Sends the last of them when the program ends.
    _traces: Option<Traces>,
}

impl Context {
    /// Starts the log, the runtime and the watch for signals.
    pub(super) fn new(global: Global, traced: bool) -> Result<Self, Failure> {
        color(global.color).write_global();
        let screen = Screen::new();
        let traces = logging::start(&global, &screen, traced);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Diagnostic::error(machine::BUG, format!("no threads: {error}")))?;
        let interrupt = Interrupt::new();
        runtime.spawn(interrupt.clone().watch(screen.clone()));
        Ok(Self { global, screen, interrupt, runtime, _traces: traces })
    }

    /// Returns how output on standard output looks.
    pub(crate) fn look(&self) -> Look {
        self.look_of(io::stdout().is_terminal())
    }

    /// Returns how output on standard error looks.
    pub(crate) fn error_look(&self) -> Look {
        self.look_of(io::stderr().is_terminal())
    }

    fn look_of(&self, terminal: bool) -> Look {
        let columns = terminal.then(terminal_size::terminal_size).flatten();
        Look {
            width: columns.map_or(UNLIMITED, |(width, _)| usize::from(width.0).max(40)),
            glyphs: Glyphs::of_locale(|name| std::env::var(name).ok()),
            detail: if self.global.verbose > 0 { Detail::Full } else { Detail::Folded },
        }
    }

    /// Writes the result to standard output; a reader that has gone away is no error.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        self.screen.clear();
        let mut out = anstream::AutoStream::auto(io::stdout()).lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) => Err(Failure::Output(error)),
        }
    }

    /// Tells what is done now, for as long as it is done, on a terminal.
    pub(crate) fn doing(&self, what: &'static str) {
        self.interrupt.enter(Stage::Reading(what));
        tracing::info!("{what}");
        if !self.global.quiet && self.global.verbose == 0 {
            let dots = self.error_look().glyphs.ellipsis();
            self.screen.block(vec![look::paint(look::DIM, format!("{what}{dots}"))]);
        }
    }

    /// Shows warnings on standard error.
    pub(crate) fn warn(&self, warnings: &Diagnostics) {
        if !self.global.quiet && !warnings.0.is_empty() {
            self.screen.write(&self.rendered(warnings));
        }
    }

    /// Shows a failure, and returns the exit code.
    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        self.screen.clear();
        match failure {
            Failure::Diagnosed(diagnostics) => {
                self.screen.write(&self.rendered(diagnostics));
                self.interrupt.exit().unwrap_or(Exit::Failure)
            }
            // `sitewright plan | head` closes the pipe when it has seen enough.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Failure::Output(error) => {
                let diagnostic = Diagnostic::error(
                    machine::UNREADABLE_FILE,
                    format!("standard output cannot be written: {error}"),
                )
                .help("check the disk or the program that reads it");
                self.screen.write(&self.rendered(&diagnostic.into()));
                Exit::Failure
            }
        }
    }

    fn rendered(&self, diagnostics: &Diagnostics) -> String {
        let width = self.error_look().width.min(160);
        report::render(diagnostics, report::Style { color: report::Color::Ansi, width })
    }

    /// Runs asynchronous work to its end.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Connects to the cluster.
    pub(crate) fn connect(&self) -> Result<Cluster, Failure> {
        self.doing("connecting to the cluster");
        let connection = Connection {
            kubeconfig: self.global.kubeconfig.clone(),
            context: self.global.context.clone(),
            ..Connection::default()
        };
        let cluster = self.wait(Cluster::connect(&connection))?;
        Ok(cluster.until(&self.interrupt.token()))
    }

    /// Returns the settings for reading sources.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::new(self.cache_dir()?);
        settings.offline = self.global.offline;
        if let Some(path) = &self.global.mirrors {
            settings.mirrors = Mirror::read_file(path)?;
        }
        Ok(settings)
    }

    /// Returns the folder for what was fetched and rendered.
    pub(crate) fn cache_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.global.cache_dir {
            return Ok(folder.clone());
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
        cache.map(|cache| cache.join("sitewright")).ok_or_else(|| {
            Diagnostic::error(machine::NO_CACHE_FOLDER, "there is no folder for the cache")
                .note("neither HOME nor XDG_CACHE_HOME is set")
                .help("give --cache-dir DIR, or set SITEWRIGHT_CACHE_DIR")
                .into()
        })
    }
}

fn color(when: ColorWhen) -> anstream::ColorChoice {
    match when {
        ColorWhen::Auto => anstream::ColorChoice::Auto,
        ColorWhen::Always => anstream::ColorChoice::Always,
        ColorWhen::Never => anstream::ColorChoice::Never,
    }
}
