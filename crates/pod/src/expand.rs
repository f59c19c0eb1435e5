//! `$(NAME)` in commands, arguments and variables, by Kubernetes' rules.

/// Replaces each `$(NAME)` that `lookup` knows; leaves the others as they are. `$$` is a `$` that
/// begins no reference.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_are_replaced_as_kubernetes_replaces_them() {
        // From k8s.io/kubernetes/third_party/forked/golang/expansion/expand_test.go.
        let lookup = |name: &str| {
            let value = match name {
                "VAR_A" => "A",
                "VAR_B" => "B",
                "VAR_EMPTY" => "",
                "VAR_REF" => "$(VAR_A)",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let table = [
            ("$(VAR_A)", "A"),
            ("___$(VAR_A)___", "___A___"),
            ("$(VAR_A)$(VAR_B)", "AB"),
            ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
            ("$$$$(VAR_B)", "$$(VAR_B)"),
            ("$$$(VAR_A)", "$A"),
            ("f000-$$VAR_A", "f000-$VAR_A"),
            ("foo\\$(VAR_C)bar", "foo\\$(VAR_C)bar"),
            ("foo$(VAR_EMPTY)bar", "foobar"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("$(VAR_A", "$(VAR_A"),
            ("$", "$"),
            ("$$", "$"),
            ("$$$", "$$"),
            ("$A)", "$A)"),
            ("$()", "$()"),
            ("$(ü)$", "$(ü)$"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }
}
