use super::*;

#[test]
fn few_bytes_do_not_hold_a_large_buffer() {
    let mut buffer = Buffer::take();
    buffer.space(5).copy_from_slice(b"hello");
    buffer.fill(5);
    assert_eq!(&buffer.compact().unwrap()[..], b"hello");
}

#[test]
fn many_bytes_are_handed_on_where_they_lie() {
    let mut buffer = Buffer::take();
    let space = buffer.space(usize::MAX);
    assert_eq!(space.len(), SIZE);
    space.fill(7);
    let address = space.as_ptr();
    buffer.fill(SIZE);
    let buffer = buffer.compact().unwrap_err();
    assert_eq!(buffer.filled().as_ptr(), address);
    assert!(buffer.filled().iter().all(|&byte| byte == 7));
}

#[test]
fn only_so_many_buffers_are_kept() {
    let taken: Vec<Buffer> = (0..KEPT * 4).map(|_| Buffer::take()).collect();
    drop(taken);
    assert!(FREE.lock().len() <= KEPT);
}
