//! Whatever the bytes, a conversion ends in an image or in an error, within its limits. The
//! checksums of what could be headers are made right first, so that the fuzzer gets past them.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use skete_erofs::{Limits, Options, convert};

fn fix_checksums(tar: &mut [u8]) {
    let (blocks, _) = tar.as_chunks_mut::<512>();
    for block in blocks
        .iter_mut()
        .filter(|block| block[257..262] == *b"ustar")
    {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut tar = data.to_vec();
    fix_checksums(&mut tar);
    let limits = Limits {
        max_image_bytes: 16 << 20,
        max_tar_bytes: 16 << 20,
        ..Limits::default()
    };
    let options = Options { limits, uuid: None };
    let mut image = Cursor::new(Vec::new());
    if let Ok(stats) = convert(&tar[..], &mut image, &options) {
        assert_eq!(stats.image_bytes, image.get_ref().len() as u64);
        assert!(stats.image_bytes <= 16 << 20);
        let mut again = Cursor::new(Vec::new());
        convert(&tar[..], &mut again, &options).expect("the same tar converts again");
        assert!(
            image.get_ref() == again.get_ref(),
            "the same tar gives the same image"
        );
    }
});
