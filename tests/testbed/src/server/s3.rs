//! An S3 server.

use std::{ffi::OsStr, fs, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    port::free_port,
    process::{Janitor, Process},
    tools::Tool,
};

/// The server starts in less than a second on an idle machine.
const READY: Duration = Duration::from_secs(60);

/// Another process can take the port between its choice and its use.
const TRIES: u32 = 3;

/// The Versity S3 gateway over plain HTTP, with versions, without buckets at first; ends when dropped.
///
/// It checks signatures.
#[derive(Debug)]
pub struct S3Server {
    address: String,
    _process: Process,
    _folder: TempDir,
    _janitor: Janitor,
}

impl S3Server {
    /// The id of the key that may do everything.
    pub const ACCESS_KEY: &str = "testbed";
    /// The key.
    pub const SECRET_KEY: &str = "secret-of-the-testbed";

    /// Starts a server on a free port.
    ///
    /// # Errors
    /// The program is missing, ends or is not ready in time.
    pub fn start() -> Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            match Self::try_start() {
                Err(error) if format!("{error:#}").contains("address already in use") => {
                    last = Some(error);
                }
                other => return other,
            }
        }
        Err(last.context("it was tried at least once")?)
    }

    fn try_start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sitewright-s3-").tempdir()?;
        let janitor = Janitor::of(folder.path())?;
        let [data, versions, sidecar] =
            ["data", "versions", "sidecar"].map(|name| folder.path().join(name));
        for made in [&data, &versions, &sidecar] {
            fs::create_dir(made)?;
        }
        let address = format!("127.0.0.1:{}", free_port()?);
        let arguments = [
            OsStr::new("--port"),
            OsStr::new(&address),
            OsStr::new("posix"),
            OsStr::new("--versioning-dir"),
            versions.as_os_str(),
            OsStr::new("--sidecar"),
            sidecar.as_os_str(),
            data.as_os_str(),
        ];
        let environment = [
            ("ROOT_ACCESS_KEY", OsStr::new(Self::ACCESS_KEY)),
            ("ROOT_SECRET_KEY", OsStr::new(Self::SECRET_KEY)),
        ];
        let log = folder.path().join("s3.log");
        let mut process = Process::start(&Tool::VersityGw.find()?, arguments, &environment, &log)?;
        let ping = format!("http://{address}/");
        process.until_ready(READY, || match ureq::get(&ping).call() {
            // who does not sign is refused, and that is an answer
            Ok(_) | Err(ureq::Error::StatusCode(_)) => Ok(()),
            Err(error) => Err(error.into()),
        })?;
        Ok(Self { address, _process: process, _folder: folder, _janitor: janitor })
    }

    /// The address, such as `http://127.0.0.1:40128`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
