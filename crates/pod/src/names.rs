//! The forms that Kubernetes gives to names. Each check says what is wrong, not where.

/// Name of a Pod, ConfigMap or Secret: an RFC 1123 subdomain of at most 253 characters.
pub(crate) fn subdomain(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err(format!(
            "is {} characters long; at most 253 are allowed",
            name.len()
        ));
    }
    if name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a DNS name; use lower-case letters, digits, \"-\" and \".\", with a letter or digit at both ends"
    ))
}

/// Name of a container, volume or namespace: an RFC 1123 label of at most 63 characters.
pub(crate) fn label(name: &str) -> Result<(), String> {
    if name.len() > 63 {
        return Err(format!(
            "is {} characters long; at most 63 are allowed",
            name.len()
        ));
    }
    if is_label(name) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a DNS label; use lower-case letters, digits and \"-\", with a letter or digit at both ends"
    ))
}

fn is_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Name of a port: at most 15 of `a-z0-9-`, at least one letter, no `-` at an end or doubled.
pub(crate) fn port(name: &str) -> Result<(), String> {
    if is_label(name)
        && name.len() <= 15
        && !name.contains("--")
        && name.bytes().any(|b| b.is_ascii_lowercase())
    {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a port name; use at most 15 lower-case letters, digits and single \"-\", with a letter among them"
    ))
}

/// Name of an environment variable: printable ASCII without `=`.
pub(crate) fn environment(name: &str) -> Result<(), String> {
    if !name.is_empty()
        && name
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
    {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a name for an environment variable; use printable ASCII without \"=\""
    ))
}

/// Key of a ConfigMap or Secret, hence a file name: at most 253 of `A-Za-z0-9-_.`.
pub(crate) fn data_key(key: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !key.is_empty()
        && key.len() <= 253
        && key.bytes().all(allowed)
        && key != "."
        && !key.starts_with("..")
    {
        return Ok(());
    }
    Err(format!(
        "{key:?} is not a key; use letters, digits, \"-\", \"_\" and \".\", and do not begin with \"..\""
    ))
}

/// Key of a label or annotation: `[PREFIX/]NAME`.
pub(crate) fn qualified(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|p| subdomain(p).is_ok());
    if prefix_fits && name.len() <= 63 && !name.is_empty() && is_label_text(name) {
        return Ok(());
    }
    Err(format!(
        "{key:?} is not a key; write NAME or DNS-PREFIX/NAME, the name of at most 63 letters, digits, \"-\", \"_\" and \".\""
    ))
}

/// Value of a label: empty, or at most 63 of `A-Za-z0-9-_.` with a letter or digit at both ends.
pub(crate) fn label_value(value: &str) -> Result<(), String> {
    if value.is_empty() || (value.len() <= 63 && is_label_text(value)) {
        return Ok(());
    }
    Err(format!(
        "{value:?} is not a label value; use at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter or digit at both ends"
    ))
}

fn is_label_text(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = |c: char| c.is_ascii_alphanumeric();
    text.bytes().all(allowed) && text.starts_with(end) && text.ends_with(end)
}

/// Anything but nothing.
pub(crate) fn filled(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    no_nul(text)
}

/// A path inside of a volume: relative, without `..`.
pub(crate) fn relative_path(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("{path:?} must be relative"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("{path:?} must not contain \"..\""));
    }
    no_nul(path)
}

/// A path of a file that a volume shows: as above, and not where the swap keeps its own files.
pub(crate) fn projected_path(path: &str) -> Result<(), String> {
    filled(path)?;
    relative_path(path)?;
    if path.starts_with("..") {
        return Err(format!("{path:?} must not begin with \"..\""));
    }
    let odd = |part: &str| part.is_empty() || part == ".";
    if path.split('/').any(odd) {
        return Err(format!("{path:?} has an empty part"));
    }
    Ok(())
}

/// Any text that a C string can hold.
pub(crate) fn no_nul(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("must not contain a NUL character".to_owned());
    }
    Ok(())
}

/// An IPv4 or IPv6 address.
pub(crate) fn ip_address(text: &str) -> Result<(), String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not an IP address")),
    }
}

/// Name of a kernel parameter, `net.core.somaxconn` or `net/ipv4/conf/eth0.1/forwarding`.
pub(crate) fn sysctl(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let inner = |c: char| end(c) || matches!(c, '-' | '_');
        part.starts_with(end) && part.ends_with(end) && part.chars().all(inner)
    };
    if name.len() <= 253 && name.split(['.', '/']).all(part) {
        return Ok(());
    }
    Err(format!("{name:?} is not the name of a kernel parameter"))
}

#[cfg(test)]
#[path = "names_test.rs"]
mod tests;
