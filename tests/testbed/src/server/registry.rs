//! An OCI registry.

use std::{ffi::OsStr, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    port::free_port,
    process::{self, Janitor, Process},
    tools::Tool,
};

/// The registry starts in less than a second on an idle machine.
const READY: Duration = Duration::from_secs(60);

/// Another process can take the port between its choice and its use.
const TRIES: u32 = 3;

/// The CNCF distribution registry over plain HTTP, empty at first; ends when dropped.
#[derive(Debug)]
pub struct Registry {
    address: String,
    _process: Process,
    _folder: TempDir,
    _janitor: Janitor,
}

impl Registry {
    /// Starts a registry on a free port.
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
        let folder = tempfile::Builder::new().prefix("sitewright-registry-").tempdir()?;
        let janitor = Janitor::of(folder.path())?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let configuration = folder.path().join("configuration.yaml");
        fs::write(&configuration, configuration_of(&address, &folder.path().join("data")))?;
        let arguments = [OsStr::new("serve"), configuration.as_os_str()];
        let environment = [("OTEL_TRACES_EXPORTER", OsStr::new("none"))];
        let log = folder.path().join("registry.log");
        let mut process = Process::start(&Tool::Registry.find()?, arguments, &environment, &log)?;
        let ping = format!("http://{address}/v2/");
        process.until_ready(READY, || {
            ureq::get(&ping).call()?;
            Ok(())
        })?;
        Ok(Self { address, _process: process, _folder: folder, _janitor: janitor })
    }

    /// Host and port, such as `127.0.0.1:40127`; an artifact's address is `oci://HOST:PORT/NAME`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes a chart archive below `path`, and gives its address without the tag.
    ///
    /// # Errors
    /// helm is missing or refuses the archive.
    pub fn push_chart(&self, archive: &Path, path: &str) -> Result<String> {
        let address = format!("oci://{}/{path}", self.address);
        let mut helm = Command::new(Tool::Helm.find()?);
        helm.args(["push", "--plain-http"]).arg(archive).arg(&address);
        process::output(&mut helm, b"")?;
        Ok(address)
    }
}

fn configuration_of(address: &str, data: &Path) -> String {
    format!(
        "version: 0.1
log: {{ level: warn, accesslog: {{ disabled: true }} }}
storage:
  filesystem: {{ rootdirectory: {} }}
  delete: {{ enabled: true }}
http: {{ addr: \"{address}\" }}
",
        data.display()
    )
}
