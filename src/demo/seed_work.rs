//! The second half of the seed: devices, tickets, projects, time, invoices and what goes with them.

use serde_json::{Value, json};

use super::seed::{HOUR, Seed, TECHNICIANS, user_id};
use super::seed_texts::{
    ASSETS, BOARDS, CATEGORIES, CLIENTS, CONTACTS, DOCUMENTS, PRIORITIES, PROJECTS, SERVICES, STATUSES, USERS,
};
use super::seed_tickets::{COMMENTS, TICKETS};
use super::tickets::comment_row;
use super::world::{Row, seeded_id, stamp};

impl Seed {
    pub fn assets(&mut self) {
        for (at, (client, kind, name, place)) in ASSETS.into_iter().enumerate() {
            let client = CLIENTS.get(client).map_or("", |client| client.0);
            let id = seeded_id("asset", name);
            let tag = format!("AST-{:04}", 101 + at);
            let days = i64::try_from(at).unwrap_or(0) * 19;
            self.add("assets", json!({
                "asset_id": id, "asset_tag": tag, "name": name, "asset_type": kind, "location": place,
                "status": if at % 9 == 8 { "maintenance" } else { "active" }, "notes": null,
                "client_id": seeded_id("client", client), "serial_number": format!("SN{:07}", 4_410_000 + at * 137),
                "purchase_date": self.ago(24 * (1_100 - days)), "warranty_end_date": self.ago(24 * (days - 300)),
                "_links": {"self": {"href": format!("/api/v1/assets/{id}"), "method": "GET"}},
            }));
            let installed: &[(&str, &str)] = match kind {
                "server" => &[("Backup agent", "6.2"), ("Database engine", "15.4")],
                "workstation" => &[("Office suite", "2026.1"), ("PDF reader", "24.3")],
                _ => &[],
            };
            for (software, version) in installed {
                let key = format!("{name}/{software}");
                self.add("asset_software", json!({
                    "software_id": seeded_id("software", &key), "asset_id": id, "name": software, "version": version,
                }));
            }
        }
    }

    pub fn tickets(&mut self) {
        let pick = |all: &[&str], at: usize| all.get(at).copied().unwrap_or_default().to_owned();
        for (at, ticket) in TICKETS.into_iter().enumerate() {
            let (title, contact, board, status, priority, category, technician, age, description) = ticket;
            let board = pick(&BOARDS.map(|board| board.0), board);
            let (status, closed) = STATUSES.get(status).copied().unwrap_or(STATUSES[0]);
            let (client, contact, _) = CONTACTS.get(contact).copied().unwrap_or(CONTACTS[0]);
            let assigned = TECHNICIANS.get(technician).map(|name| user_id(name));
            let entered = self.ago(age);
            let closed_at = closed.then(|| self.ago(age / 2));
            let tags: &[&str] = if at % 7 == 3 { &["on-site"] } else { &[] };
            self.add("tickets", json!({
                "ticket_id": seeded_id("ticket", title), "ticket_number": format!("TIC{}", 1_001 + at), "title": title,
                "description": description, "url": null, "board_id": seeded_id("board", &board),
                "client_id": seeded_id("client", CLIENTS.get(client).map_or("", |client| client.0)),
                "contact_name_id": seeded_id("contact", contact), "location_id": null, "subcategory_id": null,
                "status_id": seeded_id("status", &format!("{board}/{status}")),
                "priority_id": seeded_id("priority", &pick(&PRIORITIES.map(|one| one.0), priority)),
                "category_id": seeded_id("category", &pick(&CATEGORIES, category)),
                "assigned_to": assigned, "assigned_team_id": null, "entered_by": user_id("lena"), "updated_by": null,
                "entered_at": entered, "updated_at": closed_at.clone().unwrap_or(entered.clone()),
                "closed_at": closed_at, "closed_by": if closed { json!(assigned) } else { Value::Null },
                "due_date": if closed { Value::Null } else { json!(self.ago(age - 48)) }, "tags": tags,
                "attributes": null, "master_ticket_id": null, "response_state": null, "ticket_origin": "internal",
            }));
        }
        self.world.next_number += TICKETS.len() as u64;
        for (at, (ticket, technician, internal, later, words)) in COMMENTS.into_iter().enumerate() {
            let Some(ticket) = TICKETS.get(ticket) else { continue };
            let name = TECHNICIANS.get(technician).copied().unwrap_or_default();
            let full_name = USERS.iter().find(|user| user.0 == name).map_or("", |user| user.1);
            let author = (user_id(name), full_name);
            let made = stamp(self.now - ticket.7 * HOUR + later * HOUR);
            let id = seeded_id("ticket", ticket.0);
            let mut row: Row =
                comment_row(&self.world.tenant, &id, (&author.0, author.1), words, internal, &made);
            row.insert("comment_id".to_owned(), seeded_id("comment", &at.to_string()).into());
            row.insert("thread_id".to_owned(), seeded_id("thread", &at.to_string()).into());
            self.world.insert("comments", row);
        }
    }

    pub fn projects(&mut self) {
        for (at, (client, name, status, hours, tasks)) in PROJECTS.into_iter().enumerate() {
            let id = seeded_id("project", name);
            self.add("projects", json!({
                "project_id": id, "project_number": format!("PRJ{:04}", 11 + at), "project_name": name,
                "client_id": seeded_id("client", CLIENTS.get(client).map_or("", |client| client.0)),
                "description": null, "start_date": self.ago(24 * 60), "end_date": null, "status": status,
                "assigned_to": user_id("sofia"), "contact_name_id": null, "budgeted_hours": hours, "wbs_code": "1",
                "is_inactive": false, "tags": [],
            }));
            let phase = seeded_id("phase", name);
            self.add(
                "project_phases",
                json!({"phase_id": phase, "project_id": id, "phase_name": "Delivery", "order_number": 1}),
            );
            for (order, task) in tasks.into_iter().enumerate() {
                let state = match (status, order) {
                    ("completed", _) | ("active", 0) => "Done",
                    ("active", 1) => "In progress",
                    _ => "To do",
                };
                self.add("project_tasks", json!({
                    "task_id": seeded_id("task", &format!("{name}/{task}")), "task_name": task, "project_id": id,
                    "phase_id": phase, "description": null, "estimated_hours": 4 + order * 2, "due_date": null,
                    "assigned_to": user_id(TECHNICIANS[order % 4]), "status": state,
                }));
            }
        }
    }

