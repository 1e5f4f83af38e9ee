//! What people paste into an MCP client so that it starts the connector, in each client's own form.
//! Pure, and without secrets: a key is asked for or named as the client does it, never written out.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// The npm package of `deploy/npm`, in exactly this version: a client starts what its user chose.
pub const PACKAGE: &str = concat!("@sidegate/connect@", env!("CARGO_PKG_VERSION"));

/// What clients call the connector in their lists.
const NAME: &str = "sidegate";

/// A client whose form is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Its claude_desktop_config.json.
    ClaudeDesktop,
    /// A command for a POSIX shell.
    ClaudeCode,
    /// Its ~/.cursor/mcp.json.
    Cursor,
    /// Its mcp.json, in the user's profile or in .vscode/.
    #[value(name = "vscode")]
    VsCode,
}

/// What is to be started, whichever the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    options: Vec<String>,
    variables: Vec<Variable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    name: &'static str,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Plain(String),
    /// Known to the user alone, who knows it by this name.
    Secret(&'static str),
}

impl Connector {
    /// Straight to the PSA at `instance_url`, under the user's own key.
    pub fn direct(instance_url: &str) -> Self {
        let variables = vec![
            Variable { name: "ALGA_INSTANCE_URL", value: Value::Plain(instance_url.to_owned()) },
            Variable { name: "ALGA_API_TOKEN", value: Value::Secret("your AlgaPSA API key") },
        ];
        Self { options: Vec::new(), variables }
    }

    /// To a remote Sidegate, with these options of `sidegate connect`: which one, and where its token is from.
    pub fn gate(options: Vec<String>) -> Self {
        Self { options, variables: Vec::new() }
    }

    /// With further options of `sidegate connect`.
    #[must_use]
    pub fn with(self, options: Vec<String>) -> Self {
        Self { options, ..self }
    }

    fn arguments(&self) -> Vec<&str> {
        ["-y", PACKAGE].into_iter().chain(self.options.iter().map(String::as_str)).collect()
    }

    fn server(&self, kind: Option<&'static str>, secret: impl Fn(&Variable, &str) -> String) -> Server<'_> {
        let value = |variable: &Variable| match &variable.value {
            Value::Plain(text) => text.clone(),
            Value::Secret(called) => secret(variable, called),
        };
        let env = self.variables.iter().map(|variable| (variable.name, value(variable))).collect();
        Server { kind, command: "npx", args: self.arguments(), env }
    }
}

impl Client {
    /// What to paste, with a newline at its end.
    ///
    /// # Errors
    /// JSON that cannot be written; no connector is known that leads to it.
    pub fn snippet(self, connector: &Connector) -> serde_json::Result<String> {
        match self {
            // It has no variables: the user writes the key in the place of these words.
            Self::ClaudeDesktop => {
                let sidegate = connector.server(None, |_, called| format!("<{called}>"));
                pretty(&McpServers { mcp_servers: Servers { sidegate } })
            }
            Self::ClaudeCode => Ok(command(connector)),
            Self::Cursor => {
                let sidegate =
                    connector.server(Some("stdio"), |variable, _| format!("${{env:{}}}", variable.name));
                pretty(&McpServers { mcp_servers: Servers { sidegate } })
            }
            Self::VsCode => {
                let sidegate =
                    connector.server(Some("stdio"), |variable, _| format!("${{input:{}}}", variable.id()));
                let inputs = connector.variables.iter().filter_map(Variable::input).collect();
                pretty(&VsCode { inputs, servers: Servers { sidegate } })
            }
        }
    }

    /// The language of the snippet, as Markdown names it.
    pub fn language(self) -> &'static str {
        if self == Self::ClaudeCode { "sh" } else { "json" }
    }
}

