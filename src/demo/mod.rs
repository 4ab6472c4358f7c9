//! The demo shop: a database like that of a web application, made on the server by SQL alone and the same every time.
//!
//! Rows come from `generate_series` and a hash of their number, so nothing but a few kilobytes of SQL travels and no state is
//! kept here. Whoever owns an empty database can load it; no superuser is needed. Rows first, then indexes and keys, as a loader should.

pub mod load;
mod rows;

/// A piece of work for one round trip; it runs in one implicit transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What it does, for people.
    pub title: String,
    /// The statements, in the simple protocol's form.
    pub sql: String,
}

/// The statements that make the shop, in order. A scale of 1 gives about 1.5 GB; anything down to 0 works and gives at least a
/// few rows of each kind.
pub fn batches(scale: f64) -> Vec<Batch> {
    let mut batches = vec![Batch::new("types and tables", format!("{}{}", include_str!("schema.sql"), rows::partitions()))];
    batches.extend(rows::batches(scale));
    for statement in statements(include_str!("indexes.sql")).chain(statements(include_str!("keys.sql"))) {
        batches.push(Batch::new(title_of(statement), statement.to_owned()));
    }
    batches.push(Batch::new("functions, triggers and views", include_str!("code.sql").to_owned()));
    batches.push(Batch::new("statistics", ANALYZE.to_owned()));
    batches
}

/// Tables by name: without a list, a plain owner is warned of every catalog that is not its own.
const ANALYZE: &str = r#"analyze shop.categories, shop.products, shop.inventory, shop.customers, shop.addresses, shop.carts, shop.orders, shop.order_items,
  shop.payments, shop.reviews, shop.sessions, shop.events, "Back Office"."Supplier ""A-Z""", "Back Office".documents"#;

impl Batch {
    fn new(title: impl Into<String>, sql: String) -> Batch {
        Batch { title: title.into(), sql }
    }
}

/// The statements of a file that has one on each line, or lines that end without a semicolon.
fn statements(file: &str) -> impl Iterator<Item = &str> {
    file.split_inclusive(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

/// `create unique index products_sku on …` becomes `index products_sku`; a key is named after its table.
fn title_of(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    match words.as_slice() {
        ["alter", "table", table, ..] => format!("keys of {}", table.trim_start_matches("shop.")),
        ["create", "unique", kind, name, ..] | ["create", kind, name, ..] => format!("{kind} {name}"),
        _ => "one more statement".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_has_a_title_and_every_scale_the_same_steps_but_for_the_number_of_parts() {
        let small = batches(0.0);
        assert!(small.iter().all(|batch| !batch.title.is_empty() && batch.title != "one more statement"));
        assert!(small.iter().any(|batch| batch.title == "index products_search"));
        assert!(small.iter().any(|batch| batch.title == "keys of orders"));
        assert!(batches(1.0).len() > small.len());
        assert_eq!(batches(0.3), batches(0.3));
    }

    #[test]
    fn a_nonsense_scale_does_no_harm() {
        assert_eq!(batches(-1.0), batches(0.0));
        assert_eq!(batches(f64::NAN), batches(0.0));
    }
}
