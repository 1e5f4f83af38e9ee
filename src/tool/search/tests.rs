//! The search as a whole: what people ask for comes first, on a registry that names things otherwise than the
//! vocabulary's first words do, and what it has not is not found.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::catalog::{Catalog, CatalogRules};
use super::{Vocabulary, search};

/// `METHOD path | name`, a line each.
const HELPDESK: &str = "
GET /cases | List cases
POST /cases | Create case
GET /cases/search | Search cases
GET /cases/stats | Get case statistics
GET /cases/export | Export cases
GET /cases/{id} | Get case
PUT /cases/{id} | Update case
DELETE /cases/{id} | Delete case
PUT /cases/{id}/status | Update case status
PUT /cases/{id}/assignment | Assign case
POST /cases/{id}/merge | Merge cases
GET /cases/{id}/replies | List case replies
POST /cases/{id}/replies | Add case reply
PUT /cases/{id}/replies/{replyId} | Update case reply
DELETE /cases/{id}/replies/{replyId} | Delete case reply
GET /cases/{id}/attachments | List case attachments
POST /cases/{id}/attachments | Upload case attachment
GET /cases/{id}/devices | List devices of a case
POST /cases/{id}/devices | Link device to case
DELETE /cases/{id}/devices/{deviceId} | Unlink device from case
GET /organizations | List organizations
POST /organizations | Create organization
GET /organizations/{id} | Get organization
PUT /organizations/{id} | Update organization
DELETE /organizations/{id} | Delete organization
GET /organizations/{id}/people | List people of an organization
GET /organizations/{id}/sites | List sites
POST /organizations/{id}/sites | Create site
GET /people | List people
POST /people | Create person
GET /people/{id} | Get person
PUT /people/{id} | Update person
DELETE /people/{id} | Delete person
GET /devices | List devices
POST /devices | Create device
POST /devices/bulk | Bulk create devices
GET /devices/{id} | Get device
PUT /devices/{id} | Update device
DELETE /devices/{id} | Delete device
GET /devices/{id}/software | List installed software
POST /devices/{id}/reboot | Reboot device
GET /devices/{id}/cases | List cases of a device
GET /worklogs | List worklogs
POST /worklogs | Create worklog
PUT /worklogs/{id} | Update worklog
POST /worklogs/{id}/approve | Approve worklog
POST /worklogs/{id}/reject | Reject worklog
GET /bills | List bills
POST /bills | Create bill
GET /bills/{id} | Get bill
DELETE /bills/{id} | Delete bill
GET /bills/{id}/lines | List bill lines
POST /bills/{id}/send | Send bill
POST /bills/{id}/duplicate | Duplicate bill
GET /appointments | List appointments
POST /appointments | Create appointment
DELETE /appointments/{id} | Delete appointment
GET /agents | List agents
POST /agents | Create agent
GET /agents/{id}/roles | List roles of an agent
POST /agents/{id}/roles | Grant role to agent
GET /statuses | List statuses
GET /urgencies | List urgencies
GET /webhooks | List webhooks
POST /webhooks | Create webhook
POST /webhooks/{id}/deliveries/{deliveryId}/retry | Retry webhook delivery
";

fn registry(lines: &str) -> Vec<u8> {
    let entries: Vec<Value> = lines
        .lines()
        .filter_map(|line| line.split_once(" | "))
        .filter_map(|(endpoint, name)| Some((endpoint.split_once(' ')?, name)))
        .map(|((method, path), name)| {
            let id = format!("{method}-{}", path.replace(['/', '{', '}'], "_"));
            json!({"id": id, "method": method, "path": format!("/api/v1{path}"), "displayName": name})
        })
        .collect();
    json!({"data": {"entries": entries}}).to_string().into_bytes()
}

fn helpdesk() -> Catalog {
    Catalog::parse(&registry(HELPDESK), &CatalogRules::default()).unwrap()
}

fn found(catalog: &Catalog, query: &str) -> Vec<String> {
    let found = search(catalog, query, 5);
    found
        .iter()
        .map(|found| format!("{} {}", found.entry.verb, found.entry.path.replace("/api/v1", "")))
        .collect()
}

