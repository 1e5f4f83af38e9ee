//! Fills the demo PSA's tables. The same every time: ids come from names, times from the start time.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::roles;
use super::seed_texts::{BOARDS, CATEGORIES, CLIENTS, CONTACTS, PRIORITIES, SERVICES, STATUSES, USERS};
use super::world::{World, seeded_id, stamp};
use crate::clock::Millis;

pub(super) const CATALOG_USER: &str = "mcp-catalogue";
pub(super) const TECHNICIAN_AGENT: &str = "mcp-technician";
pub(super) const READER_AGENT: &str = "mcp-reader";
pub(super) const ADMINISTRATOR: &str = "vera";

pub(super) const HOUR: Millis = 3_600_000;
pub(super) const TECHNICIANS: [&str; 4] = ["jonas", "amara", "piet", "sofia"];

/// The id of the seeded user called `name`.
pub(super) fn user_id(name: &str) -> String {
    seeded_id("user", name)
}

/// The world while it is being filled.
pub(super) struct Seed {
    pub world: World,
    pub now: Millis,
}

/// A world as it is when the demo starts at `now`.
pub(super) fn world(now: Millis) -> World {
    let world = World {
        tenant: seeded_id("tenant", "Lanternworks IT"),
        suspended: false,
        tables: BTreeMap::new(),
        grants: HashMap::new(),
        keys: Vec::new(),
        enforced_burst: None,
        repeated: HashMap::new(),
        next_number: 1_000,
    };
    // Whole hours, so that two starts in the same hour show the same times.
    let mut seed = Seed { world, now: now - now.rem_euclid(HOUR) };
    seed.people();
    seed.lookups();
    seed.clients();
    seed.assets();
    seed.tickets();
    seed.projects();
    seed.money();
    seed.rest();
    seed.world
}

impl Seed {
    /// Adds `value`, an object, with tenant and times unless it has its own.
    pub fn add(&mut self, table: &'static str, value: Value) {
        let Value::Object(mut row) = value else { return };
        row.insert("tenant".to_owned(), self.world.tenant.clone().into());
        // Rows of one table differ by a minute, so that sorting by time is stable.
        let nth = i64::try_from(self.world.rows(table).len()).unwrap_or(0);
        let at = stamp(self.now - 400 * 24 * HOUR + nth * 60_000);
        for column in ["created_at", "updated_at"] {
            row.entry(column).or_insert_with(|| at.clone().into());
        }
        if table == "tickets" {
            row.remove("created_at");
        }
        self.world.insert(table, row);
    }

    pub fn ago(&self, hours: i64) -> String {
        stamp(self.now - hours * HOUR)
    }

    fn people(&mut self) {
        for (name, full_name, granted, person) in USERS {
            let id = user_id(name);
            let backs_an_agent = [TECHNICIAN_AGENT, READER_AGENT].contains(&name);
            let (first, last) = full_name.split_once(' ').unwrap_or((full_name, ""));
            self.add("users", json!({
                "user_id": id, "username": name, "full_name": full_name, "user_type": "internal", "is_inactive": false,
                "first_name": person.then_some(first), "last_name": person.then_some(last),
                "email": format!("{name}@lanternworks.example"), "agent_id": backs_an_agent.then_some(name),
            }));
            let granted = granted.iter().filter_map(|name| roles::find(name)).map(|role| role.name).collect();
            self.world.grants.insert(id, granted);
        }
        let teams: [(&str, &str, &[&str]); 2] =
            [("Field team", "sofia", &["jonas", "piet", "sofia"]), ("Help desk", "lena", &["amara", "lena"])];
        for (team, manager, members) in teams {
            let id = seeded_id("team", team);
            self.add("teams", json!({"team_id": id, "team_name": team, "manager_id": user_id(manager)}));
            for member in members {
                self.add(
                    "team_members",
                    json!({"team_id": id, "user_id": user_id(member), "username": member}),
                );
            }
        }
    }

