//! The rows of the demo shop.

use super::Batch;

/// Orders that one batch makes at most, so that progress shows and no transaction is long.
const ORDERS_A_BATCH: u64 = 100_000;

/// How many rows there are.
struct Rows {
    customers: u64,
    products: u64,
    orders: u64,
    sessions: u64,
    events_a_month: u64,
}

impl Rows {
    fn at(scale: f64) -> Rows {
        // `max` also turns what is not a number into the least.
        let scaled = |full: f64| (full * scale).max(20.0) as u64;
        Rows {
            customers: scaled(150_000.0),
            products: scaled(20_000.0),
            orders: scaled(700_000.0),
            sessions: scaled(300_000.0),
            events_a_month: scaled(180_000.0),
        }
    }
}

/// The partitions of the events: one for each month of 2025, and one for what lies outside.
pub fn partitions() -> String {
    let month = |month: u32| format!("'{}-{:02}-01 00:00+00'", 2025 + (month - 1) / 12, (month - 1) % 12 + 1);
    let mut sql = String::from("create table shop.events_default partition of shop.events default;\n");
    for number in 1..=12 {
        let (from, to) = (month(number), month(number + 1));
        sql += &format!("create table shop.events_2025_{number:02} partition of shop.events for values from ({from}) to ({to});\n");
    }
    sql
}

/// The batches that fill the tables, in an order in which every row finds those that it points to.
pub fn batches(scale: f64) -> Vec<Batch> {
    let rows = Rows::at(scale);
    let mut batches = vec![catalogue(&rows), customers(&rows)];
    let parts = rows.orders.div_ceil(ORDERS_A_BATCH);
    for part in 1..=parts {
        batches.push(orders(&rows, part, parts));
    }
    batches.push(reviews_and_sessions(&rows));
    for month in 1..=12 {
        batches.push(events(&rows, month));
    }
    batches.push(Batch::new("back office", BACK_OFFICE.to_owned()));
    batches.push(Batch::new("sequences", SEQUENCES.to_owned()));
    batches
}

fn catalogue(rows: &Rows) -> Batch {
    let products = rows.products;
    let sql = format!(
        "insert into shop.categories (id, parent_id, name, path) overriding system value
           select g, case when g > 8 then 1 + shop.pick(g, 1, 8) end, initcap(shop.words(g, 2)), '/' || replace(shop.words(g, 2), ' ', '/')
           from generate_series(1, 60) g;
         insert into shop.products (id, sku, category_id, name, description, price, size, tags, attributes, active) overriding system value
           select g, 'SKU-' || lpad(g::text, 8, '0'), 1 + shop.pick(g, 2, 60), initcap(shop.words(g, 3)), shop.words(g, 60), 1 + shop.pick(g, 3, 50000) / 100.0,
                  case when g % 5 > 0 then row(shop.pick(g, 4, 900), shop.pick(g, 5, 900), nullif(shop.pick(g, 6, 300), 7))::shop.dimensions end,
                  string_to_array(shop.words(g + 7, 1 + (g % 4)::int), ' '),
                  jsonb_build_object('colour', shop.words(g + 1, 1), 'weight', shop.pick(g, 7, 90000) / 1000.0, 'eco', g % 3 = 0, 'ratings', jsonb_build_array(g % 5, g % 7)),
                  g % 11 <> 0
           from generate_series(1, {products}) g;
         insert into shop.inventory (product_id, on_hand, reserved, counted_at)
           select g, 50 + shop.pick(g, 8, 500), shop.pick(g, 9, 50), timestamptz '2025-12-01 06:00+00' - shop.pick(g, 10, 400) * interval '1 hour' from generate_series(1, {products}) g;"
    );
    Batch::new(format!("{products} products"), sql)
}

