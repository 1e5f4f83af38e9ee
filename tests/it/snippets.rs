//! What people paste into their clients: the README shows what is generated, a shell reads it as it is meant, and it
//! starts what `deploy/` packs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::ValueEnum;
use serde_json::Value;
use sidegate::cli::connect::snippets::{Client, Connector, PACKAGE};
use sidegate::tool::table::standard_rows;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn direct() -> Connector {
    Connector::direct("https://psa.example.com")
}

fn gate() -> Connector {
    let options = ["--gate", "https://mcp.example.com/api/mcp", "--token-command", "print-my-token"];
    Connector::gate(options.map(str::to_owned).to_vec())
}

/// By the name of its marker, what the README is to hold.
fn generated() -> BTreeMap<String, String> {
    let fenced = |client: Client, connector| {
        let text = client.snippet(&connector).expect("a snippet");
        format!("\n```{}\n{text}```\n", client.language())
    };
    let name = |client: Client| client.to_possible_value().expect("a name").get_name().to_owned();
    let each = Client::value_variants().iter().map(|&client| (name(client), fenced(client, direct())));
    each.chain([("claude-code-gate".to_owned(), fenced(Client::ClaudeCode, gate()))]).collect()
}

#[test]
fn the_readme_shows_what_is_generated() {
    let readme = file("README.md");
    let mut shown = BTreeMap::new();
    for part in readme.split("<!-- snippet:").skip(1) {
        let (name, rest) = part.split_once(" -->").expect("a marker is closed");
        let (text, _) = rest.split_once("<!-- /snippet -->").unwrap_or_else(|| panic!("{name} has no end"));
        assert!(shown.insert(name.to_owned(), text.to_owned()).is_none(), "{name} is there twice");
    }
    let wanted = generated();
    for (name, text) in &wanted {
        assert!(
            shown.remove(name).as_ref() == Some(text),
            "README.md, <!-- snippet:{name} -->, should hold:{text}"
        );
    }
    assert!(shown.is_empty(), "these are generated no more: {:?}", shown.keys());
}

/// Runs the command for Claude Code where `claude` prints its arguments, one a line.
fn pasted(connector: &Connector, key: Option<&str>) -> Output {
    let snippet = Client::ClaudeCode.snippet(connector).expect("a snippet");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("claude() {{ printf '%s\\n' \"$@\"; }}\n{snippet}")]).env_clear();
    if let Some(key) = key {
        shell.env("ALGA_API_TOKEN", key);
    }
    shell.output().expect("a shell")
}

fn arguments(connector: &Connector, key: Option<&str>) -> Vec<String> {
    let output = pasted(connector, key);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_reads_the_command_as_it_is_meant() {
    let instance = "https://psa.example.com/?a=b c&d='e'$HOME`f`\"g\"\\h!";
    let variable = format!("ALGA_INSTANCE_URL={instance}");
    let key = "k e'y\"$HOME";
    let secret = format!("ALGA_API_TOKEN={key}");
    assert_eq!(
        arguments(&Connector::direct(instance), Some(key)),
        [
            "mcp",
            "add",
            "--scope",
            "user",
            "--env",
            &variable,
            "--env",
            &secret,
            "--transport",
            "stdio",
            "sidegate"
        ]
        .into_iter()
        .chain(["--", "npx", "-y", PACKAGE])
        .collect::<Vec<_>>()
    );
    let options = ["--gate", "https://mcp.example.com", "--token-command", "print 'my $TOKEN'", ""];
    let found = arguments(&Connector::gate(options.map(str::to_owned).to_vec()), None);
    assert_eq!(found[found.len() - options.len()..], options);
}

#[test]
fn the_shell_says_that_the_key_is_lacking_instead_of_adding_an_empty_one() {
    let output = pasted(&direct(), None);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ALGA_API_TOKEN: your AlgaPSA API key"), "{said}");
}

#[test]
fn the_clients_start_the_package_that_is_packed_in_this_version() {
    let package: Value = serde_json::from_str(&file("deploy/npm/package.json")).expect("JSON");
    let name = package["name"].as_str().expect("a name");
    assert_eq!(PACKAGE, format!("{name}@{}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_desktop_bundle_shows_the_tools_that_there_are() {
    let manifest: Value = serde_json::from_str(&file("deploy/mcpb/manifest.json.in")).expect("JSON");
    let tools = manifest["tools"].as_array().expect("tools").iter();
    let shown: Vec<&str> = tools.map(|tool| tool["name"].as_str().expect("a name")).collect();
    let rows = standard_rows();
    assert_eq!(shown, rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>());
}