    fn lookups(&mut self) {
        for (at, (name, about)) in BOARDS.iter().enumerate() {
            let board = seeded_id("board", name);
            self.add("boards", json!({
                "board_id": board, "board_name": name, "description": about, "is_default": at == 0, "is_inactive": false,
                "display_order": at,
            }));
            for (order, (status, closed)) in STATUSES.iter().enumerate() {
                self.add("statuses", json!({
                    "status_id": seeded_id("status", &format!("{name}/{status}")), "name": status, "board_id": board,
                    "status_type": "ticket", "is_closed": closed, "is_default": order == 0, "order_number": order,
                }));
            }
        }
        for (order, (name, color)) in PRIORITIES.iter().enumerate() {
            self.add(
                "priorities",
                json!({
                    "priority_id": seeded_id("priority", name), "priority_name": name, "color": color,
                    "order_number": order, "item_type": "ticket",
                }),
            );
        }
        for name in CATEGORIES {
            self.add("ticket_categories", json!({
                "category_id": seeded_id("category", name), "category_name": name, "parent_category": null,
                "board_id": seeded_id("board", BOARDS[0].0),
            }));
        }
        for (name, method, rate) in SERVICES {
            self.add(
                "services",
                json!({
                    "service_id": seeded_id("service", name), "service_name": name, "billing_method": method,
                    "default_rate": rate, "description": null, "is_active": true,
                }),
            );
        }
        for tag in ["vip", "on-site", "after-hours", "warranty", "quote-sent"] {
            self.add(
                "tags",
                json!({"tag_id": seeded_id("tag", tag), "tag_text": tag, "tagged_type": "ticket"}),
            );
        }
    }

    fn clients(&mut self) {
        for (at, (name, url, cycle, industry, region, credit)) in CLIENTS.into_iter().enumerate() {
            let id = seeded_id("client", name);
            let host = url.trim_start_matches("https://");
            self.add("clients", json!({
                "client_id": id, "client_name": name, "url": url, "billing_cycle": cycle, "client_type": "company",
                "properties": {"industry": industry}, "region_code": region, "credit_balance": credit,
                "credit_limit": if at % 3 == 0 { json!(500_000) } else { Value::Null }, "is_inactive": at == 4,
                "is_tax_exempt": industry == "Non-profit", "payment_terms": "net_30", "notes": null, "tags": [],
                "timezone": "America/Los_Angeles", "default_currency_code": "USD", "tax_id_number": null,
                "account_manager_id": user_id(if at % 2 == 0 { "vera" } else { "sofia" }), "logoUrl": null,
                "billing_email": format!("accounts@{host}"), "phone_no": format!("+1 555 010 {:04}", 1_000 + at),
            }));
            self.add("client_locations", json!({
                "location_id": seeded_id("location", name), "client_id": id, "location_name": "Main office",
                "address_line1": format!("{} Mill Street", 12 + at * 7), "city": "Port Ellery", "country_code": "US",
                "is_default": true,
            }));
        }
        for (at, (client, name, role)) in CONTACTS.into_iter().enumerate() {
            let (client, url, ..) = CLIENTS.get(client).copied().unwrap_or(CLIENTS[0]);
            let host = url.trim_start_matches("https://");
            let word = name.trim_start_matches("Dr. ").split(' ').next().unwrap_or_default().to_lowercase();
            let phone = format!("+1 555 010 {:04}", 2_000 + at);
            let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
            self.add("contacts", json!({
                "contact_name_id": seeded_id("contact", name), "full_name": name, "role": role,
                "client_id": seeded_id("client", client), "email": format!("{word}@{host}"), "notes": null,
                "phone_numbers": [{
                    "contact_phone_number_id": seeded_id("phone", name), "phone_number": phone, "extension": null,
                    "normalized_phone_number": digits, "canonical_type": "work", "is_default": true, "display_order": 0,
                }],
                "default_phone_number": phone, "default_phone_type": "work", "additional_email_addresses": [],
                "is_inactive": false, "avatarUrl": null,
            }));
        }
    }
}
