//! What differs between two inventories, each difference as one sentence.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inventory, Object, ObjectId, Text};

/// What is meant to be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Owners were kept.
    pub owners: bool,
    /// Grants were kept.
    pub grants: bool,
    /// Tablespaces were kept.
    pub tablespaces: bool,
    /// Both databases are at rest, so that sequences stand at the same value.
    pub sequence_values: bool,
}

/// How an object differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Only the source has it.
    Missing,
    /// Only the target has it.
    Extra,
    /// Both have it, with a property that differs. None: it does not have the property, or its text is too long to show.
    Different {
        /// The property.
        field: String,
        /// Its text on the source.
        source: Option<String>,
        /// Its text on the target.
        target: Option<String>,
    },
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The object's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The relation or type that it belongs to.
    pub parent: Option<String>,
    /// See [`Object::toc`].
    pub toc: Option<String>,
    /// How it differs.
    pub what: What,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { kind, name, .. } = self;
        let (field, source, target) = match &self.what {
            What::Missing => return write!(f, "The {kind} {name} is missing on the target."),
            What::Extra => return write!(f, "The {kind} {name} is only on the target."),
            What::Different { field, source, target } => (field.replace('_', " "), source, target),
        };
        match (source, target) {
            (None, None) => write!(f, "The {kind} {name} has another {field} on the target."),
            _ => {
                let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set, or too long to show".to_owned());
                let (source, target) = (shown(source), shown(target));
                write!(f, "The {kind} {name} differs in {field}: on the source {source}, on the target {target}.")
            }
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// How many objects the source has.
    pub objects: u64,
    /// Everything that differs.
    pub differences: Vec<Difference>,
    /// What was not compared, or differs as two majors do; each a sentence.
    pub not_compared: Vec<String>,
}

/// Compares two inventories. Columns of a relation that one side lacks are not listed one by one.
pub fn compare(source: &Inventory, target: &Inventory, options: Options) -> Comparison {
    let mut all: BTreeSet<&ObjectId> = source.objects.keys().collect();
    all.extend(target.objects.keys());
    let (on_source, on_target) = (parents(source), parents(target));
    let mut comparison = Comparison { objects: source.objects.len() as u64, ..Comparison::default() };
    let mut majors = Majors { source: source.major, target: target.major, skipped: BTreeMap::new() };
    for id in all {
        let (here, there) = (source.objects.get(id), target.objects.get(id));
        let lone_column = |object: &Object, other: &BTreeSet<&str>| {
            id.kind == "column" && object.parent.as_deref().is_some_and(|parent| !other.contains(parent))
        };
        match (here, there) {
            (Some(here), None) if !lone_column(here, &on_target) => comparison.add(id, here, What::Missing),
            (None, Some(there)) if !lone_column(there, &on_source) => comparison.add(id, there, What::Extra),
            (Some(here), Some(there)) => compare_object(id, (here, there), options, &mut majors, &mut comparison),
            _ => {}
        }
    }
    majors.report(&mut comparison);
    not_compared(source, options, &mut comparison);
    comparison
}

/// Everything that may have columns, by name.
fn parents(inventory: &Inventory) -> BTreeSet<&str> {
    inventory.objects.keys().filter(|id| id.kind != "column").map(|id| &*id.name).collect()
}

impl Comparison {
    fn add(&mut self, id: &ObjectId, object: &Object, what: What) {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let (kind, name) = (id.kind.to_owned(), id.name.to_string());
        self.differences.push(Difference { kind, name, parent: text(&object.parent), toc: text(&object.toc), what });
    }
}

/// The two majors, and how many properties were not compared because of them, by kind of object and property.
struct Majors {
    source: u32,
    target: u32,
    skipped: BTreeMap<(&'static str, &'static str), u64>,
}

impl Majors {
    fn differ(&self) -> bool {
        self.source != self.target
    }

    /// From 15 on the schema `public` belongs to another role and gives nobody the right to create.
    fn public_differs(&self) -> bool {
        (self.source < 15) != (self.target < 15)
    }

