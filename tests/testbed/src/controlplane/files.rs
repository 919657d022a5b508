//! The files of one control plane: certificates, kubeconfigs and configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;

use super::{api, audit, kubeconfig};
use crate::pki::{self, Authority, Certificate};

/// Where everything of a control plane lies.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    /// The administrator's kubeconfig.
    pub(super) admin: PathBuf,
    /// The testbed's own identity.
    pub(super) testbed: Certificate,
    users: AtomicU32,
}

/// The names that the API server's certificate is good for; 10.96.0.1 is `kubernetes.default`.
const SERVER_NAMES: [&str; 7] = [
    "kube-apiserver",
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "10.96.0.1",
];

impl Files {
    pub(super) fn write(folder: &Path, authority: &Authority, url: &str) -> Result<Self> {
        let files = Self {
            folder: folder.to_owned(),
            admin: folder.join("admin.kubeconfig"),
            testbed: authority.client(api::USER, &["system:masters"])?,
            users: AtomicU32::new(0),
        };
        files.certificate("ca", &authority.with_key())?;
        files.certificate("apiserver", &authority.server(&SERVER_NAMES)?)?;
        files.certificate("front-proxy", &authority.client("front-proxy", &[])?)?;
        let (private, public) = pki::token_keys()?;
        files.text("service-account.key", &private)?;
        files.text("service-account.pub", &public)?;
        files.text("audit-policy.yaml", audit::POLICY)?;
        files.text("stages.yaml", include_str!("stages.yaml"))?;
        files.text("egress.yaml", &egress_configuration(&files.egress_socket()))?;
        fs::create_dir_all(files.path("logs"))?;

        let components = [
            ("controller-manager", "system:kube-controller-manager"),
            ("scheduler", "system:kube-scheduler"),
        ];
        for (name, user) in components {
            files.kubeconfig(name, url, authority, user, &[])?;
        }
        files.kubeconfig("kwok", url, authority, "kwok", &["system:masters"])?;
        files.kubeconfig("admin", url, authority, "kubernetes-admin", &["system:masters"])?;
        Ok(files)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{program}.log"))
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    pub(super) fn egress_socket(&self) -> PathBuf {
        self.folder.join("egress.sock")
    }

    /// A path for one more user's kubeconfig.
    pub(super) fn new_kubeconfig(&self) -> PathBuf {
        self.path(&format!("user-{}.kubeconfig", self.users.fetch_add(1, Ordering::Relaxed)))
    }

    fn text(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path(name), text)?)
    }

    fn certificate(&self, name: &str, certificate: &Certificate) -> Result<()> {
        self.text(&format!("{name}.crt"), &certificate.certificate)?;
        self.text(&format!("{name}.key"), &certificate.key)
    }

    fn kubeconfig(
        &self,
        name: &str,
        url: &str,
        authority: &Authority,
        user: &str,
        groups: &[&str],
    ) -> Result<()> {
        let identity = authority.client(user, groups)?;
        let path = self.path(&format!("{name}.kubeconfig"));
        kubeconfig::write(&path, url, &authority.certificate(), Some(&identity))
    }
}

/// Sends what the API server would send into the cluster to the testbed's proxy.
fn egress_configuration(socket: &Path) -> String {
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {{ uds: {{ udsName: {} }} }}
",
        socket.display()
    )
}
