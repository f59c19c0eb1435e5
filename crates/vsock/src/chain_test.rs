use super::*;

fn bytes(pieces: &Pieces<'_, ()>) -> Vec<u8> {
    let mut bytes = vec![0; pieces.len()];
    pieces.copy_to(&mut bytes);
    bytes
}

#[test]
fn a_header_is_split_off_wherever_the_pieces_end() {
    let all: Vec<u8> = (0..60).collect();
    for first in 0..60 {
        for second in first..60 {
            let mut slices = [
                all[..first].to_vec(),
                all[first..second].to_vec(),
                all[second..].to_vec(),
            ];

            let (header, rest) = Pieces::of(&mut slices).split_header().unwrap();

            assert_eq!(bytes(&header), all[..HEADER_LEN]);
            assert_eq!(bytes(&rest), all[HEADER_LEN..]);
        }
    }
}

#[test]
fn no_header_is_split_off_what_is_shorter_than_one() {
    assert!(
        Pieces::of(&mut [vec![0; 20], vec![0; 23]])
            .split_header()
            .is_none()
    );
    assert!(
        Pieces::of(&mut [vec![0; 20], vec![0; 24]])
            .split_header()
            .is_some()
    );
}

#[test]
fn a_window_is_the_same_as_a_slice() {
    let all: Vec<u8> = (0..30).collect();
    let mut slices = [all[..10].to_vec(), all[10..11].to_vec(), all[11..].to_vec()];
    let pieces = Pieces::of(&mut slices);
    for end in 0..30 {
        for start in 0..=end {
            let window = pieces.window(start, end);

            assert_eq!(window.len(), end - start);
            assert_eq!(bytes(&window), all[start..end]);
        }
    }
    assert_eq!(pieces.window(0, 1000).len(), 30);
    assert_eq!(pieces.window(40, 50).len(), 0);
}

#[test]
fn bytes_are_copied_over_all_pieces() {
    let mut slices = [vec![0; 3], vec![0; 4], vec![0; 5]];

    Pieces::of(&mut slices).copy_from(&[1, 2, 3, 4, 5]);

    assert_eq!(slices.concat(), [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0]);
}
