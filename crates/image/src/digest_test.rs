use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn the_digest_of_nothing_is_the_known_one() {
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
    assert_eq!(EMPTY.parse::<Digest>(), Ok(Digest::of(b"")));
}

#[test]
fn a_text_that_could_leave_the_store_is_not_a_digest() {
    for text in [
        "",
        "sha256:",
        "sha256:../../../../etc/passwd",
        &EMPTY.to_uppercase(),
        &format!("{EMPTY}0"),
        &EMPTY[..70],
        &EMPTY.replace("sha256", "sha512"),
        &EMPTY.replace("e3", "é"),
    ] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn a_hashing_reader_counts_and_digests_what_went_through() {
    let mut reader = Hashing::new(&b"some bytes"[..]);
    let mut first = [0; 4];
    reader.read_exact(&mut first).unwrap();
    assert_eq!((reader.count(), reader.digest()), (4, Digest::of(b"some")));
    io::copy(&mut reader, &mut io::sink()).unwrap();
    assert_eq!(
        (reader.count(), reader.digest()),
        (10, Digest::of(b"some bytes"))
    );
}
