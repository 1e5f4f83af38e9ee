//! Twenty jobs, done by a simple agent that knows the three tools only and takes the first thing that a search finds.
//! `jobs/jobs.json` has the jobs; `jobs/table.txt` what each took, in calls and bytes. A job that takes more, or is not
//! done any more, fails. With `SIDEGATE_BLESS=1` the table is written anew: read the difference before committing it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::world::World;

#[derive(Deserialize)]
struct Job {
    job: String,
    steps: Vec<Step>,
}

/// One act: a search over records (`look`), a call of what the registry finds (`do`), or the next page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    look: Option<String>,
    types: Option<Value>,
    r#do: Option<String>,
    #[serde(default)]
    with: Map<String, Value>,
    fields: Option<Value>,
    #[serde(default)]
    next: bool,
    /// What to remember of the first record, by the name that later steps give it.
    #[serde(default)]
    keep: HashMap<String, String>,
    /// What the first record must say.
    #[serde(default)]
    expect: Map<String, Value>,
}

/// What a job took.
#[derive(Default)]
struct Bill {
    calls: usize,
    sent: usize,
    got: usize,
    /// Why it is not done.
    stuck: Option<String>,
}

struct Agent<'a> {
    world: &'a World,
    bill: Bill,
    known: HashMap<String, Value>,
    last: Map<String, Value>,
}

impl Agent<'_> {
    async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, String> {
        self.bill.calls += 1;
        self.bill.sent += arguments.to_string().len();
        let answer = self.world.call("technician", tool, arguments).await;
        self.bill.got += answer.text().len();
        match answer.is_error() {
            true => Err(answer.text().lines().take(3).collect::<Vec<_>>().join(" ")),
            false => Ok(answer.body["result"]["structuredContent"].clone()),
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let answer = match (&step.look, &step.r#do) {
            (Some(words), _) => {
                let arguments = json!({"query": words, "types": step.types, "limit": 1});
                self.call("search_business_data", arguments).await?
            }
            (None, Some(act)) => {
                let found = self.call("search_api_registry", json!({"query": act, "limit": 1})).await?;
                let id = found["results"][0]["entryId"].clone();
                let mut arguments = Map::from_iter([("entryId".to_owned(), id)]);
                // Where each belongs is left to the door.
                arguments.extend(step.with.iter().map(|(name, value)| (name.clone(), self.meant(value))));
                arguments.extend(step.fields.iter().map(|fields| ("fields".to_owned(), fields.clone())));
                self.last = arguments.clone();
                self.call("call_api_endpoint", arguments.into()).await?
            }
            (None, None) => {
                assert!(step.next, "a step does something");
                let arguments = Value::Object(self.last.clone());
                self.call("call_api_endpoint", arguments).await?
            }
        };
        // What to change for the next page; loose arguments give way to it.
        for (group, names) in answer["next"].as_object().into_iter().flatten() {
            for name in names.as_object().into_iter().flatten().map(|(name, _)| name) {
                self.last.remove(name);
            }
            self.last.insert(group.clone(), names.clone());
        }
        let record = record(&answer["data"]);
        for (name, member) in &step.keep {
            let value = record.get(member).filter(|value| !value.is_null());
            let value = value.ok_or_else(|| format!("the first record has no {member}"))?;
            self.known.insert(name.clone(), value.clone());
        }
        for (member, value) in &step.expect {
            let (wanted, there) = (self.meant(value), &record[member]);
            if wanted != *there {
                return Err(format!("{member} is {there}, not {wanted}"));
            }
        }
        Ok(())
    }

    /// `"$name"` is what was kept under this name.
    fn meant(&self, value: &Value) -> Value {
        let name = value.as_str().and_then(|text| text.strip_prefix('$'));
        name.and_then(|name| self.known.get(name)).unwrap_or(value).clone()
    }
}

/// The first record of an answer, whatever it is wrapped in.
fn record(data: &Value) -> &Value {
    let inner = data.get("data").unwrap_or(data);
    let inner = inner.get("results").unwrap_or(inner);
    inner.get(0).unwrap_or(inner)
}

async fn bill(job: &Job) -> Bill {
    let world = World::start().await;
    let mut agent = Agent { world: &world, bill: Bill::default(), known: HashMap::new(), last: Map::new() };
    for (at, step) in (1..).zip(&job.steps) {
        if let Err(why) = agent.take(step).await {
            agent.bill.stuck = Some(format!("step {at}: {why}"));
            break;
        }
    }
    agent.bill
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/jobs").join(name)
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
fn is_blessing() -> bool {
    std::env::var("SIDEGATE_BLESS").is_ok_and(|value| value == "1")
}

/// What the table says of a job: whether it is done, calls, bytes sent and got.
fn written(table: &str, job: &str) -> Option<(bool, usize, usize, usize)> {
    let line = table.lines().find(|line| line.ends_with(job))?;
    let mut columns = line.split_whitespace();
    let done = columns.next()? == "done";
    let mut number = || columns.next()?.parse().ok();
    Some((done, number()?, number()?, number()?))
}

#[tokio::test]
async fn no_job_takes_more_than_the_table_says() {
    let jobs: Vec<Job> = serde_json::from_str(&std::fs::read_to_string(path("jobs.json")).unwrap()).unwrap();
    assert_eq!(jobs.len(), 20);
    let before = std::fs::read_to_string(path("table.txt")).unwrap_or_default();
    let mut table =
        "      calls  sent    got  job (bytes of arguments sent, bytes of results got)\n".to_owned();
    let (mut worse, mut sums) = (Vec::new(), (0, 0, 0, 0));
    for job in &jobs {
        let Bill { calls, sent, got, stuck } = bill(job).await;
        let done = if stuck.is_none() { "done" } else { "-" };
        writeln!(table, "{done:<5} {calls:>5} {sent:>5} {got:>6}  {}", job.job).unwrap();
        sums = (sums.0 + usize::from(stuck.is_none()), sums.1 + calls, sums.2 + sent, sums.3 + got);
        if let Some(why) = &stuck {
            println!("{}: {why}", job.job);
        }
        // A little room: times and numbers are not always of the same length.
        let more = |now: usize, then: usize| now > then + then / 20 + 20;
        match written(&before, &job.job) {
            Some((true, ..)) if stuck.is_some() => {
                worse.push(format!("{} is not done any more: {}", job.job, stuck.unwrap_or_default()));
            }
            Some((was, c, s, g))
                if was == stuck.is_none() && (calls > c || more(sent, s) || more(got, g)) =>
            {
                worse.push(format!("{}: {calls} {sent} {got}, was {c} {s} {g}", job.job));
            }
            Some(_) => {}
            None => worse.push(format!("{} is not in the table", job.job)),
        }
    }
    writeln!(table, "{:<5} {:>5} {:>5} {:>6}  of {} jobs", sums.0, sums.1, sums.2, sums.3, jobs.len())
        .unwrap();
    if is_blessing() {
        return std::fs::write(path("table.txt"), table).unwrap();
    }
    assert!(worse.is_empty(), "{}\n{table}", worse.join("\n"));
}
