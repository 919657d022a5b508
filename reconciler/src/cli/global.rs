//! Options that every command takes.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Options that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, the pod's service account]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub context: Option<String>,
    /// A YAML file of addresses to read from elsewhere: `mirrors: [{from: URL, to: URL}]`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SITEWRIGHT_MIRRORS",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub mirrors: Option<PathBuf>,
    /// The folder for what was fetched and rendered [default: ~/.cache/sitewright]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SITEWRIGHT_CACHE_DIR",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub cache_dir: Option<PathBuf>,
    /// Fetch nothing: use only what is on this machine already
    #[arg(long, global = true, hide_short_help = true)]
    pub offline: bool,
    /// When to use colour: auto, always or never; NO_COLOR and CLICOLOR_FORCE are respected
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub color: ColorWhen,
    /// Tell more: all fields and objects, and what is done (-vv: how)
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Tell less: no progress, no warnings
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// The form of the log on standard error: text or json; SITEWRIGHT_LOG filters it (tracing's syntax)
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "text",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub log_format: LogFormat,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