impl Variable {
    fn id(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// The question that VS Code asks once, keeping the answer in its secret storage.
    fn input(&self) -> Option<Input> {
        let Value::Secret(called) = self.value else { return None };
        Some(Input { kind: "promptString", id: self.id(), description: called, password: true })
    }
}

/// `claude mcp add`. The shell stops with the secret's name where its variable is not set.
fn command(connector: &Connector) -> String {
    let mut lines = vec!["claude mcp add --scope user".to_owned()];
    for Variable { name, value } in &connector.variables {
        lines.push(match value {
            Value::Plain(text) => format!("--env {}", word(&format!("{name}={text}"))),
            Value::Secret(called) => format!(r#"--env {name}="${{{name}:?{called}}}""#),
        });
    }
    // Another option stands before the name, which `--env` would take for one more variable.
    lines.push(format!("--transport stdio {NAME}"));
    let started: Vec<String> = connector.arguments().into_iter().map(word).collect();
    lines.push(format!("-- npx {}", started.join(" ")));
    lines.join(" \\\n    ") + "\n"
}

/// One word for a POSIX shell.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn pretty(form: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(form)? + "\n")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct McpServers<'a> {
    mcp_servers: Servers<'a>,
}

#[derive(Serialize)]
struct VsCode<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Input>,
    servers: Servers<'a>,
}

/// One field, of the name [`NAME`].
#[derive(Serialize)]
struct Servers<'a> {
    sidegate: Server<'a>,
}

#[derive(Serialize)]
struct Server<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    command: &'static str,
    args: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "in_order")]
    env: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Input {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    description: &'static str,
    password: bool,
}

fn in_order<S: Serializer>(env: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(env.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn direct(client: Client) -> String {
        client.snippet(&Connector::direct("https://psa.example.com")).unwrap()
    }

    fn gate(client: Client) -> String {
        let options = ["--gate", "https://mcp.example.com/api/mcp", "--token-file", "it's here"];
        client.snippet(&Connector::gate(options.map(str::to_owned).to_vec())).unwrap()
    }

    fn json_of(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_clients_that_read_mcp_servers_differ_in_how_the_key_is_named() {
        let started = |kind: Option<&str>, key: &str| {
            let env = json!({ "ALGA_INSTANCE_URL": "https://psa.example.com", "ALGA_API_TOKEN": key });
            let mut server = json!({ "command": "npx", "args": ["-y", PACKAGE], "env": env });
            if let Some(kind) = kind {
                server["type"] = json!(kind);
            }
            json!({ "mcpServers": { "sidegate": server } })
        };
        assert_eq!(json_of(&direct(Client::ClaudeDesktop)), started(None, "<your AlgaPSA API key>"));
        assert_eq!(json_of(&direct(Client::Cursor)), started(Some("stdio"), "${env:ALGA_API_TOKEN}"));
    }

    #[test]
    fn vs_code_asks_for_the_key_that_its_server_refers_to() {
        let found = json_of(&direct(Client::VsCode));
        let input = json!({
            "type": "promptString", "id": "alga-api-token", "description": "your AlgaPSA API key", "password": true
        });
        assert_eq!(found["inputs"], json!([input]));
        let server = &found["servers"]["sidegate"];
        assert_eq!(server["type"], "stdio");
        assert_eq!(server["env"]["ALGA_API_TOKEN"], "${input:alga-api-token}");
        assert_eq!(server["env"]["ALGA_INSTANCE_URL"], "https://psa.example.com");
    }

    #[test]
    fn a_person_reads_the_command_first() {
        for client in [Client::ClaudeDesktop, Client::Cursor, Client::VsCode] {
            let text = direct(client);
            let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word} in {text}"));
            assert!(at("\"command\"") < at("\"args\"") && at("\"args\"") < at("\"env\""), "{text}");
            assert!(at("ALGA_INSTANCE_URL") < at("ALGA_API_TOKEN"), "{text}");
        }
    }

    #[test]
    fn the_options_of_a_gate_are_passed_on_and_no_key_is_asked_for() {
        let args =
            json!(["-y", PACKAGE, "--gate", "https://mcp.example.com/api/mcp", "--token-file", "it's here"]);
        assert_eq!(json_of(&gate(Client::Cursor))["mcpServers"]["sidegate"]["args"], args);
        let found = json_of(&gate(Client::VsCode));
        assert_eq!(found["servers"]["sidegate"]["args"], args);
        assert_eq!((found.get("inputs"), found["servers"]["sidegate"].get("env")), (None, None));
        let text = gate(Client::ClaudeCode);
        assert!(text.ends_with("--token-file 'it'\\''s here'\n"), "{text}");
        assert!(!text.contains("ALGA_"), "{text}");
    }
}
