//! The programs that make up a cluster, with their arguments, in the order in which they start.

use std::path::PathBuf;

use super::node::ADDRESS;
use super::{Cluster, programs};
use crate::command::Failure;

/// One long-running program.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Files that it reads once, when it starts.
    pub(crate) config: Vec<PathBuf>,
    /// What it needs before it can start.
    pub(crate) after: Need,
}

/// What must be there before a part starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    ApiServer,
}

/// All of them.
pub(crate) fn all(cluster: &Cluster) -> Result<Vec<Part>, Failure> {
    let dir = cluster.dir().to_string_lossy().into_owned();
    let run = cluster.run_dir().to_string_lossy().into_owned();
    let node = cluster.node();
    let etc = |file: &str| cluster.dir().join("etc").join(file);
    let debian = |name: &str| Ok(PathBuf::from("/usr/bin").join(name));
    let conf = |user: &str| etc(&format!("kubernetes/{user}.conf"));

    let mut parts = Vec::new();
    let mut add = |name, program: Result<PathBuf, Failure>, after, config, flags: String| {
        parts.push(Part {
            name,
            program: program?,
            arguments: flags.split_whitespace().map(str::to_owned).collect(),
            config,
            after,
        });
        Ok::<(), Failure>(())
    };
    let registry = etc("registry.yaml");
    add(
        "registry",
        debian("docker-registry"),
        Need::Nothing,
        vec![registry.clone()],
        format!("serve {}", registry.display()),
    )?;
    let containerd = etc("containerd/config.toml");
    add(
        "containerd",
        programs::path("containerd"),
        Need::Nothing,
        vec![etc("containerd/environment")],
        format!("--config {}", containerd.display()),
    )?;
    add(
        "etcd",
        debian("etcd"),
        Need::Nothing,
        Vec::new(),
        format!(
            "--data-dir {dir}/etcd --listen-client-urls http://127.0.0.1:2379
             --advertise-client-urls http://127.0.0.1:2379
             --listen-peer-urls http://127.0.0.1:2380"
        ),
    )?;
    add(
        "kube-apiserver",
        programs::path("kube-apiserver"),
        Need::Nothing,
        Vec::new(),
        format!(
            "--etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range=10.96.0.0/16
             --bind-address=0.0.0.0 --advertise-address={ADDRESS} --secure-port=6443
             --cert-dir={dir}/pki --tls-cert-file={dir}/pki/apiserver.crt
             --tls-private-key-file={dir}/pki/apiserver.key --client-ca-file={dir}/pki/ca.crt
             --kubelet-client-certificate={dir}/pki/kubelet-client.crt
             --kubelet-client-key={dir}/pki/kubelet-client.key
             --kubelet-preferred-address-types=InternalIP,Hostname
             --service-account-issuer=https://kubernetes.default.svc
             --service-account-key-file={dir}/pki/service-accounts.pub
             --service-account-signing-key-file={dir}/pki/service-accounts.key
             --requestheader-client-ca-file={dir}/pki/ca.crt
             --requestheader-allowed-names=front-proxy
             --requestheader-username-headers=X-Remote-User
             --requestheader-group-headers=X-Remote-Group
             --requestheader-extra-headers-prefix=X-Remote-Extra-
             --proxy-client-cert-file={dir}/pki/front-proxy.crt
             --proxy-client-key-file={dir}/pki/front-proxy.key
             --authorization-mode=Node,RBAC --allow-privileged=true
             --enable-admission-plugins=NodeRestriction
             --feature-gates=MutatingAdmissionPolicy=true,ImageVolume=true
             --runtime-config=admissionregistration.k8s.io/v1beta1=true"
        ),
    )?;
    let user = "controller-manager";
    add(
        "kube-controller-manager",
        programs::path("kube-controller-manager"),
        Need::ApiServer,
        vec![conf(user)],
        format!(
            "--kubeconfig={} --service-account-private-key-file={dir}/pki/service-accounts.key
             --root-ca-file={dir}/pki/ca.crt --use-service-account-credentials=true
             --cluster-signing-cert-file={dir}/pki/ca.crt
             --cluster-signing-key-file={dir}/pki/ca.key --leader-elect=false
             --cert-dir={run} --flex-volume-plugin-dir={dir}/volume-plugins",
            conf(user).display()
        ),
    )?;
    let user = "scheduler";
    add(
        "kube-scheduler",
        programs::path("kube-scheduler"),
        Need::ApiServer,
        vec![conf(user)],
        format!(
            "--kubeconfig={} --leader-elect=false --cert-dir={run}",
            conf(user).display()
        ),
    )?;
    add(
        "kube-proxy",
        programs::path("kube-proxy"),
        Need::ApiServer,
        vec![conf("admin")],
        format!(
            "--kubeconfig={} --proxy-mode=nftables --hostname-override={node}
             --conntrack-max-per-core=0 --cluster-cidr=10.244.0.0/16",
            conf("admin").display()
        ),
    )?;
    let corefile = etc("Corefile");
    add(
        "coredns",
        programs::path("coredns"),
        Need::ApiServer,
        vec![corefile.clone()],
        format!("-conf {}", corefile.display()),
    )?;
    let admin = conf("admin");
    add(
        "metrics-server",
        programs::path("metrics-server"),
        Need::ApiServer,
        vec![admin.clone()],
        format!(
            "--kubeconfig={admin} --authentication-kubeconfig={admin}
             --authorization-kubeconfig={admin} --secure-port=4443 --cert-dir={run}/metrics-server
             --kubelet-certificate-authority={dir}/pki/ca.crt
             --kubelet-preferred-address-types=InternalIP --metric-resolution=10s --kubelet-request-timeout=5s",
            admin = admin.display()
        ),
    )?;
    let kubelet = etc("kubernetes/kubelet.yaml");
    add(
        "kubelet",
        programs::path("kubelet"),
        Need::ApiServer,
        vec![conf("kubelet"), kubelet.clone()],
        format!(
            "--kubeconfig={} --config={} --hostname-override={node} --root-dir={dir}/kubelet
             --cert-dir={dir}/pki --node-ip={ADDRESS}",
            conf("kubelet").display(),
            kubelet.display()
        ),
    )?;
    Ok(parts)
}
