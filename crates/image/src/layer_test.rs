use super::*;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A tar of one file, by GNU tar's rules.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

struct Converted {
    result: Result<(), Error>,
    image: Vec<u8>,
}

fn convert_with(
    bytes: &[u8],
    digest: Option<Digest>,
    diff_id: Digest,
    limits: &Limits,
) -> Converted {
    let mut out = tempfile::tempfile().unwrap();
    let stop = Stop::default();
    let budget = Budget::new(limits, &stop);
    let mut source = FileBytes(bytes);
    let result = convert(&mut source, digest, diff_id, &mut out, &budget, &|_| {});
    let mut image = Vec::new();
    io::Seek::rewind(&mut out).unwrap();
    out.read_to_end(&mut image).unwrap();
    Converted { result, image }
}

fn convert_bytes(bytes: &[u8], tar: &[u8]) -> Converted {
    convert_with(
        bytes,
        Some(Digest::of(bytes)),
        Digest::of(tar),
        &Limits::default(),
    )
}

fn line(result: Result<(), Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn all_compressions_give_the_same_image() {
    let tar = tar_of("a", &b"content ".repeat(100_000));
    let plain = convert_bytes(&tar, &tar);
    plain.result.unwrap();
    let (head, rest) = tar.split_at(1000);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for compressed in [
        gzip(&tar),
        zstd(&tar),
        // Several members or frames make one layer, as eStargz and zstd:chunked write it.
        [gzip(head), gzip(rest)].concat(),
        [zstd(head), skippable.clone(), zstd(rest)].concat(),
        [skippable.clone(), zstd(&tar), skippable].concat(),
    ] {
        let converted = convert_bytes(&compressed, &tar);
        converted.result.unwrap();
        assert_eq!(converted.image, plain.image);
    }
}

#[test]
fn wrong_bytes_are_told_by_their_digest_and_not_by_what_they_decode_to() {
    let tar = tar_of("a", &b"content ".repeat(100_000));
    let good = gzip(&tar);
    for place in [0, 2, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 0x55;
        let converted = convert_with(
            &bad,
            Some(Digest::of(&good)),
            Digest::of(&tar),
            &Limits::default(),
        );
        let line = line(converted.result);
        let expected = format!(
            "its digest is {}, expected {}",
            Digest::of(&bad),
            Digest::of(&good)
        );
        assert!(line.starts_with(&expected), "{place}: {line}");
    }
}

#[test]
fn a_tar_of_another_diff_id_is_refused() {
    let tar = tar_of("a", b"content");
    let converted = convert_bytes(&gzip(&tar), b"another");
    let line = line(converted.result);
    assert!(
        line.contains("uncompressed digest") && line.contains(&Digest::of(&tar).hex()),
        "{line}"
    );
}

#[test]
fn data_that_is_cut_short_or_damaged_within_is_told_with_its_compression() {
    let tar = tar_of("a", &b"content ".repeat(100_000));
    for (bytes, kind) in [(gzip(&tar), "gzip"), (zstd(&tar), "zstd")] {
        let cut = &bytes[..bytes.len() - 10];
        let line = line(convert_bytes(cut, &tar).result);
        assert!(
            line.starts_with(&format!("its {kind} data is damaged or cut short")),
            "{line}"
        );
    }
    let cut = &tar[..tar.len() / 2];
    let error = convert_bytes(cut, cut).result.unwrap_err();
    assert!(matches!(error, Error::Convert(_)), "{error}");
}

#[test]
fn four_gib_of_zeros_in_four_mib_are_refused_before_they_are_read() {
    // Many members of 1 MiB of zeros each: no memory is needed for it here either.
    let member = gzip(&vec![0; 1 << 20]);
    let bomb = member.repeat(4096);
    assert!(bomb.len() < 5 << 20);
    let limits = Limits {
        // As by default, but kept from 4 MiB on: unoptimized builds hash slowly.
        ratio_from: 4 << 20,
        ..Limits::default()
    };
    // The zeros would be the padding after an empty tar.
    let line = line(convert_with(&bomb, None, Digest::of(b""), &limits).result);
    assert!(
        line.contains("inflates 250 times and more") && line.contains("bomb"),
        "{line}"
    );
}

#[test]
fn all_layers_together_are_bounded() {
    let tar = tar_of("a", &vec![7; 1 << 20]);
    let limits = Limits {
        uncompressed: 1 << 20,
        ..Limits::default()
    };
    let line = line(convert_with(&tar, None, Digest::of(&tar), &limits).result);
    assert_eq!(
        line,
        "with it the image has more than 1048576 bytes uncompressed, the most that is taken"
    );
}

#[test]
fn a_zstd_window_larger_than_builders_use_is_refused() {
    // A frame header with a window of 2 GiB (RFC 8878, 3.1.1.1.2: exponent 21, mantissa 0).
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    let line = line(convert_bytes(&frame, b"").result);
    assert!(
        line.starts_with("its zstd data") && line.contains("indow"),
        "{line}"
    );
}

#[test]
fn a_stopped_conversion_says_so() {
    let tar = tar_of("a", b"content");
    let limits = Limits::default();
    let stop = Stop::default();
    stop.stop();
    let budget = Budget::new(&limits, &stop);
    let mut out = tempfile::tempfile().unwrap();
    let mut source = FileBytes(&tar[..]);
    let result = convert(
        &mut source,
        None,
        Digest::of(&tar),
        &mut out,
        &budget,
        &|_| {},
    );
    assert!(matches!(result, Err(Error::Stopped)));
}
