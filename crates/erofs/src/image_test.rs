use super::*;

fn extents(piece_bits: u32, runs: &[(u32, u32)]) -> Extents {
    Extents {
        start: 100,
        piece_bits,
        runs: runs.to_vec(),
    }
}

fn encode(extents: &Extents) -> (u32, Vec<u32>) {
    let bits = chunk_bits(extents);
    let shape = Shape {
        xattr_len: 0,
        layout: DataLayout::ChunkBased,
        inline: 0,
        chunks: 0,
        chunk_bits: bits,
        blocks: 0,
        size: 0,
    };
    let mut bytes = Vec::new();
    table(extents, &shape, &mut bytes);
    let blocks = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| u32::from_le_bytes(*b));
    (bits, blocks.collect())
}

#[test]
fn a_file_of_one_hole_is_one_chunk() {
    assert_eq!(encode(&extents(4, &[(65_536, 0)])), (20, vec![NULL_BLOCK]));
    assert_eq!(encode(&extents(4, &[(5, 0)])), (7, vec![NULL_BLOCK]));
}

#[test]
fn chunks_are_as_large_as_the_borders_allow() {
    let null = NULL_BLOCK;
    assert_eq!(encode(&extents(4, &[(2, 2)])), (5, vec![null, 100]));
    assert_eq!(
        encode(&extents(4, &[(0, 1), (1, 2)])),
        (4, vec![100, null, 116, 132])
    );
    assert_eq!(
        encode(&extents(4, &[(4, 8), (4, 3)])),
        (6, vec![null, 100, 164, null, 228])
    );
}

#[test]
fn chunks_never_exceed_what_the_format_can_say() {
    let (bits, blocks) = encode(&extents(14, &[(1 << 18, 0)]));
    assert_eq!(bits, MAX_CHUNK_BITS);
    assert_eq!(blocks, [NULL_BLOCK, NULL_BLOCK]);
}