fn customers(rows: &Rows) -> Batch {
    let customers = rows.customers;
    let sql = format!(
        "insert into shop.customers (id, email, name, preferences, newsletter, birthday, credit, created_at, updated_at)
           select g, case when g % 3 = 0 then 'Customer' else 'customer' end || g || '@example.com', 'Customer ' || g || case when g % 97 = 0 then ' ''Ø'' \"naïve\" \\ 😀' else '' end,
                  jsonb_build_object('language', (array['de', 'en', 'fr', 'pl'])[1 + g % 4], 'currency', 'EUR', 'notify', jsonb_build_array('mail', g % 2 = 0)),
                  case g % 3 when 0 then true when 1 then false end, case when g % 4 > 0 then date '1950-01-01' + shop.pick(g, 11, 20000)::int end,
                  shop.pick(g, 12, 10000) / 100.0, timestamptz '2020-01-01 00:00+00' + shop.pick(g, 13, 150000000) * interval '1 second', timestamptz '2025-06-01 00:00+00'
           from generate_series(1, {customers}) g;
         insert into shop.addresses (id, customer_id, kind, street, city, postcode, country) overriding system value
           select g, 1 + (g - 1) % {customers}, case when g <= {customers} then 'shipping' else 'billing' end, initcap(shop.words(g, 2)) || ' ' || g % 200, initcap(shop.words(g, 1)),
                  case when g % 50 > 0 then lpad(shop.pick(g, 14, 99999)::text, 5, '0') end, (array['DE', 'FR', 'PL', 'AT', 'NL'])[1 + shop.pick(g, 15, 5)]
           from generate_series(1, {customers} * 5 / 4) g;
         insert into shop.carts (id, customer_id, items, updated_at)
           select md5('cart' || g)::uuid, 1 + shop.pick(g, 16, {customers}), jsonb_build_array(jsonb_build_object('product', g % 100, 'quantity', 1 + g % 3)), timestamptz '2025-12-24 00:00+00' + g * interval '1 second'
           from generate_series(1, {customers} / 5) g;"
    );
    Batch::new(format!("{customers} customers with addresses and carts"), sql)
}

fn orders(rows: &Rows, part: u64, parts: u64) -> Batch {
    let Rows { customers, products, .. } = rows;
    let first = (part - 1) * ORDERS_A_BATCH + 1;
    let last = (part * ORDERS_A_BATCH).min(rows.orders);
    let sql = format!(
        "insert into shop.orders (id, number, customer_id, ship_to, status, placed_at, total, note) overriding system value
           select g, 'ORD-' || lpad(g::text, 10, '0'), c, case when g % 9 > 0 then c end, (enum_range(null::shop.order_status))[2 + shop.pick(g, 17, 5)],
                  timestamptz '2022-01-01 00:00+00' + g * interval '150 seconds', 5 + shop.pick(g, 18, 30000) / 100.0, case when g % 20 = 0 then shop.words(g, 8) end
           from generate_series({first}, {last}) g, lateral (select 1 + shop.pick(g, 19, {customers}) as c) customer;
         insert into shop.order_items (order_id, line, product_id, quantity, unit_price)
           select g, line, 1 + shop.pick(g * 10 + line, 20, {products}), 1 + shop.pick(g + line, 21, 4), 1 + shop.pick(g * 10 + line, 22, 20000) / 100.0
           from generate_series({first}, {last}) g, generate_series(1, 1 + shop.pick(g, 23, 5)) line;
         insert into shop.payments (id, order_id, method, amount, paid_at, reference)
           select md5('payment' || g)::uuid, g, (enum_range(null::shop.payment_method))[1 + shop.pick(g, 24, 4)], 5 + shop.pick(g, 18, 30000) / 100.0,
                  timestamptz '2022-01-01 00:05+00' + g * interval '150 seconds', case when g % 2 = 0 then sha256(g::text::bytea) end
           from generate_series({first}, {last}) g where g % 10 > 0;"
    );
    Batch::new(format!("orders {first} to {last}, part {part} of {parts}"), sql)
}