#[test]
fn what_is_asked_for_comes_first() {
    let catalog = helpdesk();
    let mut wrong = Vec::new();
    for (query, best) in [
        // Plain.
        ("cases", "GET /cases"),
        ("list open cases", "GET /cases"),
        ("create a case", "POST /cases"),
        ("get a case by id", "GET /cases/{id}"),
        ("case 4711", "GET /cases/{id}"),
        ("update case", "PUT /cases/{id}"),
        ("delete a case", "DELETE /cases/{id}"),
        ("search cases", "GET /cases/search"),
        ("how many cases are there", "GET /cases/stats"),
        ("export cases to excel", "GET /cases/export"),
        ("case replies", "GET /cases/{id}/replies"),
        ("approve a worklog", "POST /worklogs/{id}/approve"),
        ("status", "GET /statuses"),
        ("create devices in bulk", "POST /devices/bulk"),
        // Other words.
        ("open a new incident", "POST /cases"),
        ("show me all tickets", "GET /cases"),
        ("close the ticket", "PUT /cases/{id}/status"),
        ("reassign a ticket to Bob", "PUT /cases/{id}/assignment"),
        ("customers", "GET /organizations"),
        ("add a company", "POST /organizations"),
        ("register a laptop", "POST /devices"),
        ("restart a server", "POST /devices/{id}/reboot"),
        ("log 45 minutes", "POST /worklogs"),
        ("sign off hours", "POST /worklogs/{id}/approve"),
        ("invoices", "GET /bills"),
        ("email an invoice to the customer", "POST /bills/{id}/send"),
        ("clone a bill", "POST /bills/{id}/duplicate"),
        ("book an onsite visit", "POST /appointments"),
        ("cancel the appointment", "DELETE /appointments/{id}"),
        ("technicians", "GET /agents"),
        ("priorities", "GET /urgencies"),
        ("rerun a failed webhook delivery", "POST /webhooks/{id}/deliveries/{deliveryId}/retry"),
        // What belongs to what.
        ("comments on a ticket", "GET /cases/{id}/replies"),
        ("reply to the customer on a ticket", "POST /cases/{id}/replies"),
        ("devices of a case", "GET /cases/{id}/devices"),
        ("cases of a device", "GET /devices/{id}/cases"),
        ("contacts at a client", "GET /organizations/{id}/people"),
        ("attach a file to ticket 12", "POST /cases/{id}/attachments"),
        ("which programs are installed on this computer", "GET /devices/{id}/software"),
        ("give an agent the admin role", "POST /agents/{id}/roles"),
        ("add a branch office for a customer", "POST /organizations/{id}/sites"),
        // Slips.
        ("lsit casse", "GET /cases"),
        ("delte orgnization", "DELETE /organizations/{id}"),
        ("webook", "GET /webhooks"),
        ("worklogs", "GET /worklogs"),
        ("apointments", "GET /appointments"),
        // An id finds itself.
        ("GET-_cases_stats", "GET /cases/stats"),
    ] {
        let found = found(&catalog, query);
        if found.first().map(String::as_str) != Some(best) {
            wrong.push(format!("{query}: {best} is not first in {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_the_catalogue_does_not_have_is_not_found() {
    let catalog = helpdesk();
    for query in [
        "",
        "   ",
        "the of and",
        "weather in Lisbon",
        "list xylophones",
        "order a pizza for the team",
        "translate this into French",
        "\u{0}",
        "\u{1f980}",
        "4711",
    ] {
        assert_eq!(found(&catalog, query), Vec::<String>::new(), "{query:?}");
    }
    assert!(search(&Catalog::empty(), "tickets", 5).is_empty());
}

#[test]
fn an_answer_is_ordered_limited_and_among_what_is_let_through() {
    let catalog = helpdesk();
    let answer = search(&catalog, "list cases", 3);
    assert_eq!(answer.len(), 3);
    assert!(answer.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(search(&catalog, "cases", 0).is_empty());
}

#[test]
fn a_very_long_query_is_read_in_part() {
    let query = format!("list cases {}", "word ".repeat(100_000));
    let catalog = helpdesk();
    search(&catalog, &query, 5);
    assert!(!search(&catalog, &format!("list cases {}", " ".repeat(100_000)), 5).is_empty());
}

#[test]
fn what_is_built_in_has_nothing_wrong_and_a_file_adds_to_it() {
    let extended = Vocabulary::extended(
        "without = [\"urgency\"]\n[same]\ncase = [\"matter\"]\n[verbs]\nshelve = \"update status\"\n",
    );
    let rules = CatalogRules { vocabulary: Arc::new(extended.unwrap()), ..CatalogRules::default() };
    let own = Catalog::parse(&registry(HELPDESK), &rules).unwrap();
    assert_eq!(found(&own, "matters")[0], "GET /cases");
    assert_eq!(found(&own, "shelve a case")[0], "PUT /cases/{id}/status");
    assert_eq!(found(&helpdesk(), "matters"), Vec::<String>::new());
    assert_eq!(found(&own, "priorities"), Vec::<String>::new());
    assert_eq!(Vocabulary::extended("").unwrap(), *Vocabulary::built_in());
    assert!(Vocabulary::built_in().senses.len() > 500);
}

#[test]
fn everything_wrong_with_a_vocabulary_is_named_with_its_line() {
    for (text, expected) in [
        ("[same]\nticket = [\"case\", \"!?\"]\n", vec!["line 2: `!?` has no word in it"]),
        (
            "[verbs]\nclose = \"shut status\"\nfile = \"create\"\n[near]\na = [\"one two three four five six\"]\n",
            vec![
                "line 2: `shut` is no act; acts are list, read, search, count, export, create, do, update and delete",
                "line 5: `one two three four five six` has more than five words",
            ],
        ),
        (
            "\n[sames]\n",
            vec![
                "line 2: unknown field `sames`, expected one of `without`, `acts`, `same`, `near`, `verbs`, `lesser`",
            ],
        ),
        ("[same]\nticket = \"case\"\n", vec!["line 2: invalid type: string \"case\", expected a sequence"]),
    ] {
        let mut wrong = Vocabulary::extended(text).unwrap_err();
        wrong.sort();
        assert_eq!(wrong, expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_answered_and_always_the_same(query in "\\PC{0,60}", words in "([a-z]{1,9} ){0,8}") {
        let catalog = helpdesk();
        for query in [query, words] {
            let ask = || -> Vec<(String, f64)> {
                search(&catalog, &query, 8).iter().map(|found| (found.entry.id.clone(), found.score)).collect()
            };
            let first = ask();
            prop_assert_eq!(&first, &ask());
            prop_assert!(first.iter().all(|(_, score)| score.is_finite()));
        }
    }

    #[test]
    fn any_registry_is_read(names in prop::collection::vec("\\PC{0,30}", 1..6)) {
        let entries: Vec<Value> = names.iter().enumerate().map(|(number, name)| {
            json!({"id": format!("e{number}"), "method": "post", "path": format!("/api/v1/x{number}"), "displayName": name,
                "description": name, "requestBodySchema": {"properties": {name.as_str(): {"enum": [name]}}}})
        }).collect();
        let bytes = json!({"data": {"entries": entries}}).to_string();
        let catalog = Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap();
        for name in &names {
            search(&catalog, name, 5);
        }
    }
}
