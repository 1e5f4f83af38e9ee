//! `sidegate token explain|new`.

use std::io::Read;

use clap::{Args, Subcommand};

use super::{Done, Place, administer, demo};
use crate::app::AppError;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Say, step by step, why a token would be accepted or refused.
    Explain(ExplainArguments),
    /// Print a new token for an agent of the running demo.
    New(NewArguments),
}

#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The token; without it, it is read from standard input, where no shell history keeps it.
    token: Option<String>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct NewArguments {
    /// Which agent of the demo.
    #[arg(long, default_value = demo::TECHNICIAN)]
    agent: String,
}

pub async fn run(at: Place<'_>, command: TokenCommand) -> Done {
    match command {
        TokenCommand::Explain(arguments) => explain(at, arguments).await,
        TokenCommand::New(arguments) => {
            println!("{}", demo::new_token(at.config, &arguments.agent).await?.expose());
            Ok(())
        }
    }
}

async fn explain(at: Place<'_>, arguments: ExplainArguments) -> Done {
    let token = match arguments.token {
        Some(token) => token,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .take(1 << 16)
                .read_to_string(&mut text)
                .map_err(|error| AppError(format!("the token cannot be read: {error}")))?;
            text
        }
    };
    let (_, admin) = administer(at).await?;
    let resource = (admin.resource)();
    let told = admin.explain(token.trim(), &resource).await.map_err(|error| AppError(error.to_string()))?;
    if arguments.json {
        println!("{}", serde_json::json!(told));
    } else {
        println!("for {}", resource.identifier());
        for step in &told.steps {
            println!("{:<22} {}  {}", step.check, if step.passed { "ok" } else { "NO" }, step.detail);
        }
        match told.reason {
            None => println!("accepted"),
            Some(reason) => println!("refused: {reason}"),
        }
    }
    if told.accepted { Ok(()) } else { Err(AppError("the token would be refused".to_owned())) }
}