    /// From 17 on there is one more privilege on tables, which their owners have.
    fn maintain_differs(&self) -> bool {
        (self.source < 17) != (self.target < 17)
    }

    fn report(self, comparison: &mut Comparison) {
        if self.skipped.is_empty() {
            return;
        }
        let of =
            |((kind, field), count): (&(&str, &str), &u64)| format!("the {} of {}", field.replace('_', " "), several(*count, kind));
        let list: Vec<String> = self.skipped.iter().map(of).collect();
        let (source, target) = (self.source, self.target);
        comparison
            .not_compared
            .push(format!("Not compared, because Postgres {source} and {target} write it differently: {}.", list.join(", ")));
    }
}

fn compare_object(id: &ObjectId, pair: (&Object, &Object), options: Options, majors: &mut Majors, comparison: &mut Comparison) {
    let fields: BTreeSet<&'static str> = pair.0.properties.iter().chain(&pair.1.properties).map(|(name, _)| *name).collect();
    for field in fields {
        let wanted = match field {
            "owner" => options.owners,
            "grants" => options.grants,
            "tablespace" => options.tablespaces,
            "last_value" => options.sequence_values,
            _ => true,
        };
        if !wanted {
            continue;
        }
        let same_major = field.strip_suffix("_same_major");
        let public = id.kind == "schema" && &*id.name == "public" && matches!(field, "owner" | "grants");
        if same_major.is_some() && majors.differ() || public && majors.public_differs() {
            *majors.skipped.entry((id.kind, same_major.unwrap_or(field))).or_default() += 1;
            continue;
        }
        let (source, target) = (pair.0.property(field), pair.1.property(field));
        if source == target
            || field == "grants" && majors.maintain_differs() && without_maintain(source) == without_maintain(target)
        {
            continue;
        }
        let secret = field.strip_suffix("_hash");
        let shown = |text: Option<&Text>| match text {
            Some(Text::Short(text)) if secret.is_none() => Some(text.to_string()),
            _ => None,
        };
        let field = same_major.or(secret).unwrap_or(field).to_owned();
        comparison.add(id, pair.0, What::Different { field, source: shown(source), target: shown(target) });
    }
}

/// `1 view`, `2 views`, `3 operator classes`.
fn several(count: u64, kind: &str) -> String {
    match kind.strip_suffix('y') {
        _ if count == 1 => format!("1 {kind}"),
        Some(stem) => format!("{count} {stem}ies"),
        None if kind.ends_with('s') => format!("{count} {kind}es"),
        None => format!("{count} {kind}s"),
    }
}

fn without_maintain(grants: Option<&Text>) -> Option<Text> {
    Some(match grants? {
        Text::Short(text) => Text::Short(text.replace(",MAINTAIN*", "").replace(",MAINTAIN", "").replace("MAINTAIN,", "").into()),
        hashed @ Text::Hashed(_) => hashed.clone(),
    })
}

/// What was left aside by choice.
fn not_compared(source: &Inventory, options: Options, comparison: &mut Comparison) {
    let has = |kind: &str| source.objects.keys().any(|id| id.kind == kind);
    let mut say = |sentence: &str| comparison.not_compared.push(sentence.to_owned());
    match (options.owners, options.grants) {
        (false, false) => say("Not compared, because they are not kept: owners and grants."),
        (false, true) => say("Not compared, because they are not kept: owners."),
        (true, false) => say("Not compared, because they are not kept: grants."),
        (true, true) => (),
    }
    if !options.sequence_values && has("sequence") {
        say("Not compared, because the source may be in use: where sequences stand.");
    }
    if has("user mapping") {
        say("The options of user mappings were not read, because they hold secrets.");
    }
}

/// An object that is announced to be missing: its kind and name as the announcement has them, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// `TABLE`, `FK CONSTRAINT`, …, in any case.
    pub kind: String,
    /// Its name as in a pg_dump archive (`schema.tag`), or as people write it.
    pub name: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// Parts the differences in those that nobody announced and those that were, with their reasons.
