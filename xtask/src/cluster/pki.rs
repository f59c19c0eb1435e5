//! The cluster's certificates and the keys of its service accounts, by openssl.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Cluster;
use super::node::ADDRESS;
use crate::command::{Failure, run};

/// Those who speak to the API server with a file `NAME.conf`.
pub(crate) const USERS: &[&str] = &["admin", "controller-manager", "scheduler", "kubelet"];

/// Makes what is missing.
pub(crate) fn make(cluster: &Cluster) -> Result<(), Failure> {
    let dir = cluster.dir().join("pki");
    if dir.exists() {
        return Ok(());
    }
    // All of it or nothing.
    let new = cluster.dir().join("pki.new");
    let failed = |error| Failure::io(new.display(), &error);
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).map_err(failed)?;
    openssl(
        &new,
        "req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=skete-cluster -keyout ca.key \
         -out ca.crt",
    )?;
    let node = cluster.node();
    let api = format!(
        "IP:127.0.0.1,IP:{ADDRESS},IP:10.96.0.1,DNS:localhost,DNS:kubernetes,\
         DNS:kubernetes.default,DNS:kubernetes.default.svc"
    );
    let kubelet = format!("/O=system:nodes/CN=system:node:{node}");
    let kubelet_names = format!("IP:127.0.0.1,IP:{ADDRESS},DNS:{node}");
    for (name, subject, names) in [
        ("apiserver", "/CN=kube-apiserver", api.as_str()),
        // The API server, towards servers of API groups beside it.
        ("front-proxy", "/CN=front-proxy", ""),
        ("kubelet-client", "/O=system:masters/CN=kubelet-client", ""),
        ("admin", "/O=system:masters/CN=admin", ""),
        (
            "controller-manager",
            "/CN=system:kube-controller-manager",
            "",
        ),
        ("scheduler", "/CN=system:kube-scheduler", ""),
        ("kubelet", &kubelet, &kubelet_names),
    ] {
        certificate(&new, name, subject, names)?;
    }
    openssl(&new, "genrsa -out service-accounts.key 2048")?;
    openssl(
        &new,
        "rsa -in service-accounts.key -pubout -out service-accounts.pub",
    )?;
    fs::rename(&new, &dir).map_err(failed)
}

fn certificate(dir: &Path, name: &str, subject: &str, names: &str) -> Result<(), Failure> {
    let extensions = match names {
        "" => "extendedKeyUsage=clientAuth\n".to_owned(),
        names => format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"),
    };
    let file = dir.join(format!("{name}.ext"));
    fs::write(&file, extensions).map_err(|error| Failure::io(file.display(), &error))?;
    openssl(
        dir,
        &format!("req -newkey rsa:2048 -nodes -subj {subject} -keyout {name}.key -out {name}.csr"),
    )?;
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 \
             -extfile {name}.ext -out {name}.crt"
        ),
    )
}

fn openssl(dir: &Path, arguments: &str) -> Result<(), Failure> {
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(dir)
        .args(arguments.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run(&mut openssl)
}
