//! What is told: steps, and a verdict for each client that follows from them. As text or as JSON.
//!
//! Knows no server and no protocol.

use std::fmt;

use serde::Serialize;

use super::client::{ALL, Client};
use crate::secret::Secret;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It could not be tried, or does not concern this server.
    Skip,
    Ok,
    /// It works, and some clients may yet stumble.
    Warn,
    Fail,
}

/// One thing that clients do, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub id: &'static str,
    pub title: &'static str,
    pub status: Status,
    pub detail: String,
    /// What to change; none where nothing has to be.
    pub remedy: Option<String>,
    /// Who is concerned.
    pub clients: Vec<Client>,
    /// Those of them that certainly get no further.
    #[serde(skip)]
    pub stopped: Vec<Client>,
}

impl Step {
    /// A step of which nothing is known yet.
    pub fn new(id: &'static str, title: &'static str) -> Self {
        let (detail, remedy) = (String::new(), None);
        Self { id, title, status: Status::Skip, detail, remedy, clients: Vec::new(), stopped: Vec::new() }
    }

    /// Good news.
    pub fn ok(&mut self, detail: impl AsRef<str>) -> &mut Self {
        self.add(Status::Ok, detail.as_ref(), "", &[])
    }

    /// `clients` may stumble over it.
    pub fn warn(
        &mut self,
        detail: impl AsRef<str>,
        remedy: impl AsRef<str>,
        clients: &[Client],
    ) -> &mut Self {
        self.add(Status::Warn, detail.as_ref(), remedy.as_ref(), clients)
    }

    /// It is wrong, and `clients` get no further.
    pub fn fail(
        &mut self,
        detail: impl AsRef<str>,
        remedy: impl AsRef<str>,
        clients: &[Client],
    ) -> &mut Self {
        self.stop(clients);
        self.add(Status::Fail, detail.as_ref(), remedy.as_ref(), clients)
    }

    /// It is wrong, and `clients` may stumble over it.
    pub fn wrong(
        &mut self,
        detail: impl AsRef<str>,
        remedy: impl AsRef<str>,
        clients: &[Client],
    ) -> &mut Self {
        self.add(Status::Fail, detail.as_ref(), remedy.as_ref(), clients)
    }

    /// `clients` may stumble over it too.
    pub fn doubt(&mut self, clients: &[Client]) -> &mut Self {
        join(&mut self.clients, clients);
        self
    }

    /// It was not tried; `clients` would have.
    pub fn skip(&mut self, reason: impl AsRef<str>, clients: &[Client]) -> &mut Self {
        self.add(Status::Skip, reason.as_ref(), "", clients)
    }

    /// `clients` get no further, whatever the step's status.
    pub fn stop(&mut self, clients: &[Client]) -> &mut Self {
        join(&mut self.stopped, clients);
        join(&mut self.clients, clients);
        self
    }

    /// It was not tried, and nothing follows.
    fn is_silent(&self) -> bool {
        self.status == Status::Skip && self.remedy.is_none() && self.clients.is_empty()
    }

