//! How a setting's value is written in `set name = …`.
//!
//! Most settings take one literal. Those that hold a list of quoted names take a literal for each: one literal for the whole would be
//! one name with commas in it.

use crate::pg::names::literal;

/// The settings that Postgres quotes item by item (`GUC_LIST_QUOTE`), as in pg_dump's `variable_is_guc_list_quote`.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The right side of an assignment.
pub(super) fn value(name: &str, value: &str) -> String {
    if !is_list(name) {
        return literal(value);
    }
    match &items(value)[..] {
        [] => "''".to_owned(),
        items => items.iter().map(|item| literal(item)).collect::<Vec<_>>().join(", "),
    }
}

/// Whether two values of a setting mean the same.
pub(super) fn same(name: &str, left: &str, right: &str) -> bool {
    if is_list(name) { items(left) == items(right) } else { left == right }
}

fn is_list(name: &str) -> bool {
    LISTS.contains(&name.to_ascii_lowercase().as_str())
}

/// The names in a list, as the server splits it: quoted ones as they are, others in lower case; empty ones say nothing.
pub(super) fn items(list: &str) -> Vec<String> {
    let mut items = Vec::new();
    let (mut item, mut quoted) = (String::new(), false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                item.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            c if !quoted && c.is_whitespace() => {}
            c if !quoted => item.extend(c.to_lowercase()),
            c => item.push(c),
        }
    }
    items.push(item);
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_item_by_item() {
        assert_eq!(value("search_path", r#""$user", Public, "A, ""b""""#), r#"'$user', 'public', 'A, "b"'"#);
        assert_eq!(value("search_path", r#""""#), "''");
        assert_eq!(value("DateStyle", "ISO, MDY"), "'ISO, MDY'");
        assert_eq!(value("app.name", "it's"), "'it''s'");
    }

    #[test]
    fn an_empty_list_has_two_forms() {
        assert!(same("search_path", "", r#""""#));
        assert!(same("search_path", r#""a",b"#, "a, b"));
        assert!(!same("search_path", "a, b", "b, a"));
    }
}
