use super::*;

fn header(exec_id: &str) -> StdioHeader {
    StdioHeader {
        stream: StdioStream::Stderr,
        container_id: "web".into(),
        exec_id: exec_id.into(),
    }
}

#[test]
fn a_header_reads_back_as_it_was_written() {
    for header in [header(""), header("probe-1")] {
        assert_eq!(header.to_string().parse(), Ok(header));
    }
}

#[test]
fn a_header_with_an_unknown_stream_names_it() {
    let parsed = "stdlog web".parse::<StdioHeader>();
    assert_eq!(parsed, Err(HeaderError::UnknownStream("stdlog".into())));
}

#[test]
fn a_header_with_too_few_or_too_many_words_is_refused() {
    for line in ["stdin", "stdin a b c"] {
        assert_eq!(
            line.parse::<StdioHeader>(),
            Err(HeaderError::Malformed),
            "{line}"
        );
    }
}