    /// Time entries and the invoices that bill them.
    pub fn money(&mut self) {
        for (at, ticket) in TICKETS
            .iter()
            .enumerate()
            .filter(|(_, ticket)| ticket.6 < 4)
            .chain(TICKETS.iter().enumerate().take(8))
        {
            let nth = i64::try_from(self.world.rows("time_entries").len()).unwrap_or(0);
            let minutes = 15 * (1 + nth % 6);
            let start = self.now - ticket.7 * HOUR + (nth % 3) * 20 * 60_000;
            let billable = at % 5 != 4;
            #[allow(clippy::cast_precision_loss)]
            let hours = format!("{:.2}", minutes as f64 / 60.0);
            self.add("time_entries", json!({
                "entry_id": seeded_id("time", &nth.to_string()), "work_item_id": seeded_id("ticket", ticket.0),
                "work_item_type": "ticket", "start_time": stamp(start), "end_time": stamp(start + minutes * 60_000),
                "work_date": stamp(start).chars().take(10).collect::<String>(), "is_billable": billable,
                "billable_duration": if billable { minutes } else { 0 }, "duration_hours": hours,
                "notes": format!("Worked on: {}", ticket.0), "user_id": user_id(TECHNICIANS[at % 4]),
                "service_id": seeded_id("service", SERVICES[at % 2].0), "time_sheet_id": null,
                "approval_status": if at % 3 == 0 { "APPROVED" } else { "DRAFT" },
            }));
        }
        for (at, client) in CLIENTS.iter().enumerate() {
            let number = format!("INV-{:06}", 211 + at);
            let id = seeded_id("invoice", &number);
            let labour = 37_500 + 12_500 * i64::try_from(at).unwrap_or(0);
            let subtotal = labour + 18_000;
            let tax = subtotal * 8 / 100;
            let days = 24 * (5 + 6 * i64::try_from(at).unwrap_or(0));
            let day = |at: String| at.chars().take(10).collect::<String>();
            self.add("invoices", json!({
                "invoice_id": id, "invoice_number": number, "client_id": seeded_id("client", client.0),
                "invoice_date": day(self.ago(days)), "due_date": day(self.ago(days - 30 * 24)),
                "status": (["draft", "sent", "paid", "overdue"][at % 4]), "subtotal": subtotal, "tax": tax,
                "total_amount": subtotal + tax, "credit_applied": 0, "billing_cycle_id": null, "is_manual": at % 5 == 0,
                "is_prepayment": false, "finalized_at": null, "notes": null,
                "_links": {"self": {"href": format!("/api/v1/invoices/{id}"), "method": "GET"}},
            }));
            for (line, (what, amount)) in
                [("Remote support", labour), ("Managed server", 18_000)].into_iter().enumerate()
            {
                self.add("invoice_items", json!({
                    "item_id": seeded_id("item", &format!("{number}/{line}")), "invoice_id": id, "description": what,
                    "quantity": 1, "unit_price": amount, "net_amount": amount,
                }));
            }
            self.add("contracts", json!({
                "contract_id": seeded_id("contract", client.0), "contract_name": format!("Care plan {}", client.0),
                "client_id": seeded_id("client", client.0), "is_active": at != 4, "billing_frequency": client.2,
            }));
        }
    }

    pub fn rest(&mut self) {
        for (at, (client, name, content)) in DOCUMENTS.into_iter().enumerate() {
            let ticket =
                [0, 3, 21, 26, 32, 38].get(at).and_then(|at| TICKETS.get(*at)).map_or("", |ticket| ticket.0);
            self.add(
                "documents",
                json!({
                    "document_id": seeded_id("document", name), "document_name": name, "content": content,
                    "client_id": seeded_id("client", CLIENTS.get(client).map_or("", |client| client.0)),
                    "ticket_id": seeded_id("ticket", ticket), "mime_type": "text/markdown",
                }),
            );
        }
        for (at, ticket) in TICKETS.iter().enumerate().filter(|(_, ticket)| ticket.3 == 1).take(8) {
            let start = self.now + HOUR * (2 + 3 * i64::try_from(at).unwrap_or(0));
            self.add("schedules", json!({
                "entry_id": seeded_id("schedule", ticket.0), "title": ticket.0, "scheduled_start": stamp(start),
                "scheduled_end": stamp(start + HOUR), "assigned_to": user_id(TECHNICIANS[at % 4]), "notes": null,
                "work_item_id": seeded_id("ticket", ticket.0),
            }));
        }
        let talks = [
            (0, "Call", "Yearly review"),
            (1, "Meeting", "Wireless in the warehouse"),
            (6, "Email", "After the sign-in alert"),
            (8, "Meeting", "Plant network tour"),
            (9, "Note", "Prefers visits after five"),
        ];
        for (client, kind, title) in talks {
            self.add("interactions", json!({
                "interaction_id": seeded_id("interaction", title), "title": title, "type_name": kind, "notes": null,
                "client_id": seeded_id("client", CLIENTS.get(client).map_or("", |client| client.0)),
                "contact_name_id": null,
            }));
        }
    }
}