    fn add(&mut self, status: Status, detail: &str, remedy: &str, clients: &[Client]) -> &mut Self {
        self.status = self.status.max(status);
        append(&mut self.detail, detail);
        if !remedy.is_empty() {
            append(self.remedy.get_or_insert_default(), remedy);
        }
        join(&mut self.clients, clients);
        self
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

/// Adds who is missing, and keeps the report's order.
fn join(clients: &mut Vec<Client>, more: &[Client]) {
    let have = std::mem::take(clients);
    *clients = ALL.into_iter().filter(|client| have.contains(client) || more.contains(client)).collect();
}

/// Whether one client connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub client: Client,
    /// `None` where it cannot be told from here.
    pub connects: Option<bool>,
    /// The first step that stops it, or that leaves it in doubt.
    pub failing_step: Option<&'static str>,
    pub what_to_change: Option<String>,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub url: String,
    pub steps: Vec<Step>,
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// The verdicts follow from the steps: the first that stops a client decides, else the first that
    /// leaves it in doubt.
    pub fn new(url: String, steps: Vec<Step>) -> Self {
        let verdicts = ALL.into_iter().map(|client| verdict(client, &steps)).collect();
        Self { url, steps, verdicts }
    }

    /// True where a step fails.
    pub fn fails(&self) -> bool {
        self.steps.iter().any(|step| step.status == Status::Fail)
    }

    /// The same without the token, which a server may have repeated in an answer that is quoted.
    pub fn without(mut self, token: &Secret) -> Self {
        let hide = |text: &mut String| {
            if !token.is_empty() && text.contains(token.expose()) {
                *text = text.replace(token.expose(), "[secret]");
            }
        };
        hide(&mut self.url);
        for step in &mut self.steps {
            hide(&mut step.detail);
            step.remedy.iter_mut().for_each(hide);
        }
        self.verdicts.iter_mut().filter_map(|verdict| verdict.what_to_change.as_mut()).for_each(hide);
        self
    }
}

fn verdict(client: Client, steps: &[Step]) -> Verdict {
    let stops = steps.iter().find(|step| step.stopped.contains(&client));
    let doubt = || steps.iter().find(|step| step.clients.contains(&client));
    let (step, connects) = match (stops, doubt()) {
        (Some(step), _) => (step, Some(false)),
        (None, Some(step)) => (step, None),
        (None, None) => {
            return Verdict { client, connects: Some(true), failing_step: None, what_to_change: None };
        }
    };
    let what_to_change = step.remedy.clone().unwrap_or_else(|| step.detail.clone());
    Verdict { client, connects, failing_step: Some(step.id), what_to_change: Some(what_to_change) }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.url)?;
        let width = self.steps.iter().map(|step| step.title.len()).max().unwrap_or(0);
        // What was not tried for one reason is one line.
        for alike in
            self.steps.chunk_by(|one, next| one.is_silent() && next.is_silent() && one.detail == next.detail)
        {
            let [step, rest @ ..] = alike else { continue };
            let mark = match step.status {
                Status::Skip => "-",
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            let title =
                if rest.is_empty() { step.title.to_owned() } else { format!("{} steps", alike.len()) };
            writeln!(f, "{mark:<4}  {title:<width$}  {}", step.detail)?;
            let margin = width + 6;
            if let Some(remedy) = &step.remedy {
                writeln!(f, "{:margin$}  -> {remedy}", "")?;
            }
            if step.status > Status::Ok && !step.clients.is_empty() {
                let names: Vec<_> = step.clients.iter().map(|client| client.name()).collect();
                let names =
                    if names.len() == ALL.len() { "every client".to_owned() } else { names.join(", ") };
                writeln!(f, "{:margin$}  for {names}", "")?;
            }
        }
        writeln!(f)?;
        let width = ALL.into_iter().map(|client| client.name().len()).max().unwrap_or(0);
        for verdict in &self.verdicts {
            let connects = match verdict.connects {
                Some(true) => "connects",
                Some(false) => "does NOT connect",
                None => "cannot be told",
            };
            let step = self.steps.iter().find(|step| Some(step.id) == verdict.failing_step);
            match (step, &verdict.what_to_change) {
                (Some(step), Some(change)) => {
                    let name = verdict.client.name();
                    writeln!(f, "{name:<width$}  {connects:<16}  {change} ({})", step.title)?;
                }
                _ => writeln!(f, "{:<width$}  {connects}", verdict.client.name())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &'static str) -> Step {
        Step::new(id, "A step")
    }

    fn of(report: &Report, client: Client) -> &Verdict {
        report.verdicts.iter().find(|verdict| verdict.client == client).unwrap()
    }

    #[test]
    fn what_stops_a_client_goes_before_what_leaves_it_in_doubt() {
        let (mut first, mut second, mut third) = (step("first"), step("second"), step("third"));
        first.ok("fine").warn("odd", "see to it", &[Client::Python, Client::VsCode]);
        second.fail("bad", "mend it", &[Client::VsCode]);
        third.skip("there is no token", &[Client::Cursor]);
        let report = Report::new("u".into(), vec![first, second, third]);
        let shown = |client| {
            let verdict = of(&report, client);
            (verdict.connects, verdict.failing_step, verdict.what_to_change.as_deref())
        };
        assert_eq!(shown(Client::VsCode), (Some(false), Some("second"), Some("mend it")));
        assert_eq!(shown(Client::Python), (None, Some("first"), Some("see to it")));
        assert_eq!(shown(Client::Cursor), (None, Some("third"), Some("there is no token")));
        assert_eq!(shown(Client::Copilot), (Some(true), None, None));
        assert!(report.fails());
    }

    #[test]
    fn the_worst_of_a_steps_findings_is_its_status_and_all_are_told() {
        let mut step = step("s");
        step.warn("a", "do x", &[Client::Cursor]).ok("b").fail("c", "do y", &[Client::ClaudeAi]);
        assert_eq!((step.status, step.detail.as_str()), (Status::Fail, "a; b; c"));
        assert_eq!(step.remedy.as_deref(), Some("do x; do y"));
        assert_eq!(step.clients, [Client::ClaudeAi, Client::Cursor]);
        assert_eq!(step.stopped, [Client::ClaudeAi]);
    }

    #[test]
    fn a_token_that_is_quoted_anywhere_is_not_shown() {
        let mut step = step("s");
        step.fail("it said tell-tale", "not tell-tale", &[Client::Python]);
        let report =
            Report::new("https://h/?tell-tale".into(), vec![step]).without(&Secret::new("tell-tale"));
        let text = format!("{report}{}", serde_json::to_string(&report).unwrap());
        assert!(!text.contains("tell-tale") && text.contains("[secret]"), "{text}");
    }

    #[test]
    fn json_has_the_documented_members_and_no_others() {
        let mut step = step("s");
        step.fail("d", "r", &[Client::OldVsCode]);
        let report = serde_json::to_value(Report::new("u".into(), vec![step])).unwrap();
        let expected = serde_json::json!({
            "id": "s", "title": "A step", "status": "fail", "detail": "d", "remedy": "r",
            "clients": ["VS Code before 1.100"],
        });
        assert_eq!(report["steps"], serde_json::json!([expected]));
        assert_eq!(report["verdicts"].as_array().unwrap().len(), ALL.len());
        let verdict = &report["verdicts"][2];
        assert_eq!(
            *verdict,
            serde_json::json!({"client": "VS Code before 1.100", "connects": false, "failing_step": "s",
                "what_to_change": "r"})
        );
        for client in ALL {
            assert_eq!(serde_json::to_value(client).unwrap(), client.name());
        }
    }
}
