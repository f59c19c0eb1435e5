//! The values of single flags. Each function says what is wrong; the caller names the flag.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ContainerPort;

use crate::names;
use crate::quantity::Quantity;

/// Most ports that one range may publish.
const MAX_RANGE: usize = 1024;

/// A name for a container, from its image's: `example.org/team/Web_1:2` becomes `web-1`.
pub(crate) fn base_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let last = last.split(['@', ':']).next().unwrap_or_default();
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let mut name: String = last.chars().map(plain).take(40).collect();
    name.truncate(name.trim_end_matches('-').len());
    let name = name.trim_start_matches('-');
    if name.is_empty() {
        "main".to_owned()
    } else {
        name.to_owned()
    }
}

/// Text that Kubernetes' expansion of `$(NAME)` leaves as it is given.
pub(crate) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Numbers for `runAsUser` and `runAsGroup`; what is not all numbers is left to the guest.
pub(crate) fn user(text: Option<&str>) -> (Option<i64>, Option<i64>, Option<String>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return (None, None, None);
    };
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    match text.split_once(':') {
        None => match number(text) {
            Some(user) => (Some(user), None, None),
            None => (None, None, Some(text.to_owned())),
        },
        Some((user, group)) => match (number(user), number(group)) {
            (Some(user), Some(group)) => (Some(user), Some(group), None),
            _ => (None, None, Some(text.to_owned())),
        },
    }
}

pub(crate) fn network(text: &str) -> Result<&'static str, String> {
    match text {
        "none" => Ok("none"),
        "default" | "bridge" => Ok("default"),
        "host" => Err(
            "refused: nothing of the host is shared with a microVM; publish ports with --publish"
                .to_owned(),
        ),
        _ => Err("is not one of default, none".to_owned()),
    }
}

pub(crate) fn restart(text: &str) -> Result<&'static str, String> {
    match text {
        "no" | "never" => Ok("Never"),
        "on-failure" => Ok("OnFailure"),
        "always" | "unless-stopped" => Ok("Always"),
        _ if text.starts_with("on-failure:") => {
            Err("a bound on the number of tries is not honoured yet; write on-failure".to_owned())
        }
        _ => Err("is not one of no, on-failure, always, unless-stopped".to_owned()),
    }
}

pub(crate) fn pull(text: &str) -> Result<&'static str, String> {
    match text {
        "missing" => Ok("IfNotPresent"),
        "always" => Ok("Always"),
        "never" => Ok("Never"),
        _ => Err("is not one of missing, always, never".to_owned()),
    }
}

/// A size as `docker run -m` takes it (`512m`, `1.5g`, bytes without a unit), or a quantity with a
/// binary unit (`512Mi`).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "is not a size; write 512m, 1.5g or 512Mi".to_owned();
    let lower = text.to_ascii_lowercase();
    let quantity = if text.ends_with('i') {
        text.to_owned()
    } else {
        let number = lower.strip_suffix('b').unwrap_or(&lower);
        let (number, unit) = match number.strip_suffix(['k', 'm', 'g', 't']) {
            Some(rest) => (rest, &number[rest.len()..]),
            None => (number, ""),
        };
        if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(wrong());
        }
        let unit = match unit {
            "k" => "Ki",
            "m" => "Mi",
            "g" => "Gi",
            "t" => "Ti",
            _ => "",
        };
        format!("{number}{unit}")
    };
    let quantity = Quantity::parse(&quantity).map_err(|_| wrong())?;
    match u64::try_from(quantity.ceil()) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(wrong()),
    }
}

/// A number of bytes as people write it in a Pod.
pub(crate) fn bytes_text(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}Mi", bytes >> 20)
    } else {
        bytes.to_string()
    }
}

/// Thousandths of a CPU.
pub(crate) fn milli_cpus(text: &str) -> Result<i64, String> {
    let number = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let quantity = Quantity::parse(text).ok().filter(|_| number);
    match quantity {
        Some(quantity) if quantity > Quantity::default() && quantity.is_whole_milli() => {
            Ok(quantity.milli_ceil())
        }
        _ => Err("is not a number of CPUs; write 2 or 1.5, not finer than 0.001".to_owned()),
    }
}

