//! Random values of every built-in type, for round trips in both formats of copy.
//!
//! `let table = values::Table::random("everything", values::seed(), 200, 16);` then run `table.create` and `table.fill` with psql. The
//! seed is printed, so that a failure can be repeated with `NEON_MIGRATE_TEST_SEED`.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use neon_migrate::pg::names::{Ident, literal};

/// Makes one value in its text form.
type Generate = fn(&mut StdRng) -> String;

/// Statements that make and fill a table with a column for every type, and one for an array of every type.
pub struct Table {
    pub create: String,
    pub fill: String,
}

/// The seed of this run: from `NEON_MIGRATE_TEST_SEED`, or a fresh one. It is printed.
pub fn seed() -> u64 {
    let seed = std::env::var("NEON_MIGRATE_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("NEON_MIGRATE_TEST_SEED={seed}");
    seed
}

impl Table {
    /// A table `name` with so many rows of random values, for a server of this major.
    pub fn random(name: &str, seed: u64, rows: usize, major: u32) -> Table {
        Table::of(name, seed, rows, |(_, since, _)| *since <= major)
    }

    /// The same without the types whose binary form is not the same on all servers, so that it travels in the binary format.
    pub fn random_binary(name: &str, seed: u64, rows: usize, major: u32) -> Table {
        Table::of(name, seed, rows, |(kind, since, _)| *since <= major && !kind.starts_with("reg"))
    }

    fn of(name: &str, seed: u64, rows: usize, wanted: impl Fn(&Kind) -> bool) -> Table {
        let mut rng = StdRng::seed_from_u64(seed);
        let name = Ident::new(name);
        let types: Vec<_> = TYPES.iter().filter(|kind| wanted(kind)).collect();
        let columns: Vec<String> =
            types.iter().enumerate().map(|(n, (kind, _, _))| format!("c{n} {kind}, a{n} {kind}[]")).collect();
        let create = format!("create table {name} (id int primary key, {});", columns.join(", "));
        let mut fill = String::from("set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres';\n");
        for id in 0..rows {
            let mut values = vec![id.to_string()];
            for (kind, _, generate) in &types {
                // Arrays of boxes are the only ones whose elements a semicolon parts (pg_type.typdelim).
                let delimiter = if *kind == "box" { ";" } else { "," };
                values.push(nullable(&mut rng, |rng| literal(&generate(rng))));
                values.push(nullable(&mut rng, |rng| literal(&array(rng, *generate, delimiter))));
            }
            fill += &format!("insert into {name} values ({});\n", values.join(", "));
        }
        Table { create, fill }
    }
}

fn nullable(rng: &mut StdRng, value: impl FnOnce(&mut StdRng) -> String) -> String {
    if rng.random_ratio(1, 8) { "null".to_owned() } else { value(rng) }
}

/// The text form of an array with up to five elements, some of them null, now and then with a lower bound of its own.
fn array(rng: &mut StdRng, generate: Generate, delimiter: &str) -> String {
    let length = rng.random_range(0..=5);
    let elements: Vec<String> = (0..length)
        .map(|_| nullable(rng, |rng| format!("\"{}\"", generate(rng).replace('\\', "\\\\").replace('"', "\\\""))))
        .collect();
    let bounds = if length > 0 && rng.random_ratio(1, 4) {
        let lower = rng.random_range(-3..=3);
        format!("[{lower}:{}]=", lower + length - 1)
    } else {
        String::new()
    };
    format!("{bounds}{{{}}}", elements.join(delimiter))
}

/// A type, the first major that has it (or its values), and how to make a value.
type Kind = (&'static str, u32, Generate);

const TYPES: &[Kind] = &[
    ("bool", 14, |rng| rng.random_bool(0.5).to_string()),
    ("int2", 14, |rng| edge(rng, &["-32768", "32767", "0"], |rng| rng.random::<i16>().to_string())),
    ("int4", 14, |rng| edge(rng, &["-2147483648", "2147483647", "0"], |rng| rng.random::<i32>().to_string())),
    ("int8", 14, |rng| edge(rng, &["-9223372036854775808", "9223372036854775807"], |rng| rng.random::<i64>().to_string())),
    ("float4", 14, |rng| edge(rng, FLOATS, |rng| finite(|| f64::from(f32::from_bits(rng.random()))))),
    ("float8", 14, |rng| edge(rng, FLOATS, |rng| finite(|| f64::from_bits(rng.random())))),
    ("numeric", 14, |rng| edge(rng, &["NaN", "Infinity", "-Infinity", "0.000", "-0.1"], numeric)),
    ("numeric(20,5)", 14, |rng| {
        edge(rng, &["NaN"], |rng| {
            format!("{}.{:05}", rng.random_range(-1_000_000_000_i64..1_000_000_000), rng.random_range(0..99_999))
        })
    }),
    ("money", 14, |rng| format!("{}.{:02}", rng.random_range(-1_000_000_000_i64..1_000_000_000), rng.random_range(0..99))),
    ("text", 14, text),
    ("varchar(40)", 14, |rng| text(rng).chars().take(40).collect()),
    ("bpchar(12)", 14, |rng| text(rng).chars().take(12).collect()),
    ("\"char\"", 14, |rng| char::from(rng.random_range(1..=126)).to_string()),
    ("name", 14, |rng| text(rng).chars().filter(char::is_ascii).take(63).collect()),
    ("bytea", 14, |rng| format!("\\x{}", hex(rng, 0..200))),
    ("date", 14, |rng| edge(rng, &["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"], date)),
    ("time", 14, |rng| edge(rng, &["24:00:00", "00:00:00"], time)),
    ("timetz", 14, |rng| format!("{}{}", time(rng), zone(rng))),
    ("timestamp", 14, |rng| {
        edge(rng, &["infinity", "-infinity", "4713-01-01 00:00:00 BC"], |rng| format!("{} {}", date(rng), time(rng)))
    }),
    ("timestamptz", 14, |rng| edge(rng, &["infinity", "-infinity"], |rng| format!("{} {}{}", date(rng), time(rng), zone(rng)))),
    ("interval", 14, interval),
    ("interval hour to minute", 17, |rng| edge(rng, &["infinity", "-infinity"], interval)),
    ("json", 14, |rng| json(rng, 3)),
    ("jsonb", 14, |rng| json(rng, 3)),
    ("jsonpath", 14, |rng| {
        pick(rng, &["$", "lax $.a[*] ? (@ > 1)", "strict $.\"a b\".**{1 to last}", "$.keyvalue().value", "$[0 to 2] + 1"])
    }),
    ("xml", 14, |rng| {
        format!("<a b=\"{}\">{}</a>", rng.random::<u32>(), pick(rng, &["", "&amp;&lt;", "é😀", "<c/> tail", "\n\t"]))
    }),
    ("uuid", 14, |rng| hex(rng, 16..17)),
    ("bit(9)", 14, |rng| bits(rng, 9..10)),
    ("varbit", 14, |rng| bits(rng, 0..70)),
    ("inet", 14, |rng| {
        if rng.random_bool(0.5) {
            format!("{}/{}", v4(rng), rng.random_range(0..=32))
        } else {
            format!("{:x}::{:x}/{}", rng.random::<u16>(), rng.random::<u16>(), rng.random_range(0..=128))
        }
    }),
    ("cidr", 14, |rng| {
        if rng.random_bool(0.5) { format!("{}.0.0.0/8", rng.random::<u8>()) } else { format!("{:x}::/16", rng.random::<u16>()) }
    }),
    ("macaddr", 14, |rng| hex(rng, 6..7)),
    ("macaddr8", 14, |rng| hex(rng, 8..9)),
    ("point", 14, point),
    ("line", 14, |rng| format!("{{{},{},{}}}", rng.random_range(1..100), float(rng), float(rng))),
    ("lseg", 14, |rng| format!("[{},{}]", point(rng), point(rng))),
    ("box", 14, |rng| format!("{},{}", point(rng), point(rng))),
    ("path", 14, |rng| if rng.random_bool(0.5) { format!("[{}]", points(rng)) } else { format!("({})", points(rng)) }),
    ("polygon", 14, |rng| format!("({})", points(rng))),
    ("circle", 14, |rng| format!("<{},{}>", point(rng), rng.random_range(0..1000))),
    ("tsvector", 14, |rng| format!("'{}':{}A b:2,{} c", word(rng), rng.random_range(1..1000), rng.random_range(3..16000))),
    ("tsquery", 14, |rng| format!("'{}' & !b | (c <-> d:*AB)", word(rng))),
    ("int4range", 14, |rng| range(rng, |rng| rng.random_range(-1_000_000..1_000_000))),
    ("int8range", 14, |rng| range(rng, |rng| rng.random_range(-1_000_000_000_000..1_000_000_000_000))),
    ("numrange", 14, |rng| range(rng, |rng| rng.random_range(-1_000..1_000))),
    ("daterange", 14, |rng| {
        let (a, b) = (rng.random_range(1..2000), rng.random_range(2000..4000));
        format!("[{a:04}-01-01,{b:04}-06-30)")
    }),
    ("tsrange", 14, |rng| format!("[\"{:04}-01-01 {}\",infinity)", rng.random_range(1..2000), time(rng))),
    ("tstzrange", 14, |rng| format!("(,\"{:04}-01-01 {}+00\"]", rng.random_range(1..2000), time(rng))),
    ("int4multirange", 14, |rng| format!("{{[1,{}),[1000,{})}}", rng.random_range(2..900), rng.random_range(1001..9000))),
    ("nummultirange", 14, |rng| pick(rng, &["{}", "{(,)}", "{[1.10,2.20]}", "{(,-1),[0,0],(1,)}"])),
    ("oid", 14, |rng| rng.random::<u32>().to_string()),
    ("xid", 14, |rng| rng.random::<u32>().to_string()),
    ("xid8", 14, |rng| rng.random::<u64>().to_string()),
    ("cid", 14, |rng| rng.random::<u32>().to_string()),
    ("tid", 14, |rng| format!("({},{})", rng.random::<u32>(), rng.random::<u16>())),
    ("pg_lsn", 14, |rng| format!("{:X}/{:X}", rng.random::<u32>(), rng.random::<u32>())),
    ("pg_snapshot", 14, |rng| {
        let xmin = rng.random_range(1..1_000_000_u64);
        format!("{xmin}:{}:{xmin},{}", xmin + 9, xmin + 3)
    }),
    ("txid_snapshot", 14, |rng| {
        let xmin = rng.random_range(1..1_000_000_u64);
        format!("{xmin}:{}:", xmin + 9)
    }),
    ("int2vector", 14, |rng| format!("{} {}", rng.random::<i16>(), rng.random::<i16>())),
    ("oidvector", 14, |rng| format!("{} {}", rng.random::<u32>(), rng.random::<u32>())),
    ("regtype", 14, |rng| pick(rng, &["integer", "text", "-", "timestamp with time zone", "integer[]"])),
    ("regclass", 14, |rng| pick(rng, &["pg_catalog.pg_class", "pg_catalog.pg_type", "-"])),
];

const FLOATS: &[&str] = &["NaN", "Infinity", "-Infinity", "-0", "0", "0.1", "1e-30", "123456.789"];

fn edge(rng: &mut StdRng, edges: &[&str], other: Generate) -> String {
    if rng.random_ratio(1, 5) { pick(rng, edges) } else { other(rng) }
}

fn pick(rng: &mut StdRng, choices: &[&str]) -> String {
    (*choices.choose(rng).unwrap()).to_owned()
}

/// A text with everything that copy's text format, SQL or a terminal could trip over; no NUL, which Postgres does not store.
fn text(rng: &mut StdRng) -> String {
    let length = if rng.random_ratio(1, 50) { 5000 } else { rng.random_range(0..40) };
    let odd = [
        "\\",
        "\\.",
        "\\N",
        "\n",
        "\r",
        "\t",
        "'",
        "\"",
        "\u{8}",
        "\u{b}",
        "\u{c}",
        "\u{7f}",
        "\u{1}",
        "é",
        "😀",
        "\u{2028}",
        "\u{10ffff}",
        ",",
        "{",
        "}",
        "(",
        ")",
        "$$",
        "%s",
        "\u{feff}",
    ];
    (0..length)
        .map(|_| if rng.random_ratio(1, 3) { pick(rng, &odd) } else { char::from(rng.random_range(32..127)).to_string() })
        .collect()
}

fn finite(mut next: impl FnMut() -> f64) -> String {
    loop {
        let float = next();
        // Subnormal numbers are left out: how they print and parse is the C library's affair.
        if float.is_normal() {
            return format!("{float:e}");
        }
    }
}

fn numeric(rng: &mut StdRng) -> String {
    let mut digits =
        |most: usize| (0..rng.random_range(1..=most)).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect::<String>();
    let (whole, fraction) = (digits(60), digits(40));
    format!("{}{whole}.{fraction}", if whole.starts_with('7') { "-" } else { "" })
}

fn hex(rng: &mut StdRng, length: std::ops::Range<usize>) -> String {
    (0..rng.random_range(length)).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
}

fn bits(rng: &mut StdRng, length: std::ops::Range<usize>) -> String {
    (0..rng.random_range(length)).map(|_| if rng.random_bool(0.5) { '1' } else { '0' }).collect()
}

fn date(rng: &mut StdRng) -> String {
    format!("{:04}-{:02}-{:02}", rng.random_range(1..9999), rng.random_range(1..=12), rng.random_range(1..=28))
}

fn time(rng: &mut StdRng) -> String {
    let micros = if rng.random_bool(0.5) { format!(".{:06}", rng.random_range(0..1_000_000)) } else { String::new() };
    format!("{:02}:{:02}:{:02}{micros}", rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60))
}

fn zone(rng: &mut StdRng) -> String {
    format!("{}{:02}:{:02}", pick(rng, &["+", "-"]), rng.random_range(0..15), rng.random_range(0..60))
}

fn interval(rng: &mut StdRng) -> String {
    let (months, days) = (rng.random_range(-30_000..30_000), rng.random_range(-90_000..90_000));
    format!("{months} months {days} days {}{}", pick(rng, &["", "-"]), time(rng))
}

fn json(rng: &mut StdRng, depth: u32) -> String {
    match rng.random_range(0..if depth == 0 { 4 } else { 6 }) {
        0 => pick(rng, &["null", "true", "false"]),
        1 => rng.random::<i64>().to_string(),
        2 => format!("{}e{}", rng.random_range(-1000..1000), rng.random_range(-30..30)),
        3 => serde_json::to_string(&text(rng).replace('\u{0}', "")).unwrap(),
        4 => format!("[{}]", (0..rng.random_range(0..4)).map(|_| json(rng, depth - 1)).collect::<Vec<_>>().join(", ")),
        _ => {
            let member = |rng: &mut StdRng| format!("{}: {}", serde_json::to_string(&word(rng)).unwrap(), json(rng, depth - 1));
            format!("{{{}}}", (0..rng.random_range(0..4)).map(|_| member(rng)).collect::<Vec<_>>().join(","))
        }
    }
}

fn word(rng: &mut StdRng) -> String {
    (0..rng.random_range(1..12)).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

fn v4(rng: &mut StdRng) -> String {
    std::net::Ipv4Addr::from(rng.random::<u32>()).to_string()
}

fn float(rng: &mut StdRng) -> String {
    format!("{}", rng.random_range(-1e6..1e6))
}

fn point(rng: &mut StdRng) -> String {
    format!("({},{})", float(rng), float(rng))
}

fn points(rng: &mut StdRng) -> String {
    (0..rng.random_range(1..6)).map(|_| point(rng)).collect::<Vec<_>>().join(",")
}

fn range(rng: &mut StdRng, bound: fn(&mut StdRng) -> i64) -> String {
    let (a, b) = (bound(rng), bound(rng));
    match rng.random_range(0..6) {
        0 => "empty".to_owned(),
        1 => format!("({a},)"),
        2 => format!("(,{b}]"),
        _ => format!("{}{},{}{}", pick(rng, &["[", "("]), a.min(b), a.max(b), pick(rng, &["]", ")"])),
    }
}
