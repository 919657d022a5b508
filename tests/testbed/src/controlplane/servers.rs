//! The command lines of the programs.

use anyhow::Result;

use super::{
    Ports,
    files::Files,
    options::{Controllers, Options},
};
use crate::{process::Process, tools::Tool};

/// etcd without synchronised writes: the data is as short-lived as the test.
pub(super) fn etcd(files: &Files, ports: &Ports) -> Result<Process> {
    let client = format!("http://127.0.0.1:{}", ports.etcd.get());
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer.get());
    let arguments = [
        "--name=testbed".to_owned(),
        format!("--data-dir={}", files.path("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=testbed={peer}"),
        "--socket-reuse-port=true".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
        "--snapshot-count=100000".to_owned(),
        "--logger=zap".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    start(files, Tool::Etcd, &arguments)
}

pub(super) fn apiserver(files: &Files, ports: &Ports, options: &Options) -> Result<Process> {
    let path = |name: &str| files.path(name).display().to_string();
    let mut arguments = vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.apiserver.get()),
        "--permit-port-sharing=true".to_owned(),
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd.get()),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // Its own endpoint would be a loopback address, which an Endpoints object may not hold.
        "--endpoint-reconciler-type=none".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--max-requests-inflight=800".to_owned(),
        "--max-mutating-requests-inflight=400".to_owned(),
        format!("--tls-cert-file={}", path("apiserver.crt")),
        format!("--tls-private-key-file={}", path("apiserver.key")),
        format!("--client-ca-file={}", path("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", path("service-account.pub")),
        format!("--service-account-signing-key-file={}", path("service-account.key")),
        format!("--requestheader-client-ca-file={}", path("ca.crt")),
        "--requestheader-allowed-names=front-proxy".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        format!("--proxy-client-cert-file={}", path("front-proxy.crt")),
        format!("--proxy-client-key-file={}", path("front-proxy.key")),
        format!("--egress-selector-config-file={}", path("egress.yaml")),
        format!("--audit-policy-file={}", path("audit-policy.yaml")),
        format!("--audit-log-path={}", files.audit_log().display()),
        "--audit-log-mode=blocking".to_owned(),
        // In MiB; the reader follows one file, so it must not be rotated.
        "--audit-log-maxsize=1048576".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if options.controllers == Controllers::Absent {
        // Without controllers no service account is ever made, and pods would wait for one.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    arguments.extend(options.apiserver_arguments.iter().cloned());
    start(files, Tool::KubeApiserver, &arguments)
}

pub(super) fn controller_manager(files: &Files) -> Result<Process> {
    let path = |name: &str| files.path(name).display().to_string();
    let arguments = [
        format!("--kubeconfig={}", path("controller-manager.kubeconfig")),
        format!("--root-ca-file={}", path("ca.crt")),
        format!("--service-account-private-key-file={}", path("service-account.key")),
        format!("--cluster-signing-cert-file={}", path("ca.crt")),
        format!("--cluster-signing-key-file={}", path("ca.key")),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ];
    start(files, Tool::KubeControllerManager, &arguments)
}

pub(super) fn scheduler(files: &Files) -> Result<Process> {
    let arguments = [
        format!("--kubeconfig={}", files.path("scheduler.kubeconfig").display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ];
    start(files, Tool::KubeScheduler, &arguments)
}

pub(super) fn kwok(files: &Files) -> Result<Process> {
    let arguments = [
        format!("--kubeconfig={}", files.path("kwok.kubeconfig").display()),
        format!("--config={}", files.path("stages.yaml").display()),
        "--manage-all-nodes=true".to_owned(),
        "--node-ip=10.0.0.1".to_owned(),
        "--cidr=10.0.0.0/8".to_owned(),
        "--node-lease-duration-seconds=40".to_owned(),
        "--server-address=".to_owned(),
    ];
    start(files, Tool::Kwok, &arguments)
}

fn start(files: &Files, tool: Tool, arguments: &[String]) -> Result<Process> {
    let program = tool.find()?;
    // A proxy of the user's must never see loopback traffic.
    let environment = [("NO_PROXY", "*"), ("no_proxy", "*")].map(|(k, v)| (k, v.as_ref()));
    Process::start(&program, arguments, &environment, &files.log(tool.name()))
}
