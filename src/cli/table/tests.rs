use super::*;

#[test]
fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_text() {
    let mut table = Table::new(&["POD", "NODE", "WHY"]);
    table.row(["a-long-name".to_owned(), "n1".to_owned(), String::new()]);
    table.row(["é".to_owned(), "node-2".to_owned(), "late".to_owned()]);
    let lines = "POD          NODE    WHY\na-long-name  n1      -\né            node-2  late\n";
    assert_eq!(table.render(), lines);
}