/// `[[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL]`.
pub(crate) fn publish(text: &str) -> Result<Vec<ContainerPort>, String> {
    let form = || "has to be [[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL], as 8080:80".to_owned();
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, protocol.to_ascii_uppercase()),
        None => (text, "TCP".to_owned()),
    };
    if !matches!(protocol.as_str(), "TCP" | "UDP" | "SCTP") {
        return Err(format!("{protocol:?} is not one of tcp, udp, sctp"));
    }
    let (address, ports) = match ports.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(form)?;
            (address, rest.strip_prefix(':').ok_or_else(form)?)
        }
        None => match ports.rmatch_indices(':').nth(1) {
            Some((at, _)) => (&ports[..at], &ports[at + 1..]),
            None => ("", ports),
        },
    };
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("{address:?} is not an IP address"));
    }
    let Some((host, container)) = ports.split_once(':') else {
        return Err(format!(
            "the host's port is missing; write {ports}:{ports}, or another one first"
        ));
    };
    if host.is_empty() {
        return Err(format!(
            "the host's port is missing; write {container}:{container}, or another one first"
        ));
    }
    let (host, container) = (range(host)?, range(container)?);
    if host.len() != container.len() {
        return Err(format!(
            "{} ports of the host for {} of the Pod; there have to be as many",
            host.len(),
            container.len()
        ));
    }
    Ok(host
        .into_iter()
        .zip(container)
        .map(|(host_port, container_port)| ContainerPort {
            container_port,
            host_port: Some(host_port),
            host_ip: (!address.is_empty()).then(|| address.to_owned()),
            protocol: Some(protocol.clone()),
            ..Default::default()
        })
        .collect())
}

fn range(text: &str) -> Result<Vec<i32>, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(i32::from(port)),
        _ => Err(format!(
            "{text:?} is not a port; it has to be between 1 and 65535"
        )),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    let ports: Vec<i32> = (first..=last).take(MAX_RANGE + 1).collect();
    match ports.len() {
        0 => Err(format!("{text:?} runs backwards")),
        1..=MAX_RANGE => Ok(ports),
        _ => Err(format!("{text:?} is more than {MAX_RANGE} ports")),
    }
}

/// The path of an empty volume.
pub(crate) fn volume(text: &str) -> Result<&str, String> {
    let (first, rest) = match text.split_once(':') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    match rest {
        None if first.starts_with('/') => Ok(first),
        Some(_) if first.starts_with(['/', '.', '~']) => Err(
            "refused: nothing of the host is shared with a microVM; put files into the image, or into a ConfigMap beside a Pod"
                .to_owned(),
        ),
        _ => Err(
            "named volumes are not honoured yet; write the path alone for an empty directory"
                .to_owned(),
        ),
    }
}

/// `PATH[:OPTION,…]`: the path, and the size in bytes if one is given.
pub(crate) fn tmpfs(text: &str) -> Result<(&str, Option<u64>), String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err("has to be an absolute path".to_owned());
    }
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", text)) => size = Some(bytes(text)?),
            None if option == "rw" => {}
            _ => return Err(format!("{option:?} is not honoured yet; size=64m is")),
        }
    }
    Ok((path, size))
}

/// `NAME:ADDRESS`, or `NAME=ADDRESS`.
pub(crate) fn add_host(text: &str) -> Result<(String, String), String> {
    let form = || "has to be NAME:ADDRESS".to_owned();
    let (name, ip) = text.split_once([':', '=']).ok_or_else(form)?;
    let ip = ip
        .strip_prefix('[')
        .and_then(|ip| ip.strip_suffix(']'))
        .unwrap_or(ip);
    if ip == "host-gateway" {
        return Err("host-gateway is not honoured yet; write the address".to_owned());
    }
    names::subdomain(name)?;
    names::ip_address(ip)?;
    Ok((name.to_owned(), ip.to_owned()))
}

/// The variables of a file: `NAME=VALUE`, or `NAME` for the value that it has here; `#` begins a
/// comment line.
pub(crate) fn env_file(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), environment(line.trim_end())),
        };
        if name.contains(char::is_whitespace) {
            return Err(format!("line {}: {name:?} has a space in it", index + 1));
        }
        names::environment(name).map_err(|message| format!("line {}: {message}", index + 1))?;
        names::no_nul(value.as_deref().unwrap_or_default())
            .map_err(|message| format!("line {}: {message}", index + 1))?;
        if let Some(value) = value {
            variables.push((name.to_owned(), value));
        }
    }
    Ok(variables)
}

#[cfg(test)]
#[path = "run_flags_test.rs"]
mod tests;
