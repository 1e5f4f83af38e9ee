//! What the search costs: how long a catalogue takes to build, how much memory its index holds, and how long a query takes.
//!
//! `cargo bench --bench search` (add `--no-default-features --features connect` for a smaller build) prints a table for 790,
//! 5,000 and 20,000 made-up entries; `-- FILE` adds a registry of your own.

use std::alloc::System;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};
use sidegate::tool::catalog::{Catalog, CatalogRules};
use sidegate::tool::search::{Vocabulary, search};

use counting::{Counting, IN_USE};

#[path = "counting.rs"]
#[allow(dead_code)]
mod counting;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

const THINGS: [&str; 24] = [
    "tickets",
    "clients",
    "contacts",
    "assets",
    "invoices",
    "quotes",
    "contracts",
    "projects",
    "tasks",
    "time-entries",
    "time-sheets",
    "schedules",
    "boards",
    "statuses",
    "priorities",
    "categories",
    "tags",
    "teams",
    "users",
    "roles",
    "webhooks",
    "products",
    "services",
    "documents",
];
const PARTS: [&str; 12] = [
    "comments",
    "attachments",
    "items",
    "members",
    "notes",
    "phases",
    "approvals",
    "history",
    "relationships",
    "settings",
    "deliveries",
    "locations",
];
const QUERIES: [&str; 12] = [
    "list open tickets",
    "add a note to the ticket of the customer",
    "tikcet coments",
    "close ticket 4711 and log 45 minutes",
    "which laptops does Contoso have",
    "send the bill to the end user",
    "members of the dispatch team",
    "approve last week's timesheet",
    "export contacts to a spreadsheet",
    "order a pizza",
    "delete the second attachment of a quote that was sent to the wrong customer last month by mistake",
    "statistics",
];

/// A registry of `count` entries, made of things, their parts, and a number once all of these are used.
fn registry(count: usize) -> Vec<u8> {
    let mut entries: Vec<Value> = Vec::with_capacity(count);
    'all: for round in 0.. {
        let mark = if round == 0 { String::new() } else { format!("-region{round}") };
        for thing in THINGS {
            let one = thing.trim_end_matches('s').replace('-', " ");
            let top = format!("/api/v1/{thing}{mark}");
            let mut paths = vec![(top.clone(), one.clone()), (format!("{top}/{{id}}"), one.clone())];
            for part in PARTS {
                paths.push((format!("{top}/{{id}}/{part}"), format!("{one} {part}")));
                paths.push((format!("{top}/{{id}}/{part}/{{partId}}"), format!("{one} {part}")));
            }
            for (path, name) in paths {
                let item = path.ends_with('}');
                let methods: &[(&str, &str)] = if item {
                    &[("get", "Get"), ("put", "Update"), ("delete", "Delete")]
                } else {
                    &[("get", "List"), ("post", "Create")]
                };
                for (method, does) in methods {
                    if entries.len() == count {
                        break 'all;
                    }
                    let id = format!("{method}-{}", path.replace(['/', '{', '}'], "_"));
                    entries.push(json!({
                        "id": id, "method": method, "path": path, "displayName": format!("{does} {name}"), "tags": [thing],
                        "description": format!("{does}s the {name} of the tenant with the given filters. Returns the record with its \
                            audit members, custom fields and links. Fails where the caller lacks the {thing} permission."),
                        "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}, {"name": "fields", "in": "query"}],
                        "requestBodySchema": {"type": "object", "properties": {"title": {}, "status_id": {}, "assigned_to": {}, "due_date": {}}},
                    }));
                }
            }
        }
    }
    json!({"data": {"entries": entries}}).to_string().into_bytes()
}

fn measure(name: &str, bytes: &[u8]) {
    let rules = CatalogRules::everything(Vocabulary::built_in());
    let begun = Instant::now();
    let catalog = match Catalog::parse(bytes, &rules) {
        Ok(catalog) => catalog,
        Err(error) => return eprintln!("{name}: {error}"),
    };
    let parsed = begun.elapsed();
    let (before, begun) = (IN_USE.load(Ordering::Relaxed), Instant::now());
    let index = catalog.reindexed();
    let (built, bytes) = (begun.elapsed(), IN_USE.load(Ordering::Relaxed) - before);
    drop(index);
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..50 {
        for query in QUERIES {
            let begun = Instant::now();
            std::hint::black_box(search(&catalog, query, 10));
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{:>10} {:>8} {:>12.1} {:>10.1} {:>11.1} {:>12.0} {:>9.0}",
        name,
        catalog.entries().len(),
        parsed.as_secs_f64() * 1e3,
        built.as_secs_f64() * 1e3,
        bytes as f64 / 1e6,
        at(0.5),
        at(0.95)
    );
}

fn main() {
    println!(
        "{:>10} {:>8} {:>12} {:>10} {:>11} {:>12} {:>9}",
        "registry", "entries", "catalogue ms", "index ms", "index MB", "median us", "p95 us"
    );
    for count in [790, 5_000, 20_000] {
        measure("made up", &registry(count));
    }
    for file in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        match std::fs::read(&file) {
            Ok(bytes) => measure("yours", &bytes),
            Err(error) => eprintln!("{file}: {error}"),
        }
    }
}