///
/// What belongs to a relation that was left out is explained by it. An announced object that differs is not: it was announced to
/// be missing.
pub fn explain(differences: &[Difference], left_out: &[LeftOut]) -> (Vec<Difference>, Vec<(Difference, String)>) {
    let mut reasons: BTreeMap<(String, String), &str> = BTreeMap::new();
    let mut parents: BTreeMap<String, &str> = BTreeMap::new();
    for object in left_out {
        reasons.insert((kind_of_toc(&object.kind), bare(&object.name)), &object.reason);
        parents.insert(bare(&object.name), &object.reason);
    }
    // A parent is named as people write it; an announcement may use the archive's form of the same name.
    let aliases: BTreeMap<&str, &str> = differences
        .iter()
        .filter(|d| d.what == What::Missing)
        .map(|d| (d.name.as_str(), d.toc.as_deref().unwrap_or(&d.name)))
        .collect();
    let reason = |difference: &Difference| -> Option<String> {
        if difference.what != What::Missing {
            return None;
        }
        let by_name = |name: &str| reasons.get(&(difference.kind.clone(), bare(name))).copied();
        let own = by_name(&difference.name).or_else(|| by_name(difference.toc.as_deref()?));
        let parent = difference.parent.as_deref().filter(|parent| aliases.contains_key(parent));
        let inherited =
            parent.and_then(|parent| parents.get(&bare(parent)).or_else(|| parents.get(&bare(aliases.get(parent)?))).copied());
        own.or(inherited).map(str::to_owned)
    };
    let mut parts = (Vec::new(), Vec::new());
    for difference in differences {
        match reason(difference) {
            Some(reason) => parts.1.push((difference.clone(), reason)),
            None => parts.0.push(difference.clone()),
        }
    }
    parts
}

/// A name without its quotes: an archive quotes every name within the name of a function or a cast, the inventory those that need it.
fn bare(name: &str) -> String {
    name.replace('"', "")
}

/// The kind that an archive's word stands for.
fn kind_of_toc(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.as_str() {
        "fk constraint" | "check constraint" => "constraint",
        "blob" | "blob metadata" => "large object",
        "procedural language" => "language",
        "statistics" => "statistics object",
        "default acl" => "default privileges",
        "publication tables in schema" => "published schema",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(kind: &str, name: &str, toc: &str, parent: Option<&str>) -> Difference {
        let parent = parent.map(str::to_owned);
        Difference { kind: kind.into(), name: name.into(), parent, toc: Some(toc.into()), what: What::Missing }
    }

    #[test]
    fn what_belongs_to_something_left_out_is_explained_by_it() {
        let differences = [
            missing("table", "s.\"T\"", "s.T", None),
            missing("index", "s.i", "s.i", Some("s.\"T\"")),
            missing("index", "s.j", "s.j", Some("s.u")),
            missing("constraint", "k on s.u", "s.u k", Some("s.u")),
            missing("function", "s.f(s.\"T\")", "s.f(s.\"T\")", None),
        ];
        let left_out = [("TABLE", "s.T"), ("FK CONSTRAINT", "s.u k"), ("FUNCTION", "s.f(\"s\".\"T\")")]
            .map(|(kind, name)| LeftOut { kind: kind.into(), name: name.into(), reason: "It is excluded.".into() });
        let (unexplained, explained) = explain(&differences, &left_out);
        assert_eq!(unexplained, [differences[2].clone()]);
        assert_eq!(explained.len(), 4);
    }

    #[test]
    fn a_difference_is_a_sentence() {
        let mut difference = missing("column", "s.t.c", "", Some("s.t"));
        assert_eq!(difference.to_string(), "The column s.t.c is missing on the target.");
        let (source, target) = (Some("integer".to_owned()), Some("bigint".to_owned()));
        difference.what = What::Different { field: "type".into(), source, target };
        assert_eq!(difference.to_string(), "The column s.t.c differs in type: on the source integer, on the target bigint.");
    }
}