fn reviews_and_sessions(rows: &Rows) -> Batch {
    let Rows { customers, products, sessions, .. } = rows;
    let sql = format!(
        "insert into shop.reviews (product_id, customer_id, rating, body, written_at)
           select 1 + shop.pick(g, 25, {products}), 1 + g % {customers}, 1 + shop.pick(g, 26, 5), case when g % 6 > 0 then shop.words(g, 12 + (g % 30)::int) end, timestamp '2024-01-01' + g * interval '3 minutes'
           from generate_series(1, {sessions} / 2) g on conflict do nothing;
         insert into shop.sessions (id, customer_id, address, agent, active)
           select md5('session' || g)::uuid, case when g % 3 > 0 then 1 + shop.pick(g, 27, {customers}) end, case when g % 10 = 0 then '2001:db8::'::inet + g else '10.0.0.0'::inet + shop.pick(g, 28, 16777216) end,
                  'Mozilla/5.0 (' || shop.words(g, 3) || ') demo/' || g % 40, tstzrange(timestamptz '2025-01-01 00:00+00' + g * interval '90 seconds', timestamptz '2025-01-01 00:20+00' + g * interval '90 seconds')
           from generate_series(1, {sessions}) g;"
    );
    Batch::new(format!("{sessions} sessions and reviews"), sql)
}

fn events(rows: &Rows, month: u64) -> Batch {
    let Rows { customers, products, events_a_month, .. } = rows;
    let first = (month - 1) * events_a_month + 1;
    let last = month * events_a_month;
    let sql = format!(
        "insert into shop.events (id, occurred_at, customer_id, kind, payload)
           select g, timestamptz '2025-{month:02}-01 00:00+00' + (g - {first}) * (interval '28 days' / {events_a_month}), case when g % 4 > 0 then 1 + shop.pick(g, 29, {customers}) end,
                  (array['page.view', 'page.view', 'search', 'cart.add', 'cart.remove', 'checkout.start', 'order.placed'])[1 + shop.pick(g, 30, 7)],
                  jsonb_build_object('product', 1 + shop.pick(g, 31, {products}), 'session', md5((g / 20)::text), 'path', '/' || shop.words(g, 3), 'ms', shop.pick(g, 32, 4000) / 10.0,
                                     'flags', jsonb_build_array(g % 2 = 0, null, g % 13))
           from generate_series({first}, {last}) g;"
    );
    Batch::new(format!("events of 2025-{month:02}"), sql)
}

const BACK_OFFICE: &str = r#"
insert into "Back Office"."Supplier ""A-Z""" ("Näme", "select", "e-mail")
  select initcap(shop.words(g, 2)) || ' & Söhne', case when g % 3 > 0 then E'line one\nline\ttwo \\ ''quoted''' end, 'supplier' || g || '@example.org' from generate_series(1, 500) g;
insert into "Back Office".documents
  select g, 'Contract ' || g, lo_from_bytea(0, (select string_agg(sha256((g * 100000 + i)::text::bytea), '' order by i) from generate_series(1, g * 4000) i)) from generate_series(1, 5) g;
insert into "Back Office".import_queue (line) select shop.words(g, 5) from generate_series(1, 1000) g;
insert into shop.events values (0, '2024-12-31 23:59:59+00', null, 'import', '{"source": "before the first month"}');
"#;

const SEQUENCES: &str = "
select setval(pg_get_serial_sequence('shop.categories', 'id'), (select max(id) from shop.categories)),
       setval(pg_get_serial_sequence('shop.products', 'id'), (select max(id) from shop.products)),
       setval(pg_get_serial_sequence('shop.customers', 'id'), (select max(id) from shop.customers)),
       setval(pg_get_serial_sequence('shop.addresses', 'id'), (select max(id) from shop.addresses)),
       setval(pg_get_serial_sequence('shop.orders', 'id'), (select max(id) from shop.orders)),
       setval('shop.event_id', (select max(id) from shop.events));
";
