//! A changed configuration while calls go on: what is taken over, what is refused, what needs a restart.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::plan::Plan;
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::wire::Tls;
use crate::support::world::World;

const OK: &str = "sidegate_config_last_reload_successful";

async fn status(world: &World, agent: &str) -> u16 {
    world.ask(agent, "tools/list", json!({})).await.status
}

#[tokio::test]
async fn an_agent_that_is_switched_off_or_added_in_the_file_is_so_without_a_restart() {
    let world = World::start().await;
    assert_eq!((status(&world, "technician").await, status(&world, "stranger").await), (200, 401));
    let issuer = &world.issuer.issuer;
    world
        .edit(|text| {
            let off = text.replace("name = \"technician\"", "name = \"technician\"\nactive = false");
            let user = world.psa.technician();
            off + &format!(
                "[[agents]]\nname = \"new\"\nissuer = \"{issuer}\"\nsubject = \"demo-stranger\"\npsa_user = \"{user}\"\n"
            )
        })
        .await;
    assert_eq!((status(&world, "technician").await, status(&world, "stranger").await), (403, 200));
}

#[tokio::test]
async fn bounds_names_and_the_catalogues_rules_follow_the_file() {
    let world = World::start().await;
    let large = json!({"filler": "x".repeat(2000)});
    assert_eq!(world.ask("technician", "tools/list", large.clone()).await.status, 200);
    let ticket = world.a_ticket("technician").await;
    world
        .edit(|text| {
            let text = text.replace("[server]", "[server]\nmax_body = 1000");
            text + "[catalog]\ndenied = [\"GET /api/v1/tickets/*\"]\n[policy]\ndefault_max_effect = \"write\"\n"
        })
        .await;
    assert_eq!(world.metric(OK).await, 1.0);
    assert_eq!(world.ask("technician", "tools/list", large).await.status, 413);
    let one = json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": ticket}});
    let answer = world.call("technician", "call_api_endpoint", one).await;
    assert_eq!(answer.body["result"]["isError"], true, "{answer:?}");
}

#[tokio::test]
async fn a_public_url_that_is_added_names_the_resource_from_then_on() {
    let world = World::start().await;
    let document = format!("{}/.well-known/oauth-protected-resource", world.base);
    assert_eq!(world.get(&document).await.body["resource"], world.mcp_url);
    world.edit(|text| text.replace("[server]", "[server]\npublic_url = \"https://mcp.example.com\"")).await;
    assert_eq!(world.get(&document).await.body["resource"], "https://mcp.example.com/api/mcp");
    assert_eq!(status(&world, "technician").await, 401);
}

#[tokio::test]
async fn a_bad_file_is_refused_as_a_whole_until_it_is_mended() {
    let world = World::start().await;
    for bad in ["nonsense = [", "[server]\nmax_bodi = 1\n", "[catalog]\nprefixes = [\"/nothing/here/\"]\n"] {
        let off = |text: &str| text.replace("name = \"technician\"", "name = \"technician\"\nactive = false");
        let before = fs::read_to_string(&world.config_file).unwrap();
        world.edit(|text| off(&text) + bad).await;
        assert_eq!(world.metric(OK).await, 0.0, "{bad}");
        assert_eq!(status(&world, "technician").await, 200, "{bad}");
        world.edit(|_| before).await;
        assert_eq!(world.metric(OK).await, 1.0, "{bad}");
    }
    world.a_ticket("technician").await;
}

#[tokio::test]
async fn a_renewed_certificate_is_served_whatever_the_file_is_like() {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    world.edit(|text| text + "nonsense = [").await;
    assert_eq!(world.metric(OK).await, 0.0);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let at = |name: &str| world.folder.path().join(name);
    fs::write(at("tls.crt"), made.cert.pem()).unwrap();
    fs::write(at("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let port = world.authority().rsplit(':').next().unwrap().parse().unwrap();
    let tls = Tls::trusting(&at("tls.crt"), None, "http/1.1");
    until(|| async { tls.connect(port).await.ok() }).await;
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_the_log_says_what_came_of_it() {
    let world = World::of(Plan { server: "drain_delay = \"0s\"", ..Plan::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let text = world.beside(folder.path());
    fs::write(&file, &text).unwrap();
    let mut serving = Process::start(
        Command::new(env!("CARGO_BIN_EXE_sidegate"))
            .env_clear()
            .env("SIDEGATE__LOG__FORMAT", "json")
            .args(["serve", "--config"])
            .arg(&file),
    );
    let said = |words: &'static str| {
        let errors = serving.errors();
        async move { errors.contains(words).then_some(()) }
    };
    until(|| said("serving probes and metrics")).await;
    fs::write(
        &file,
        text.replace("[tenant]\nid = \"demo\"", "[tenant]\nid = \"other\"") + "[log]\nfilter = \"warn\"\n",
    )
    .unwrap();
    serving.signal("HUP");
    until(|| said("\"keys\":\"tenant.id\"")).await;
    until(|| said("\"keys\":\"log.filter\"")).await;
    fs::write(&file, text.replace("max_effect = \"destroy\"", "max_effect = \"anything\"")).unwrap();
    serving.signal("HUP");
    until(|| said("is refused, the old one stays in use")).await;
    until(|| said("max_effect")).await;
    serving.terminate();
    let ended = serving.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("\"stopped\""), "the new filter holds: {}", ended.err);
}
