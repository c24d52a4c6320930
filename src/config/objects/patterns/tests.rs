use super::*;

#[test]
fn blocks_of_mapped_addresses_are_ipv4_blocks() {
    for (text, block) in [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.9", "10.0.0.9/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ] {
        let expected: IpNet = block.parse().unwrap();
        assert_eq!(IpBlock::new(text).unwrap().net(), expected, "{text}");
    }
    IpBlock::new("10.0.0.0/33").unwrap_err();
}
