//! Records as rows of a table, for people who look at them in a spreadsheet. Nothing in it can be checked.

use super::Record;
use crate::clock::rfc3339;

const COLUMNS: [&str; 13] = [
    "id",
    "time",
    "tenant",
    "kind",
    "agent_id",
    "tool",
    "entry_id",
    "decision",
    "outcome",
    "status",
    "request_id",
    "link",
    "record",
];

/// What spreadsheets take for the beginning of a formula, or strip before they look for one.
const ACTIVE: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The first line: the names of the columns.
pub fn head() -> Vec<u8> {
    row(COLUMNS.map(str::to_owned))
}

/// One record as one row (RFC 4180). A cell that a spreadsheet would run begins with an apostrophe instead.
pub fn line(record: &Record) -> Vec<u8> {
    let facts = &record.facts;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    row([
        record.id(),
        rfc3339(facts.at),
        facts.tenant.clone(),
        facts.kind.to_string(),
        text(facts.agent_id.as_deref()),
        text(facts.tool.as_deref()),
        text(facts.entry_id.as_deref()),
        text(facts.decision.as_deref()),
        text(facts.outcome.as_deref()),
        facts.status.map(|status| status.to_string()).unwrap_or_default(),
        text(facts.request_id.as_deref()),
        record.link.to_string(),
        facts.body.clone(),
    ])
}

fn row(cells: [String; COLUMNS.len()]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // A vector takes everything.
    let _ = writer.write_record(cells.into_iter().map(harmless));
    writer.into_inner().unwrap_or_default()
}

fn harmless(cell: String) -> String {
    if cell.starts_with(ACTIVE) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Chain, ChainId, Facts};

    #[test]
    fn no_cell_begins_with_what_a_spreadsheet_runs() {
        for tool in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"] {
            let facts = Facts { tool: Some(tool.to_owned()), body: "{}".to_owned(), ..Facts::default() };
            let line = line(&Chain::begin(ChainId(1)).append(facts));
            let read: csv::StringRecord = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(&*line)
                .records()
                .next()
                .unwrap()
                .unwrap();
            assert_eq!(read.get(5), Some(&*format!("'{tool}")));
            assert_eq!(read.len(), COLUMNS.len());
        }
    }

    #[test]
    fn a_row_has_what_can_be_asked_for_and_the_whole_record() {
        let facts = Facts {
            tenant: "acme".to_owned(),
            kind: "call".into(),
            status: Some(404),
            body: "{\"a\":\"x, \\\"y\\\"\"}".to_owned(),
            ..Facts::default()
        };
        let record = Chain::begin(ChainId(1)).append(facts);
        let written = [head(), line(&record)].concat();
        let mut reader = csv::Reader::from_reader(&*written);
        let column = |name: &str| COLUMNS.iter().position(|column| *column == name).unwrap();
        assert_eq!(reader.headers().unwrap().len(), COLUMNS.len());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(&row[column("id")], "0000000000000001-0");
        assert_eq!(&row[column("time")], "1970-01-01T00:00:00.000Z");
        assert_eq!((&row[column("status")], &row[column("agent_id")]), ("404", ""));
        assert_eq!(&row[column("record")], record.facts.body);
        assert!(written.ends_with(b"\r\n"));
    }
}
